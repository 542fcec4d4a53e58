"""Plain linear maps for a while: 4-bit weights unpacked once, adapters without PEFT's steps.

A 4-bit map unpacks its weights anew in every forward and every backward, which for a small
batch takes longer than the product itself. Within `unpacked(model)` they are unpacked once
and kept, in the type that they are computed in. A layer with adapters skips what PEFT does
around them (a copy of the layer's result, checks of types), and the adapters' shares come
from one product. The numbers that come out are the same up to the last digits of their type,
and so are the gradients of the adapters: what is given up is memory, and that positions
before the tag are bit for bit those of the reasoning adapter alone. It is for small bases and
for decoding.
"""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import psutil
import torch
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn import Linear4bit
from peft.tuners.lora import LoraLayer
from torch.nn.functional import linear

SPARE = 2  # memory that must be free, as a multiple of what the unpacked weights take


def unpacked_bytes(model) -> int:
    """Memory that the 4-bit weights take once unpacked, in bytes; 0 if there are none."""
    return sum(module.weight.quant_state.shape.numel() * _dtype(module).itemsize
               for module in model.modules() if isinstance(module, Linear4bit))


def fits(model) -> bool:
    """Whether twice what unpacking takes is free where the model is."""
    free = torch.cuda.mem_get_info(model.device)[0] if model.device.type == "cuda" \
        else psutil.virtual_memory().available
    return SPARE * unpacked_bytes(model) <= free


@contextmanager
def unpacked(model) -> Iterator[None]:
    """Within, the model works with plain linear maps; the base takes no gradient."""
    router, changed, inner = getattr(model, "router", None), [], set()
    for module in model.modules():  # a layer with adapters comes before the map inside it
        routed = router and isinstance(module, LoraLayer)
        base = module.base_layer if routed else module
        if module in inner or not (isinstance(base, Linear4bit) or routed):
            continue
        plain = partial(linear, weight=_weight(base), bias=base.bias)
        module.forward = partial(_with_adapters, router, module, plain) if routed else plain
        changed.append(module)
        inner.add(base)
    try:
        yield
    finally:
        for module in changed:
            del module.forward


def _dtype(module: Linear4bit) -> torch.dtype:
    return module.compute_dtype or module.weight.quant_state.dtype


def _weight(base) -> torch.Tensor:
    """(out, in), in the type that the map computes in."""
    if not isinstance(base, Linear4bit):
        return base.weight
    return dequantize_4bit(base.weight.data, base.weight.quant_state).to(_dtype(base))


def _with_adapters(router, layer, plain, x):
    return router.add_all(layer, x, plain(x))
