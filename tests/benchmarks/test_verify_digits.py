"""What the benchmark of VERIFY by digits learns from."""
from __future__ import annotations

import re
from dataclasses import replace

import verify_digits

from nanoreason.data.prepare import prepare
from nanoreason.data.procedural import SCALE, hash_split
from nanoreason.data.verify_lines import stated
from nanoreason.trace import parse_trace


def test_larger_numbers_are_of_the_train_part_and_half_of_them_have_an_error():
    records = list(verify_digits.larger(40, 3))
    assert records == list(verify_digits.larger(40, 3)) != list(verify_digits.larger(40, 4))
    assert all(hash_split(record["question"]) == "train" for record in records)
    assert 15 <= sum(record["planted"] is not None for record in records) <= 20
    numbers = [int(n) for record in records for n in re.findall(r"\d+", record["question"])]
    assert max(numbers) > 2 * SCALE.largest


def test_execute_by_digits_is_the_same_solution():
    for record in prepare("procedural", total=20, error_share=0.0, seed=2):
        digits = verify_digits.by_digits(record)
        plain, trace = (parse_trace(one["trace"]) for one in (record, digits))
        assert [line.rpartition(";")[2] for line in trace.execute] == list(plain.execute)
        assert all(stated(line)[0] for line in trace.execute)
        assert replace(trace, execute=plain.execute) == plain
