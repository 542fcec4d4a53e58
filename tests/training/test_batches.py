"""The plan of the optimiser steps: what a step holds, how it is cut, who computes it."""
from __future__ import annotations

import random
import statistics

import pytest

from nanoreason.training.batches import MicroBatches, StepBatches, StepLoader
from nanoreason.model.tokens import IGNORE
from nanoreason.model.tokens import Encoded

# Lengths as worked answers to school problems have them: most short, some three times that.
LENGTHS = [int(random.Random(i).lognormvariate(5.7, 0.3)) for i in range(1000)]


def plan(lengths=LENGTHS, batch_size=32, rows=4, tokens=4096, seed=3, **others):
    return StepBatches(lengths, batch_size, rows, tokens, seed, **others)


def rows_of(step):
    return sorted(index for cell in step for index in cell)


@pytest.mark.parametrize("batch_size, rows", [(8, 8), (32, 4), (16, 1), (2000, 4), (7, 7)])
def test_every_row_comes_once_an_epoch_and_steps_are_full(batch_size, rows):
    steps = plan(batch_size=batch_size, rows=rows).steps()
    assert sorted(index for step in steps for index in rows_of(step)) == list(range(1000))
    sizes = sorted(len(rows_of(step)) for step in steps)
    assert sizes[1:] == [batch_size] * (len(sizes) - 1)  # one may be short
    assert len(steps) == len(plan(batch_size=batch_size, rows=rows)) == -(-1000 // batch_size)


def test_the_order_is_that_of_seed_and_epoch_and_of_nothing_else():
    first = plan().steps()
    assert first == plan().steps() != plan(seed=4).steps()
    later = plan()
    later.set_epoch(1)
    assert later.steps() != first
    assert plan(tokens=700).steps() == first == plan(processes=3, rank=1).steps()
    for rows in (1, 3, 32):  # what fits the memory does not change what is learned when
        assert plan(rows=rows).steps() == first
        parts = [part for step in first for part in plan(rows=rows).shares(step)[0]]
        assert sorted(i for part in parts for i in part) == list(range(1000))
        assert max(map(len, parts)) <= rows and (rows == 32 or max(map(len, parts)) == rows)


def test_little_is_padding():
    for batch_size, rows, tokens in ((32, 4, 2048), (16, 4, 4096), (8, 8, 4096)):
        assert plan(batch_size=batch_size, rows=rows, tokens=tokens).padding_share() < 0.05
    order = random.Random(0).sample(range(1000), 1000)
    plain = sum(4 * max(LENGTHS[i] for i in order[start:start + 4]) for start in range(0, 1000, 4))
    assert 1 - sum(LENGTHS) / plain > 0.15  # what unsorted batches would pad


def test_no_step_is_long_as_a_whole():
    """A step of 32 has every length: its mean spreads less than that of a free draw."""
    means = [statistics.mean(LENGTHS[i] for i in rows_of(step)) for step in plan().steps()]
    free = statistics.stdev(LENGTHS) / 32 ** 0.5
    assert statistics.stdev(means) < free
    assert abs(statistics.mean(means) - statistics.mean(LENGTHS)) < free


def test_a_micro_batch_keeps_rows_and_tokens_and_a_long_row_stands_alone():
    small = plan(lengths=[*LENGTHS[:-1], 5000], tokens=1200)
    parts = [part for step in small.steps() for part in small.shares(step)[0]]
    assert all(len(part) <= 4 for part in parts)
    assert all(small.padded(part) <= 1200 or len(part) == 1 for part in parts)
    assert [999] in parts and any(len(part) == 4 for part in parts)


@pytest.mark.parametrize("processes", [2, 3, 5])
def test_the_processes_share_every_step_and_none_is_idle(processes):
    for batch_size, rows in ((32, 4), (8, 8)):
        everything = plan(batch_size=batch_size, rows=rows)
        ranks = [list(plan(batch_size=batch_size, rows=rows, processes=processes, rank=r))
                 for r in range(processes)]
        for step, shares in zip(everything.steps(), zip(*ranks), strict=True):
            assert sorted(i for share in shares for part in share for i in part) == rows_of(step)
            if len(rows_of(step)) == batch_size and batch_size % processes == 0:
                loads = [sum(map(everything.padded, share)) for share in shares]
                assert min(loads) > 0.6 * max(loads)


def test_a_process_without_a_row_takes_two_silent_tokens():
    single = [list(StepBatches([9] * 5, 4, 4, 99, 0, processes=4, rank=r)) for r in range(4)]
    last = min(range(2), key=lambda s: sum(len(part) for rank in single for part in rank[s]))
    assert sorted(rank[last] for rank in single)[:3] == [[[]]] * 3
    silent, = MicroBatches([], pad_id=6)[[]]
    assert silent["input_ids"].tolist() == [[6, 6]]
    assert silent["groups"].tolist() == [[IGNORE] * 2]


def test_the_loader_gives_one_step_at_a_time_and_follows_the_epoch():
    rows = [Encoded([7] * n, [0] * n, 1) for n in range(2, 14)]
    steps = StepBatches([len(row) for row in rows], 4, 2, 99, 0)
    loader = StepLoader(rows, 0, steps)
    for epoch in range(2):
        loader.set_epoch(epoch)
        items = list(loader)
        assert len(items) == 3 and all(len(item) == 2 for item in items)
        for item, parts in zip(items, steps, strict=True):
            for batch, part in zip(item, parts, strict=True):
                assert batch["attention_mask"].sum(1).tolist() == [len(rows[i]) for i in part]


def test_second_readings_stand_in_a_micro_batch_of_their_own():
    second = [Encoded([8] * n, [3] * n, 2) for n in (5, 9)]
    rows = [Encoded([7] * 4, [0] * 4, 1, second[0]), Encoded([7] * 6, [0] * 6, 1),
            Encoded([7] * 3, [0] * 3, 1, second[1])]
    assert [len(row) for row in rows] == [5, 6, 9]
    first, again = MicroBatches(rows, pad_id=0)[[0, 1, 2]]
    assert first["attention_mask"].sum(1).tolist() == [4, 6, 3]
    assert again["attention_mask"].sum(1).tolist() == [5, 9]
    assert again["prompt_lengths"].tolist() == [2, 2]
    steps = StepBatches([len(row) for row in rows], 3, 3, 99, 0)
    (step,) = StepLoader(rows, 0, steps)
    assert [len(batch["input_ids"]) for batch in step] == [3, 2]


def test_what_cannot_be_planned_is_refused():
    with pytest.raises(ValueError, match="batch_size = 2 is less than processes = 3"):
        plan(batch_size=2, rows=1, processes=3)
