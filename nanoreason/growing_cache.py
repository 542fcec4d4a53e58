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
        whole = self.get_seq_length()
        self.buffers = [buffer[indices] for buffer in self.buffers]
        self._show(whole)

    def _enlarge(self, key_states, value_states, held, whole):
        old, self.buffers = (self.keys, self.values), []
        for before, new in zip(old, (key_states, value_states)):
            shape = (*new.shape[:-2], whole + max(ROOM, whole // 4), new.shape[-1])
            self.buffers.append(torch.empty(shape, dtype=new.dtype, device=new.device))
            if held:
                self.buffers[-1][..., :held, :] = before

    def _show(self, whole):
        self.keys, self.values = (buffer[..., :whole, :] for buffer in self.buffers)


def growing_cache(config) -> Cache | None:
    """An empty cache for a model; None, the model's own, unless all attention is full."""
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if kinds != {"full_attention"} or getattr(config, "sliding_window", None):
        return None
    return Cache(layer_class_to_replicate=GrowingLayer)
