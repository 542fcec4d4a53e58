"""What makes two trainings the same one: the rule by which a saved state is taken up.

A training may go on from a checkpoint, and a finished one be taken as it is, only if all
that decides its adapters is equal: the parameters, the encoded rows (so changed data are
seen, whatever they are called), the base's weights, the arithmetic (device, type, number of
processes) and the code between rows and adapters.

Left out on purpose: parameters that say where, how long and how often, not what; versions
of the libraries, which `environment.json` records: a session that comes back with another
torch goes on, near the same numbers though not bit for bit.
"""
from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from transformers import AutoConfig

from nanoreason import __version__, paths
from nanoreason.checkpoints import file_sha256
from nanoreason.location import Location

# They do not reach the adapters, or reach them through the rows or the processes alone.
OTHERWISE = ("profile", "run", "data_path", "processes", "report_to", "fresh", "max_minutes",
             "checkpoint_minutes", "checkpoint_gigabytes")
# From rows to adapters: every module of the package that the Trainer's step runs through.
CODE = ("arguments", "batches", "dynamic_weights", "loss", "models", "router", "routing",
        "tags", "trainer", "unpacked")
WEIGHTS = (".safetensors", ".bin", ".gguf")


def identity(params, rows_sha256: str, base: Location, device: str, dtype: str,
             processes: int) -> dict[str, Any]:
    """The identity of a training, JSON values.

    params: a `TrainParams`. base: where its base was found. device: "cpu" or "cuda".
    dtype: of the forward, e.g. "float32". processes: replicas of the model that
    share each optimiser step.
    """
    parameters = {name: value for name, value in params.as_dict().items()
                  if name not in OTHERWISE}
    return {"parameters": parameters, "rows_sha256": rows_sha256,
            "base_version": base_version(base), "device": device, "dtype": dtype,
            "processes": processes, "version": __version__, "code_sha256": code_sha256()}


def base_version(base: Location) -> str | None:
    """Which weights a base is: its version, else a folder's hash, else the hub's commit.

    None where the hub's cache does not say its commit.
    """
    if base.version is not None:
        return base.version
    if base.source != "folder":  # not in the cache when it was looked for
        return getattr(AutoConfig.from_pretrained(base.path), "_commit_hash", None)
    files = sorted(path for path in Path(base.path).glob("*")
                   if path.suffix in WEIGHTS or path.name == "config.json")
    return _together((path.name, file_sha256(path)) for path in files)


def code_sha256() -> str:
    """Hexadecimal sha256 of the modules in CODE."""
    return _together((name, file_sha256(paths.PACKAGE / f"{name}.py")) for name in CODE)


def _together(parts) -> str:
    digest = hashlib.sha256()
    for name, sha256 in parts:
        digest.update(f"{name} {sha256}\n".encode())
    return digest.hexdigest()
