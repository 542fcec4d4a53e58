"""Two LoRA adapters of one base model, and which of them acts on which token.

`reasoning` writes UNDERSTAND, PLAN and EXECUTE; `verification` takes over where the
`[VERIFY]` tag is complete. Both sit in the same forward pass: the router silences an
adapter's low-rank output on the tokens that are not its own. A token's keys and values are
therefore always computed under its own route, and one full forward is the same function as
cached decoding with the switch made when the tag appears.

    mask = route(input_ids, attention_mask, prompt_lengths, tag_ids)     # training
    with model.router.full(mask):
        logits = model(input_ids=input_ids, attention_mask=attention_mask).logits

    state = RouteState(batch_size, tag_ids)                              # decoding
    with model.router.cached(state, prompt_ids, None, searched=no_columns):
        output = model(prompt_ids, attention_mask=..., use_cache=True)
    with model.router.cached(state, tokens, output.past_key_values):     # tokens: (B, 1)
        output = model(tokens, past_key_values=output.past_key_values, ...)

Routings: `switch` (one adapter a token), `stack` (reasoning everywhere, verification
added from the tag on), `single` (reasoning alone, the ablation), `reread` (one adapter a
row: a text is read again from its start, by verification, once its tag is complete).

Left out on purpose: beam search (rows move, and the memory of a row's tag with them),
`torch.compile`, merged adapters. `generate()` of transformers sets no route by itself.
"""
from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn import Linear4bit
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from torch.nn.functional import linear

from nanoreason.environment import free_memory
from nanoreason.files import write_json
from nanoreason.host import SEEDS, AbsentError, GivenError, check_number
from nanoreason.model.router import NAMES, Router, check_routing

ROUTING_FILE = "routing.json"


def attach_adapters(model, rank=8, alpha=16, dropout=0.0, seed=0, routing="switch"):
    """Put float32 LoRA adapters on all linear maps of the blocks and install the router.

    The output head stays as it is. The base may be quantised (bitsandbytes). Under
    `single` only `reasoning` is attached. Each adapter starts from its own seed, so
    `reasoning` starts from the same weights under every routing; `lora_B` starts at zero.

    model: a transformers causal language model. rank: rows of `lora_A`. alpha: the
    low-rank output is scaled by alpha / rank. dropout: probability on the adapters' input.
    Returns the PeftModel, both adapters active and trainable, its Router as `.router`.
    Raises ValueError for an impossible argument and for a model that has adapters already.
    """
    check_routing(routing)
    if isinstance(model, PeftModel):
        raise GivenError(f"the model already has the adapters {list(model.peft_config)}; "
                         "attach to the base model")
    check_number(int, 1, rank=rank)
    check_number(int, 0, SEEDS, seed=seed)
    check_number(float, 0, 1, dropout=dropout)
    check_number(float, 0, alpha=alpha)
    if not alpha:
        raise GivenError("alpha is 0, so the adapters would do nothing; give a number above 0")
    names = NAMES[:1] if routing == "single" else NAMES
    # Only the CPU's generator: the adapters are drawn there, and torch.manual_seed would
    # also change the generators of all GPUs.
    with torch.random.fork_rng(devices=[]):
        for index, name in enumerate(names):
            torch.default_generator.manual_seed(seed * len(NAMES) + index)
            config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout,
                                target_modules="all-linear", task_type="CAUSAL_LM")
            if index == 0:
                model = get_peft_model(model, config, adapter_name=name)
            else:
                model.add_adapter(name, config)
    return _install(model, names, routing, trainable=True)


def save_adapters(model, folder, base_name):
    """Write `folder/<adapter>/` for each adapter, and the routing beside them.

    Each adapter's folder loads with plain `PeftModel.from_pretrained`, without this
    package: `reasoning` alone is the model before the tag. base_name: what the adapter
    configurations name as their base model, for example a hub id.
    """
    router = model.router
    for name in router.names:
        model.peft_config[name].base_model_name_or_path = base_name
    # The adapters never touch the embeddings; "auto" would ask the hub about them.
    model.save_pretrained(folder, selected_adapters=list(router.names),
                          save_embedding_layers=False)
    # PEFT adds an unfilled model card, with the path that the base was loaded from.
    (Path(folder) / "README.md").unlink(missing_ok=True)
    write_json(Path(folder) / ROUTING_FILE,
               {"routing": router.routing, "adapters": list(router.names)})


def load_adapters(model, folder):
    """Put the adapters of `folder` (see `save_adapters`) on a base model, not trainable.

    Returns a PeftModel with its Router as `.router`, of the routing that they were trained
    with. Raises FileNotFoundError if the folder holds no routing file.
    """
    path = Path(folder) / ROUTING_FILE
    if not path.exists():
        raise AbsentError(f"{path} is missing; give a folder that save_adapters wrote")
    content = json.loads(path.read_text())
    first, *others = content["adapters"]
    model = PeftModel.from_pretrained(model, str(Path(folder) / first), adapter_name=first)
    for name in others:
        model.load_adapter(str(Path(folder) / name), adapter_name=name)
    return _install(model, tuple(model.peft_config), content["routing"], trainable=False)


def adapter_parameters(model, name):
    """[(parameter name, parameter)] of one adapter, for freezing it or its update norm."""
    return [(key, parameter) for key, parameter in model.named_parameters()
            if f".lora_A.{name}." in key or f".lora_B.{name}." in key]


def adapters_sha256(model) -> str:
    """Hexadecimal sha256 of all adapter weights, by name: equal runs have equal hashes."""
    digest = hashlib.sha256()
    for name in model.router.names:
        for key, parameter in sorted(adapter_parameters(model, name)):
            digest.update(key.encode())
            digest.update(parameter.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def keep_trainable_4bit(model):
    """Stop bitsandbytes from repacking 4-bit weights for bfloat16 on some CPUs.

    On a CPU with AVX512-BF16 the first forward in eval mode rewrites the weights, whatever
    the compute dtype: results turn to bfloat16 and later training gets no gradient through
    them. Returns the model. Raises ValueError where it has happened already.
    """
    for name, module in model.named_modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
            if getattr(module.weight.quant_state, "packing_format_for_cpu", False):
                raise GivenError(f"the 4-bit weights of {name} were packed to bfloat16 by a "
                                 "forward in eval mode; load the base again and call "
                                 "keep_trainable_4bit(model) before its first forward")
    return model


def _install(model, names, routing, trainable):
    keep_trainable_4bit(model)
    # PeftModel.set_adapter takes one name only; the tuner below it takes several.
    model.base_model.set_adapter(list(names), inference_mode=not trainable)
    model.router = Router(names, routing)
    if not model.router.install(model):
        raise GivenError("the model has no LoRA layer; its blocks hold no linear map")
    return model


SPARE = 2  # memory that must be free, as a multiple of what the dequantized weights take


def dequantized_bytes(model) -> int:
    """Memory that the 4-bit weights take once dequantized, in bytes; 0 if there are none."""
    return sum(module.weight.quant_state.shape.numel() * _dtype(module).itemsize
               for module in model.modules() if isinstance(module, Linear4bit))


def dequantized_fits(model) -> bool:
    """Whether twice what the dequantized weights take is free where the model is."""
    return SPARE * dequantized_bytes(model) <= free_memory(model.device)


@contextmanager
def dequantized(model) -> Iterator[None]:
    """Within, the model works with plain linear maps; the base takes no gradient."""
    router, changed, inner = getattr(model, "router", None), [], set()
    for module in model.modules():  # a layer with adapters comes before the map inside it
        routed = router and isinstance(module, LoraLayer)
        base = module.base_layer if routed else module
        if module in inner or not (isinstance(base, Linear4bit) or routed):
            continue
        plain = partial(linear, weight=full_weight(base), bias=base.bias)
        module.forward = partial(router.add_all, module, plain) if routed else plain
        changed.append(module)
        inner.add(base)
    try:
        yield
    finally:
        for module in changed:
            del module.forward


def _dtype(module: Linear4bit) -> torch.dtype:
    return module.compute_dtype or module.weight.quant_state.dtype


def full_weight(base) -> torch.Tensor:
    """(out, in), in the type that the map computes in; of 4 bits what they stand for."""
    if not isinstance(base, Linear4bit):
        return base.weight
    return dequantize_4bit(base.weight.data, base.weight.quant_state).to(_dtype(base))
