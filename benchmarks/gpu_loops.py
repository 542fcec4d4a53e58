"""Training loops for small models on a GPU, where a step's time is its launches.

Forward and backward of each batch shape are captured once as a CUDA graph and replayed; the
optimiser runs as usual. On a CPU, and where a capture fails, the same function runs as it is.
Batches are padded on the right to a multiple of 32 tokens, which no token before them sees.

All graphs of a process share one pool of memory, so that it holds what the largest of them
needs and not the sum. This has not run on a GPU yet: in the recorded run (`results/gpu.json.gz`)
each shape had a pool of its own, and one base of seven ran out of memory.

`tune_adapters` is `trainer.tune` in one page: the same steps, route, loss, schedule, clipping
and optimiser, float32, no accumulation, no checkpoints. A test holds its losses against it.
"""
from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator

import torch
from torch.nn.functional import cross_entropy

from nanoreason.model.tokens import collate
from nanoreason.stages import GROUPS
from nanoreason.training import route
from nanoreason.training.batches import StepBatches
from nanoreason.training.loss import group_counts
from nanoreason.training.trainer import CLIP, WARMUP_SHARE

SHAPE = 32  # widths are multiples of it


def padded(tensor: torch.Tensor, filler: float) -> torch.Tensor:
    """(B, T) with T a multiple of SHAPE."""
    missing = -tensor.shape[1] % SHAPE
    return torch.nn.functional.pad(tensor, (0, missing), value=filler)


class Replayed:
    """Calls `function(**tensors) -> loss` forward and backward, by CUDA graphs where it can.

    After a call the gradients of `parameters` are those of this batch alone. `captured` counts
    the shapes that have a graph, `fault` says why there is none.
    """

    def __init__(self, function: Callable[..., torch.Tensor], parameters: list, device):
        self.function, self.parameters, self.device = function, parameters, device
        self.graphs: dict = {}
        self.pool = None  # of the first graph, then of all
        self.fault = None if device.type == "cuda" else "no GPU"
        for parameter in parameters:
            parameter.grad = torch.zeros_like(parameter)

    @property
    def captured(self) -> int:
        """How many shapes are replayed."""
        return len(self.graphs)

    def _run(self, tensors: dict) -> torch.Tensor:
        torch._foreach_zero_([parameter.grad for parameter in self.parameters])
        loss = self.function(**tensors)
        loss.backward()
        return loss.detach()

    def _capture(self, tensors: dict) -> tuple:
        static = {name: tensor.to(self.device) for name, tensor in tensors.items()}
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(2):
                self._run(static)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # Graphs run one after the other, nothing between two calls is needed but the loss, and
        # that is copied before the next graph may write over it: so they can share the memory.
        with torch.cuda.graph(graph, pool=self.pool):
            loss = self._run(static)
        self.pool = graph.pool()
        return graph, static, loss

    def __call__(self, **tensors: torch.Tensor) -> torch.Tensor:
        shape = next(iter(tensors.values())).shape
        if self.fault is None and shape not in self.graphs:
            try:
                self.graphs[shape] = self._capture(tensors)
            except Exception as error:  # what a library does in a forward may not be captured
                self.fault = f"{type(error).__name__}: {error}"
                print("no graph:", self.fault, flush=True)
        if shape not in self.graphs:
            return self._run({name: tensor.to(self.device) for name, tensor in tensors.items()})
        graph, static, loss = self.graphs[shape]
        for name, tensor in tensors.items():
            static[name].copy_(tensor, non_blocking=True)
        graph.replay()
        return loss.clone()


def train_model(model, batches: Iterable, recipe: dict, dtype: torch.dtype, pad: int) -> dict:
    """A base on (input_ids, labels) batches by the rule of `nano.pretrain`; its log."""
    device, steps, warmup = model.device, recipe["steps"], recipe["warmup_steps"]
    optimiser = torch.optim.AdamW(model.parameters(), lr=recipe["learning_rate"],
                                  betas=(0.9, 0.98), weight_decay=recipe["weight_decay"],
                                  fused=device.type == "cuda" or None)

    def loss(ids, labels):
        with torch.autocast(device.type, dtype, enabled=dtype != torch.float32,
                            cache_enabled=False):
            places = torch.arange(ids.shape[1], device=ids.device)[None]
            hidden = model.model(input_ids=ids, position_ids=places, use_cache=False,
                                 attention_mask={"full_attention": None}).last_hidden_state
            logits = model.lm_head(hidden[:, :-1])  # (B, T - 1, V)
        return cross_entropy(logits.float().flatten(0, 1), labels[:, 1:].flatten())

    forward, log, recent, tokens = Replayed(loss, list(model.parameters()), device), [], [], 0
    began = time.perf_counter()
    for step, (ids, labels) in enumerate(batches):
        if step == steps:
            break
        for group in optimiser.param_groups:
            group["lr"] = recipe["learning_rate"] * min(
                (step + 1) / warmup, 0.5 * (1 + math.cos(math.pi * step / steps)) + 1e-3)
        tokens += int((ids != pad).sum())
        recent.append(forward(ids=padded(ids, pad), labels=padded(labels, -100)))
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe["clip"])
        optimiser.step()
        if (step + 1) % 50 == 0 or step + 1 == steps:
            log.append((step + 1, round(torch.stack(recent).mean().item(), 5)))
            recent = []
    return {"loss": log, "tokens": tokens, "seconds": time.perf_counter() - began,
            "graphs": forward.captured, "no_graph": forward.fault}


def _batches(rows: list, params, tag: list[int], pad: int) -> Iterator[dict]:
    """Tensors of every step: ids (B, T), weights of each token's loss (B, T), silent (B, T)."""
    plan = StepBatches([len(row) for row in rows], params.batch_size, params.batch_size,
                       10**9, params.seed)
    weights = torch.tensor([getattr(params, f"{group}_weight") for group in GROUPS])
    for step in plan:
        batch = collate([rows[i] for cell in step for i in cell], pad)
        counts = group_counts(batch["input_ids"], batch["groups"])
        share = torch.where(counts > 0, weights / counts.clamp(min=1), 0) / \
            weights[counts > 0].sum()
        groups = batch["groups"]
        weight = torch.where(groups >= 0, share[groups.clamp(min=0)], 0.0)
        yield {"ids": padded(batch["input_ids"], pad), "weight": padded(weight, 0.0),
               "verifies": padded(route(batch["input_ids"], batch["attention_mask"],
                                        batch["prompt_lengths"], tag), False)}


def tune_adapters(model, rows: list, params, tag: list[int], pad: int) -> dict:
    """Both adapters on encoded rows under `switch`, one epoch; losses of all steps."""
    device, router = model.device, model.router
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=params.learning_rate, weight_decay=0.0,
                                  fused=device.type == "cuda" or None)
    steps = -(-len(rows) // params.batch_size)
    warmup = math.ceil(WARMUP_SHARE * steps)

    def loss(ids, weight, verifies):
        acting = {"reasoning": verifies[..., None], "verification": ~verifies[..., None]}
        # `router.full` would ask whether the mask holds anything, which a graph cannot.
        with router._restored((tuple(ids.shape), acting, False)):
            logits = model(input_ids=ids, use_cache=False, attention_mask={
                "full_attention": None}, position_ids=torch.arange(
                    ids.shape[1], device=ids.device)[None]).logits[:, :-1]  # (B, T - 1, V)
        nats = cross_entropy(logits.float().flatten(0, 1), ids[:, 1:].flatten(),
                             reduction="none")
        return (nats * weight[:, 1:].flatten()).sum()

    model.train()
    forward, losses, began = Replayed(loss, parameters, device), [], time.perf_counter()
    for step, batch in enumerate(_batches(rows, params, tag, pad)):
        rate = step / warmup if step < warmup else 0.5 * (1 + math.cos(
            math.pi * (step - warmup) / max(1, steps - warmup)))  # as transformers' cosine
        for group in optimiser.param_groups:
            group["lr"] = params.learning_rate * rate
        losses.append(forward(**batch))
        torch.nn.utils.clip_grad_norm_(parameters, CLIP)
        optimiser.step()
    return {"losses": torch.stack(losses).tolist(), "steps": len(losses),
            "seconds": time.perf_counter() - began, "graphs": forward.captured,
            "no_graph": forward.fault}
