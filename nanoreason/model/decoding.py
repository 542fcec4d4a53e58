"""Rows that are decoded side by side, each with its own route; new ones may join on the way.

Each row goes through `reasoning` until its VERIFY tag is complete, then through
`verification`. The cache is never recomputed at the switch, because keys and values were
made under the route that their token has in training. Under `reread` the row ends there and
begins anew as one of verification's, whose prompt is all that it holds.

Rows are left-padded: the last column of the cache is the newest token of every row, however
long ago the row joined. A row that has ended leaves its place at the next `retire`, and so
do columns that no row needs any more.

Their keys and values stand in a cache that grows in place. The dynamic cache of transformers
is copied whole for every token; this one keeps room for more and is copied only when the room
is used up, or when rows join or leave the batch. The model gets the same numbers. Where a
model's attention has windows, all columns are kept and the model's own mask hides the old ones.
"""
from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from inspect import signature

import torch
from torch.nn.functional import pad
from transformers import Qwen2ForCausalLM
from transformers.cache_utils import Cache, DynamicLayer

from nanoreason.environment import GIB, free_memory
from nanoreason.host import GivenError, check_number, progress
from nanoreason.model.router import RouteState, routing_of
from nanoreason.model.threads import ThreadChoice
from nanoreason.model.tokens import readings

ROOM = 64  # columns that are kept free at least when the buffers are made anew

# Up to transformers 5.23, and from 5.24 on: under which name a forward takes and gives its cache.
CACHE = next(name for name in ("cache", "past_key_values")
             if name in signature(Qwen2ForCausalLM.forward).parameters)


class GrowingLayer(DynamicLayer):
    """Keys and values of one layer, views of buffers with free columns at their end.

    Both are (B, key and value heads, columns, head width).
    """

    buffers: list[torch.Tensor] | None = None

    def update(self, key_states, value_states, *args, **kwargs):
        """Add columns; returns all keys and values so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        held = self.get_seq_length()
        columns = held + key_states.shape[-2]
        if self.buffers is None or columns > self.buffers[0].shape[-2]:
            self.buffers = [_enlarged(old, new, held, columns) for old, new in
                            zip((self.keys, self.values), (key_states, value_states))]
        for buffer, new in zip(self.buffers, (key_states, value_states)):
            buffer[..., held:columns, :] = new
        self._show(columns)
        return self.keys, self.values

    def keep(self, rows, start: int):
        """Keep these rows only, and their columns from `start` on."""
        columns = self.get_seq_length() - start
        held = self.buffers or (self.keys, self.values)
        self.buffers = [part[:, :, start:][rows] for part in held]
        self._show(columns)

    def join(self, other: GrowingLayer):
        """Add the rows of another layer below; the last columns of both stand together.

        The shorter rows begin with zeros: what is masked still takes part in a sum.
        """
        width = max(self.keys.shape[2], other.keys.shape[2])
        self.keys, self.values = (
            torch.cat([pad(part, (0, 0, width - part.shape[2], 0)) for part in parts])
            for parts in ((self.keys, other.keys), (self.values, other.values)))
        self.buffers = None

    def _show(self, columns):
        self.keys, self.values = (buffer[..., :columns, :] for buffer in self.buffers)


def _enlarged(old, new, held: int, columns: int) -> torch.Tensor:
    """A buffer for rows as in `new`, with room beyond `columns`; it begins with `old`."""
    buffer = new.new_empty(*new.shape[:2], columns + max(ROOM, columns // 4), new.shape[3])
    if held:
        buffer[..., :held, :] = old
    return buffer


class GrowingCache(Cache):
    """A growing layer for each layer of the model."""

    def __init__(self):
        super().__init__(layer_class_to_replicate=GrowingLayer)

    def keep(self, rows: torch.Tensor, start: int) -> None:
        """Keep these rows only, and their columns from `start` on."""
        for layer in self.layers:
            layer.keep(rows, start)

    def join(self, other: GrowingCache) -> None:
        """Add the rows of another cache below, aligned at the right."""
        for layer, below in zip(self.layers, other.layers):
            layer.join(below)


ALIKE = 0.8  # of the longest: how short a request read together with it may be
REFILL_AT = 1 / 8  # let others join when so many of the places are free
SHRINK_AT = 0.7  # with none waiting, drop ended rows when fewer than this share is running


@dataclass(frozen=True)
class Request:
    """One text to be continued.

    input_ids: question, and for a given setting the trace so far. prompt_length: how many
    of them are the question (the tag is searched behind it). seed: of this sample alone,
    so that what is drawn does not depend on the rows it is decoded with.
    """

    input_ids: list[int]
    prompt_length: int
    seed: int = 0


@dataclass
class _Rows:
    """All that is known of B rows, in one order.

    tokens, real, searched: (B, W), what the columns of the cache hold, where they are not
    padding, and where the tag may stand. pending: (B,), chosen and not yet fed. written:
    (B, max_new_tokens), of which the first `count` (B,) hold; running: (B,) bool.
    """

    keys: list[int]
    generators: list[torch.Generator]
    tokens: torch.Tensor
    real: torch.Tensor
    searched: torch.Tensor
    pending: torch.Tensor
    written: torch.Tensor
    count: torch.Tensor
    running: torch.Tensor
    cache: GrowingCache | None = None


class Decoder:
    """`decode` does it all: `admit` rows, `step` token by token, `retire` those that have ended.

    A base model without adapters is decoded as it is. max_new_tokens: of each row.
    stop_at_tag: end a row with its tag, before the verification adapter writes anything.
    Raises `ValueError` for a negative temperature, and for `stop_at_tag` where no adapter
    ever takes over at the tag.
    """

    def __init__(self, model, tag_ids: list[int], end_id: int, pad_id: int,
                 max_new_tokens: int, temperature: float = 0.0, stop_at_tag: bool = False):
        check_number(float, 0, temperature=temperature)
        check_number(int, 1, max_new_tokens=max_new_tokens)
        self.router = getattr(model, "router", None)
        if stop_at_tag and (self.router is None or self.router.routing == "single"):
            raise GivenError("stop_at_tag needs a model whose second adapter takes over at "
                             "the tag")
        self.model, self.tag_ids, self.end_id, self.pad_id = model, tag_ids, end_id, pad_id
        self.max_new_tokens, self.temperature = max_new_tokens, temperature
        self.rereads = routing_of(model) == "reread"
        self.stop_at_tag = stop_at_tag or self.rereads
        self.goes_on = self.rereads and not stop_at_tag
        self.before: dict[int, list[int]] = {}  # what rows had written that are read again
        self.rows: _Rows | None = None
        self.state: RouteState | None = None

    @property
    def held(self) -> int:
        """Rows that have a place, ended ones included."""
        return len(self.rows.keys) if self.rows else 0

    @property
    def running(self) -> list[int]:
        """Keys of the rows that still write."""
        if not self.rows:
            return []
        return [key for key, on in zip(self.rows.keys, self.rows.running.tolist()) if on]

    @torch.inference_mode()
    def admit(self, requests: Mapping[int, Request]) -> None:
        """Read these requests and choose their first tokens."""
        new = None
        for group in _alike(requests):
            rows = self._laid_out(group)
            state = self._state(len(group))
            positions = (rows.real.cumsum(1) - 1).clamp(min=0)
            logits, rows.cache = self._forward(state, rows.tokens, rows.searched, rows.real,
                                               positions, GrowingCache())
            self._take(rows, logits, state)
            new = _joined(new, rows, self.pad_id) if new else rows
        self.rows = _joined(self.rows, new, self.pad_id) if self.rows else new
        self._read_again()

    @torch.inference_mode()
    def step(self) -> None:
        """Feed every row its newest token and choose the next."""
        rows, tokens = self.rows, self.rows.pending[:, None]
        one = torch.ones_like(tokens)
        positions = rows.real.sum(1, keepdim=True)
        rows.tokens = torch.cat([rows.tokens, tokens], 1)
        rows.real = torch.cat([rows.real, one], 1)
        rows.searched = torch.cat([rows.searched, one.bool()], 1)
        logits, rows.cache = self._forward(self.state, tokens, None, rows.real, positions,
                                           rows.cache)
        self._take(rows, logits, self.state)

    @torch.inference_mode()
    def retire(self) -> list[tuple[int, list[int]]]:
        """The rows that have ended leave: their keys and new tokens, the end token left out."""
        rows = self.rows
        if not rows:
            return []
        gone = (~rows.running).nonzero().flatten().tolist()
        counts, written = rows.count.tolist(), rows.written.tolist()
        texts = [(rows.keys[place], written[place][:counts[place]]) for place in gone]
        stay = rows.running.nonzero().flatten()
        self.rows = _kept(rows, stay) if len(stay) else None
        if self.rows:
            self._read_again()
        return texts

    def decode(self, requests: Sequence[Request], batch_tokens: int
               ) -> Iterator[list[tuple[int, list[int]]]]:
        """Yield [(index of the request, its new tokens), ...] as texts come to their ends.

        The end token is left out. batch_tokens: cache positions that may be held at once
        (memory), new tokens included.
        """
        check_number(int, 1, batch_tokens=batch_tokens)
        requests, self.before, threads = list(requests), {}, ThreadChoice(self.model)
        lengths = [len(request.input_ids) for request in requests]
        self._check_room(lengths, batch_tokens)
        waiting = deque(sorted(range(len(requests)), key=lambda index: -lengths[index]))
        while waiting or self.held:
            running = [lengths[index] for index in self.running]
            joining = rows_that_fit(running, [lengths[index] for index in waiting],
                                    self.max_new_tokens, batch_tokens)
            refill = joining and joining >= REFILL_AT * (len(running) + joining)
            shrink = not waiting and len(running) < SHRINK_AT * self.held
            # Columns of a long row that has ended count against the budget until it leaves.
            trim = running and self.rows.tokens.shape[1] > max(running) + self.max_new_tokens
            if refill or shrink or trim or not running:
                ended = self.retire()
                waiting += self._read_anew(ended, requests)
                if refill:
                    new = [waiting.popleft() for _ in range(joining)]
                    self.admit({index: requests[index] for index in new})
                if ended:
                    yield ended
            if self.running:
                threads.begin()
                try:
                    self.step()
                finally:
                    threads.rest()
                threads.end(self.held)

    def _check_room(self, lengths: list[int], batch_tokens: int) -> None:
        """Refuse what cannot be held: the first batch, if its longest text comes to its end."""
        config = self.model.config.get_text_config()
        long = max(lengths, default=0) + self.max_new_tokens
        width = getattr(config, "head_dim", None) or \
            config.hidden_size // config.num_attention_heads
        each = 8 + self.model.dtype.itemsize * (  # of a position: its token, keys and values
            2 * config.num_hidden_layers * config.num_key_value_heads * width)
        count = rows_that_fit([], sorted(lengths)[::-1], self.max_new_tokens, batch_tokens)
        fits = free_memory(self.model.device) // each
        if count * long > fits:
            lower, most = ("batch_tokens", fits) if count > 1 else (
                "max_new_tokens", fits - max(lengths))
            raise GivenError(
                f"max_new_tokens={self.max_new_tokens} and batch_tokens={batch_tokens} ask for "
                f"{count * long * each / GIB:.1f} GiB at once ({count} texts of up to {long} "
                f"tokens), and {fits * each / GIB:.1f} GiB are free; set {lower} to "
                f"{max(1, most)} or less")

    def _read_anew(self, ended: list[tuple[int, list[int]]], requests: list[Request]
                   ) -> list[int]:
        """Take what ends with its tag out of `ended`, as requests to be read by verification."""
        tag = list(self.tag_ids)
        again = [(key, new) for key, new in ended if self.goes_on and new[-len(tag):] == tag
                 and self._prompt_length(requests[key]) == requests[key].prompt_length
                 and len(new) < self.max_new_tokens]
        for key, new in again:
            ended.remove((key, new))
            self.before[key], old = new, requests[key]
            requests[key] = replace(old, input_ids=old.input_ids + new, seed=old.seed + 1)
        return [key for key, _ in again]

    def _prompt_length(self, request: Request) -> int:
        """Tokens before those in which the tag is searched: the question; of a text that is
        verification's all as far as its tag."""
        length, ids = request.prompt_length, request.input_ids
        return len(readings(ids[:length], ids[length:], self.tag_ids,
                            "reread" if self.rereads else None)[-1][0])

    def _laid_out(self, requests: Mapping[int, Request]) -> _Rows:
        """The rows of new requests before their first forward, left-padded."""
        width, device = max(len(r.input_ids) for r in requests.values()), self.model.device
        tokens = torch.full((len(requests), width), self.pad_id)
        real = torch.zeros_like(tokens)
        searched = torch.zeros(tokens.shape, dtype=torch.bool)
        empty = torch.zeros(len(requests), dtype=torch.long, device=device)
        written = torch.full((len(requests), self.max_new_tokens), self.end_id)
        count = empty.clone()
        for row, (key, request) in enumerate(requests.items()):
            start = width - len(request.input_ids)
            tokens[row, start:] = torch.tensor(request.input_ids)
            real[row, start:] = 1
            searched[row, start + self._prompt_length(request):] = True
            before = self.before.get(key, [])
            written[row, :len(before)], count[row] = torch.tensor(before), len(before)
        return _Rows(list(requests), [torch.Generator().manual_seed(r.seed)
                                      for r in requests.values()],
                     tokens.to(device), real.to(device), searched.to(device), empty,
                     written.to(device), count, empty == 0)

    def _state(self, count: int) -> RouteState | None:
        return self.router and RouteState(count, self.tag_ids, self.router.routing,
                                          self.model.device)

    def _read_again(self) -> None:
        """The routes of rows that have come together, read from what they hold."""
        self.state = self._state(self.held)
        if self.state:
            self.state.feed(self.rows.tokens, self.rows.searched)

    def _forward(self, state, tokens, searched, real, positions, cache):
        """Logits (B, V) of the next tokens, and the cache with these columns in it."""
        routed = (self.router.cached(state, tokens, cache, searched) if self.router
                  else nullcontext())
        with routed:
            output = self.model(input_ids=tokens, attention_mask=real, position_ids=positions,
                                use_cache=True, logits_to_keep=1, **{CACHE: cache})
        return output.logits[:, -1], getattr(output, CACHE)

    def _take(self, rows: _Rows, logits: torch.Tensor, state: RouteState | None) -> None:
        """Choose the next token of every row."""
        chosen = _choose(logits, self.temperature, rows.generators)  # (B,)
        writes = rows.running & (chosen != self.end_id)
        if self.stop_at_tag:
            writes &= ~state.seen | state.again
        last = rows.count.clamp(max=self.max_new_tokens - 1)[:, None]
        kept = rows.written.gather(1, last)[:, 0]
        rows.written.scatter_(1, last, chosen.where(writes, kept)[:, None])
        rows.count = rows.count + writes
        rows.running = writes & (rows.count < self.max_new_tokens)
        rows.pending = chosen.where(rows.running, self.pad_id)


def _alike(requests: Mapping[int, Request]) -> list[dict[int, Request]]:
    """The requests in groups of similar length, so that little padding is read."""
    groups: list[dict[int, Request]] = []
    longest = 0
    for key in sorted(requests, key=lambda key: -len(requests[key].input_ids)):
        length = len(requests[key].input_ids)
        if not groups or length < ALIKE * longest:
            groups.append({})
            longest = length
        groups[-1][key] = requests[key]
    return groups


def _choose(logits: torch.Tensor, temperature: float, generators) -> torch.Tensor:
    """Next token of each row. logits: (B, V). Greedy at temperature 0, else sampled."""
    if temperature == 0:
        return logits.argmax(-1)
    noise = torch.stack([torch.rand(logits.shape[1], generator=g) for g in generators])
    gumbel = -torch.log(-torch.log(noise.clamp(1e-20, 1 - 1e-7)))
    return (logits.float() / temperature + gumbel.to(logits.device)).argmax(-1)


def _kept(rows: _Rows, places: torch.Tensor) -> _Rows:
    """These rows alone, without the columns that none of them needs."""
    real = rows.real[places]
    start = int(real.any(0).int().argmax())
    rows.cache.keep(places, start)
    stay = places.tolist()
    return _Rows([rows.keys[place] for place in stay],
                 [rows.generators[place] for place in stay],
                 rows.tokens[places, start:], real[:, start:], rows.searched[places, start:],
                 rows.pending[places], rows.written[places], rows.count[places],
                 rows.running[places], rows.cache)


def _joined(first: _Rows, second: _Rows, pad_id: int) -> _Rows:
    """Rows of both, the shorter ones padded on the left."""
    width = max(first.tokens.shape[1], second.tokens.shape[1])

    def below(name: str, value) -> torch.Tensor:
        return torch.cat([pad(getattr(rows, name), (width - rows.tokens.shape[1], 0), value=value)
                          for rows in (first, second)])

    def beside(name: str) -> torch.Tensor:
        return torch.cat([getattr(first, name), getattr(second, name)])

    first.cache.join(second.cache)
    return _Rows(first.keys + second.keys, first.generators + second.generators,
                 below("tokens", pad_id), below("real", 0), below("searched", False),
                 *map(beside, ("pending", "written", "count", "running")), first.cache)


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


def generate(model, tokenizer, requests: Sequence[Request], tag_ids: list[int],
             max_new_tokens: int, batch_tokens: int, temperature: float = 0.0,
             label: str = "generation", stop_at_tag: bool = False
             ) -> Iterator[list[tuple[int, list[int]]]]:
    """`Decoder.decode` with the end and padding tokens of a tokenizer, and a progress bar.

    The bar counts texts, as they leave their batch, and shows the time that is left.
    """
    decoder = Decoder(model.eval(), tag_ids, tokenizer.eos_token_id, tokenizer.pad_token_id,
                      max_new_tokens, temperature, stop_at_tag)
    with progress(total=len(requests), desc=label, unit="trace") as bar:
        for ended in decoder.decode(requests, batch_tokens):
            bar.update(len(ended))
            yield ended
