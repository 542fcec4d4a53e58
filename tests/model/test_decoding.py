"""Batched, cached, switched decoding against one full forward; on the real nano base."""
from __future__ import annotations

import copy
from collections import Counter
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from bitsandbytes.nn import Linear4bit
from peft import (get_peft_model, get_peft_model_state_dict,
                  set_peft_model_state_dict)

from nanoreason.data.procedural import problems
from nanoreason.host import GivenError
from nanoreason.model import decoding
from nanoreason.data.verify_lines import procedural_trace
from nanoreason.model.adapters import dequantized, dequantized_bytes
from nanoreason.model.base import load_base
from nanoreason.model.decoding import Decoder, Request, generate, rows_that_fit
from nanoreason.model.router import RouteState
from nanoreason.model.tokens import given_part, partial_ids, prompt_ids, tag_ids
from nanoreason.training import attach_adapters, route

NO_END = -1  # of no token: every row writes on


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


def decode(setup, requests, temperature=0.0, end=None, count=12, batch_tokens=10**6,
           kind=Decoder):
    """New tokens of each request, in their order."""
    model, tokenizer = setup
    decoder = kind(model, tag_ids(tokenizer), tokenizer.eos_token_id if end is None else end,
                   tokenizer.pad_token_id, count, temperature)
    texts = dict(pair for ended in decoder.decode(requests, batch_tokens) for pair in ended)
    return [texts[index] for index in range(len(requests))]


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


def plainly(model, ids, name, count):
    """Greedy tokens of one adapter, without a cache."""
    new = []
    with torch.no_grad(), model.router.only(name):
        for _ in range(count):
            new.append(int(model(input_ids=torch.tensor([ids + new])).logits[0, -1].argmax()))
    return new


def test_what_cannot_be_held_is_refused_before_anything_is_written(setup, requests, monkeypatch):
    model, _ = setup
    each = 8 + 4 * 2 * sum(layer.self_attn.k_proj.out_features for layer in model.get_base_model()
                           .model.layers)
    longest = max(len(request.input_ids) for request in requests)
    monkeypatch.setattr(decoding, "free_memory", lambda device: each * (longest + 600))
    with pytest.raises(GivenError, match="^max_new_tokens=601 and batch_tokens=1 .*"
                                         "set max_new_tokens to 600 or less$"):
        decode(setup, requests, count=601, batch_tokens=1)
    with pytest.raises(GivenError, match=f"batch_tokens to {longest + 600} or less$"):
        decode(setup, requests, count=590)
    assert decode(setup, requests[:1], count=2, batch_tokens=longest + 600)


def test_reread_is_one_request_to_each_adapter(setup, requests):
    """What `reasoning` writes as far as the tag, then what `verification` writes behind it."""
    model, tokenizer = setup
    free = [plainly(model, request.input_ids, "reasoning", 12) for request in requests]
    tag = free[0][2:4]  # of every row that writes it too; the given rows hold it already
    again = copy.deepcopy(model)
    again.router.routing = "reread"
    asked = [replace(r, input_ids=r.input_ids + tag + free[number][5:5 + number // 2])
             if number % 2 else r for number, r in enumerate(requests)]  # up to the tag, and more
    decoder = Decoder(again, tag, NO_END, tokenizer.pad_token_id, 12)
    written = [pair for ended in decoder.decode(asked, 10**6) for pair in ended]
    found = dict(written)
    switched = 0
    for number, request in enumerate(asked):
        wanted = plainly(model, request.input_ids, "verification", 12) if number % 2 else \
            plainly(model, request.input_ids, "reasoning", 12)
        end = next((i + 2 for i in range(11) if wanted[i:i + 2] == tag), None)
        if not number % 2 and end:
            switched += 1
            wanted[end:] = plainly(model, request.input_ids + wanted[:end], "verification",
                                   12 - end)
        assert found[number] == wanted
    assert switched and len(written) == len(asked)
    ended = Decoder(again, tag, NO_END, tokenizer.pad_token_id, 12, stop_at_tag=True)
    stopped = dict(pair for ended in ended.decode(asked[:1], 10**6) for pair in ended)
    assert stopped[0] == free[0][:4]


class Recording(Decoder):
    """Keeps the logits that each new token of each request was chosen by."""

    def _take(self, rows, logits, state):
        self.seen = getattr(self, "seen", {}) | {
            (key, count): own for key, count, runs, own in zip(
                rows.keys, rows.count.tolist(), rows.running.tolist(), logits) if runs}
        return super()._take(rows, logits, state)


def test_the_logits_of_reread_are_those_of_two_models_with_one_plain_adapter_each():
    """In float32, to 1e-4, of rows that are read together, join late, and begin at or behind the
    tag."""
    generator, plain = torch.Generator().manual_seed(1), {}
    model, tokenizer = load_base("nano", "none")
    model = attach_adapters(model, rank=4, alpha=8, seed=0, routing="reread").eval()
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.1
    for name in ("reasoning", "verification"):  # each in a base of its own, by PEFT alone
        plain[name] = get_peft_model(load_base("nano", "none")[0],
                                     model.peft_config[name]).eval()
        given = get_peft_model_state_dict(model, adapter_name=name)
        assert not set_peft_model_state_dict(plain[name], given).unexpected_keys
    asked = [Request(prompt_ids(tokenizer, problem.question), len(prompt_ids(
        tokenizer, problem.question))) for problem in problems("train", 7, 3)]
    with torch.no_grad():
        first = plain["reasoning"].generate(torch.tensor([asked[0].input_ids]), max_new_tokens=4,
                                            do_sample=False, eos_token_id=NO_END)
    tag = first[0, -2:].tolist()  # what the first row writes as its third and fourth token
    asked[1::2] = [replace(one, input_ids=one.input_ids + tag + one.input_ids[:number])
                   for number, one in enumerate(asked[1::2])]
    room = 3 * (max(len(one.input_ids) for one in asked) + 12)
    decoder = Recording(model, tag, NO_END, tokenizer.pad_token_id, 12)
    found = dict(pair for ended in decoder.decode(asked, room) for pair in ended)
    used = Counter()
    for key, request in enumerate(asked):
        with torch.no_grad():
            logits = {name: one(torch.tensor([request.input_ids + found[key]])).logits[0]
                      for name, one in plain.items()}
        for count in range(12):
            behind = request.input_ids[request.prompt_length:] + found[key][:count]
            name = "verification" if tag in [behind[i:i + 2] for i in range(len(behind))] \
                else "reasoning"
            used[name, key % 2] += 1
            wanted = logits[name][len(request.input_ids) - 1 + count]
            assert (decoder.seen[key, count] - wanted).abs().max() <= 1e-4, (key, count, name)
    assert set(used) == {("reasoning", 0), ("verification", 0), ("verification", 1)}


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
    free = decode(setup, requests, end=NO_END)
    end = free[0][3]
    stopped = decode(setup, requests, end=end)
    for before, after in zip(free, stopped):
        assert after == (before[:before.index(end)] if end in before else before)
    assert len(stopped[0]) == free[0].index(end)


def test_rows_hold_a_bounded_number_of_positions():
    assert rows_that_fit([], [50, 22, 21], max_new_tokens=10, batch_tokens=120) == 2
    assert rows_that_fit([50], [22, 21], max_new_tokens=10, batch_tokens=120) == 1
    assert rows_that_fit([15, 22], [21, 20], max_new_tokens=10, batch_tokens=120) == 1
    assert rows_that_fit([], [500], max_new_tokens=10, batch_tokens=120) == 1
    assert rows_that_fit([5], [500], max_new_tokens=10, batch_tokens=120) == 0
    assert rows_that_fit([5], [], max_new_tokens=10, batch_tokens=120) == 0


def test_requests_are_read_with_others_of_their_length(setup):
    model, _ = setup
    shapes = []
    hook = model.register_forward_pre_hook(
        lambda module, given, named: shapes.append(tuple(named["input_ids"].shape)),
        with_kwargs=True)
    lengths = (5, 50, 20, 41, 22, 500, 16)
    decode(setup, [Request([9] * length, 1) for length in lengths], count=1)
    hook.remove()
    assert shapes == [(1, 500), (2, 50), (2, 22), (1, 16), (1, 5)]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_rows_that_join_on_the_way_write_what_they_write_alone(setup, requests, temperature):
    """The end token is one that ends them at many places, so that others join one by one."""
    many = [Request(r.input_ids, r.prompt_length, seed) for seed, r in
            enumerate(list(requests) * 3)]
    alone = [decode(setup, [r], temperature, NO_END)[0] for r in many]

    def cut(end):
        return [row[:row.index(end)] if end in row else row for row in alone]

    end = max({token for row in alone for token in row},
              key=lambda token: len(set(map(len, cut(token)))))
    alone = cut(end)
    assert len({len(row) for row in alone}) > 3
    budget = 4 * (max(len(r.input_ids) for r in many) + 12)
    sizes = []

    class Watched(Decoder):
        def admit(self, requests):
            sizes.append((len(self.running), len(requests)))
            return super().admit(requests)

        def step(self):
            assert self.held * (self.rows.tokens.shape[1] + 1) <= budget
            return super().step()

    together = decode(setup, many, temperature, end, batch_tokens=budget, kind=Watched)
    assert together == alone
    assert any(running and joined for running, joined in sizes)  # some joined on the way


def test_columns_of_a_long_row_go_when_it_has_ended(setup, requests):
    """Though the others, too many to be moved together for one that left, write on."""
    long = Request(requests[0].input_ids * 4, 5)
    columns = []

    class EndsTheLong(Decoder):
        def admit(self, requests):
            super().admit(requests)
            self.rows.running = torch.tensor([key != 0 for key in self.rows.keys])

        def step(self):
            columns.append(self.rows.tokens.shape[1])
            return super().step()

    short = [request for request in requests if len(request.input_ids) < 60]
    assert len(short) > 3 and len(long.input_ids) > 100
    decode(setup, [long] + short, end=NO_END, count=40, kind=EndsTheLong)
    assert columns[0] > 100 and max(columns[1:]) <= 60 + 40


def test_generate_returns_every_request_once(setup, requests):
    model, tokenizer = setup
    batches = list(generate(model, tokenizer, requests, tag_ids(tokenizer), 5, 600))
    assert len(batches) > 1
    assert sorted(i for batch in batches for i, _ in batch) == list(range(len(requests)))


def test_a_negative_temperature_is_refused(setup, requests):
    with pytest.raises(ValueError, match="temperature is -1"):
        decode(setup, requests, temperature=-1)


def test_beam_search_of_transformers_is_refused(setup, requests):
    model, _ = setup
    with pytest.raises(RuntimeError, match="beam search moves rows"):
        model.generate(torch.tensor([requests[0].input_ids]), num_beams=2, max_new_tokens=4)


def test_a_cache_that_was_filled_elsewhere_is_refused(setup, requests):
    model, tokenizer = setup
    ids = torch.tensor([requests[0].input_ids])
    with torch.no_grad(), model.router.only():
        cache = model(ids, use_cache=True).past_key_values
    state = RouteState(1, tag_ids(tokenizer))
    with pytest.raises(RuntimeError, match="start the state and the cache together"):
        with model.router.cached(state, ids[:, :1], cache):
            pass


@pytest.mark.parametrize("routed", [True, False])
def test_dequantized_weights_give_the_same_and_are_put_back(setup, requests, routed):
    model, tokenizer = setup
    used = model if routed else load_base("nano", "nf4")[0].eval()
    ids = torch.tensor([requests[0].input_ids])
    context = model.router.only("verification") if routed else nullcontext()
    packed = decode((used, tokenizer), requests)
    with torch.no_grad(), context:
        before = used(input_ids=ids).logits
        with dequantized(used):
            inside = used(input_ids=ids).logits
            changed = [m for m in used.modules() if "forward" in vars(m)]
    assert len(changed) == 4 * 7  # the maps of four layers, each once
    assert (before - inside).abs().max() < 1e-5
    with dequantized(used):
        assert decode((used, tokenizer), requests) == packed
    assert not [m for m in used.modules() if "forward" in vars(m)]
    assert dequantized_bytes(used) == 4 * sum(
        m.weight.quant_state.shape.numel() for m in used.modules() if isinstance(m, Linear4bit))


@pytest.mark.parametrize("checkpointing", [True, False])
def test_dequantized_weights_give_the_adapters_the_same_gradients(requests, checkpointing):
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
    with dequantized(model):
        inside = gradients()
    assert packed.norm() > 0.1
    assert (packed - inside).norm() <= 1e-5 * packed.norm()
