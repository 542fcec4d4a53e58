"""A model that writes what it is told to, at the cost of a model that does not know yet.

Decoding can only be compared on equal work, and how long a model's answers are is luck:
untrained adapters never end, and two ways of decoding may part at a tie. Here a hook on the
causal model raises the logit of the next token of a given text, the end token after its
last. Everything else is computed as ever: every layer, the logits of the whole vocabulary,
the choice among them, the route at the VERIFY tag, the stop at the end token.

It follows any decoding that keeps rows in their order, drops finished ones alone and lets new
ones join below, and notices if a row was fed what it did not write.
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

RAISED = 1e4  # above any logit


class Script:
    """What a model is to write after each prompt.

    texts: the tokens to be written by the tokens of the prompt, both without padding.
    """

    def __init__(self, model, texts: Mapping[tuple[int, ...], Sequence[int]], end_id: int,
                 pad_id: int):
        self.texts, self.end_id, self.pad_id = texts, end_id, pad_id
        self.rows: list[list[int]] = []  # rows that still write: [last token, rest reversed]
        self.written = 0  # tokens, end tokens left out
        self.steps = 0  # forward passes
        inner = model.get_base_model() if hasattr(model, "get_base_model") else model
        self.handle = inner.register_forward_hook(self._write, with_kwargs=True)

    def _write(self, module, args, kwargs, output):
        ids = kwargs["input_ids"] if "input_ids" in kwargs else args[0]
        self.steps += 1
        if ids.shape[1] > 1:  # new rows, alone; from now on they stand below the others
            mask = kwargs.get("attention_mask")  # `generate` leaves one without padding out
            real = torch.ones_like(ids).bool() if mask is None else mask.bool()
            rows = [[None, *reversed(self.texts[tuple(row[keep].tolist())])]
                    for row, keep in zip(ids, real)]
            others, places = self.rows, range(len(ids))
        else:
            rows, others, places = self.rows, [], self._continued(ids[:, 0].tolist())
        following = torch.full((len(ids),), self.end_id)
        for place, row in zip(places, rows):
            following[place] = row[-1] if len(row) > 1 else self.end_id
        going_on = [[row[-1], *row[1:-1]] for row in rows if len(row) > 1]
        self.written += len(going_on)
        self.rows = others + going_on
        every = torch.arange(len(ids), device=ids.device)
        output.logits[every, -1, following.to(ids.device)] = RAISED

    def _continued(self, fed: list[int]) -> list[int]:
        """Where in the batch the rows are that still write."""
        places = [place for place, token in enumerate(fed)
                  if token not in (self.end_id, self.pad_id)]
        if [fed[place] for place in places] != [row[0] for row in self.rows]:
            raise RuntimeError(f"{len(places)} rows of the batch go on, but not with what "
                               f"{len(self.rows)} rows wrote: rows moved or were dropped")
        return places

    def remove(self) -> None:
        """Leave the model as it was."""
        self.handle.remove()
