"""Decoding with two adapters: many texts at once, within a budget of cache positions.

`Decoder` does the work for rows side by side; here stands who decodes when. Requests of
similar length go together, the longest first, and a place that has become free is given to
the next one, so that a long text does not keep the others waiting.

Left out on purpose: beam search (rows would change places, and a row's route with them)
and prefilled caches (their route is not known).
"""
from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

from tqdm.auto import tqdm

from nanoreason.decoder import Decoder, Request

__all__ = ["Request", "continue_batch", "generate", "rows_that_fit"]
REFILL_AT = 1 / 8  # let others join when so many of the places are free
SHRINK_AT = 0.7  # with none waiting, drop ended rows when fewer than this share is running


def rows_that_fit(running: Iterable[int], waiting: Sequence[int], max_new_tokens: int,
                  batch_tokens: int) -> int:
    """How many of the waiting requests, in their order, may join those that are running.

    Both are given by their lengths in tokens. Together they may hold at most
    `batch_tokens` positions of the cache, new tokens included; one request alone may
    always be decoded.
    """
    lengths = list(running)
    count, widest = len(lengths), max(lengths, default=0)
    for fit, length in enumerate(waiting):
        widest, count = max(widest, length), count + 1
        if count > 1 and count * (widest + max_new_tokens) > batch_tokens:
            return fit
    return len(waiting)


def continue_batch(model, requests: Sequence[Request], tag_ids: list[int], end_id: int,
                   pad_id: int, max_new_tokens: int, temperature: float = 0.0,
                   stop_at_tag: bool = False) -> list[list[int]]:
    """New tokens of each request, without the end token, all decoded side by side.

    temperature, stop_at_tag: see `Decoder`.
    """
    decoder = Decoder(model, tag_ids, end_id, pad_id, max_new_tokens, temperature, stop_at_tag)
    unlimited = len(requests) * (max(len(r.input_ids) for r in requests) + max_new_tokens)
    texts = dict(pair for ended in _decoded(decoder, requests, unlimited, lambda count: None)
                 for pair in ended)
    return [texts[index] for index in range(len(requests))]


def generate(model, tokenizer, requests: Sequence[Request], tag_ids: list[int],
             max_new_tokens: int, batch_tokens: int, temperature: float = 0.0,
             label: str = "generation", num_beams: int = 1, stop_at_tag: bool = False
             ) -> Iterator[list[tuple[int, list[int]]]]:
    """Yield [(index of the request, its new tokens), ...] as texts come to their ends.

    A progress bar counts them and shows the time that is left. batch_tokens: cache
    positions that may be held at once (memory), new tokens included. stop_at_tag: see
    `Decoder`. Raises `ValueError` for num_beams other than 1.
    """
    if num_beams != 1:
        raise ValueError(
            f"num_beams is {num_beams}: beam search moves rows between sequences, and a row's "
            "route with them; decode greedily (temperature 0) or draw samples")
    decoder = Decoder(model.eval(), tag_ids, tokenizer.eos_token_id, tokenizer.pad_token_id,
                      max_new_tokens, temperature, stop_at_tag)
    return _with_bar(decoder, requests, batch_tokens, label)


def _with_bar(decoder, requests, batch_tokens, label):
    with tqdm(total=len(requests), desc=label, unit="trace") as bar:
        yield from _decoded(decoder, requests, batch_tokens, bar.update)


def _decoded(decoder: Decoder, requests: Sequence[Request], batch_tokens: int, report
             ) -> Iterator[list[tuple[int, list[int]]]]:
    """All requests through one decoder. report: called with the number that has just ended."""
    lengths = [len(request.input_ids) for request in requests]
    waiting = deque(sorted(range(len(requests)), key=lambda index: -lengths[index]))
    while waiting or decoder.held:
        running = [lengths[index] for index in decoder.running]
        joining = 0
        if decoder.joins or not running:
            joining = rows_that_fit(running, [lengths[index] for index in waiting],
                                    decoder.max_new_tokens, batch_tokens)
        refill = joining and joining >= REFILL_AT * (len(running) + joining)
        shrink = not waiting and len(running) < SHRINK_AT * decoder.held
        # Columns of a long row that has ended count against the budget until it leaves.
        trim = running and decoder.columns > max(running) + decoder.max_new_tokens
        if refill or shrink or trim or not running:
            ended = decoder.retire()
            if refill:
                new = [waiting.popleft() for _ in range(joining)]
                report(decoder.admit({index: requests[index] for index in new}))
            if ended:
                yield ended
        if decoder.running:
            report(decoder.step())
