"""Profiles: `params/*.yaml`, what differs from the package defaults on some hardware.

A profile is a flat mapping of parameter names to values, for all notebooks at once, and
each file is also good for `papermill -f`. Its comment lines say what it is for, how it is
launched and what it needs. `auto` is no file: it picks one by the hardware found.
"""
from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import yaml

from nanoreason import paths

GIB = 2**30


@dataclass(frozen=True)
class Gpu:
    """One CUDA device: its name, memory in bytes and compute capability, e.g. (7, 5)."""

    name: str
    memory: int
    capability: tuple[int, int]


def profile_names() -> tuple[str, ...]:
    """The profiles there are, in alphabetical order, without `auto`."""
    return tuple(sorted(path.stem for path in paths.PARAMS.glob("*.yaml")))


@lru_cache
def _text(name: str) -> str:
    return (paths.PARAMS / f"{name}.yaml").read_text(encoding="utf-8")


def load_profile(name: str) -> dict:
    """The values of profile `name` as they stand in its file, `profile` itself among them.

    Raises ValueError if the file is no flat mapping; the caller knows that `name` exists.
    """
    return flat_mapping(_text(name), f"params/{name}.yaml")


def flat_mapping(text: str, where: str) -> dict:
    """The values of a YAML text. Raises ValueError, naming `where`, if it is none or nested."""
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{where} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict) or any(isinstance(v, dict) for v in values.values()):
        raise ValueError(f"{where} must be a flat mapping of names to values")
    return values


def comment_lines(text: str) -> list[str]:
    """The comment lines of a YAML text, without their marks."""
    return [line.lstrip("# ") for line in text.splitlines() if line.startswith("#")]


def describe_profile(name: str) -> str:
    """The comment lines of profile `name`: what for, how launched, what it needs."""
    return "\n".join(comment_lines(_text(name)))


def detect_gpus() -> tuple[Gpu, ...]:
    """The CUDA devices that torch sees, in order; () without any."""
    import torch  # here, so that reading parameters does not load torch

    if not torch.cuda.is_available():
        return ()
    found = []
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        found.append(Gpu(device.name, device.total_memory, (device.major, device.minor)))
    return tuple(found)


def choose_profile(gpus: tuple[Gpu, ...] | None = None) -> tuple[str, str]:
    """The profile for this hardware, and the reason in one sentence.

    gpus: what to choose for; None looks at the machine. bf16 is native from compute
    capability 8.0 on: what torch says of a T4 is emulation.
    """
    gpus = detect_gpus() if gpus is None else gpus
    if not gpus:
        return "nano", "nano, because torch sees no CUDA device"
    first = gpus[0]
    here = f"{len(gpus)} x {first.name} ({first.memory / GIB:.1f} GiB)"
    if first.memory >= 22 * GIB and first.capability >= (8, 0):
        return "gpu-bf16", f"gpu-bf16, because of {here} with native bf16"
    if first.memory < 14 * GIB:
        return "smollm2", f"smollm2, because {here} is too small for the 3B model"
    if len(gpus) > 1:
        return "kaggle-2xt4", f"kaggle-2xt4, because of {here}"
    return "t4", f"t4, because of {here} and 4 bits fit it"
