"""Dropout on the adapters' input: one draw a layer, shared by adapters that both act."""
from __future__ import annotations

from collections import Counter

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from nanoreason.model.adapters import adapter_parameters
from nanoreason.training import attach_adapters, route

TAG = [7, 8]
# A row that reaches the tag, and one that never does.
IDS = torch.tensor([[5, 6, 3, 7, 8, 4, 2, 9], [5, 6, 3, 1, 8, 4, 2, 9]])
LAYERS, MAPS = 2, 7


@pytest.fixture
def model():
    torch.manual_seed(0)
    base = Qwen2ForCausalLM(Qwen2Config(
        vocab_size=11, hidden_size=16, intermediate_size=32, num_hidden_layers=LAYERS,
        num_attention_heads=2, num_key_value_heads=1))
    model = attach_adapters(base, rank=2, alpha=4, dropout=0.4)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_()
    return model.train()


def run(model, ids=IDS, seed=3):
    torch.manual_seed(seed)
    with model.router.full(route(ids, None, 2, TAG)):
        return model(input_ids=ids).logits


def draws(model, ids):
    """What came out of every dropout in one forward, by layer and adapter."""
    found, calls = {}, Counter()
    hooks = []
    for key, module in model.named_modules():
        if isinstance(module, torch.nn.Dropout):
            def note(module, inputs, output, key=key):
                calls[key] += 1
                found[key] = output.detach()
            hooks.append(module.register_forward_hook(note))
    run(model, ids)
    for hook in hooks:
        hook.remove()
    assert set(calls.values()) == {1}
    return found


def test_a_layer_draws_once_however_many_adapters_act(model):
    assert len(draws(model, IDS)) == LAYERS * MAPS
    assert len(draws(model, IDS[1:])) == LAYERS * MAPS


def test_layers_with_the_same_input_draw_apart(model):
    found = {key.split("self_attn.")[1].split("_")[0]: output
             for key, output in draws(model, IDS).items() if "layers.0.self_attn" in key}
    zero = {key: output == 0 for key, output in found.items()}
    assert zero["q"].shape == zero["k"].shape
    assert not zero["q"].equal(zero["k"]) and not zero["k"].equal(zero["v"])


def test_nothing_is_kept_between_forwards(model):
    layer = model.base_model.model.model.layers[0].mlp.up_proj
    x = torch.ones(*IDS.shape, 16)
    with model.router.full(route(IDS, None, 2, TAG)):
        assert not layer(x).equal(layer(x))  # the same input again is drawn for again
    assert run(model).equal(run(model)) and not run(model).equal(run(model, seed=4))


def test_each_token_is_dropped_as_its_own_adapter_alone_would(model):
    """One draw serves both: before the tag, and in rows without it, reasoning alone."""
    mixed = run(model)
    torch.manual_seed(3)
    with model.router.only("reasoning"):
        alone = model(input_ids=IDS).logits
    torch.testing.assert_close(mixed[:, :4], alone[:, :4], rtol=0, atol=0)
    torch.testing.assert_close(mixed[1], alone[1], rtol=0, atol=0)
    assert not mixed[0, 4:].equal(alone[0, 4:])


def test_checkpointing_repeats_the_shared_draw(model):
    def gradients():
        model.zero_grad()
        run(model).square().sum().backward()
        return {key: p.grad.clone() for name in model.router.names
                for key, p in adapter_parameters(model, name)}

    plain = gradients()
    assert all(gradient.abs().sum() > 0 for gradient in plain.values())
    model.router.enable_checkpointing(model)
    model.enable_input_require_grads()
    again = gradients()
    assert all(again[key].equal(plain[key]) for key in plain)
