"""How sure a model was of what it wrote: log-probabilities of tokens that a text hangs on.

A text is read in one forward under the route that it was written under, which gives each
token the probability that decoding gave it (at temperature 1). It is cut where the encoder
cuts it; a text that the model wrote in other tokens than the tokenizer's is read in the
tokenizer's.
"""
from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from itertools import chain

import torch

from nanoreason.model.router import route, routing_of
from nanoreason.model.tokens import (EXECUTE, PLAIN, TAGS, VERIFY, Encoded, collate, cut_pieces,
                                     prompt_ids, readings, tag_ids)
from nanoreason.stages import ANSWER, CLOSINGS

BATCH_TOKENS = 4096  # positions of one forward, padding included
_WORD = re.compile(r"\b(?:correct|wrong)\b")


@torch.no_grad()
def likelihoods(model, tokenizer, rows: Sequence[Mapping],
                batch_tokens: int = BATCH_TOKENS) -> Iterator[dict]:
    """What stands under `logprobs` of each row, in order; log-probabilities in nats.

    execute_min: of EXECUTE's least likely token, tag and keyword left out. decisions: [word,
    its log-probability] for every `correct` and `wrong` of VERIFY, the verdict's among them, in
    order. answer: of what stands after `Answer:`, its tokens summed. None, or no decisions,
    where the text has no such part. tokenizer: a fast one, which knows where its tokens stand.
    """
    pieces = [cut_pieces(row["text"]) for row in rows]
    encoded = [tokenizer(piece, **PLAIN, return_offsets_mapping=True)
               if piece else {"input_ids": [], "offset_mapping": []} for piece in pieces]
    prompts = [prompt_ids(tokenizer, row["question"]) for row in rows]
    texts = [[token for part in found["input_ids"] for token in part] for found in encoded]
    routing, tag = routing_of(model), tag_ids(tokenizer)
    read = [(row, Encoded(before + text, [], len(before))) for row in range(len(rows))
            for before, text in readings(prompts[row], texts[row], tag, routing)]
    order = sorted(range(len(read)), key=lambda place: len(read[place][1]))
    found: dict[int, list[float]] = {}
    while order:
        width = len(read[order[-1]][1])
        batch = order[-max(1, batch_tokens // max(1, width)):]
        del order[-len(batch):]
        found |= zip(batch, _forward(model, tokenizer, [read[place][1] for place in batch]))
    values = {row: iter([]) for row in range(len(rows))}
    for place, (row, _) in enumerate(read):
        values[row] = chain(values[row], found[place])
    yield from (_named(pieces[row], [
        [(next(values[row]), *place) for place in places]
        for places in encoded[row]["offset_mapping"]]) for row in range(len(rows)))


def _forward(model, tokenizer, rows: list[Encoded]) -> list[list[float]]:
    """The log-probability of each token of the rows behind their prompts."""
    batch = collate(rows, tokenizer.pad_token_id)
    ids, real = (batch[name].to(model.device) for name in ("input_ids", "attention_mask"))
    router = getattr(model, "router", None)
    with nullcontext() if router is None else router.full(route(
            ids, real, batch["prompt_lengths"], tag_ids(tokenizer), router.routing)):
        logits = model.eval()(input_ids=ids, attention_mask=real).logits  # (B, T, V)
    return [logits[place, row.prompt_length - 1:len(row) - 1].float().log_softmax(-1)
            .gather(1, ids[place, row.prompt_length:len(row), None])[:, 0].tolist()
            for place, row in enumerate(rows)]


def _named(pieces: list[str], scores: list[list[tuple[float, int, int]]]) -> dict:
    """scores: of each piece's tokens, (log-probability, start, end)."""
    stage, keyword, execute, decisions, answer = None, None, [], [], None
    for piece, tokens in zip(pieces, scores):
        if piece in TAGS or piece in CLOSINGS:
            stage, keyword = TAGS.get(piece, stage), piece
            continue
        values = [value for value, _, _ in tokens]
        if stage == EXECUTE:
            execute += values
        if stage == VERIFY and keyword == ANSWER and answer is None:
            end = piece.find("\n", 1) % (len(piece) + 1)
            answer = _digits(sum(value for value, start, _ in tokens if start <= end))
        elif stage == VERIFY:
            decisions += [[word[0], _digits(sum(value for value, start, end in tokens
                                                if start < word.end() and end > word.start()))]
                          for word in _WORD.finditer(piece)]
    return {"execute_min": _digits(min(execute)) if execute else None, "decisions": decisions,
            "answer": answer}


def _digits(value: float) -> float:
    """Six of them, as float32 has: more would fill a run's rows with noise."""
    return float(f"{value:.6g}")
