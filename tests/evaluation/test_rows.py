"""Rows that other programs wrote: what cannot be scored is left out by name, nothing stops."""
from __future__ import annotations

import random
from copy import deepcopy

import pytest
from synthetic import row

from nanoreason.evaluation import accuracy, faithfulness, ledger, self_verification
from nanoreason.evaluation.rows import ScoredRow, compact_row, read_rows
from nanoreason.runs import row_fault

INTERVENED = row(setting="intervened", intervention={"step": 1, "old": "21", "new": "26"},
                 parent_sample=0, execute="1. 12 + 9 = 26\n2. 26 - 5 = 21", a1="21")
INJECTED = row(setting="injected", planted={"step": 1, "kind": "copying_slip", "origin": "x"})
COMPACT = compact_row(row(), edge_f1=1.0, edge_f1_null=0.5, dead_steps=(0, 2))
VALUES = [None, True, 0, -1, 1.5, 10**5000, float("nan"), float("inf"), "", "x", "\0", "\ud800",
          "9" * 5000, f"step {'9' * 5000} is wrong", "[" * 10_000, "1/0", b"x", [], [1], ["a"],
          [None], ("a", "b"), {}, {"step": 1}, {"step": "1"}, {"step": 10**5000}, {1: 2},
          {"step": 1, "old": "x", "new": "y"}, {"step": -1, "kind": []}, object()]


def fields(record):
    """The places of a row: (mapping's name or None, field)."""
    yield from ((None, name) for name in (*record, "scores", "split", "id", "sample"))
    yield from ((name, inner) for name, part in record.items() if isinstance(part, dict)
                for inner in part)


GOOD = [row(problem="good")]
ALL = accuracy, self_verification, faithfulness, ledger
# A row, rows that stand beside it, and the scores that take its setting.
KINDS = {
    "natural": (row(), GOOD, ALL), "without its text": (COMPACT, GOOD, ALL),
    "intervened": (INTERVENED, [row(), *GOOD], [faithfulness]),
    "injected": (INJECTED, [INJECTED | {"problem_id": "good"},
                            row(setting="clean", problem="good")], [self_verification, ledger])}


def mutants(record):
    """The row with each of its fields set to each of the values, or gone."""
    for outer, name in dict.fromkeys(fields(record)):
        for value in [*VALUES, "gone"]:
            changed = deepcopy(record)
            place = changed[outer] if outer else changed
            place[name] = value
            if value == "gone":
                del place[name]
            yield changed


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_with_a_field_of_a_wrong_type_is_left_out_under_a_reason(kind):
    """By every score function, which scores what stands beside it as if it were alone."""
    record, beside, scores = KINDS[kind]
    every, alone = list(mutants(record)), [score(beside) for score in scores]
    for changed in random.Random(0).sample(every, 120):
        fault = row_fault(changed, whole=False)
        for score, expected in zip(scores, alone):
            report = score([*beside, changed])
            assert report.n >= expected.n
            if fault:
                assert report.n == expected.n and fault in report.left_out, changed
                assert len(fault) < 300 and "\n" not in fault
    faults = sum(row_fault(changed, whole=False) is not None for changed in every)
    assert len(every) > 300 and faults > len(every) / 3


@pytest.mark.parametrize("changes, reason", [
    ({"gold": [16]}, "gold of the wrong type"), ({"gold": True}, "gold of the wrong type"),
    ({"text": 7}, "text of the wrong type"), ({"text": "\ud83d"}, "text of the wrong type"),
    ({"question": None}, "question of the wrong type"),
    ({"teachers": "one text"}, "teachers of the wrong type"),
    ({"teachers": [None]}, "teachers of the wrong type"),
    ({"planted": "step 2"}, "planted of the wrong type"),
    ({"planted": {"step": "2"}}, "planted of the wrong type"),
    ({"sample": 1.5}, "sample of the wrong type"), ({"problem_id": {}}, "problem_id of the wrong"),
    ({"setting": ["natural"]}, "setting ['natural'] is none of natural"),
    ({"sure": "no"}, "sure of the wrong type"), ({"cut": 1}, "cut of the wrong type"),
    ({"gold": " "}, "no gold answer"),
    ({"text": None}, "no field a1, v, a2"),
])
def test_the_reason_names_the_field(changes, reason):
    report = accuracy([row(), row(problem="q") | changes])
    (found, names), = report.left_out.items()
    assert report.n == 1 and found.startswith(reason) and len(names) == 1


def test_an_intervention_that_cannot_be_judged_is_named():
    for change, lacks in ((None, "its change"), ({"step": 1, "old": "21", "new": "x"},
                                                 "dependents")):
        report = faithfulness([row(), INTERVENED | {"intervention": change}])
        assert report.left_out == {f"intervention without {lacks}": ("p/0/intervened",)}


def test_numbers_are_answers_and_names_and_what_is_no_row_is_named():
    assert accuracy([row(gold=16)]).strict == accuracy([row(gold=16.0)]).strict == 1
    table = read_rows([row(), [1], None, "text", row(problem=7, gold=[])])
    assert len(table) == 1 and sum(map(len, table.left_out.values())) == 4
    assert len(table.where("natural").rows) == 1
    assert ("7/0/natural",) in table.left_out.values()


def test_a_step_of_thousands_of_digits_is_no_verdict():
    report = self_verification([COMPACT | {"v": f"step {'9' * 5000} is wrong"}])
    assert report.n == 1 and report.specificity == 1


@pytest.mark.parametrize("answer, gold", [("12,5", "12.5"), ("12.5", "12,5"), ("1.250", "1250"),
                                          ("1250", "1.250"), ("1.250,5", "1250.5")])
def test_numbers_are_read_as_the_language_of_the_row_writes_them(answer, gold):
    english, question = row(answer, "correct", answer), "Bình có 5 quả táo, hỏi còn bao nhiêu?"
    for changes in ({"question": question}, {"language": "vi"}):
        found = ScoredRow(english | {"gold": gold} | changes)
        assert found.first and found.second and found.lenient and found.readable
        short = compact_row(found)
        assert short["language"] == "vi" and ScoredRow(short).second
    assert not ScoredRow(english | {"gold": gold}).second and "language" not in compact_row(english)
