"""The Trainer of transformers with our batches, our loss, our checkpoints and our record.

Its own are the loop, the optimiser, the schedule, the gradient scaler and the processes. It
writes optimiser, schedule, scaler, the random states of every process and its position into
a checkpoint; what it does not know (adapters by name, as safetensors; the records of all
steps, the dynamic weights, the seconds so far) is added here. What is loaded, by the Trainer
too, is safetensors, JSON, or torch files with `weights_only`.

The plan of the steps is a function of the parameters, so the number of steps done is the
whole position in the data. On the CPU a resumed training is the unbroken one bit for bit.

Left out on purpose: checkpoints of machines without a common folder; sharded models.
"""
from __future__ import annotations

import json
import math
from contextlib import nullcontext
from dataclasses import replace
from itertools import chain
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch.nn.utils import parameters_to_vector
from transformers import (PrinterCallback, Trainer, TrainerCallback, TrainingArguments,
                          set_seed)
from transformers.integrations import get_reporting_integration_callbacks

from nanoreason.files import write_json
from nanoreason.host import GivenError, Told, progress
from nanoreason.model.adapters import adapter_parameters
from nanoreason.model.router import route
from nanoreason.model.threads import ThreadChoice
from nanoreason.model.tokens import IGNORE, Encoded, tag_end, tag_ids, text_ids
from nanoreason.stages import GROUPS
from nanoreason.training.batches import StepBatches, StepLoader
from nanoreason.training.checkpoints import PARTIAL, Clock
from nanoreason.training.loss import (DynamicWeights, combine, group_counts, last_hidden,
                                      step_aware_loss)
from nanoreason.training.processes import grouped
from nanoreason.training.resume import TrainingState

WARMUP_SHARE = 0.05  # of all optimiser steps
WEIGHT_DECAY = 0.0
CLIP = 1.0  # largest norm of the whole gradient
OPTIMISERS = {"adamw": "adamw_torch_fused", "adamw_8bit": "adamw_8bit"}
OBJECTION = ", wrong"  # ends a line of VERIFY whose two numbers differ
SKIPS = 5  # steps in a row without a finite loss and gradient that end the run
ADAPTERS = "adapters.safetensors"
STATE = "state.json"


def training_arguments(params, folder, device: torch.device, dtype: torch.dtype
                       ) -> TrainingArguments:
    """What the Trainer is told. folder: for its own files. dtype: of the base's forward."""
    arguments = TrainingArguments(
        output_dir=str(folder), per_device_train_batch_size=params.micro_batch_size,
        gradient_accumulation_steps=1, num_train_epochs=params.epochs,
        learning_rate=params.learning_rate, lr_scheduler_type="cosine",
        warmup_steps=WARMUP_SHARE, weight_decay=WEIGHT_DECAY, max_grad_norm=CLIP,
        seed=params.seed, data_seed=params.seed, use_cpu=device.type == "cpu",
        save_strategy="no", logging_strategy="no", logging_nan_inf_filter=False,
        report_to=params.report_to, disable_tqdm=True, remove_unused_columns=False,
        dataloader_pin_memory=False, optim=OPTIMISERS[params.optimiser],
        fp16=dtype == torch.float16, bf16=dtype == torch.bfloat16,
        ddp_find_unused_parameters=False,  # every trainable parameter is in every graph
        ddp_backend=torch.distributed.get_backend() if grouped() else None)
    # One process uses one GPU; the Trainer would else wrap the model in DataParallel.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def check_logger(name: str) -> None:
    """Refuse a logger that transformers does not know, or whose package is not installed."""
    try:
        for logger in get_reporting_integration_callbacks(
                [] if name in ("none", "all") else [name]):
            logger()
    except (ValueError, RuntimeError) as error:
        raise GivenError(f"report_to={name!r} is refused: {error} Give none, or install it"
                         ) from None


class NonFiniteError(Told, RuntimeError):
    """Loss or gradient was not finite in `SKIPS` optimiser steps in a row."""


def for_phase(row: Encoded, phase: str, tag: list[int]) -> Encoded:
    """The row with the loss groups that a phase learns.

    joint: all. reasoning: nothing after the VERIFY tag. verification: nothing before its
    end. A row without the tag is all reasoning.
    """
    if phase == "joint":
        return row
    before = phase == "reasoning"
    if row.second:
        return replace(row, second=None) if before else row.second
    switch = tag_end(row, tag)
    groups = [group if (i < switch) == before else IGNORE
              for i, group in enumerate(row.groups)]
    return Encoded(row.input_ids, groups, row.prompt_length)


class StepAwareTrainer(Trainer):
    """The Trainer with our steps, our loss, and a record of every optimiser step.

    model: with its two adapters. rows: encoded ones. params: a `TrainParams`. training: how
    far it has come, see `resume.open_training`. began: of this session, `time.monotonic()`.
    Raises `ValueError` if there is no row to train on.
    """

    def __init__(self, model, tokenizer, rows: list[Encoded], params, training: TrainingState,
                 began: float):
        if not rows:
            raise GivenError("there is no trace to train on: every one was longer than "
                             f"max_length = {params.max_length} tokens, or the data is empty")
        set_seed(params.seed)
        self.training, self.checkpoints = training, training.checkpoints
        self.tag, self.pad_id = tag_ids(tokenizer), tokenizer.pad_token_id
        self.word = text_ids(tokenizer, OBJECTION)
        self.rows = [for_phase(row, params.phase, self.tag) for row in rows]
        if params.phase == "verification":
            for _, parameter in adapter_parameters(model, "reasoning"):
                parameter.requires_grad_(False)
        arguments = training_arguments(params, self.checkpoints.folder, model.device, model.dtype)
        self.plan = StepBatches([len(row) for row in rows], params.batch_size,
                                params.micro_batch_size, params.micro_batch_tokens, params.seed,
                                arguments.world_size, arguments.process_index)
        self.weights = [getattr(params, f"{group}_weight") for group in GROUPS]
        self.normalise, self.dynamic = params.normalise, DynamicWeights(params.dynamic)
        self.clock = Clock(began, params.checkpoint_minutes, params.max_minutes, training.starts)
        self.records: list[dict] = []
        self.skipped, self.skips_in_a_row = False, 0  # of the running step; up to it
        self.router = model.router
        self.threads = ThreadChoice(model, arguments.world_size)
        super().__init__(model=model, args=arguments, train_dataset=self.rows,
                         callbacks=[_StepRecord(self, model), self.clock])
        self.remove_callback(PrinterCallback)

    def get_train_dataloader(self):
        """One item per optimiser step; the plan deals it out, so accelerate must not."""
        return StepLoader(self.rows, self.pad_id, self.plan)

    def floating_point_ops(self, inputs):
        """Not estimated: the Trainer's formula knows neither adapters nor routes."""
        return 0

    def get_batch_samples(self, epoch_iterator, num_batches, device):
        """One step's micro-batches, and N_s over all of them and all processes."""
        step = next(epoch_iterator)
        counts = sum(group_counts(batch["input_ids"], batch["groups"]) for batch in step)
        return [step], self.accelerator.reduce(counts.to(device), "sum").cpu()

    def training_step(self, model, inputs, num_items_in_batch=None):
        """Forward and backward of every micro-batch; this process's share of the loss.

        inputs: the micro-batches, as the loader gives them. num_items_in_batch: (5,) N_s.
        """
        model.train()
        parts = torch.zeros(3 * len(GROUPS) + 3, dtype=torch.float64, device=self.args.device)
        for number, batch in enumerate(inputs, 1):
            last = number == len(inputs)
            with nullcontext() if last else self.accelerator.no_sync(model):
                batch = self._prepare_inputs(batch)
                with self.compute_loss_context_manager():
                    result = self.compute_loss(model, batch,
                                               num_items_in_batch=num_items_in_batch)
                self.accelerator.backward(result.total)
            share = result.total.detach()[None] / self.accelerator.num_processes
            parts += torch.cat([result.sums, result.correct, result.counts,
                                result.objections, share])
        parts = self.accelerator.reduce(parts, "sum").tolist()
        *groups, self.objections, self.objected, self.total = parts
        self.sums, self.correct, self.counts = (
            groups[start:start + len(GROUPS)] for start in range(0, len(groups), len(GROUPS)))
        return torch.tensor(self.total, device=self.args.device)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """The `StepLoss` of one micro-batch, its share of the step's loss."""
        mask = route(inputs["input_ids"], inputs["attention_mask"], inputs["prompt_lengths"],
                     self.tag, self.router.routing)
        head = self.accelerator.unwrap_model(model).get_output_embeddings()
        # Padding is on the right, where no token looks: without its mask, attention is
        # plainly causal, which every backend has its fastest kernel for.
        with self.router.full(mask):
            hidden = last_hidden(model, input_ids=inputs["input_ids"])
        return step_aware_loss(
            hidden, inputs["input_ids"], inputs["groups"], self.weights, self.normalise,
            head=head, counts=num_items_in_batch, multipliers=self.dynamic.multipliers,
            processes=self.accelerator.num_processes, word=self.word)

    def _clip_grad_norm(self, model):
        """Clip; or skip the step, by taking its gradients away, where they are not finite.

        Loss and gradient are those of all processes by now, so all decide alike. Without a
        gradient the optimiser changes neither the adapters nor its own state.
        """
        norm = super()._clip_grad_norm(model)
        self.gradient_norm = float(norm)  # before clipping
        finite_loss = math.isfinite(self.total)
        self.skipped = not (finite_loss and math.isfinite(self.gradient_norm))
        self.skips_in_a_row = self.skips_in_a_row + 1 if self.skipped else 0
        if self.skipped:
            for parameter in model.parameters():
                parameter.grad = None
            scaler = self.accelerator.scaler
            # A scaled gradient that overflows halves the scale: that is the cure at work.
            searching = finite_loss and scaler is not None and scaler.get_scale() > 1
            if self.skips_in_a_row >= SKIPS and not searching:
                losses = ", ".join(f"{group} {loss / count:.4g}" for group, loss, count in
                                   zip(GROUPS, self.sums, self.counts) if count)
                raise NonFiniteError(
                    f"{self.skips_in_a_row} optimiser steps in a row, up to step "
                    f"{self.state.global_step + 1}, had no finite loss and gradient: loss "
                    f"{self.total:.4g} ({losses} nats per token), gradient norm "
                    f"{self.gradient_norm:.4g}, learning rate {self._get_learning_rate():.3g}. "
                    "Nothing was learned from them; lower learning_rate, or look at the traces")
        return norm

    def _get_output_dir(self, trial):
        return str(self.checkpoints.folder / PARTIAL)

    def _save_checkpoint(self, model, trial):
        """The Trainer's checkpoint with our state, sealed when every process has written."""
        step = self.state.global_step
        if self.args.should_save:
            folder = self.checkpoints.begin(step)
            write_json(folder / STATE, {
                "records": self.records, "dynamic": self.dynamic.state_dict(),
                "skips_in_a_row": self.skips_in_a_row, "parts": self.clock.seconds()})
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
            raise GivenError(f"{folder.name} holds other adapters than this model ({odd}): "
                             "train anew with fresh=True")
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(stored[name])
        state = json.loads((folder / STATE).read_text(encoding="utf-8"))
        self.records, self.skips_in_a_row = state["records"], state["skips_in_a_row"]
        self.dynamic.load_state_dict(state["dynamic"])
        self.clock.load_parts(state["parts"])
        # The Trainer tells a loader its epoch; one that skips steps may not pass it on.
        self.plan.set_epoch(len(self.records) // len(self.plan))

    def _adapters(self) -> dict[str, torch.nn.Parameter]:
        model = self.accelerator.unwrap_model(self.model)
        return {key: parameter for name in model.router.names
                for key, parameter in adapter_parameters(model, name)}

    def close_step(self, norms: dict[str, float]) -> dict:
        """Write down the step that has just ended.

        norms: length of the step that each adapter took. The columns: total loss (nats
        per token, weighted), learning rate, norm of the gradient before clipping, whether
        the step was skipped (1) or taken (0); per group mean loss (nats per token), tokens,
        accuracy, effective weight (c w); of VERIFY's lines whose two numbers differ, how many and
        in which share the word that says so was the likeliest. What is not finite is None.
        """
        record = {"step": self.state.global_step, "total": self.total,
                  "learning_rate": self.lr_scheduler.get_last_lr()[0],
                  "gradient_norm": self.gradient_norm, "skipped": int(self.skipped)}
        for i, group in enumerate(GROUPS):
            count = self.counts[i]
            record |= {f"{group}_loss": self.sums[i] / count if count else None,
                       f"{group}_tokens": int(count),
                       f"{group}_accuracy": self.correct[i] / count if count else None,
                       f"{group}_weight": self.weights[i] * self.dynamic.multipliers[i]}
        record |= {"objection_tokens": int(self.objections), "objection_accuracy":
                   self.objected / self.objections if self.objections else None}
        record |= {f"{name}_update_norm": norm for name, norm in norms.items()}
        record = {name: value if value is None or math.isfinite(value) else None
                  for name, value in record.items()}
        self.dynamic.update(self.sums, self.counts)
        self.records.append(record)
        return record


class _StepRecord(TrainerCallback):
    """Opens and closes each optimiser step: threads, update norm per adapter, progress bar,
    record."""

    def __init__(self, trainer: StepAwareTrainer, model):
        self.trainer, self.bar = trainer, None
        self.parameters = {name: [p for _, p in adapter_parameters(model, name)]
                           for name in model.router.names}

    def _weights(self) -> dict[str, torch.Tensor]:
        """A copy of each adapter, as one vector."""
        with torch.no_grad():
            return {name: parameters_to_vector(part) for name, part in self.parameters.items()}

    def on_train_begin(self, args, state, control, **kwargs):
        self.before = self._weights()
        others = {} if state.is_world_process_zero else {"disable": True}
        self.bar = progress(total=state.max_steps, initial=state.global_step, desc="tuning",
                            unit="step", mininterval=1, **others)

    def on_step_begin(self, args, state, control, **kwargs):
        self.trainer.threads.begin()

    def on_step_end(self, args, state, control, **kwargs):
        self.trainer.threads.end(sum(self.trainer.counts))
        after = self._weights()
        record = self.trainer.close_step(
            {name: (after[name] - self.before[name]).norm().item() for name in after})
        self.before = after
        if args.report_to:
            self.trainer.log({name: value for name, value in record.items()
                              if value is not None and name != "step"})
        self.bar.update(1)
        self.bar.set_postfix(loss=f"{self.trainer.total:.4f}", refresh=False)

    def on_train_end(self, args, state, control, **kwargs):
        self.bar.close()


def tune(trainer: StepAwareTrainer) -> tuple[list[dict], dict]:
    """Train the adapters from where the training stands.

    Returns the record of every optimiser step, those of earlier sessions too, and a summary
    (steps, tokens, padding share; seconds of all sessions, `finished`: False where
    `max_minutes` stopped it; `steps_by_threads` of this session, see `model.threads`). Raises
    `NonFiniteError` where the loss or the gradient stays without a finite value.
    """
    checkpoint, rows, clock = trainer.training.checkpoint, trainer.rows, trainer.clock
    read = [*chain.from_iterable(row.readings for row in rows)]
    order_sha256 = trainer.plan.sha256()  # of the first epoch
    try:
        trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint.folder))
    finally:
        trainer.threads.rest()
    summary = {"optimiser_steps": trainer.state.global_step,
               "skipped_steps": sum(record["skipped"] for record in trainer.records),
               "processes": trainer.args.world_size, "traces": len(rows),
               "tokens": sum(len(reading.input_ids) for reading in read),
               "supervised_tokens": sum(group != IGNORE for reading in read
                                        for group in reading.groups),
               "padding_share": trainer.plan.padding_share(), "order_sha256": order_sha256,
               "planned_steps": trainer.state.max_steps, "finished": not clock.stopped,
               "resumed": trainer.training.starts - 1, "part_seconds": clock.seconds(),
               "seconds": sum(clock.seconds()),
               "steps_by_threads": {str(count): steps for count, steps in sorted(
                   trainer.threads.steps.items())}}
    return trainer.records, summary


def rebuilt_totals(metrics, normalise: str):
    """The total loss of every step, from the logged parts alone; a pandas Series.

    metrics: the table of `metrics.csv`. If a weight had not reached the loss, this and
    the logged total would differ.
    """
    return metrics.apply(lambda row: combine(
        [row[f"{g}_loss"] * row[f"{g}_tokens"] if row[f"{g}_tokens"] else 0.0 for g in GROUPS],
        [row[f"{g}_tokens"] for g in GROUPS], [row[f"{g}_weight"] for g in GROUPS],
        normalise), axis=1)
