"""Decoding with two adapters: batched by length, cached, switched where the tag appears.

Each row carries its own route: its tokens go through `reasoning` until its VERIFY tag is
complete, then through `verification`. The cache is never recomputed at the switch,
because keys and values were made under the route that their token has in training.

Left out on purpose: beam search (rows would change places, and a row's route with them)
and prefilled caches (their route is not known).
"""
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from tqdm.auto import tqdm

from nanoreason.growing_cache import growing_cache
from nanoreason.tags import RouteState

SHRINK_AT = 0.7  # drop finished rows when fewer than this share of the batch is running


@dataclass(frozen=True)
class Request:
    """One text to be continued.

    input_ids: question, and for a given setting the trace so far. prompt_length: how many
    of them are the question (the tag is searched behind it). seed: of this sample alone,
    so that what is drawn does not depend on the batch it lands in.
    """

    input_ids: list[int]
    prompt_length: int
    seed: int = 0


def length_batches(requests: list[Request], max_new_tokens: int, batch_tokens: int
                   ) -> list[list[int]]:
    """Indices of the requests in batches of similar length, longest first.

    A batch holds at most `batch_tokens` positions of the cache, new tokens included, but
    at least one request.
    """
    order = sorted(range(len(requests)), key=lambda i: -len(requests[i].input_ids))
    batches: list[list[int]] = []
    for index in order:
        if batches:
            width = len(requests[batches[-1][0]].input_ids) + max_new_tokens
            if width * (len(batches[-1]) + 1) <= batch_tokens:
                batches[-1].append(index)
                continue
        batches.append([index])
    return batches


def _choose(logits: torch.Tensor, temperature: float, generators) -> torch.Tensor:
    """Next token of each row. logits: (B, V). Greedy at temperature 0, else sampled."""
    if temperature == 0:
        return logits.argmax(-1)
    noise = torch.stack([torch.rand(logits.shape[1], generator=g) for g in generators])
    gumbel = -torch.log(-torch.log(noise.clamp(1e-20, 1 - 1e-7)))
    return (logits.float() / temperature + gumbel.to(logits.device)).argmax(-1)


@torch.inference_mode()
def continue_batch(model, requests: list[Request], tag_ids: list[int], end_id: int,
                   pad_id: int, max_new_tokens: int, temperature: float = 0.0,
                   finished: Callable[[int], None] | None = None,
                   stop_at_tag: bool = False) -> list[list[int]]:
    """New tokens of each request, without the end token; one batch, left-padded.

    A base model without adapters is decoded as it is. finished: called with the number of
    rows that have just ended. stop_at_tag: end a row with its tag, before the verification
    adapter writes anything. Raises `ValueError` for a negative temperature, and for
    `stop_at_tag` where no adapter ever takes over at the tag.
    """
    if temperature < 0:
        raise ValueError(f"temperature is {temperature}; give 0 (greedy) or more")
    router = getattr(model, "router", None)
    if stop_at_tag and (router is None or router.routing == "single"):
        raise ValueError("stop_at_tag needs a model whose second adapter takes over at the tag")
    width, device = max(len(r.input_ids) for r in requests), model.device
    ids = torch.full((len(requests), width), pad_id)
    mask = torch.zeros_like(ids)
    completion = torch.zeros(ids.shape, dtype=torch.bool)
    for row, request in enumerate(requests):
        length = len(request.input_ids)
        ids[row, width - length:] = torch.tensor(request.input_ids)
        mask[row, width - length:] = 1
        completion[row, width - length + request.prompt_length:] = True
    tokens, mask, completion = ids.to(device), mask.to(device), completion.to(device)
    state = RouteState(len(requests), tag_ids, router.routing, device) if router else None
    generators = [torch.Generator().manual_seed(r.seed) for r in requests]
    positions = (mask.cumsum(1) - 1).clamp(min=0)  # (B, T)
    cache = growing_cache(model.config)
    # Tokens stay on the device until the end: a row is what stands before its first end.
    produced = torch.full((len(requests), max_new_tokens), end_id, device=device)
    rows = torch.arange(len(requests), device=device)  # the request of each place
    running = torch.ones_like(rows, dtype=torch.bool)
    left = len(requests)
    for step in range(max_new_tokens):
        searched = completion if step == 0 else None
        with router.cached(state, tokens, cache, searched) if router else nullcontext():
            output = model(input_ids=tokens, attention_mask=mask, position_ids=positions,
                           past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache = output.past_key_values
        chosen = _choose(output.logits[:, -1], temperature, generators)  # (B,)
        running &= chosen != end_id
        if stop_at_tag:
            running &= ~state.seen
        before, left = left, int(running.sum())
        if finished and before > left:
            finished(before - left)
        if not left:
            break
        produced[rows, step] = chosen.where(running, end_id)
        if left < SHRINK_AT * len(rows):
            places = running.nonzero().flatten()
            cache.batch_select_indices(places)
            if state:
                state.keep(places)
            generators = [generators[place] for place in places.tolist()]
            rows, chosen, mask, positions, running = (
                tensor[places] for tensor in (rows, chosen, mask, positions, running))
        tokens = chosen[:, None]
        mask = torch.cat([mask, torch.ones_like(tokens)], 1)
        positions = positions[:, -1:] + 1
    if finished and left:
        finished(left)
    return [row[:row.index(end_id)] if end_id in row else row for row in produced.tolist()]


def generate(model, tokenizer, requests: list[Request], tag_ids: list[int],
             max_new_tokens: int, batch_tokens: int, temperature: float = 0.0,
             label: str = "generation", num_beams: int = 1, stop_at_tag: bool = False
             ) -> Iterator[list[tuple[int, list[int]]]]:
    """Yield [(index of the request, its new tokens), ...] batch by batch.

    A progress bar counts the traces as they end and shows the time that is left.
    batch_tokens: cache positions a batch may hold (memory), new tokens included.
    stop_at_tag: see `continue_batch`. Raises `ValueError` for num_beams other than 1.
    """
    if num_beams != 1:
        raise ValueError(
            f"num_beams is {num_beams}: beam search moves rows between sequences, and a row's "
            "route with them; decode greedily (temperature 0) or draw samples")
    return _generated(model.eval(), tokenizer, requests, tag_ids, max_new_tokens, batch_tokens,
                      temperature, label, stop_at_tag)


def _generated(model, tokenizer, requests, tag_ids, max_new_tokens, batch_tokens, temperature,
               label, stop_at_tag):
    with tqdm(total=len(requests), desc=label, unit="trace") as bar:
        for batch in length_batches(requests, max_new_tokens, batch_tokens):
            produced = continue_batch(model, [requests[i] for i in batch], tag_ids,
                                      tokenizer.eos_token_id, tokenizer.pad_token_id,
                                      max_new_tokens, temperature, bar.update, stop_at_tag)
            yield list(zip(batch, produced))
