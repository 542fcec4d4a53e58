"""Batched, cached, switched decoding against one full forward; on the real nano base."""
from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from bitsandbytes.nn import Linear4bit
from transformers import DynamicCache
from transformers.cache_utils import Cache

from nanoreason.generation import Request, continue_batch, generate, length_batches
from nanoreason.growing_cache import GrowingLayer
from nanoreason.models import load_base
from nanoreason.procedural import problems
from nanoreason.routing import attach_adapters, route
from nanoreason.teacher import procedural_trace
from nanoreason.tags import RouteState
from nanoreason.tokens import given_part, partial_ids, prompt_ids, tag_ids
from nanoreason.unpacked import unpacked, unpacked_bytes


@pytest.fixture(scope="module")
def setup():
    """The NF4 base with adapters that do something (B is not zero)."""
    model, tokenizer = load_base("nano", "nf4")
    model = attach_adapters(model, rank=4, alpha=8, seed=0, routing="switch")
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.1
    return model.eval(), tokenizer


@pytest.fixture(scope="module")
def requests(setup):
    """Questions alone, and questions with a trace up to VERIFY, of many lengths."""
    _, tokenizer = setup
    made = []
    for seed, problem in enumerate(problems("train", 7, 3)):
        start = len(prompt_ids(tokenizer, problem.question))
        text = given_part(procedural_trace(problem)) if seed % 2 else ""
        made.append(Request(partial_ids(tokenizer, problem.question, text), start, seed))
    return made


def decode(setup, requests, temperature=0.0, count=12):
    model, tokenizer = setup
    return continue_batch(model, requests, tag_ids(tokenizer), tokenizer.eos_token_id,
                          tokenizer.pad_token_id, count, temperature)


def test_every_token_is_the_best_of_one_full_forward(setup, requests):
    model, tokenizer = setup
    for request, new in zip(requests, decode(setup, requests)):
        ids = torch.tensor([request.input_ids + new])
        mask = route(ids, None, request.prompt_length, tag_ids(tokenizer))
        with torch.no_grad(), model.router.full(mask):
            logits = model(input_ids=ids).logits[0, len(request.input_ids) - 1:]
        assert new == logits.argmax(-1)[:len(new)].tolist()


def test_the_adapter_after_the_tag_matters(setup, requests):
    """A control: with reasoning alone, the given rows come out otherwise."""
    model, tokenizer = setup
    given = requests[1]
    ids = torch.tensor([given.input_ids])
    with torch.no_grad(), model.router.only("reasoning"):
        alone = model(input_ids=ids).logits[0, -1]
    mask = route(ids, None, given.prompt_length, tag_ids(tokenizer))
    with torch.no_grad(), model.router.full(mask):
        switched = model(input_ids=ids).logits[0, -1]
    assert (alone - switched).abs().max() > 0.1


def test_a_batch_gives_what_each_row_gives_alone(setup, requests):
    together = decode(setup, requests)
    assert together == [decode(setup, [request])[0] for request in requests]


def test_a_sample_depends_on_its_seed_and_not_on_its_batch(setup, requests):
    together = decode(setup, requests, temperature=1.0)
    alone = [decode(setup, [request], temperature=1.0)[0] for request in requests]
    assert together == alone
    other = Request(requests[0].input_ids, requests[0].prompt_length, seed=99)
    assert decode(setup, [other], temperature=3.0)[0] != decode(setup, requests, 3.0)[0]


def test_rows_that_end_early_leave_the_others_alone(setup, requests):
    """The end token of one row is taken to be what another row writes at some step."""
    model, tokenizer = setup
    no_end = -1  # of no token: every row writes on
    free = continue_batch(model, requests, tag_ids(tokenizer), no_end,
                          tokenizer.pad_token_id, 12)
    end = free[0][3]
    stopped = continue_batch(model, requests, tag_ids(tokenizer), end,
                             tokenizer.pad_token_id, 12)
    for before, after in zip(free, stopped):
        assert after == (before[:before.index(end)] if end in before else before)
    assert len(stopped[0]) == free[0].index(end)


def test_batches_hold_a_bounded_number_of_positions():
    requests = [Request([0] * length, 1) for length in (5, 50, 20, 21, 22, 500)]
    batches = length_batches(requests, max_new_tokens=10, batch_tokens=100)
    assert sorted(i for batch in batches for i in batch) == list(range(6))
    for batch in batches:
        width = max(len(requests[i].input_ids) for i in batch) + 10
        assert len(batch) == 1 or width * len(batch) <= 100


def test_generate_returns_every_request_once(setup, requests):
    model, tokenizer = setup
    batches = list(generate(model, tokenizer, requests, tag_ids(tokenizer), 5, 600))
    assert len(batches) > 1
    assert sorted(i for batch in batches for i, _ in batch) == list(range(len(requests)))


def test_a_negative_temperature_is_refused(setup, requests):
    with pytest.raises(ValueError, match="temperature is -1"):
        decode(setup, requests, temperature=-1)


def test_beam_search_is_refused_wherever_it_is_asked_for(setup, requests):
    model, tokenizer = setup
    with pytest.raises(ValueError, match="num_beams is 2"):
        generate(model, tokenizer, requests, tag_ids(tokenizer), 5, 600, num_beams=2)
    with pytest.raises(RuntimeError, match="beam search moves rows"):
        model.generate(torch.tensor([requests[0].input_ids]), num_beams=2, max_new_tokens=4)


def test_a_cache_that_was_filled_elsewhere_is_refused(setup, requests):
    model, tokenizer = setup
    ids = torch.tensor([requests[0].input_ids])
    with torch.no_grad(), model.router.only(None):
        cache = model(ids, use_cache=True).past_key_values
    state = RouteState(1, tag_ids(tokenizer))
    with pytest.raises(RuntimeError, match="start the state and the cache together"):
        with model.router.cached(state, ids[:, :1], cache):
            pass


@pytest.mark.parametrize("routed", [True, False])
def test_unpacked_weights_give_the_same_and_are_put_back(setup, requests, routed):
    model, tokenizer = setup
    used = model if routed else load_base("nano", "nf4")[0].eval()
    ids = torch.tensor([requests[0].input_ids])
    context = model.router.only("verification") if routed else nullcontext()
    packed = decode((used, tokenizer), requests)
    with torch.no_grad(), context:
        before = used(input_ids=ids).logits
        with unpacked(used):
            inside = used(input_ids=ids).logits
            changed = [m for m in used.modules() if "forward" in vars(m)]
    assert len(changed) == 4 * 7  # the maps of four layers, each once
    assert (before - inside).abs().max() < 1e-5
    with unpacked(used):
        assert decode((used, tokenizer), requests) == packed
    assert not [m for m in used.modules() if "forward" in vars(m)]
    assert unpacked_bytes(used) == 4 * sum(
        m.weight.quant_state.shape.numel() for m in used.modules() if isinstance(m, Linear4bit))


@pytest.mark.parametrize("checkpointing", [True, False])
def test_unpacked_weights_give_the_adapters_the_same_gradients(requests, checkpointing):
    model, tokenizer = load_base("nano", "nf4")
    model = attach_adapters(model, rank=4, alpha=8, seed=0, routing="switch").train()
    if checkpointing:
        model.router.enable_checkpointing(model)
    generator = torch.Generator().manual_seed(1)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    for name, parameter in trained.items():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.1
    ids = torch.tensor([requests[1].input_ids])  # goes on beyond the VERIFY tag
    mask = route(ids, None, requests[1].prompt_length, tag_ids(tokenizer))
    assert mask.any() and not mask.all()

    def gradients():
        with model.router.full(mask):
            model(input_ids=ids, labels=ids).loss.backward()
        found = torch.cat([p.grad.flatten() for p in trained.values()])
        model.zero_grad()
        return found

    packed = gradients()
    with unpacked(model):
        inside = gradients()
    assert packed.norm() > 0.1
    assert (packed - inside).norm() <= 1e-5 * packed.norm()


def test_the_growing_cache_holds_what_the_dynamic_one_holds():
    generator = torch.Generator().manual_seed(0)
    ours, theirs = Cache(layer_class_to_replicate=GrowingLayer), DynamicCache()
    for width, keep in ((70, None), (1, [0, 2, 3]), (1, None), (90, [1]), (1, None)):
        rows = 4 if ours.get_seq_length() == 0 else len(ours.layers[0].keys)
        new = torch.randn(2, rows, 2, width, 8, generator=generator)
        for cache in (ours, theirs):
            cache.update(new[0], new[1], 0)
            if keep:
                cache.batch_select_indices(torch.tensor(keep))
        assert torch.equal(ours.layers[0].keys, theirs.layers[0].keys)
        assert torch.equal(ours.layers[0].values, theirs.layers[0].values)
        assert ours.get_seq_length() == theirs.get_seq_length()
