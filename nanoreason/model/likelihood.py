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
from nanoreason.model.tokens import PLAIN, cut_pieces, prompt_ids, readings, tag_ids
from nanoreason.stages import ANSWER, RESULT, VERDICT, Stage

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
    read = [(row, *reading) for row in range(len(rows))
            for reading in readings(prompts[row], texts[row], tag, routing)]
    order = sorted(range(len(read)), key=lambda place: len(read[place][1] + read[place][2]))
    found: dict[int, list[float]] = {}
    while order:
        width = len(read[order[-1]][1] + read[order[-1]][2])
        batch = order[-max(1, batch_tokens // max(1, width)):]
        del order[-len(batch):]
        found |= zip(batch, _forward(model, tokenizer, [read[place][1:] for place in batch]))
    values = {row: iter([]) for row in range(len(rows))}
    for place, (row, *_) in enumerate(read):
        values[row] = chain(values[row], found[place])
    yield from (_named(pieces[row], [
        [(next(values[row]), *place) for place in places]
        for places in encoded[row]["offset_mapping"]]) for row in range(len(rows)))


def _forward(model, tokenizer, rows: list[tuple[list[int], list[int]]]) -> list[list[float]]:
    """The log-probability of each token of the texts, (prompt, text) in ids."""
    width = max(len(prompt) + len(text) for prompt, text in rows)
    ids = torch.tensor([prompt + text + [tokenizer.pad_token_id] * (
        width - len(prompt) - len(text)) for prompt, text in rows], device=model.device)
    lengths = torch.tensor([len(prompt) + len(text) for prompt, text in rows])
    real = (torch.arange(width) < lengths[:, None]).to(ids)
    router = getattr(model, "router", None)
    with nullcontext() if router is None else router.full(route(
            ids, real, [len(prompt) for prompt, _ in rows], tag_ids(tokenizer), router.routing)):
        logits = model.eval()(input_ids=ids, attention_mask=real).logits  # (B, T, V)
    return [logits[row, len(prompt) - 1:len(prompt) + len(text) - 1].float().log_softmax(-1)
            .gather(1, ids[row, len(prompt):len(prompt) + len(text), None])[:, 0].tolist()
            for row, (prompt, text) in enumerate(rows)]


def _named(pieces: list[str], scores: list[list[tuple[float, int, int]]]) -> dict:
    """scores: of each piece's tokens, (log-probability, start, end)."""
    stage, keyword, execute, decisions, answer = None, None, [], [], None
    for piece, tokens in zip(pieces, scores):
        tag = next((one for one in Stage if piece == f"{one.tag}\n"), None)
        if tag or piece in (RESULT, VERDICT, ANSWER):
            stage, keyword = tag or stage, None if tag else piece
            continue
        values = [value for value, _, _ in tokens]
        if stage is Stage.EXECUTE:
            execute += values
        if stage is Stage.VERIFY and keyword == ANSWER and answer is None:
            end = piece.find("\n", 1) % (len(piece) + 1)
            answer = _digits(sum(value for value, start, _ in tokens if start <= end))
        elif stage is Stage.VERIFY:
            decisions += [[word[0], _digits(sum(value for value, start, end in tokens
                                                if start < word.end() and end > word.start()))]
                          for word in _WORD.finditer(piece)]
    return {"execute_min": _digits(min(execute)) if execute else None, "decisions": decisions,
            "answer": answer}


def _digits(value: float) -> float:
    """Six of them, as float32 has: more would fill a run's rows with noise."""
    return float(f"{value:.6g}")
