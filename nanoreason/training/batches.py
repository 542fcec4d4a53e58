"""The batches of training: a plan of every optimiser step, and what it will take.

A step is `batch_size` traces, over all processes. They are drawn so that nearly nothing is
padding and no step is short or long as a whole: the shuffled traces are sorted by length
within blocks of sixteen steps and cut into cells of about four rows (a batch of eight or
less is one cell); the cells of a block fall into as many strata as a step has cells, and
each step takes one cell of every stratum, at random. The traces that fill no step form one
of their own, drawn at random.
(With one cell a step, a step is traces of one length; each still comes once an epoch.)

Which traces make a step depends on the lengths, the batch size, the seed and the epoch
alone, so ablations of the same data, and any number of processes, see the same steps. Only
then is a step cut into micro-batches, of at most `micro_batch_size` rows and
`micro_batch_tokens` padded tokens, and these are dealt out to the processes, which may end
up with unequal numbers of them.

What a training will take is said before its first step. The minutes come from a few
micro-batches of its own plan, forward and backward; the adapters, the random state and so
the run's result stay what they are without it.

Left out on purpose: packing several traces into one row, which needs an attention kernel
that keeps them apart; in the forecast the time of loading, of the optimiser itself and of
later evaluation.
"""
from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from functools import partial
from itertools import chain

import torch

from nanoreason.environment import GIB
from nanoreason.host import GivenError
from nanoreason.model.adapters import adapter_parameters
from nanoreason.model.base import BASES, Location
from nanoreason.model.tokens import IGNORE, Encoded, collate
from nanoreason.training.loss import CHUNK_LOGITS, group_counts

BLOCK = 16  # steps whose traces are sorted together
CELL = 4  # rows of like length that stay together, or the divisor of a batch next to it
# Micro-batches at most for each number of threads; of a short training a tenth, two at least.
WARM_UP = 4  # the first is not timed
MicroBatch = list[int]  # indices of rows


class StepBatches(torch.utils.data.Sampler):
    """Yields one process's micro-batches, lists of row indices, of each optimiser step.

    lengths: tokens of each row. batch_size: rows of a step over all processes.
    micro_batch_size: rows of a micro-batch at most. micro_batch_tokens: its rows times its
    longest row at most; a single longer row is a micro-batch of its own. Where a step has
    fewer rows than there are processes, those without a row get one empty micro-batch.
    Raises ValueError for fewer rows than processes.
    """

    def __init__(self, lengths: list[int], batch_size: int, micro_batch_size: int,
                 micro_batch_tokens: int, seed: int, processes: int = 1, rank: int = 0):
        if batch_size < processes:
            raise GivenError(f"batch_size = {batch_size} is less than processes = {processes}; "
                             "each process needs a trace in every step")
        self.lengths = lengths
        self.batch_size = batch_size
        self.rows = micro_batch_size
        near = CELL if batch_size > 2 * CELL else batch_size
        self.cell = min((size for size in range(1, batch_size + 1) if not batch_size % size),
                        key=lambda size: max(size / near, near / size))
        self.tokens = micro_batch_tokens
        self.seed = seed
        self.processes, self.rank = processes, rank
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Every epoch has an order of its own."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[MicroBatch]]:
        for step in self.steps():
            yield self.shares(step)[self.rank]

    def steps(self) -> list[list[MicroBatch]]:
        """The cells of every step of this epoch, in order; together all rows, each once."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)

        def shuffled(count: int) -> list[int]:
            return torch.randperm(count, generator=generator).tolist()

        order, steps = shuffled(len(self.lengths)), []
        whole = len(order) - len(order) % self.batch_size
        for start in range(0, whole, BLOCK * self.batch_size):
            cells = self._cells(order[start:min(start + BLOCK * self.batch_size, whole)])
            count = len(cells) * self.cell // self.batch_size  # steps of this block
            strata = [cells[i:i + count] for i in range(0, len(cells), count)]
            for stratum in strata[1:]:  # the first may stay: the steps are shuffled below
                stratum[:] = [stratum[i] for i in shuffled(count)]
            steps += [list(step) for step in zip(*strata)]
        if whole < len(order):
            steps.append(self._cells(order[whole:]))
        return [steps[i] for i in shuffled(len(steps))]

    def sha256(self) -> str:
        """Hexadecimal sha256 of this epoch's steps: which rows, in which order."""
        return hashlib.sha256(repr(self.steps()).encode()).hexdigest()

    def shares(self, step: list[MicroBatch]) -> list[list[MicroBatch]]:
        """The micro-batches of each process, in order of its rank, longest first.

        step: the cells of one step. Its rows are cut by length, so that no process has
        nothing to do. Dealt by padded tokens, the largest first.
        """
        rows = sorted((i for cell in step for i in cell), key=lambda i: self.lengths[i])
        parts = self._cut(rows, min(self.rows, -(-len(rows) // self.processes)))
        shares: list[list[MicroBatch]] = [[] for _ in range(self.processes)]
        loads = [0] * self.processes
        for part in sorted(parts, key=self.padded, reverse=True):
            least = loads.index(min(loads))
            shares[least].append(part)
            loads[least] += self.padded(part)
        return [share or [[]] for share in shares]

    def padded(self, rows: MicroBatch) -> int:
        """Positions of a micro-batch: its rows times its longest row."""
        return len(rows) * max((self.lengths[i] for i in rows), default=0)

    def padding_share(self) -> float:
        """Padding positions / all positions over this epoch and all processes."""
        padded = sum(self.padded(part) for step in self.steps()
                     for share in self.shares(step) for part in share)
        return 1 - sum(self.lengths) / padded

    def _cells(self, rows: list[int]) -> list[MicroBatch]:
        ordered = sorted(rows, key=lambda i: self.lengths[i])
        return [ordered[i:i + self.cell] for i in range(0, len(ordered), self.cell)]

    def _cut(self, rows: MicroBatch, most: int) -> list[MicroBatch]:
        parts: list[MicroBatch] = []
        for index in rows:  # in order of length: the new row is the longest
            if parts and len(parts[-1]) < most \
                    and self.lengths[index] * (len(parts[-1]) + 1) <= self.tokens:
                parts[-1].append(index)
            else:
                parts.append([index])
        return parts


class MicroBatches(torch.utils.data.Dataset):
    """Rows by micro-batch: indexed with a list of row indices, gives lists of collated
    tensors, one of the rows and, where some have one, one of their second readings.

    An empty list gives two tokens without loss: what a process computes, to take part in
    the exchange of gradients, where a step has no row for it.
    """

    def __init__(self, rows: list[Encoded], pad_id: int):
        self.rows, self.pad_id = rows, pad_id

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, indices: MicroBatch) -> list[dict[str, torch.Tensor]]:
        rows = [self.rows[i] for i in indices] or [Encoded([self.pad_id] * 2, [IGNORE] * 2, 2)]
        second = [row.second for row in rows if row.second]
        return [collate(part, self.pad_id) for part in (rows, second) if part]


class StepLoader(torch.utils.data.DataLoader):
    """One item per optimiser step: the list of this process's collated micro-batches."""

    def __init__(self, rows: list[Encoded], pad_id: int, plan: StepBatches):
        super().__init__(MicroBatches(rows, pad_id), batch_sampler=plan,
                         collate_fn=lambda parts: [*chain.from_iterable(parts)])

    def set_epoch(self, epoch: int) -> None:
        """The Trainer's word for it; reaches the plan."""
        self.batch_sampler.set_epoch(epoch)


def download_text(base: Location) -> str:
    """One line: what the base still has to be fetched for."""
    if base.source != "hub":
        return f"download: nothing, the base comes from the {base.source}"
    size = BASES.get(base.base, {}).get("gigabytes")
    what = f"about {size:.1f} GB" if size else "its size is not known here"
    return f"download: {what} for {base.base}, unless the hub's cache holds it already"


def memory_parts(model, params, longest: int) -> dict[str, int]:
    """Estimated bytes on one device: base, adapters, optimiser, activations.

    adapters: float32 weights and gradients. optimiser: two moments of each number, one byte
    each with adamw_8bit. activations: what a micro-batch keeps for backward (with gradient
    checkpointing a width a layer, and one layer whole), with one chunk of logits. longest:
    tokens of the longest row.

    Of a layer and token backward keeps: the inputs of both norms, in float32; queries, keys,
    values and what attention comes to; gate, its SiLU and up; and what the adapters of its
    seven maps read and make. In half precision each adapter that acts has a copy of its own of
    what a map reads; in float32 they share it, and without dropout maps that read the same do.
    Dropout keeps a mask of each map's input, a byte on a GPU and a float32 on a CPU.
    """
    trained = sum(p.numel() for name in model.router.names
                  for _, p in adapter_parameters(model, name))
    every = sum(p.numel() * p.element_size() for p in model.parameters())
    config, layers, size = model.config, model.config.num_hidden_layers, model.dtype.itemsize
    hidden, inner = config.hidden_size, config.intermediate_size
    keys = hidden // config.num_attention_heads * config.num_key_value_heads
    acting = 2 if model.router.routing in ("switch", "stack") else 1  # in one forward
    mask = bool(params.dropout) * (4 if model.device.type == "cpu" else 1)
    read = (6 * hidden + inner) * (mask + (4 if size == 4 else size * acting))
    if size == 4 and not mask:
        read = 4 * (2 * hidden + inner)
    layer = 8 * hidden + read + size * (2 * hidden + 2 * keys + 3 * inner
                                        + 7 * acting * params.rank)
    tokens = max(longest, min(params.micro_batch_tokens, params.micro_batch_size * longest))
    kept = layers * hidden * size + layer if params.gradient_checkpointing else layers * layer
    copies = trained * (size if size < 4 else 4 * params.unpack)  # of the adapters, in products
    logits = min(tokens * config.vocab_size, CHUNK_LOGITS)
    return {"base": every - 4 * trained, "adapters": 8 * trained,
            "optimiser": trained * (2 if params.optimiser == "adamw_8bit" else 8),
            "activations": tokens * kept + copies + 3 * 4 * logits}


def seconds_per_token(trainer, batches: list[MicroBatch]) -> float:
    """Seconds of forward and backward for one padded token, over micro-batches of the rows.

    The first batch is not timed. Gradients are dropped; the mode and the state of every
    random generator that training draws from are put back.
    """
    model, tokens, seconds = trainer.model, 0, 0.0
    training, data = model.training, MicroBatches(trainer.rows, trainer.pad_id)
    with torch.random.fork_rng([model.device] if model.device.type == "cuda" else []):
        for number, indices in enumerate(batches):
            parts, began = data[indices], time.perf_counter()
            counts = sum(group_counts(part["input_ids"], part["groups"]) for part in parts)
            trainer.training_step(model, parts, counts)  # ends when the device has
            if number:
                seconds += time.perf_counter() - began
                tokens += sum(part["input_ids"].numel() for part in parts)
    model.train(training)
    model.zero_grad()
    return seconds / tokens


def forecast_text(trainer, params) -> str:
    """Three lines: memory a device, tokens of the data, minutes of training.

    trainer: a `StepAwareTrainer` before its first step; of a group every process measures,
    at the same time, as they will train. params: a `TrainParams`.
    """
    rows, plan, processes = trainer.rows, trainer.plan, trainer.args.world_size
    parts = memory_parts(trainer.model, params, max(map(len, rows)))
    listed = ", ".join(f"{name} {size / GIB:.2f}" for name, size in parts.items())
    tokens = sum(len(reading.input_ids) for row in rows for reading in row.readings)
    lines = [f"memory{' of each device' if processes > 1 else ''}: about "
             f"{sum(parts.values()) / GIB:.2f} GiB ({listed}), and the program's own",
             f"tokens: {tokens} in {len(rows)} traces, {params.epochs} times"]
    steps = plan.steps()
    first = [part for step in steps[:WARM_UP] for part in plan.shares(step)[0] if part]
    if len(first) < 2:
        return "\n".join(lines + ["time: too few traces to measure it on"])
    tenth = params.epochs * len(steps) * len(plan.shares(steps[0])[0]) // 10
    measured = first[:max(2, min(WARM_UP, tenth))]
    each = trainer.threads.fastest(partial(seconds_per_token, trainer, measured))
    minutes = tokens / (1 - plan.padding_share()) * params.epochs * each / processes / 60
    return "\n".join(lines + [f"time: about {minutes:.1f} minutes of training, at "
                              f"{1 / each:.0f} tokens a second and process"])
