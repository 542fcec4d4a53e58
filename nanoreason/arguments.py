"""What the Trainer is told: optimiser, schedule, clipping, precision, processes.

Saving, logging and batches are our own (see `resumable`, `trainer`, `batches`).
"""
from __future__ import annotations

import torch
from transformers import TrainingArguments

from nanoreason.processes import grouped

WARMUP_SHARE = 0.05  # of all optimiser steps
WEIGHT_DECAY = 0.0
CLIP = 1.0  # largest norm of the whole gradient
OPTIMISERS = {"adamw": "adamw_torch_fused", "adamw_8bit": "adamw_8bit"}


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
