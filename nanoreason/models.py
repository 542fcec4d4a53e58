"""Base models: which one, on what, in which precision, and why.

The embedded `nano` base needs nothing but this package; `location` says where any other
is found. Quantised bases are real bitsandbytes NF4 weights with double
quantisation, on the CPU as on a GPU.
"""
from __future__ import annotations

import torch
from transformers import (AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig,
                          PreTrainedTokenizerFast)

from nanoreason.location import base_name, locate
from nanoreason.routing import keep_trainable_4bit

QUANTISATIONS = ("nf4", "none")
__all__ = ["QUANTISATIONS", "base_name", "choose_device", "choose_dtype", "load_base",
           "load_tokenizer", "locate"]


def choose_device() -> torch.device:
    """This process's GPU if there is one, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def choose_dtype(device: torch.device) -> tuple[torch.dtype, str]:
    """The compute type for a device, and the reason for it in a sentence."""
    if device.type != "cuda":
        return torch.float32, "float32: half precision is emulated, and slow, on a CPU"
    # is_bf16_supported() also says yes where bf16 is only emulated, as on a T4.
    major, minor = torch.cuda.get_device_capability(device)
    if major >= 8:
        return torch.bfloat16, f"bfloat16: compute capability {major}.{minor} has it in hardware"
    return torch.float16, f"float16 with a scaler: capability {major}.{minor} has no bfloat16"


def load_tokenizer(base: str):
    """The tokenizer of a base, with a padding token that is not the end token if it has one."""
    # AutoTokenizer goes by the architecture and would put Qwen2's own splitting rule in the
    # place of the one that the nano tokenizer was trained with.
    kind = PreTrainedTokenizerFast if base == "nano" else AutoTokenizer
    tokenizer = kind.from_pretrained(locate(base).path)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_base(base: str = "nano", quantisation: str = "nf4",
              device: torch.device | None = None):
    """A frozen base model and its tokenizer, on one device.

    Raises `ValueError` for an unknown quantisation and `FileNotFoundError` for a missing
    nano base. Returns (model, tokenizer).
    """
    if quantisation not in QUANTISATIONS:
        raise ValueError(f"quantisation is {quantisation!r}; choose one of "
                         f"{', '.join(QUANTISATIONS)}")
    device = device or choose_device()
    dtype, _ = choose_dtype(device)
    options = {"dtype": dtype, "device_map": {"": device}}
    if quantisation == "nf4":
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype)
    location = locate(base).path
    model = AutoModelForCausalLM.from_pretrained(location, **options)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    model.config.use_cache = True
    return keep_trainable_4bit(model), load_tokenizer(base)
