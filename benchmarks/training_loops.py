"""The training loops that are compared: one function each, from rows to seconds.

All train LoRA adapters of the same size on the same rows: rank, alpha and dropout of the
original study's recipe on all linear maps of the blocks, AdamW, gradients clipped at 1.

- ours: `trainer.tune`, two adapters, switched.
- the original's style, written here after its description: one adapter, one sample at a
  time, four to an optimiser step; the logits of all positions, and five cross-entropies of
  them with label smoothing, one of each stage and one of everything, padding left out. A
  stage's mean is over its own tokens; the sum of the four is what is learned from.
- TRL's `SFTTrainer`: one adapter, batches by length, the question without loss.
"""
from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from torch.nn.functional import cross_entropy

from nanoreason.training.checkpoints import Checkpoints
from nanoreason.environment import choose_dtype
from nanoreason.params import TrainParams
from nanoreason.training import attach_adapters
from nanoreason.runs import Run
from nanoreason.stages import Stage
from nanoreason.training.resume import TrainingState
from nanoreason.model.tokens import Encoded
from nanoreason.training.trainer import StepAwareTrainer, tune
from nanoreason.model.adapters import dequantized

RANK, ALPHA, DROPOUT, RATE = 16, 32, 0.05, 1e-4
ACCUMULATED = 4  # samples in an optimiser step of the original
PADDED = 1024  # tokens that it pads every sample to
STAGE_WEIGHTS = (0.2, 0.3, 0.3, 0.2)  # its effective ones, see README
SMOOTHING, DECAY, CLIP = 0.1, 0.01, 1.0
Loop = Callable[[list[Encoded]], float]  # trains on rows, returns seconds


def plain_adapter(model):
    """The model with one LoRA adapter, PEFT's own, nothing routed."""
    return get_peft_model(model, LoraConfig(
        r=RANK, lora_alpha=ALPHA, lora_dropout=DROPOUT, target_modules="all-linear",
        task_type="CAUSAL_LM"))


def our_params(job: dict) -> TrainParams:
    """What ours trains with; `job` sets the batch, its profile what is not named here."""
    return TrainParams(profile=job.get("profile", "smollm2"), base=job["base"],
                       quantisation="none", rank=RANK, alpha=float(ALPHA), dropout=DROPOUT,
                       learning_rate=RATE, epochs=1,
                       batch_size=job["batch_size"], micro_batch_size=job["micro_batch_size"],
                       micro_batch_tokens=job["micro_batch_tokens"],
                       gradient_checkpointing=False, seed=job["seed"])


def ours(model, tokenizer, job: dict, folder: Path) -> Loop:
    """The package's own training; making its Trainer is timed with it."""
    params = our_params(job)
    model = attach_adapters(model, params.rank, params.alpha, params.dropout, params.seed,
                            params.routing)
    state = TrainingState(Run(folder), Checkpoints(folder, {}, params.checkpoint_gigabytes))

    def train(rows: list[Encoded]) -> float:
        with dequantized(model) if params.unpack else nullcontext():
            trainer = StepAwareTrainer(model, tokenizer, rows, params, state, time.monotonic())
            return tune(trainer)[1]["seconds"]

    return train


def original(model, tokenizer, job: dict, width: Callable[[list[Encoded], Encoded], int]) -> Loop:
    """The original's loop. width: tokens that a row is padded to, of all rows and itself."""
    model = plain_adapter(model).train()
    model.config.use_cache = False
    parameters = [p for p in model.parameters() if p.requires_grad]
    half = choose_dtype(model.device)[0]

    def train(rows: list[Encoded]) -> float:
        optimiser = torch.optim.AdamW(parameters, lr=RATE, weight_decay=DECAY)
        began = time.perf_counter()
        for number, row in enumerate(rows, 1):
            ids, mask, groups = (torch.full((1, width(rows, row)), filler, device=model.device)
                                 for filler in (tokenizer.pad_token_id, 0, -1))
            ids[0, :len(row)] = torch.tensor(row.input_ids)
            mask[0, :len(row)], groups[0, :len(row)] = 1, torch.tensor(row.groups)
            with torch.autocast(model.device.type, half, enabled=half != torch.float32):
                logits = model(input_ids=ids, attention_mask=mask).logits
            loss = original_loss(logits, ids, mask, groups)
            (loss / ACCUMULATED).backward()
            if number % ACCUMULATED == 0 or number == len(rows):
                torch.nn.utils.clip_grad_norm_(parameters, CLIP)
                optimiser.step()
                optimiser.zero_grad()
        return time.perf_counter() - began

    return train


def original_loss(logits, ids, mask, groups):
    """Weighted sum of four stage losses, nats per token of the stage; one more is logged.

    logits: (1, T, V). ids, mask, groups: (1, T). A stage without a token counts for nothing.
    """
    logits, targets = logits[0, :-1].float(), ids[0, 1:]  # (T - 1, V), (T - 1,)
    wanted = [groups[0, 1:] == place for place in range(len(Stage))] + [mask[0, 1:] == 1]
    losses = [cross_entropy(logits, targets.masked_fill(~here, -100), reduction="sum",
                            label_smoothing=SMOOTHING) / here.sum().clamp(min=1)
              for here in wanted]
    total = losses.pop().item()
    if not total < float("inf"):
        raise ValueError(f"the loss of everything is {total}: the comparison is worthless")
    return sum(weight * loss for weight, loss in zip(STAGE_WEIGHTS, losses))


def trl(model, tokenizer, job: dict, folder: Path) -> Loop:
    """TRL's supervised fine-tuning with the settings that fit best.

    The same batch, of micro-batches that its sampler groups by length; no checkpointing,
    since memory suffices. Its head makes log-probabilities in tiles, under PEFT too, and
    never whole logits. Its packing is left off: it is exact under FlashAttention alone.
    """
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    model = plain_adapter(model)
    config = SFTConfig(
        output_dir=str(folder), per_device_train_batch_size=job["trl_rows"],
        gradient_accumulation_steps=job["batch_size"] // job["trl_rows"],
        train_sampling_strategy="group_by_length", max_length=PADDED, packing=False,
        completion_only_loss=True, gradient_checkpointing=False, num_train_epochs=1,
        learning_rate=RATE, weight_decay=DECAY, max_grad_norm=CLIP, seed=job["seed"],
        lr_scheduler_type="cosine", optim="adamw_torch", save_strategy="no",
        logging_strategy="no", report_to="none", disable_tqdm=True, dataloader_pin_memory=False,
        use_cpu=model.device.type == "cpu", bf16=choose_dtype(model.device)[0] == torch.bfloat16)

    def train(rows: list[Encoded]) -> float:
        data = Dataset.from_list([
            {"input_ids": row.input_ids,
             "completion_mask": [int(place >= row.prompt_length) for place in range(len(row))]}
            for row in rows])
        trainer = SFTTrainer(model=model, args=config, train_dataset=data,
                             processing_class=tokenizer)
        began = time.perf_counter()
        trainer.train()
        return time.perf_counter() - began

    return train
