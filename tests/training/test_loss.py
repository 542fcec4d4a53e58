"""The step-aware loss: by hand, in pieces, and how much memory it takes.

In two processes: see test_processes.
"""
import json
import math

import pytest
import torch
from small_step import (DEFAULT, TAG, backward, collate, counts_of, difference, gradients, parts,
                        step_rows, tiny_model)
from torch.utils._python_dispatch import TorchDispatchMode

from nanoreason.stages import GROUPS
from nanoreason.training.loss import (DynamicWeights, check_weights, coefficients, combine,
                                      group_counts, last_hidden)
from nanoreason.training import route, step_aware_loss
from nanoreason.model.adapters import adapter_parameters


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


# --- by hand ----------------------------------------------------------------------------

# Two rows of six tokens over a vocabulary of three. Column 0 has no predecessor and never
# counts; row 1 column 3 has a group but no label, row 1 column 5 a label but no group.
LABELS = [[2, 0, 1, 2, 0, 1], [1, 1, 0, -100, 2, 2]]
LOSS_GROUPS = [[0, 4, 0, 0, 1, 4], [3, 0, 2, 2, 3, -1]]
LOGITS = [[[0.0, 1, 2], [1, 1, 0], [0, 0, 3], [2, 0, 1], [1, 0, 0], [9, 9, 9]],
          [[0.5, 0, 0], [3, 0, 1], [1, 2, 0], [0, 2, 1], [0, 0, 1], [9, 9, 9]]]
WEIGHTS = [2.0, 0.5, 1.0, 3.0, 0.25]


def by_hand():
    """{group: [(nats, right)]} of the supervised tokens, in plain Python."""
    parts = {group: [] for group in range(5)}
    for scores, labels, groups in zip(LOGITS, LABELS, LOSS_GROUPS):
        for t in range(1, 6):
            if labels[t] >= 0 and groups[t] >= 0:
                row = scores[t - 1]
                nats = math.log(sum(math.exp(x) for x in row)) - row[labels[t]]
                parts[groups[t]].append((nats, row.index(max(row)) == labels[t]))
    return parts


def example():
    return torch.tensor(LOGITS), torch.tensor(LABELS), torch.tensor(LOSS_GROUPS)


@pytest.mark.parametrize("chunk", [1, 256])
def test_words_that_object_are_those_of_verify_alone(chunk):
    logits, labels, groups = example()
    right = logits.clone()
    right[1, 3] = torch.tensor([0.0, 0, 5])  # predicts the token 2 of VERIFY
    for scores, word, expected in ((logits, [2], [1, 0]), (right, [2], [1, 1]),
                                   (right, [-100, 2], [1, 1]), (right, [0, 2], [0, 0]),
                                   (right, [2] * 7, [0, 0]), (right, (), [0, 0])):
        found = step_aware_loss(scores, labels, groups, WEIGHTS, chunk=chunk, word=word)
        assert found.objections.tolist() == expected


@pytest.mark.parametrize("multipliers", [None, [1.0, 2.0, 0.5, 1.5, 0.75]])
@pytest.mark.parametrize("chunk", [1, 3, 256])
def test_both_normalisations_by_hand(multipliers, chunk):
    parts = by_hand()
    assert {group: len(tokens) for group, tokens in parts.items()} == {0: 3, 1: 1, 2: 1, 3: 1, 4: 2}
    weight = [w * c for w, c in zip(WEIGHTS, multipliers or [1] * 5)]
    means = [sum(nats for nats, _ in parts[g]) / len(parts[g]) for g in range(5)]
    expected = {
        "stage": sum(w * mean for w, mean in zip(weight, means)) / sum(weight),
        "token": sum(weight[g] * nats for g in range(5) for nats, _ in parts[g])
        / sum(weight[g] * len(parts[g]) for g in range(5))}
    for normalise, value in expected.items():
        loss = step_aware_loss(*example(), WEIGHTS, normalise, multipliers=multipliers, chunk=chunk)
        assert float(loss.total) == pytest.approx(value, rel=1e-6)
        assert loss.counts.tolist() == [3, 1, 1, 1, 2]
        assert loss.correct.tolist() == [sum(right for _, right in parts[g]) for g in range(5)]
        for g in range(5):
            assert float(loss.sums[g]) == pytest.approx(sum(n for n, _ in parts[g]), rel=1e-6)
        rebuilt = combine(loss.sums, loss.counts, WEIGHTS, normalise, multipliers)
        assert rebuilt == pytest.approx(value, rel=1e-6)
    assert abs(expected["stage"] - expected["token"]) > 0.01


def test_one_number_that_needs_no_program():
    """Two equal logits: ln 2 nats. Three groups of 1, 1 and 2 tokens, plain mean of ln 2."""
    logits, labels = torch.zeros(1, 5, 2), torch.tensor([[0, 1, 0, 1, 0]])
    groups = torch.tensor([[-1, 0, 1, 2, 2]])
    loss = step_aware_loss(logits, labels, groups, DEFAULT)
    assert float(loss.total) == pytest.approx(0.693147, abs=1e-6)
    assert loss.sums.tolist() == pytest.approx([0.693147, 0.693147, 1.386294, 0, 0], abs=1e-6)


def test_a_group_without_tokens_leaves_the_denominator():
    logits, labels, groups = example()
    only = torch.where(groups == 0, 0, -1)
    first = step_aware_loss(logits, labels, only, [1, 1, 1, 1, 1])
    assert float(first.total) == pytest.approx(float(first.sums[0]) / 3, rel=1e-6)


def test_no_supervised_token_is_zero_with_zero_gradient():
    logits = torch.full((1, 4, 3), float("inf"), requires_grad=True)
    labels, groups = torch.full((1, 4), -100), torch.zeros(1, 4, dtype=torch.long)
    loss = step_aware_loss(logits, labels, groups, DEFAULT)
    loss.total.backward()
    assert float(loss.total.detach()) == 0 and loss.counts.sum() == 0
    assert logits.grad is not None and not logits.grad.any()


def test_only_groups_without_weight_is_zero():
    logits, labels, groups = example()
    logits.requires_grad_()
    loss = step_aware_loss(logits, labels, torch.where(groups == 0, 0, -1), [0, 1, 1, 1, 1])
    loss.total.backward()
    assert float(loss.total.detach()) == 0 and float(loss.sums[0]) > 0 and not logits.grad.any()


# --- who gets gradient ------------------------------------------------------------------

@pytest.mark.parametrize("normalise", ["stage", "token"])
def test_gradient_reaches_supervised_predictions_only(normalise):
    logits, labels, groups = example()
    logits.requires_grad_()
    step_aware_loss(logits, labels, groups, DEFAULT, normalise).total.backward()
    reached = (logits.grad.abs().sum(-1) > 0).int().tolist()
    assert reached == [[1, 1, 1, 1, 1, 0], [1, 1, 0, 1, 0, 0]]
    transition = logits.grad[0, [0, 4]]  # the predictions of row 0, columns 1 and 5
    assert float(transition.abs().max()) > 1e-3


def test_a_planted_wrong_execute_has_no_loss_and_no_gradient():
    """Labels -100 over EXECUTE: whatever stands there, total and parts stay the same."""
    logits, labels, groups = example()
    labels[groups == 2] = -100
    logits.requires_grad_()
    loss = step_aware_loss(logits, labels, groups, [1, 1, 100, 1, 1])
    loss.total.backward()
    assert (loss.counts[2], loss.sums[2]) == (0, 0)
    assert not logits.grad[1, 1].any() and not logits.grad[1, 2].any()
    with torch.no_grad():
        logits[1, 1], logits[1, 2] = torch.tensor([-50.0, 50, 0]), float("nan")
    again = step_aware_loss(logits, labels, groups, [1, 1, 1, 1, 1])
    assert float(again.total.detach()) == float(
        step_aware_loss(example()[0], labels, groups, [1, 1, 0, 1, 1]).total)


def test_an_infinite_loss_is_seen_in_its_own_group_only():
    logits, labels, groups = example()
    logits[1, 1] = torch.tensor([-math.inf, 0, 0])  # predicts row 1 column 2, EXECUTE
    sums = step_aware_loss(logits, labels, groups, DEFAULT).sums
    assert sums.isfinite().tolist() == [True, True, False, True, True]


# --- refusals ---------------------------------------------------------------------------

@pytest.mark.parametrize("weights, text", [
    ([0, 0, 0, 0, 0], "all weights are zero"),
    ({**DEFAULT, "plan": -0.5}, "plan_weight is -0.5"),
    ({**DEFAULT, "verify": math.nan}, "verify_weight is nan"),
    ([1, 1, 1], "3 weights"),
    ({"understand": 1, "prove": 1}, "prove")])
def test_impossible_weights_are_refused(weights, text):
    with pytest.raises(ValueError, match=text):
        step_aware_loss(*example(), weights)
    assert check_weights(DEFAULT) == [1, 1, 1, 1, 0.1]


def test_impossible_calls_are_refused():
    logits, labels, groups = example()
    with pytest.raises(ValueError, match="'tokens'"):
        step_aware_loss(logits, labels, groups, DEFAULT, "tokens")
    with pytest.raises(ValueError, match=r"labels \(2, 5\)"):
        step_aware_loss(logits, labels[:, :5], groups, DEFAULT)
    with pytest.raises(ValueError, match="-1 to 5"):
        step_aware_loss(logits, labels, torch.where(groups == 4, 5, groups), DEFAULT)
    with pytest.raises(ValueError, match="below this micro-batch's own"):
        step_aware_loss(logits, labels, groups, DEFAULT, counts=[3, 1, 1, 1, 1])
    with pytest.raises(ValueError, match="processes is 2"):
        step_aware_loss(logits, labels, groups, DEFAULT, processes=2)
    with pytest.raises(ValueError, match="multipliers"):
        step_aware_loss(logits, labels, groups, DEFAULT, multipliers=[1, 1, 0, 1, 1])


# --- chunked, from hidden states --------------------------------------------------------

@pytest.mark.parametrize("normalise", ["stage", "token"])
def test_chunks_from_hidden_states_equal_the_plain_loss(normalise):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(3, 20, 16, generator=generator, requires_grad=True)
    head = torch.nn.Linear(16, 30)
    labels = torch.randint(0, 30, (3, 20), generator=generator)
    groups = torch.randint(-1, 5, (3, 20), generator=generator)
    labels[0, 5:9] = -100
    # The reference: cross_entropy on the full logits, coefficients spelled out.
    nats = torch.nn.functional.cross_entropy(
        head(hidden)[:, :-1].transpose(1, 2), labels[:, 1:], reduction="none")
    share = coefficients(group_counts(labels, groups), WEIGHTS, normalise)
    total = (nats * torch.where(groups >= 0, share[groups], 0.0)[:, 1:]).sum()
    expected = torch.autograd.grad(total, [hidden, head.weight, head.bias])
    for chunk in (1, 7, 1000):
        for loss in (step_aware_loss(head(hidden), labels, groups, WEIGHTS, normalise, chunk=chunk),
                     step_aware_loss(hidden, labels, groups, WEIGHTS, normalise, head=head,
                                     chunk=chunk)):
            assert float(loss.total.detach()) == pytest.approx(float(total.detach()), rel=1e-6)
            found = torch.autograd.grad(loss.total, [hidden, head.weight, head.bias])
            for a, b in zip(found, expected):
                assert float((a - b).norm() / b.norm()) < 1e-5


class Largest(TorchDispatchMode):
    """Records the largest tensor that any operation makes, and bytes saved for backward."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        output = function(*arguments, **(keywords or {}))
        for tensor in torch.utils._pytree.tree_leaves(output):
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return output


def test_memory_is_that_of_a_chunk():
    vocabulary, positions, supervised, chunk = 151_936, 4096, 64, 8
    head = torch.nn.Linear(4, vocabulary, bias=False).requires_grad_(False)
    hidden = torch.randn(1, positions, 4, requires_grad=True)
    labels = torch.full((1, positions), -100)
    labels[0, 100:100 + supervised] = torch.arange(supervised)
    groups = torch.full((1, positions), 2)
    saved = {}

    def keep(tensor):
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with Largest() as largest, torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        loss = step_aware_loss(hidden, labels, groups, DEFAULT, head=head, chunk=chunk)
        saved.pop(head.weight.untyped_storage().data_ptr(), None)
        assert sum(saved.values()) < 1e6  # not even one chunk's logits wait for backward
        loss.total.backward()
    assert chunk * vocabulary <= largest.elements <= max(chunk, 4) * vocabulary
    assert int((hidden.grad.abs().sum(-1) > 0).sum()) == supervised


def peak_bytes(positions, chunk):
    """Most memory that forward, loss and backward of one micro-batch hold at once, in bytes.

    As torch's allocator reports every block to its profiler, above what was there before.
    """
    model = tiny_model(vocabulary=151_936)
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(10, 151_936, (2, positions // 2), generator=generator)
    groups = torch.arange(positions).reshape(2, -1) % 5
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU],
                                profile_memory=True) as profile:
        with model.router.full(torch.zeros_like(ids, dtype=torch.bool)):
            hidden = last_hidden(model, input_ids=ids)
        step_aware_loss(hidden, ids, groups, DEFAULT, head=model.get_output_embeddings(),
                        chunk=chunk).total.backward()
    held = peak = 0
    for event in profile.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak


def test_peak_memory_grows_with_the_chunk_and_not_with_the_batch():
    """Under PEFT, with the vocabulary of Qwen2.5: a chunk is what there is at one time."""
    logits = 8 * 151_936 * 4  # bytes of a chunk of 8 in float32
    small, longer, larger = peak_bytes(128, 8), peak_bytes(256, 8), peak_bytes(128, 16)
    assert logits < small < 5 * logits < 128 / 8 * logits / 3  # a third of all, once
    assert longer < 1.2 * small
    assert 1.6 * small < larger < 2.4 * small


# --- accumulation -----------------------------------------------------------------------

@pytest.mark.parametrize("routing", ["switch", "single"])
@pytest.mark.parametrize("normalise", ["stage", "token"])
def test_eight_micro_batches_of_four_equal_one_batch_of_32(normalise, routing):
    torch.set_num_threads(1)
    rows, model = step_rows(), tiny_model(routing)
    whole = backward(model, rows, None, normalise=normalise)
    expected = gradients(model)
    for checkpointed in (False, True):
        if checkpointed:
            model.router.enable_checkpointing(model)
        model.zero_grad()
        batches = parts(rows, 4)
        counts = counts_of(batches)
        assert torch.equal(counts, whole.counts)
        losses = [backward(model, batch, counts, normalise=normalise, chunked=checkpointed)
                  for batch in batches]
        assert losses[1].counts[1] == 0 and losses[2].counts[3] == 0  # a stage is missing
        assert difference(gradients(model), expected) <= 1e-5
        total = sum(float(loss.total.detach()) for loss in losses)
        assert total == pytest.approx(float(whole.total.detach()), rel=1e-5)
        sums = sum(loss.sums for loss in losses)
        assert combine(sums, counts, DEFAULT, normalise) == pytest.approx(total, rel=1e-5)
    model.zero_grad()
    for batch in parts(rows, 4):  # what a mean of means would give
        backward(model, batch, None, normalise=normalise)
    assert difference(gradients(model) / 8, expected) > 0.01


def test_last_hidden_is_what_the_head_takes():
    model = tiny_model()
    ids, attention, labels, groups, lengths = collate(step_rows()[:4])
    mask = route(ids, attention, lengths, TAG)
    with torch.no_grad(), model.router.full(mask):
        logits = model(input_ids=ids, attention_mask=attention).logits
        hidden = last_hidden(model, input_ids=ids, attention_mask=attention)
    assert (model.get_output_embeddings()(hidden) - logits).abs().max() < 1e-5


def test_an_adapter_that_no_row_uses_costs_nothing():
    """Its maps are given no token, in forward and in the recomputation of backward."""
    model, tokens = tiny_model(), {"reasoning": 0, "verification": 0}

    def counted(name):
        def hook(module, arguments):
            tokens[name] += arguments[0].shape[:-1].numel()
        return hook

    for key, module in model.named_modules():
        adapter = key.rsplit(".", 1)[-1]
        if adapter in tokens and ("lora_A" in key or "lora_B" in key):
            module.register_forward_pre_hook(counted(adapter))
    model.router.enable_checkpointing(model)
    backward(model, step_rows()[8:12], None, chunked=True)  # none of these reaches VERIFY
    assert tokens["reasoning"] > 0 == tokens["verification"]
    assert all(p.grad is not None for _, p in adapter_parameters(model, "verification"))
    backward(model, step_rows()[:4], None, chunked=True)
    assert tokens["verification"] > 0


# --- dynamic weights --------------------------------------------------------------------

def feed(weights, steps, means):
    for _ in range(steps):
        weights.update([10 * (mean or 0) for mean in means],
                       [0 if mean is None else 10 for mean in means])


def test_dwa_is_the_formula():
    weights = DynamicWeights()
    feed(weights, 7, [99.0] * 5)  # falls out of the window
    feed(weights, 20, [1.0, 2.0, 3.0, 4.0, 5.0])
    assert weights.multipliers == (1.0,) * 5  # 27 steps
    feed(weights, 12, [0.5, 2.0, 1.5, 4.0, 1.0])
    assert weights.multipliers == (1.0,) * 5  # 39 steps
    feed(weights, 8, [0.5, 2.0, 1.5, 6.0, 1.0])
    ratios = [0.5, 1.0, 0.5, (12 * 4 + 8 * 6) / 20 / 4, 0.2]
    powers = [math.exp(ratio / 2) for ratio in ratios]
    assert weights.multipliers == pytest.approx([5 * p / sum(powers) for p in powers], rel=1e-12)


def test_dwa_is_clipped_and_knows_absent_groups():
    weights = DynamicWeights()
    feed(weights, 20, [1.0, 1.0, 1.0, None, 1.0])
    feed(weights, 20, [9.0, 1.0, None, 1.0, 1.0])
    assert weights.multipliers == (2.0, 0.5, 0.5, 0.5, 0.5)
    level = DynamicWeights()
    feed(level, 20, [1.0, 1.0, 1.0, None, 1.0])
    feed(level, 10, [1.0, math.inf, 1.0, 3.0, 1.0])  # an overflowing step says nothing
    feed(level, 10, [1.0, 1.0, None, 5.0, 1.0])
    assert level.multipliers == pytest.approx([1.0] * 5)


def test_dwa_goes_on_from_a_checkpoint():
    one, two = DynamicWeights(), DynamicWeights()
    feed(one, 33, [1.0, 2.0, 3.0, 4.0, 5.0])
    two.load_state_dict(json.loads(json.dumps(one.state_dict())))
    for weights in (one, two):
        feed(weights, 9, [0.1, 2.0, 1.0, None, 5.0])
    assert one.multipliers == two.multipliers != (1.0,) * 5
    still = DynamicWeights("none")
    feed(still, 50, [1.0, 2.0, 3.0, 4.0, 5.0])
    assert still.multipliers == (1.0,) * 5
    with pytest.raises(ValueError, match="'dwb'"):
        DynamicWeights("dwb")


def test_dwa_takes_what_the_loss_gives():
    weights, loss = DynamicWeights(), step_aware_loss(*example(), DEFAULT)
    weights.update(loss.sums, loss.counts)
    step = weights.state_dict()["history"][0]
    assert step == pytest.approx((loss.sums / loss.counts).tolist(), rel=1e-6)
    assert len(step) == len(GROUPS)
