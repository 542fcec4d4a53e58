"""Two adapters in one forward: the route, cached decoding, padding, checkpointing, files.

Every claim is held against the plain thing: PEFT's own `set_adapter` before each token.
"""
import copy

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, DynamicCache
from transformers import Qwen2Config, Qwen2ForCausalLM

from nanoreason.model.router import NAMES, RouteState
from nanoreason.model.tokens import readings
from nanoreason.training import attach_adapters, route
from nanoreason.model.adapters import (adapter_parameters, keep_trainable_4bit, load_adapters,
                                       save_adapters)

TAG = [7, 8, 9]
PAD = 0
VOCABULARY = 61


def tiny_base(seed=0):
    torch.manual_seed(seed)
    config = Qwen2Config(vocab_size=VOCABULARY, hidden_size=64, intermediate_size=128,
                         num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
                         tie_word_embeddings=True, pad_token_id=PAD)
    model = Qwen2ForCausalLM(config)
    with torch.no_grad():  # large enough that a wrong route moves the logits visibly
        for parameter in model.parameters():
            parameter.mul_(3 if parameter.ndim == 2 else 1)
    return model


def load_nf4(folder):
    quantisation = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.float32)
    return AutoModelForCausalLM.from_pretrained(
        folder, quantization_config=quantisation, device_map="cpu", dtype=torch.float32)


def fill_b(model, scale=0.3):
    """Give lora_B values: a fresh adapter is zero and would hide every mistake."""
    generator = torch.Generator().manual_seed(5)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(0, scale, generator=generator)
    return model


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("base")
    tiny_base().save_pretrained(folder)
    return {"fp32": lambda: tiny_base(), "nf4": lambda: load_nf4(folder)}


@pytest.fixture(scope="module", params=["fp32", "nf4"])
def base(request, bases):
    return bases[request.param]


def routed(base, routing="switch", **options):
    return fill_b(attach_adapters(base(), 4, 8, 0.0, 0, routing, **options)).eval()


@pytest.fixture(scope="module")
def model(base):
    return routed(base)


def example_rows():
    """Prompts and completions of unequal length; the prompts name the tag."""
    generator = torch.Generator().manual_seed(3)

    def words(count):
        return torch.randint(10, VOCABULARY, (count,), generator=generator).tolist()

    prompts = [words(2) + TAG + words(1), words(3), TAG + words(6), words(5) + TAG[:1]]
    completions = [words(4) + TAG + words(5),            # the tag early
                   words(9) + TAG + words(3),            # late
                   words(3) + TAG[:2] + words(8),        # never: only its beginning
                   TAG[1:] + words(4) + [7] + TAG + words(2) + TAG + words(1)]  # twice
    return prompts, completions


def padded(rows, side):
    width = max(map(len, rows))
    fill = [[PAD] * (width - len(row)) for row in rows]
    ids = [gap + row if side == "left" else row + gap for row, gap in zip(rows, fill)]
    mask = [[0] * len(gap) + [1] * len(row) if side == "left" else [1] * len(row) + [0] * len(gap)
            for row, gap in zip(rows, fill)]
    return torch.tensor(ids), torch.tensor(mask)


def positions(attention_mask):
    return (attention_mask.cumsum(1) - 1).clamp(min=0)


def full_logits(model, ids, attention, prompt_lengths):
    mask = route(ids, attention, prompt_lengths, TAG, model.router.routing)
    with torch.no_grad(), model.router.full(mask):
        return model(input_ids=ids, attention_mask=attention,
                     position_ids=positions(attention), use_cache=False).logits


def switched_logits(model, prompt, completion, routing="switch"):
    """One row, token by token, with PEFT's own adapter switching and no mask at work."""
    row = prompt + completion
    start = next((i for i in range(len(prompt), len(row) - 2) if row[i:i + 3] == TAG), None)
    cache, logits = DynamicCache(), []
    for position, token in enumerate(row):
        after = start is not None and position >= start + 2 and routing != "single"
        names = {"switch": [NAMES[after]], "stack": list(NAMES[:1 + after]),
                 "single": [NAMES[0]]}[routing]
        with torch.no_grad(), every_token(model, names):
            output = model(input_ids=torch.tensor([[token]]), past_key_values=cache,
                           use_cache=True)
        logits.append(output.logits[0, -1])
    return torch.stack(logits)


class every_token:
    """PEFT's switching: only `names` are active; the router lets all of them through."""

    def __init__(self, model, names):
        self.model, self.names = model, names

    def __enter__(self):
        self.model.base_model.set_adapter(self.names)
        router = self.model.router
        self.open = router.only(*router.names)
        self.open.__enter__()

    def __exit__(self, *error):
        self.open.__exit__(*error)
        self.model.base_model.set_adapter(list(self.model.router.names))


def cached_logits(model, prompts, completions, prefill=0, forget=False):
    """Left-padded prompts, then one column a step; `prefill` completion tokens at once.

    Returns a list of (len(row), V) logits without the padding.
    """
    rows = [p + c[:prefill] for p, c in zip(prompts, completions)]
    ids, attention = padded(rows, "left")
    lengths = torch.tensor([len(p) for p in prompts])
    searched = attention.bool() & (attention.cumsum(1) > lengths[:, None])
    state = RouteState(len(rows), TAG, model.router.routing)
    cache, collected = DynamicCache(), []
    tokens, place = ids, positions(attention)
    rest = [c[prefill:] for c in completions]
    width = max(map(len, rest))
    for step in range(width + 1):
        with torch.no_grad(), model.router.cached(state, tokens, cache, searched):
            output = model(input_ids=tokens, attention_mask=attention, position_ids=place,
                           past_key_values=cache, use_cache=True)
        collected.append(output.logits)
        if step == width:
            break
        alive = torch.tensor([[step < len(row)] for row in rest])
        tokens = torch.tensor([[row[step] if step < len(row) else PAD] for row in rest])
        place, searched = place[:, -1:] + 1, alive
        attention = torch.cat([attention, alive.long()], 1)
        if forget:
            forgetful = RouteState(len(rows), TAG, model.router.routing)
            forgetful.length, state = state.length, forgetful
    logits = torch.cat(collected, 1)
    return [line[kept.bool()] for line, kept in zip(logits, attention)]


def gap(left, right):
    return max(float((a - b).abs().max()) for a, b in zip(left, right, strict=True))


# --- the mask ---------------------------------------------------------------------------

def test_route_by_hand():
    ids = torch.tensor([[7, 8, 9, 5, 7, 8, 9, 6],      # the prompt names the tag
                        [5, 7, 8, 9, 6, 7, 8, 9],      # twice: the first counts
                        [5, 7, 8, 6, 9, 7, 9, 8],      # pieces only
                        [5, 5, 7, 7, 8, 9, 0, 0]])     # a false start, right padding
    attention = torch.tensor([[1] * 8, [1] * 8, [1] * 8, [1] * 6 + [0] * 2])
    mask = route(ids, attention, [3, 1, 1, 2], TAG)
    assert mask.int().tolist() == [[0, 0, 0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1, 1, 1],
                                   [0] * 8, [0, 0, 0, 0, 0, 1, 1, 1]]
    assert torch.equal(mask, route(ids, attention, torch.tensor([3, 1, 1, 2]), TAG, "stack"))
    assert not route(ids, attention, 0, TAG, "single").any()


def test_a_tag_that_begins_in_the_prompt_does_not_count():
    ids = torch.tensor([[5, 7, 8, 9, 6]])
    assert not route(ids, None, 2, TAG).any()
    assert route(ids, None, 1, TAG).any()


def test_left_padding_moves_the_mask_and_nothing_else():
    prompts, completions = example_rows()
    rows, lengths = [p + c for p, c in zip(prompts, completions)], list(map(len, prompts))
    masks = {}
    for side in ("left", "right"):
        ids, attention = padded(rows, side)
        mask = route(ids, attention, lengths, TAG)
        masks[side] = [line[kept.bool()].tolist() for line, kept in zip(mask, attention)]
    assert masks["left"] == masks["right"]
    assert [sum(line) > 0 for line in masks["left"]] == [True, True, False, True]


@pytest.mark.parametrize("tag", [[7], [7, 7], [7, 8, 7], TAG])
def test_any_cutting_into_steps_gives_the_mask_of_the_whole(tag):
    generator = torch.Generator().manual_seed(11)
    ids = torch.randint(7, 10, (40, 12), generator=generator)
    searched = torch.rand(40, 12, generator=generator) > 0.2
    for whole_row, kept, mask in zip(ids, searched, RouteState(40, tag).feed(ids, searched)):
        real = [(column, int(token)) for column, token in enumerate(whole_row) if kept[column]]
        ends = [real[i + len(tag) - 1][0] for i in range(len(real) - len(tag) + 1)
                if [token for _, token in real[i:i + len(tag)]] == tag]
        expected = [bool(ends) and column >= ends[0] for column in range(12)]
        assert mask.tolist() == expected
    for width in (1, 2, 5):
        state = RouteState(40, tag)
        pieces = [state.feed(ids[:, i:i + width], searched[:, i:i + width])
                  for i in range(0, 12, width)]
        assert torch.equal(torch.cat(pieces, 1), RouteState(40, tag).feed(ids, searched))


# --- one forward, cached decoding, real switching ---------------------------------------

@pytest.mark.parametrize("side", ["left", "right"])
def test_under_reread_a_row_is_of_one_adapter_as_its_prompt_ends(side):
    rows = [([1, 2, *TAG], [4, 5]), ([1, 2], [*TAG, 6]), ([*TAG, 3], [4]), ([7, 8], [9, 1, 2])]
    ids, attention = padded([prompt + completion for prompt, completion in rows], side)
    lengths = [len(prompt) for prompt, _ in rows]
    mask = route(ids, attention, lengths, TAG, "reread")
    assert mask.all(1).tolist() == [True, False, False, False] == mask.any(1).tolist()
    if side == "left":
        prompts, _ = padded([prompt for prompt, _ in rows], side)
        searched = torch.zeros_like(prompts, dtype=torch.bool)
        state = RouteState(4, TAG, "reread")
        assert (state.feed(prompts, searched) == mask[:, :1]).all()
        assert (state.feed(torch.tensor([[7], [1], [1], [9]])) == mask[:, :1]).all()


def test_readings_of_a_text_are_cut_behind_its_first_tag():
    text = [4, *TAG, 5, *TAG, 6]
    assert readings([1], text, TAG, "reread") == [
        ([1], [4, *TAG]), ([1, 4, *TAG], [5, *TAG, 6])]
    assert readings([1], text, TAG, "switch") == [([1], text)]
    assert readings(TAG, [4, 7, 8], TAG, "reread") == [(TAG, [4, 7, 8])]


@pytest.mark.parametrize("routing", ["switch", "stack", "single"])
def test_full_forward_equals_cached_decoding_equals_switching(base, routing):
    model = routed(base, routing)
    prompts, completions = example_rows()
    rows, lengths = [p + c for p, c in zip(prompts, completions)], list(map(len, prompts))
    truth = [switched_logits(model, p, c, routing) for p, c in zip(prompts, completions)]
    for side in ("left", "right"):
        ids, attention = padded(rows, side)
        logits = full_logits(model, ids, attention, lengths)
        whole = [line[kept.bool()] for line, kept in zip(logits, attention)]
        assert gap(whole, truth) <= 1e-4
    assert gap(cached_logits(model, prompts, completions), truth) <= 1e-4
    # Six completion tokens in the prefill: a tag in it, one cut in two, two still to come.
    assert gap(cached_logits(model, prompts, completions, prefill=6), truth) <= 1e-4


def test_without_the_memory_of_the_tag_decoding_differs(model):
    prompts, completions = example_rows()
    truth = cached_logits(model, prompts, completions)
    forgetful = cached_logits(model, prompts, completions, forget=True)
    assert gap(truth, forgetful) > 0.1
    assert gap(truth[2:3], forgetful[2:3]) == 0  # the row that never reaches the tag


def test_before_the_tag_bit_equal_to_reasoning_alone(model):
    prompts, completions = example_rows()
    ids, attention = padded([p + c for p, c in zip(prompts, completions)], "left")
    lengths = list(map(len, prompts))
    mask = route(ids, attention, lengths, TAG)
    logits = full_logits(model, ids, attention, lengths)
    with torch.no_grad(), model.router.only("reasoning"):
        alone = model(input_ids=ids, attention_mask=attention, use_cache=False,
                      position_ids=positions(attention)).logits
    before = ~mask & attention.bool()
    assert torch.equal(logits[before], alone[before])
    assert (logits[mask] - alone[mask]).abs().max() > 0.1


def test_single_is_reasoning_alone_and_holds_no_second_adapter(base):
    model = routed(base, "single")
    assert list(model.peft_config) == ["reasoning"]
    assert not adapter_parameters(model, "verification")
    with pytest.raises(ValueError, match="single"), model.router.full(torch.tensor([[True]])):
        pass


# --- what attaching does ----------------------------------------------------------------

def test_adapters_sit_on_every_linear_map_of_the_blocks(model):
    targets = {name.rsplit(".", 4)[0] for name, _ in adapter_parameters(model, "reasoning")}
    assert len(adapter_parameters(model, "verification")) == 2 * 7 * 3  # A and B, 7 maps, 3 blocks
    assert not [name for name in targets if "lm_head" in name or "embed" in name]
    trainable = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    assert len(trainable) == 2 * 2 * 7 * 3
    assert {p.dtype for _, p in trainable} == {torch.float32}


def test_the_start_depends_on_the_seed_alone():
    torch.manual_seed(1)
    first = attach_adapters(tiny_base(), 4, 8, 0.0, seed=2)
    torch.manual_seed(99)
    before = torch.get_rng_state()
    base = tiny_base()
    torch.set_rng_state(before)
    second = attach_adapters(base, 4, 8, 0.0, seed=2, routing="single")
    assert torch.equal(before, torch.get_rng_state())
    a, b = (adapter_parameters(m, "reasoning") for m in (first, second))
    assert all(torch.equal(p, q) for (_, p), (_, q) in zip(a, b, strict=True))
    other = adapter_parameters(attach_adapters(tiny_base(), 4, 8, 0.0, seed=3), "reasoning")
    assert not torch.equal(a[0][1], other[0][1])
    assert not torch.equal(a[0][1], adapter_parameters(first, "verification")[0][1])


def test_half_precision_base_keeps_float32_adapters():
    model = attach_adapters(tiny_base().to(torch.bfloat16), 4, 8)
    kept = {p.dtype for name in NAMES for _, p in adapter_parameters(model, name)}
    assert kept == {torch.float32}
    ids = torch.randint(10, VOCABULARY, (2, 4))
    for mask in (torch.zeros(2, 4, dtype=torch.bool), torch.tensor([[0, 0, 1, 1]] * 2).bool()):
        with model.router.full(mask):
            assert model(input_ids=ids).logits.dtype == torch.bfloat16


def test_bad_arguments_name_the_value():
    with pytest.raises(ValueError, match="'sideways'"):
        attach_adapters(tiny_base(), 4, 8, routing="sideways")
    with pytest.raises(ValueError, match="rank is 0"):
        attach_adapters(tiny_base(), 0, 8)
    with pytest.raises(ValueError, match="already has the adapters"):
        attach_adapters(attach_adapters(tiny_base(), 4, 8), 4, 8)
    with pytest.raises(ValueError, match=r"tag_ids is \[\]"):
        RouteState(1, [])
    with pytest.raises(ValueError, match="3 entries for a batch of 2"):
        route(torch.ones(2, 5, dtype=torch.long), None, [1, 1, 1], TAG)


# --- refusals ---------------------------------------------------------------------------

def test_a_forward_without_a_route_and_beam_search_are_refused(model):
    ids = torch.tensor([[5, 6, 10]])
    with pytest.raises(RuntimeError, match="no route is set"):
        model(input_ids=ids)
    with pytest.raises(RuntimeError, match="beam search"):
        model.generate(input_ids=ids, num_beams=2, max_new_tokens=4)
    with pytest.raises(RuntimeError, match=r"\(1, 3\)"), \
            model.router.full(torch.zeros(1, 3, dtype=torch.bool)):
        model.generate(input_ids=ids, num_beams=2, max_new_tokens=4)
    with model.disable_adapter():  # the base alone needs no route
        assert torch.isfinite(model(input_ids=ids).logits).all()


def test_a_prefilled_cache_is_refused(model):
    ids, cache = torch.tensor([[5, 6, 10]]), DynamicCache()
    with torch.no_grad(), model.router.only("reasoning"):
        model(input_ids=ids, past_key_values=cache, use_cache=True)
    with pytest.raises(RuntimeError, match="holds 3 positions, but the route was fed 0"), \
            model.router.cached(RouteState(1, TAG), ids[:, :1], cache):
        pass


def test_a_cache_that_lacks_what_the_route_has_seen_is_refused(model):
    state = RouteState(1, TAG)
    state.feed(torch.tensor([TAG]))
    for cache in (None, DynamicCache()):
        with pytest.raises(RuntimeError, match="holds 0 positions, but the route was fed 3"), \
                model.router.cached(state, torch.tensor([[5]]), cache):
            pass


def test_an_adapter_that_is_not_attached_cannot_be_asked_for(model):
    with pytest.raises(ValueError, match="no adapter .*'planning'"), \
            model.router.only("planning"):
        pass


def test_a_mask_of_another_shape_is_refused_even_when_constant(model):
    for mask in (torch.zeros(1, 3), torch.ones(1, 3), torch.tensor([[0, 0, 1]])):
        with pytest.raises(RuntimeError, match=r"route is for .*\(1, 3\)"), \
                model.router.full(mask.bool()):
            model(input_ids=torch.tensor([[5, 6]]))
    with pytest.raises(ValueError, match="int64"), model.router.full(torch.zeros(1, 3).long()):
        pass


# --- gradients --------------------------------------------------------------------------

def two_forward_gradients(base, checkpointing, routing="switch"):
    """Gradients of one backward through two forwards with different masks."""
    model = routed(base, routing).train()
    if checkpointing:
        model.router.enable_checkpointing(model)
    prompts, completions = example_rows()
    total = 0.0
    for part in (slice(0, 2), slice(2, 4)):
        ids, attention = padded([p + c for p, c in zip(prompts[part], completions[part])], "left")
        mask = route(ids, attention, [len(p) for p in prompts[part]], TAG)
        with model.router.full(mask):
            logits = model(input_ids=ids, attention_mask=attention, use_cache=False,
                           position_ids=positions(attention)).logits
        total = total + logits.log_softmax(-1)[:, :, 11].sum()
    total.backward()
    return {name: p.grad for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("routing", ["switch", "stack"])
def test_checkpointing_gives_the_same_gradients(base, routing):
    plain = two_forward_gradients(base, False, routing)
    again = two_forward_gradients(base, True, routing)
    assert plain.keys() == again.keys() and len(plain) == 84
    assert all(float(g.abs().max()) > 0 for g in plain.values())
    for name, gradient in plain.items():
        assert float((gradient - again[name]).norm()) <= 1e-6 * float(gradient.norm()), name


def test_checkpointing_without_the_route_is_refused_in_backward(base):
    model = routed(base).train()
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    ids = torch.randint(10, VOCABULARY, (1, 5))
    with model.router.full(torch.tensor([[0, 0, 1, 1, 1]]).bool()):
        loss = model(input_ids=ids, use_cache=False).logits.sum()
        with pytest.raises(RuntimeError, match="enable_checkpointing"):
            loss.backward()
    with pytest.raises(RuntimeError, match="no route is set"):
        model(input_ids=ids)


def test_an_adapter_that_no_row_uses_computes_nothing_and_has_zero_gradients(base):
    model = routed(base).train()
    seen = []
    for name, module in model.named_modules():
        if name.endswith(("lora_A.verification", "lora_B.verification")):
            module.register_forward_hook(lambda m, inputs, out: seen.append(inputs[0].numel()))
    ids = torch.randint(10, VOCABULARY, (2, 6))
    for checkpointing in (False, True):
        if checkpointing:
            model.router.enable_checkpointing(model)
        seen.clear()
        model.zero_grad()
        with model.router.full(torch.zeros(2, 6, dtype=torch.bool)):
            model(input_ids=ids, use_cache=False).logits.square().sum().backward()
        assert len(seen) >= 42 and set(seen) == {0}
        for _, parameter in adapter_parameters(model, "verification"):
            assert parameter.grad is not None and not parameter.grad.any()
        assert all(p.grad.any() for _, p in adapter_parameters(model, "reasoning"))


def test_gradient_of_verification_comes_from_its_own_tokens(base):
    model = routed(base).train()
    ids = torch.randint(10, VOCABULARY, (1, 8))
    with model.router.full(torch.tensor([[0] * 5 + [1] * 3]).bool()):
        logits = model(input_ids=ids, use_cache=False).logits
    logits[:, :5].square().sum().backward()
    assert not any(p.grad.any() for _, p in adapter_parameters(model, "verification"))


def test_a_copy_of_the_model_has_its_own_route():
    model = routed(tiny_base)
    twin = copy.deepcopy(model)
    with model.router.only("reasoning"), pytest.raises(RuntimeError, match="no route"):
        twin(input_ids=torch.tensor([[5]]))
    with twin.router.only("reasoning"):
        twin(input_ids=torch.tensor([[5]]))


# --- files ------------------------------------------------------------------------------

def test_saved_adapters_load_again_and_with_plain_peft(base, model, tmp_path):
    prompts, completions = example_rows()
    ids, attention = padded([p + c for p, c in zip(prompts, completions)], "left")
    lengths = list(map(len, prompts))
    logits = full_logits(model, ids, attention, lengths)
    save_adapters(model, tmp_path, base_name="some/base")
    again = load_adapters(base(), tmp_path)
    assert not again.training
    assert again.router.routing == "switch"
    assert torch.equal(full_logits(again, ids, attention, lengths), logits)
    assert not any(p.requires_grad for p in again.parameters())
    for name in NAMES:
        plain = PeftModel.from_pretrained(keep_trainable_4bit(base()), tmp_path / name).eval()
        assert plain.peft_config["default"].base_model_name_or_path == "some/base"
        with torch.no_grad(), model.router.only(name):
            assert torch.equal(plain(input_ids=ids).logits, model(input_ids=ids).logits)
    with pytest.raises(FileNotFoundError, match="routing.json is missing"):
        load_adapters(base(), tmp_path / "reasoning")


# --- 4-bit weights ----------------------------------------------------------------------

def test_4bit_weights_stay_float32_and_trainable_after_an_evaluation(bases):
    model = routed(bases["nf4"])
    ids, everywhere = torch.randint(10, VOCABULARY, (1, 5)), torch.ones(1, 5).bool()
    with torch.no_grad(), model.router.full(everywhere):
        evaluated = model(input_ids=ids, use_cache=False).logits
    model.train()
    with model.router.full(everywhere):
        trained = model(input_ids=ids, use_cache=False).logits
    assert (evaluated - trained).abs().max() <= 1e-4
    trained.square().sum().backward()
    assert all(p.grad.any() for _, p in adapter_parameters(model, "verification"))


def test_4bit_weights_that_were_packed_are_refused(bases):
    base = bases["nf4"]()
    layer = base.model.layers[1].mlp.up_proj
    layer.weight.quant_state.packing_format_for_cpu = True  # what bitsandbytes leaves behind
    with pytest.raises(ValueError, match="layers.1.mlp.up_proj"):
        attach_adapters(base, 4, 8)
