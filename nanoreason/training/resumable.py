"""The Trainer's checkpoints, whole and complete, and when they are due.

The Trainer writes optimiser, schedule, gradient scaler, the random states of every process
and its own position; here stand what it does not know (adapters by name, as safetensors;
the records of all steps, the dynamic weights, the seconds so far) and the folder with
hashes that all of it goes into. What is loaded, by the Trainer too, is safetensors, JSON,
or torch files with `weights_only`.

The plan of the steps is a function of the parameters, so the number of steps done is the
whole position in the data. On the CPU a resumed training is the unbroken one bit for bit.

Left out on purpose: checkpoints of machines without a common folder; sharded models.
"""
from __future__ import annotations

import json
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import Trainer, TrainerCallback

from nanoreason.files import write_json
from nanoreason.model.adapters import adapter_parameters
from nanoreason.training.checkpoints import PARTIAL, Checkpoints

ADAPTERS = "adapters.safetensors"
STATE = "state.json"


class ResumableTrainer(Trainer):
    """A Trainer that saves into `checkpoints` and goes on from there.

    A subclass says with `own_state` and `load_own_state` what else belongs to it.
    """

    checkpoints: Checkpoints

    def own_state(self) -> dict:
        """What the Trainer does not know, as JSON values."""
        raise NotImplementedError

    def load_own_state(self, state: dict) -> None:
        """Take up what `own_state` gave."""
        raise NotImplementedError

    def _get_output_dir(self, trial):
        return str(self.checkpoints.folder / PARTIAL)

    def _save_checkpoint(self, model, trial):
        """The Trainer's checkpoint with our state, sealed when every process has written."""
        step = self.state.global_step
        if self.args.should_save:
            folder = self.checkpoints.begin(step)
            write_json(folder / STATE, self.own_state())
        self.accelerator.wait_for_everyone()
        super()._save_checkpoint(model, trial)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            self.checkpoints.commit(step)

    def save_model(self, output_dir=None, _internal_call=False):
        """The adapters alone, under their parameters' names: the base never changes."""
        if self.args.should_save:
            save_file({name: parameter.detach().cpu().contiguous()
                       for name, parameter in self._adapters().items()},
                      Path(output_dir) / ADAPTERS)

    def _load_from_checkpoint(self, resume_from_checkpoint, model=None):
        """Adapters and our own state; the rest is loaded by the Trainer, a little later."""
        folder, own = Path(resume_from_checkpoint), self._adapters()
        stored = load_file(folder / ADAPTERS)
        if stored.keys() != own.keys():
            odd = ", ".join(sorted(stored.keys() ^ own.keys())[:3])
            raise ValueError(f"{folder.name} holds other adapters than this model ({odd}): "
                             "train anew with fresh=True")
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(stored[name])
        self.load_own_state(json.loads((folder / STATE).read_text(encoding="utf-8")))

    def _adapters(self) -> dict[str, torch.nn.Parameter]:
        model = self.accelerator.unwrap_model(self.model)
        return {key: parameter for name in model.router.names
                for key, parameter in adapter_parameters(model, name)}


class Clock(TrainerCallback):
    """Says after each step whether a checkpoint is due, and whether it is time to stop.

    began: `time.monotonic()` when the session began. every: minutes between checkpoints, 0
    for one after each step. limit: minutes that the session may take, or None; it stops
    where one more step as long as the last, and a checkpoint, would go beyond.

    parts: seconds of every session of this training, the last of them this one's so far. Of
    a session that was killed, those up to its last checkpoint.
    """

    def __init__(self, began: float, every: float, limit: float | None, starts: int):
        self.every, self.limit = every * 60, None if limit is None else limit * 60
        self.began = self.saved = self.last = self.asked = began
        self.saving = 0.0  # seconds that the last checkpoint took
        self.parts = [0.0] * starts
        self.stopped = False
        self.trainer: ResumableTrainer | None = None

    def load_parts(self, parts: list[float]) -> None:
        """The seconds of earlier sessions; those that left no checkpoint count as 0."""
        self.parts[:len(parts)] = parts

    def seconds(self) -> list[float]:
        """`parts`, as of now."""
        self.parts[-1] = time.monotonic() - self.began
        return self.parts

    def on_train_begin(self, args, state, control, **kwargs):
        self.saved = self.last = time.monotonic()

    def on_step_end(self, args, state, control, **kwargs):
        now = time.monotonic()
        step, self.last = now - self.last, now
        if state.global_step >= state.max_steps:
            return
        stop = self.limit is not None and now + step + self.saving > self.began + self.limit
        save = stop or now - self.saved >= self.every
        save, stop = self._of_process_0(save, stop, args.device)
        control.should_save = control.should_save or save
        if stop:
            self.stopped = control.should_training_stop = True
        self.asked = time.monotonic()

    def on_save(self, args, state, control, **kwargs):
        self.saved = self.last = time.monotonic()
        self.saving = self.saved - self.asked

    def _of_process_0(self, save: bool, stop: bool, device) -> tuple[bool, bool]:
        """Clocks differ: the first process decides for all."""
        if self.trainer.args.world_size == 1:
            return save, stop
        flags = torch.tensor([save, stop], dtype=torch.int32, device=device)
        torch.distributed.broadcast(flags, 0)
        return tuple(bool(flag) for flag in flags.tolist())
