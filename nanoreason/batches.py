"""Training batches of similar length, in a seeded order.

Rows are shuffled, sorted by length within blocks of sixteen batches, cut into batches and
shuffled again: next to no padding, and an order that depends on the lengths, the batch
size, the seed and the epoch alone, so that ablations of the same data see it the same way.
"""
from __future__ import annotations

from collections.abc import Iterator

import torch

BLOCK = 16  # batches that are sorted together


class LengthBatches(torch.utils.data.Sampler):
    """Yields lists of row indices. lengths: tokens of each row; batch_size: rows a batch."""

    def __init__(self, lengths: list[int], batch_size: int, seed: int):
        self.lengths = lengths
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Every epoch has an order of its own."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(len(self.lengths), generator=generator).tolist()
        block = BLOCK * self.batch_size
        batches = []
        for start in range(0, len(order), block):
            rows = sorted(order[start:start + block], key=lambda i: self.lengths[i])
            batches += [rows[i:i + self.batch_size]
                        for i in range(0, len(rows), self.batch_size)]
        for index in torch.randperm(len(batches), generator=generator).tolist():
            yield batches[index]

    def padding_share(self) -> float:
        """Padding positions / all positions over one epoch."""
        real = padded = 0
        for batch in self:
            lengths = [self.lengths[i] for i in batch]
            real += sum(lengths)
            padded += max(lengths) * len(lengths)
        return 1 - real / padded
