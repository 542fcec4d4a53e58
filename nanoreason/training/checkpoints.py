"""Checkpoints that are whole or not there, each with the hashes of its files.

A session may be killed at any moment. A checkpoint is therefore filled in a folder of its
own, `partial`, gets a manifest, is forced to disk and only then renamed to
`checkpoint-<step>`. The manifest holds size and sha256 of every file and the identity of
what was being trained (see `identity`), under a hash of its own. What is read back is
checked against it: a damaged checkpoint is removed, and the one before it taken.

Kept are the newest three, or fewer where they would take more than the gigabytes that are
allowed: room is made before a new one is written, but the newest whole one stays until
the next is whole. What the files hold is not known here.
"""
from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nanoreason.files import to_json, write_text

MANIFEST = "manifest.json"
PARTIAL = "partial"
KEPT = 3  # whole checkpoints at most: the newest, and two to fall back to
GIGABYTE = 10**9  # bytes
_NAME = re.compile(r"checkpoint-(\d+)")


class DamagedError(Exception):
    """Files that are not what their manifest says; the message names the first of them."""


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint. step: optimiser steps done when it was written."""

    folder: Path
    step: int


class Checkpoints:
    """The checkpoints of one run.

    folder: holds nothing else. identity: of what is trained, JSON values; checkpoints of
    another are never loaded. gigabytes: that all kept ones may take together. say: where
    sentences for the reader go.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], gigabytes: float,
                 say: Callable[[str], None] = print):
        self.folder, self.identity = Path(folder), identity
        self.limit, self.say = gigabytes * GIGABYTE, say

    def latest(self) -> Checkpoint | None:
        """The newest whole checkpoint of this identity, or None.

        Removes, and says so, what is damaged or of another identity; silently what was
        never finished.
        """
        self._drop(self.folder / PARTIAL)
        for rest in self.folder.glob(".*.removed"):  # a session killed while it removed
            shutil.rmtree(rest)
        for checkpoint in reversed(self._present()):
            try:
                manifest = read_manifest(checkpoint.folder)
            except DamagedError as error:
                self.say(f"{checkpoint.folder.name} is damaged ({error}): it is removed, and "
                         "the one before it is tried")
                self._drop(checkpoint.folder)
                continue
            if manifest["identity"] == _plain(self.identity):
                return checkpoint
            changes = differences(manifest["identity"], self.identity)
            self.say(f"{checkpoint.folder.name} is of another training ({changes}): it is "
                     "removed")
            self._drop(checkpoint.folder)
        return None

    def begin(self, step: int) -> Path:
        """An empty folder to fill with the checkpoint of this step; makes room for it."""
        self._drop(self.folder / PARTIAL)
        present = self._present()
        expected = _bytes(present[-1].folder) if present else 0  # as large as the last one
        self._make_room(KEPT - 1, self.limit - expected)
        target = self.folder / PARTIAL / f"checkpoint-{step}"
        target.mkdir(parents=True)
        return target

    def commit(self, step: int) -> Checkpoint:
        """Seal what was filled since `begin(step)`: from here on it is a checkpoint."""
        source, target = (parent / f"checkpoint-{step}"
                          for parent in (self.folder / PARTIAL, self.folder))
        write_manifest(source, self.identity, {"step": step})
        for path in (*source.rglob("*"), source):
            _force(path)
        self._drop(target)  # a run that fell back comes past the same steps again
        os.replace(source, target)
        _force(self.folder)
        self._make_room(KEPT, self.limit)
        return Checkpoint(target, step)

    def clear(self) -> None:
        """Remove all of them, and the folder."""
        self._drop(self.folder)

    def _present(self) -> list[Checkpoint]:
        """All that bear a checkpoint's name, oldest first."""
        found = ((path, _NAME.fullmatch(path.name)) for path in self.folder.glob("*"))
        return sorted((Checkpoint(path, int(match.group(1))) for path, match in found if match),
                      key=lambda checkpoint: checkpoint.step)

    def _make_room(self, count: int, limit: float) -> None:
        """Remove the oldest until `count` and `limit` bytes hold; the newest always stays."""
        present = self._present()
        sizes = [_bytes(checkpoint.folder) for checkpoint in present]
        while len(present) > 1 and (len(present) > count or sum(sizes) > limit):
            self._drop(present.pop(0).folder)
            sizes.pop(0)

    def _drop(self, folder: Path) -> None:
        """Remove a folder. It loses its name first: half a removal is no checkpoint."""
        doomed = folder.with_name(f".{folder.name}.removed")
        if doomed.exists():  # a session killed while it removed
            shutil.rmtree(doomed)
        if folder.exists():
            os.replace(folder, doomed)
            shutil.rmtree(doomed)


def write_manifest(folder: Path, identity: Mapping[str, Any], facts: Mapping[str, Any],
                   name: str = MANIFEST, files: list[Path] | None = None) -> None:
    """Write the hashes of `files` (None: of all that `folder` holds) beside them.

    identity, facts: JSON values that are kept with the hashes.
    """
    if files is None:
        files = [path for path in folder.rglob("*") if path.is_file()]
    content = {"identity": _plain(identity), **facts,
               "files": {path.relative_to(folder).as_posix():
                         {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
                         for path in sorted(files)}}
    write_text(folder / name, to_json({"sha256": _digest(content), **content}, indent=1) + "\n")


def read_manifest(folder: Path, name: str = MANIFEST) -> dict[str, Any]:
    """The manifest of `folder`, after every file in it was found as it says.

    Raises DamagedError for a manifest or file that is missing or not as it was written.
    """
    path = folder / name
    try:
        manifest = json.loads(path.read_bytes())
        content = {key: value for key, value in manifest.items() if key != "sha256"}
        files = content["files"].items()
        right = manifest["sha256"] == _digest(content)
    except FileNotFoundError:
        raise DamagedError(f"{name} is missing") from None
    except (ValueError, KeyError, AttributeError, TypeError):
        right = False
    if not right:
        raise DamagedError(f"{name} is not as it was written")
    for file, facts in files:
        if not (folder / file).is_file():
            raise DamagedError(f"{file} is missing")
        size = (folder / file).stat().st_size
        if size != facts["bytes"]:
            raise DamagedError(f"{file} has {size} bytes in place of {facts['bytes']}")
        if file_sha256(folder / file) != facts["sha256"]:
            raise DamagedError(f"the sha256 of {file} is not as it was written")
    return content


def file_sha256(path: Path) -> str:
    """Hexadecimal sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What differs between two identities, in words: "seed 1, was 0; rank 8, was 16"."""
    old, new = (_flat(_plain(values)) for values in (before, now))
    changed = [name for name in {**new, **old} if old.get(name) != new.get(name)]
    return "; ".join(f"{name} {_short(new.get(name))}, was {_short(old.get(name))}"
                     for name in changed) or "nothing"


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings as one; the inner names stand alone where they are parameters."""
    flat = {}
    for name, value in values.items():
        flat |= _flat(value) if isinstance(value, dict) and name == "parameters" \
            else {name: value}
    return flat


def _short(value: Any) -> str:
    text = to_json(value) if not isinstance(value, str) else value
    return text if len(text) <= 40 else text[:12] + "..."


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """As it comes back from JSON, tuples as lists."""
    return json.loads(to_json(values))


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _force(path: Path) -> None:
    """Have the disk hold a file, or the entries of a folder; a folder only where it can."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
