"""What the shipped base says of claims, in the form that it has read.

    python benchmarks/base_claims.py results/base-claims.json
"""
from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path

import torch
from comparison_forms import WORDS, ids_of_words
from result import write_result

from nanoreason.model.base import load_base
from nanoreason.model.base_text import documents
from nanoreason.model.nano import RESERVED

UNREAD = 1_000_001  # a seed of documents that the base has not read
COUNT = 60  # documents of each kind


def shipped(count: int) -> dict[str, dict]:
    """What the shipped base says in its own form, on `count` new documents of each kind.

    claims: `73 - 14 = 59, so 59 + 14 = 73 is correct`. suggested: `So 73 is correct.` behind a
    solved story. word: the likeliest token is the right word; between: the right word is the
    likelier one of the two; reserved: the likeliest token is one that the base never read.
    """
    model, tokenizer = load_base("nano", "none")
    word_ids = ids_of_words(tokenizer)
    reserved = set(tokenizer.convert_tokens_to_ids(list(RESERVED)))
    found: dict = {}
    for kind, mark in {"claims": "Is it true", "suggested": "is suggested"}.items():
        cells = found[kind] = {side: dict(lines=0, word=0, between=0, reserved=0)
                               for side in WORDS}
        texts = (pair for pair in documents(UNREAD) if mark in pair[0])
        for pair in islice(texts, count):
            before, ids = tokenizer(list(pair), add_special_tokens=False).input_ids
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([before + ids])).logits[0]
            for said, token in zip(logits[len(before) - 1:], ids):
                for side, other in (("differ", "equal"), ("equal", "differ")):
                    if token == word_ids[side]:
                        cell, likeliest = cells[side], int(said.argmax())
                        cell["lines"] += 1
                        cell["word"] += likeliest == token
                        cell["between"] += bool(said[token] > said[word_ids[other]])
                        cell["reserved"] += likeliest in reserved
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    write_result(Path(sys.argv[1]), shipped(COUNT))
