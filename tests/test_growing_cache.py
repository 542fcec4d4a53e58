"""The cache that grows in place: the numbers of the dynamic one, and rows that join and leave."""
from __future__ import annotations

import torch
from transformers import DynamicCache
from transformers.cache_utils import Cache

from nanoreason.model.kv_cache import GrowingLayer, join_caches, keep_rows


def test_caches_join_at_their_last_columns(monkeypatch):
    """What is left of a shorter row is zeros, not what the memory held."""
    monkeypatch.setattr(torch, "empty", lambda shape, **kind: torch.full(shape, 7.0, **kind))
    generator = torch.Generator().manual_seed(0)
    caches = [Cache(layer_class_to_replicate=GrowingLayer) for _ in range(2)]
    new = [torch.randn(2, rows, 2, width, 8, generator=generator)
           for rows, width in ((3, 5), (2, 9))]
    for cache, (keys, values) in zip(caches, new):
        cache.update(keys, values, 0)
    join_caches(caches[0], caches[1])
    keys = caches[0].layers[0].keys
    assert keys.shape == (5, 2, 9, 8) and caches[0].get_seq_length() == 9
    assert torch.equal(keys[:3, :, 4:], new[0][0]) and torch.equal(keys[3:], new[1][0])
    assert not keys[:3, :, :4].any() and not caches[0].layers[0].values[:3, :, :4].any()
    keep_rows(caches[0], torch.tensor([0, 2]), 4)
    assert torch.equal(caches[0].layers[0].values, new[0][1][[0, 2]])


def test_the_growing_cache_holds_what_the_dynamic_one_holds():
    generator = torch.Generator().manual_seed(0)
    ours, theirs = Cache(layer_class_to_replicate=GrowingLayer), DynamicCache()
    for width, keep in ((70, None), (1, [0, 2, 3]), (1, None), (90, [1]), (1, None)):
        rows = 4 if ours.get_seq_length() == 0 else len(ours.layers[0].keys)
        new = torch.randn(2, rows, 2, width, 8, generator=generator)
        for cache in (ours, theirs):
            cache.update(new[0], new[1], 0)
            if keep:
                cache.batch_select_indices(torch.tensor(keep))
        assert torch.equal(ours.layers[0].keys, theirs.layers[0].keys)
        assert torch.equal(ours.layers[0].values, theirs.layers[0].values)
        assert ours.get_seq_length() == theirs.get_seq_length()
