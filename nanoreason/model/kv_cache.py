"""A key and value cache that grows in place.

The dynamic cache of transformers is copied whole for every token; this one keeps room for
more and is copied only when the room is used up, or when rows join or leave the batch.
What it returns to the model are the same numbers. Where a model's attention has windows, all
columns are kept and the model's own mask hides the old ones.
"""
from __future__ import annotations

import torch
from torch.nn.functional import pad
from transformers.cache_utils import Cache, DynamicLayer

ROOM = 64  # columns that are kept free at least when the buffers are made anew


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
