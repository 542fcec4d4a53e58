"""Tuning the two adapters: transformers' Trainer under the step-aware loss.

What is ours stands here in full: which token counts with which weight, which adapter
sees it, and what is written down of each step. Everything else (optimiser, schedule,
clipping, accumulation, processes) is the Trainer's.

The logged total is rebuilt from the logged parts: total = sum(c w l) / sum(c w) over the
groups that are present, with `normalise = "stage"`; `effective_weights` are c w.
"""
from __future__ import annotations

import time

import torch
from tqdm.auto import tqdm
from transformers import Trainer, TrainerCallback, TrainingArguments, set_seed

from nanoreason.batches import LengthBatches
from nanoreason.dynamic_weights import DynamicWeights
from nanoreason.loss import (GROUPS, IGNORE, combine, group_counts, last_hidden,
                             step_aware_loss_from_hidden)
from nanoreason.routing import adapter_parameters, route
from nanoreason.tokens import Encoded, collate, tag_ids

WARMUP_SHARE = 0.05  # of all optimiser steps
WEIGHT_DECAY = 0.0
CLIP = 1.0  # largest norm of the whole gradient


def accumulation(params) -> int:
    """Micro-batches in an optimiser step.

    Raises `ValueError` unless they add up to `batch_size` exactly: an ablation must not
    change the batch in silence.
    """
    if params.batch_size % params.micro_batch_size:
        raise ValueError(f"batch_size = {params.batch_size} is no multiple of micro_batch_size "
                         f"= {params.micro_batch_size}")
    return params.batch_size // params.micro_batch_size


def for_phase(row: Encoded, phase: str, tag: list[int]) -> Encoded:
    """The row with the loss groups that a phase learns.

    joint: all. reasoning: nothing after the VERIFY tag. verification: nothing before its
    end. A row without the tag is all reasoning.
    """
    if phase == "joint":
        return row
    ids, width = row.input_ids, len(tag)
    switch = next((i + width for i in range(row.prompt_length, len(ids) - width + 1)
                   if ids[i:i + width] == tag), len(ids))
    before = phase == "reasoning"
    groups = [group if (i < switch) == before else IGNORE
              for i, group in enumerate(row.groups)]
    return Encoded(ids, groups, row.prompt_length)


class StepAwareTrainer(Trainer):
    """The Trainer with our batches, our loss, and a record of every optimiser step."""

    # Each micro-batch already contributes its share of the whole step.
    loss_is_scaled_for_ga = True

    def __init__(self, *args, rows, weights, normalise, dynamic, tag, pad_id, **kwargs):
        self.rows, self.weights, self.normalise = rows, list(weights), normalise
        self.tag, self.pad_id = tag, pad_id
        self.dynamic, self.gradient_norm = DynamicWeights(dynamic), None
        self.records: list[dict] = []
        self._clear()
        super().__init__(*args, train_dataset=rows, **kwargs)
        self.router = self.accelerator.unwrap_model(self.model).router

    def _clear(self) -> None:
        self.sums = torch.zeros(3, len(GROUPS), dtype=torch.float64)  # loss, correct, count
        self.total = 0.0

    def get_train_dataloader(self):
        """Batches of similar length, padded to their longest row."""
        sampler = LengthBatches([len(row) for row in self.rows], self._train_batch_size,
                                self.args.seed)
        loader = torch.utils.data.DataLoader(
            self.rows, batch_sampler=sampler,
            collate_fn=lambda rows: collate(rows, self.pad_id))
        return self.accelerator.prepare(loader)

    def get_batch_samples(self, epoch_iterator, num_batches, device):
        """The micro-batches of one step, and N_s over all of them and all processes."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        counts = sum(group_counts(batch["input_ids"], batch["groups"]) for batch in batches)
        if torch.is_tensor(counts):
            counts = self.accelerator.reduce(counts.to(device), "sum")
        return batches, counts

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """This micro-batch's share of the step's loss; its parts go into the record."""
        mask = route(inputs["input_ids"], inputs["attention_mask"], inputs["prompt_lengths"],
                     self.tag, self.router.routing)
        head = self.accelerator.unwrap_model(model).get_output_embeddings()
        # Padding is on the right, where no token looks: without its mask, attention is
        # plainly causal, which every backend has its fastest kernel for.
        with self.router.full(mask):
            hidden = last_hidden(model, input_ids=inputs["input_ids"])
        result = step_aware_loss_from_hidden(
            hidden, head, inputs["input_ids"], inputs["groups"], self.weights,
            self.normalise, counts=num_items_in_batch, multipliers=self.dynamic.multipliers,
            processes=self.accelerator.num_processes)
        self.sums += torch.stack([result.sums, result.correct, result.counts]
                                 ).to("cpu", torch.float64)
        self.total += result.total.item() / self.accelerator.num_processes
        return (result.total, None) if return_outputs else result.total

    def _clip_grad_norm(self, model):
        norm = super()._clip_grad_norm(model)
        self.gradient_norm = float(norm)  # before clipping
        return norm

    def close_step(self, norms: dict[str, float]) -> dict:
        """Write down the step that has just ended, and start the next one.

        norms: length of the step that each adapter took. The columns: total loss (nats
        per token, weighted), learning rate, norm of the gradient before clipping; per group
        mean loss (nats per token), tokens, accuracy, effective weight (c w).
        """
        loss, correct, count = self.accelerator.reduce(
            self.sums.to(self.args.device, torch.float32), "sum").cpu().tolist()
        record = {"step": self.state.global_step, "total": self.total,
                  "learning_rate": self.lr_scheduler.get_last_lr()[0],
                  "gradient_norm": self.gradient_norm}
        for i, group in enumerate(GROUPS):
            record |= {f"{group}_loss": loss[i] / count[i] if count[i] else None,
                       f"{group}_tokens": int(count[i]),
                       f"{group}_accuracy": correct[i] / count[i] if count[i] else None,
                       f"{group}_weight": self.weights[i] * self.dynamic.multipliers[i]}
        record |= {f"{name}_update_norm": norm for name, norm in norms.items()}
        self.dynamic.update(loss, count)
        self.records.append(record)
        self._clear()
        return record


class _StepRecord(TrainerCallback):
    """Closes each optimiser step: update norm per adapter, progress bar, record."""

    def __init__(self, model):
        self.parameters = {name: [p for _, p in adapter_parameters(model, name)]
                           for name in model.router.names}
        self.before: dict[str, list[torch.Tensor]] = {}
        self.trainer: StepAwareTrainer | None = None
        self.bar = None

    def on_train_begin(self, args, state, control, **kwargs):
        self.bar = tqdm(total=state.max_steps, desc="tuning", unit="step")

    def on_pre_optimizer_step(self, args, state, control, **kwargs):
        self.before = {name: [p.detach().clone() for p in part]
                       for name, part in self.parameters.items()}

    def on_step_end(self, args, state, control, **kwargs):
        norms = {name: torch.stack([(p.detach() - old).norm() for p, old in
                                    zip(part, self.before[name])]).norm().item()
                 for name, part in self.parameters.items()}
        record = self.trainer.close_step(norms)
        self.bar.update(1)
        self.bar.set_postfix(loss=f"{record['total']:.4f}", refresh=False)

    def on_train_end(self, args, state, control, **kwargs):
        self.bar.close()


def tune(model, tokenizer, rows: list[Encoded], params, folder) -> tuple[list[dict], dict]:
    """Train the adapters of `model` on encoded rows.

    params: a `TrainParams`. folder: for the Trainer's own files. Returns the record of
    every optimiser step and a summary (steps, tokens, padding share, seconds). Raises
    `ValueError` if there is no row to train on.
    """
    if not rows:
        raise ValueError("there is no trace to train on: every one was longer than "
                         f"max_length = {params.max_length} tokens, or the data is empty")
    set_seed(params.seed)
    tag = tag_ids(tokenizer)
    rows = [for_phase(row, params.phase, tag) for row in rows]
    if params.phase == "verification":
        for _, parameter in adapter_parameters(model, "reasoning"):
            parameter.requires_grad_(False)
    arguments = TrainingArguments(
        output_dir=str(folder), per_device_train_batch_size=params.micro_batch_size,
        gradient_accumulation_steps=accumulation(params), num_train_epochs=params.epochs,
        learning_rate=params.learning_rate, lr_scheduler_type="cosine",
        warmup_steps=WARMUP_SHARE, weight_decay=WEIGHT_DECAY,
        max_grad_norm=CLIP, seed=params.seed, data_seed=params.seed,
        use_cpu=model.device.type == "cpu", save_strategy="no", logging_strategy="no",
        report_to="none", disable_tqdm=True, remove_unused_columns=False,
        dataloader_pin_memory=False, optim="adamw_torch",
        fp16=model.dtype == torch.float16, bf16=model.dtype == torch.bfloat16)
    # One process uses one GPU; the Trainer would else wrap the model in DataParallel.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    callback = _StepRecord(model)
    trainer = StepAwareTrainer(
        model=model, args=arguments, rows=rows,
        weights=[getattr(params, f"{group}_weight") for group in GROUPS],
        normalise=params.normalise, dynamic=params.dynamic, tag=tag,
        pad_id=tokenizer.pad_token_id, callbacks=[callback])
    callback.trainer = trainer
    began = time.perf_counter()
    trainer.train()
    sampler = LengthBatches([len(row) for row in rows], params.micro_batch_size, params.seed)
    supervised = sum(group != IGNORE for row in rows for group in row.groups)
    summary = {"optimiser_steps": trainer.state.global_step, "traces": len(rows),
               "tokens": sum(map(len, rows)), "supervised_tokens": supervised,
               "padding_share": sampler.padding_share(),
               "seconds": time.perf_counter() - began}
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
