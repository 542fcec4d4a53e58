"""The cache that grows in place: the numbers of the dynamic one, and rows that join and leave."""
from __future__ import annotations

import pytest
import torch
from transformers import DynamicCache, Qwen2Config, Qwen2ForCausalLM

from nanoreason.model.decoding import GrowingCache


def states(rows, width, generator):
    """(keys, values) of one layer, both (rows, 2, width, 8)."""
    return torch.randn(2, rows, 2, width, 8, generator=generator)


@pytest.mark.parametrize("more", [0, 1])
def test_caches_join_at_their_last_columns(more):
    """Before the shorter rows stand zeros; rows leave also right after others have joined."""
    generator = torch.Generator().manual_seed(0)
    caches, new = (GrowingCache(), GrowingCache()), (states(3, 5, generator),
                                                     states(2, 9, generator))
    for cache, (keys, values) in zip(caches, new):
        cache.update(keys, values, 0)
    caches[0].join(caches[1])
    keys, values = caches[0].layers[0].keys, caches[0].layers[0].values
    assert keys.shape == (5, 2, 9, 8) and caches[0].get_seq_length() == 9
    assert torch.equal(keys[:3, :, 4:], new[0][0]) and torch.equal(keys[3:], new[1][0])
    assert not keys[:3, :, :4].any() and not values[:3, :, :4].any()
    later = states(5, more, generator)
    if more:
        caches[0].update(*later, 0)
    caches[0].keep(torch.tensor([0, 2]), 4)
    assert torch.equal(caches[0].layers[0].values,
                       torch.cat([new[0][1], later[1, :3]], 2)[[0, 2]])


def test_the_growing_cache_holds_what_the_dynamic_one_holds():
    generator = torch.Generator().manual_seed(0)
    ours, theirs = GrowingCache(), DynamicCache()
    for width, keep in ((70, None), (1, [0, 2, 3]), (1, None), (90, [1]), (1, None)):
        rows = 4 if ours.get_seq_length() == 0 else len(ours.layers[0].keys)
        keys, values = states(rows, width, generator)
        for cache in (ours, theirs):
            cache.update(keys, values, 0)
        if keep:
            ours.keep(torch.tensor(keep), 0)
            theirs.batch_select_indices(torch.tensor(keep))
        assert torch.equal(ours.layers[0].keys, theirs.layers[0].keys)
        assert torch.equal(ours.layers[0].values, theirs.layers[0].values)
        assert ours.get_seq_length() == theirs.get_seq_length()


def test_a_model_with_windows_sees_no_more_than_they_show():
    torch.manual_seed(0)
    config = Qwen2Config(vocab_size=40, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
                         num_attention_heads=2, num_key_value_heads=1, max_window_layers=0,
                         use_sliding_window=True, sliding_window=4, tie_word_embeddings=False)
    model = Qwen2ForCausalLM(config).eval()
    ids, real = torch.randint(40, (2, 14)), torch.ones(2, 14, dtype=torch.long)
    real[0, :3] = 0  # left padding, as in decoding
    places = (real.cumsum(1) - 1).clamp(min=0)
    with torch.no_grad():
        wanted = model(ids, attention_mask=real, position_ids=places).logits[:, 4:]
        blind = ids.clone()
        blind[:, 3:5] = 1  # beyond the windows of both layers from the last column
        assert torch.equal(model(blind, attention_mask=real, position_ids=places).logits[:, -1],
                           wanted[:, -1]) and len(config.layer_types) == 2
        cache, found = GrowingCache(), []
        for start, stop in ((0, 5), *((i, i + 1) for i in range(5, 14))):
            found.append(model(ids[:, start:stop], attention_mask=real[:, :stop],
                               position_ids=places[:, start:stop], past_key_values=cache,
                               use_cache=True).logits[:, -1:])
    assert (torch.cat(found, 1) - wanted).abs().max() < 1e-5
