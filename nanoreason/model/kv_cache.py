"""A key and value cache that grows in place.

The dynamic cache of transformers is copied whole for every token; this one keeps room for
more and is copied only when the room is used up, or when finished rows leave the batch.
What it returns to the model are the same numbers.
"""
from __future__ import annotations

import torch
from transformers.cache_utils import Cache, DynamicLayer

ROOM = 64  # columns that are kept free at least when the buffers are made anew


class GrowingLayer(DynamicLayer):
    """Keys and values of one layer, views of buffers with free columns at their end.

    Both are (B, key and value heads, columns, head width).
    """

    def update(self, key_states, value_states, *args, **kwargs):
        """Add columns; returns all keys and values so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.buffers = None
        held = self.get_seq_length()
        whole = held + key_states.shape[-2]
        if self.buffers is None or whole > self.buffers[0].shape[-2]:
            self._enlarge(key_states, value_states, held, whole)
        for buffer, new in zip(self.buffers, (key_states, value_states)):
            buffer[..., held:whole, :] = new
        self._show(whole)
        return self.keys, self.values

    def batch_select_indices(self, indices):
        """Keep these rows only."""
        self.keep(indices, 0)

    def keep(self, rows, start: int):
        """Keep these rows only, and their columns from `start` on."""
        whole = self.get_seq_length() - start
        self.buffers = [buffer[:, :, start:][rows] for buffer in self.buffers]
        self._show(whole)

    def join(self, other: GrowingLayer):
        """Add the rows of another layer below; the last columns of both stand together."""
        held, added = self.keys.shape[2], other.keys.shape[2]
        whole = max(held, added)
        rows = len(self.keys)
        old, self.buffers = (self.keys, self.values), []
        for above, below in zip(old, (other.keys, other.values)):
            buffer = self._room(above, rows + len(below), whole)
            # Zeros, not whatever the memory holds: what is masked still takes part in a sum.
            buffer[:rows, :, :whole - held] = 0
            buffer[:rows, :, whole - held:whole] = above
            buffer[rows:, :, :whole - added] = 0
            buffer[rows:, :, whole - added:whole] = below
            self.buffers.append(buffer)
        self._show(whole)

    def _enlarge(self, key_states, value_states, held, whole):
        old, self.buffers = (self.keys, self.values), []
        for before, new in zip(old, (key_states, value_states)):
            self.buffers.append(self._room(new, len(new), whole))
            if held:
                self.buffers[-1][..., :held, :] = before

    @staticmethod
    def _room(like, rows, columns):
        """A buffer of the kind of `like` for so many rows and columns, and some more."""
        shape = (rows, like.shape[1], columns + max(ROOM, columns // 4), like.shape[3])
        return torch.empty(shape, dtype=like.dtype, device=like.device)

    def _show(self, whole):
        self.keys, self.values = (buffer[..., :whole, :] for buffer in self.buffers)


def growing_cache(config) -> Cache | None:
    """An empty cache for a model; None, the model's own, unless all attention is full."""
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if kinds != {"full_attention"} or getattr(config, "sliding_window", None):
        return None
    return Cache(layer_class_to_replicate=GrowingLayer)


def keep_rows(cache: Cache, rows: torch.Tensor, start: int) -> None:
    """Keep these rows only, and of a growing cache the columns from `start` on."""
    for layer in cache.layers:
        layer.keep(rows, start) if start else layer.batch_select_indices(rows)


def join_caches(cache: Cache, other: Cache) -> None:
    """Add the rows of one growing cache below those of another, aligned at the right."""
    for layer, below in zip(cache.layers, other.layers):
        layer.join(below)
