"""Checkpoints that are whole or not there, each with the hashes of its files; when one is due.

A session may be killed at any moment. A checkpoint is therefore filled in a folder of its
own, `partial`, gets a manifest and only then is renamed to `checkpoint-<step>`. The manifest
holds size and sha256 of every file and the identity of what was being trained (see
`resume.identity`), under a hash of its own. What is read back is checked against it: a
damaged checkpoint is set aside, and the one before it taken.

Kept are the newest three, or fewer where they would take more than the gigabytes that are
allowed: room is made before a new one is written, but the newest whole one stays until
the next is whole. Before one is removed, the newest but one (or the newest, if it alone
stays) is made sure to be on the disk: a power cut can cost the newest checkpoint, never
all. What the files hold is the trainer's affair.
"""
from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from nanoreason.files import DamagedError, read_manifest, set_aside, sync, write_manifest

PARTIAL = "partial"
KEPT = 3  # whole checkpoints at most: the newest, and two to fall back to
GIGABYTE = 10**9  # bytes
_NAME = re.compile(r"checkpoint-(\d+)")


@dataclass(frozen=True)
class Checkpoint:
    """A whole checkpoint. step: optimiser steps done when it was written. identity: of what
    was trained."""

    folder: Path
    step: int
    identity: Mapping[str, Any]


class Checkpoints:
    """The checkpoints of one run.

    folder: holds nothing else. identity: of what is trained, JSON values, kept with each
    checkpoint. gigabytes: that all kept ones may take together. log: where sentences for the
    reader go.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], gigabytes: float,
                 log: Callable[[str], None] = print):
        self.folder, self.identity = Path(folder), identity
        self.limit, self.log = gigabytes * GIGABYTE, log

    def latest(self) -> Checkpoint | None:
        """The newest whole checkpoint, or None; whose it is, its identity says.

        What is damaged is set aside, and it is said; what was never finished is removed.
        """
        if self.folder.is_file():
            set_aside(self.folder)
        _drop(self.folder / PARTIAL)
        for folder in reversed(self.present()):
            try:
                manifest = read_manifest(folder)
                return Checkpoint(folder, manifest["step"], manifest["identity"])
            except (DamagedError, KeyError) as error:
                self.log(f"{folder.name} is damaged ({error}): it is kept as "
                         f"{set_aside(folder).name}, and the one before it is tried")
        return None

    def begin(self, step: int) -> Path:
        """An empty folder to fill with the checkpoint of this step; makes room for it."""
        _drop(self.folder / PARTIAL)
        present = self.present()
        expected = _bytes(present[-1]) if present else 0  # as large as the last one
        self._make_room(KEPT - 1, self.limit - expected)
        target = self.folder / PARTIAL / f"checkpoint-{step}"
        target.mkdir(parents=True)
        return target

    def commit(self, step: int) -> Checkpoint:
        """Seal what was filled since `begin(step)`: from here on it is a checkpoint."""
        name = f"checkpoint-{step}"
        source, target = self.folder / PARTIAL / name, self.folder / name
        write_manifest(source, self.identity, {"step": step})
        _drop(target)  # a run that fell back comes past the same steps again
        os.replace(source, target)
        self._make_room(KEPT, self.limit)
        return Checkpoint(target, step, self.identity)

    def clear(self) -> None:
        """Remove all of them, and the folder."""
        _drop(self.folder)

    def present(self) -> list[Path]:
        """All that bear a checkpoint's name, whole or damaged, oldest first."""
        found = {path: _NAME.fullmatch(path.name) for path in self.folder.glob("*")}
        return sorted((path for path, match in found.items() if match),
                      key=lambda path: int(found[path].group(1)))

    def _make_room(self, count: int, limit: float) -> None:
        """Remove the oldest until `count` and `limit` bytes hold; the newest always stays."""
        left = self.present()
        sizes = [_bytes(folder) for folder in left]
        gone = 0
        while len(left) - gone > 1 and (len(left) - gone > count or sum(sizes[gone:]) > limit):
            gone += 1
        if gone:
            sync(left[max(gone, len(left) - 2)])
        for folder in left[:gone]:
            _drop(folder)


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _drop(folder: Path) -> None:
    """Remove a folder. What a kill leaves of it is damaged by its manifest, or has none."""
    if folder.is_dir():
        shutil.rmtree(folder)
    else:
        folder.unlink(missing_ok=True)


class Clock(TrainerCallback):
    """Says after each step whether a checkpoint is due, and whether it is time to stop.

    began: `time.monotonic()` when the session began. every: minutes between checkpoints, 0
    for one after each step. limit: minutes that the session may take, or None; it stops
    where one more step as long as the last, and a checkpoint, would go beyond.

    parts: seconds of every session of this training, the last of them this one's so far. Of
    a session that was killed, those up to its last checkpoint.
    """

    def __init__(self, began: float, every: float, limit: float | None, starts: int,
                 now: Callable[[], float] = time.monotonic):
        self.every, self.limit = every * 60, None if limit is None else limit * 60
        self.began = self.saved = self.last = self.asked = began
        self.saving = 0.0  # seconds that the last checkpoint took
        self.parts = [0.0] * starts
        self.stopped, self.now = False, now

    def load_parts(self, parts: list[float]) -> None:
        """The seconds of earlier sessions; those that left no checkpoint count as 0."""
        self.parts[:len(parts)] = parts

    def seconds(self) -> list[float]:
        """`parts`, as of now."""
        self.parts[-1] = self.now() - self.began
        return self.parts

    def on_train_begin(self, args, state, control, **kwargs):
        self.saved = self.last = self.now()

    def on_step_end(self, args, state, control, **kwargs):
        now = self.now()
        step, self.last = now - self.last, now
        if state.global_step >= state.max_steps:
            return
        stop = self.limit is not None and now + step + self.saving > self.began + self.limit
        save = stop or now - self.saved >= self.every
        if args.world_size > 1:  # clocks differ: the first process decides for all
            flags = torch.tensor([save, stop], dtype=torch.int32, device=args.device)
            torch.distributed.broadcast(flags, 0)
            save, stop = map(bool, flags.tolist())
        control.should_save = control.should_save or save
        if stop:
            self.stopped = control.should_training_stop = True
        self.asked = self.now()

    def on_save(self, args, state, control, **kwargs):
        self.saved = self.last = self.now()
        self.saving = self.saved - self.asked
