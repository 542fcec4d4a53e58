"""Training sets of several sources: nothing of a test set, shares kept, nothing lost."""
from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from nanoreason.data import load_problems
from nanoreason.data.errors import KINDS, inject
from nanoreason.data.prepare import (Part, ShortfallError, TestSets, assemble, prepare, shingles,
                                     whole_shares)
from nanoreason.data.problem import Problem, Rejection
from nanoreason.data.procedural import problems
from nanoreason.data.verify_lines import procedural_trace
from nanoreason.trace import parse_trace


def question(text, name="t1", source="gsm8k"):
    return Problem(name, source, "test", "en", text, "4")


LONG = "A shop sells 12 red and 9 blue kites a day and closes on Sunday, how many in a week?"


@pytest.mark.parametrize("train, contaminated", [
    (LONG, True),
    (LONG.upper().replace(",", " ;"), True),
    ("In May a tall man sees that " + LONG[7:], True),  # 13 words and more are shared
    ("Ann knows: A shop sells 12 red and 9 blue kites a day and that is all.", False),  # 12
    ("Ann knows: A shop sells 12 red and 9 blue kites a day and closes late.", True),  # 13
    ("How many?", True),
    ("How many", True),
    ("How many are there?", False),
])
def test_thirteen_shared_words_are_too_many(train, contaminated):
    tests = TestSets({"gsm8k": [question(LONG), Rejection("t3", "no_question", "line 3", "")],
                      "math": [question("How many?", "t2", "math")], "vnhsge": None})
    (found,) = tests.clean([question(train, "p1")])
    assert isinstance(found, Rejection) is contaminated
    assert tests.counts["questions"] == 2 and tests.absent == ["vnhsge"]
    if contaminated:
        owner = "t2" if len(train) < 12 else "t1"
        assert (found.problem_id, found.reason, found.place) == ("p1", "contaminated", owner)
        assert tests.counts[{"t1": "gsm8k", "t2": "math"}[owner]] == 1


def test_drawing_code_and_stock_phrases_contaminate_nothing():
    code = "[asy] unitsize(1 cm); draw((0,0)--(4,0)--(4,3)--(0,3)--cycle); label(2, 1, 0); [/asy]"
    stock = "express your answer in its simplest form and give all the digits that it has"
    tests = TestSets({"math": [question(f"What is the perimeter? {code} {stock}", "t1"),
                               question("What is 17 + 8?", "t2"), question(LONG, "t3")]})
    train = [question(f"Find the area of the kite. {code}", "p"),
             *(question(f"What is {n} times {n + 1}? {stock}", f"s{n}") for n in range(11)),
             question("What is 17 - 8?", "q"), question("what is 17+8", "r"),
             question(f"Anna says: {LONG}", "u"), question(LONG[:50] + ".", "v")]
    found = {r.problem_id: r for r in tests.clean(train) if isinstance(r, Rejection)}
    assert set(found) == {"r", "u"} and tests.runs == {"all": 1, "6 and more": 1}
    few = {r.problem_id for r in tests.clean(train[1:4]) if isinstance(r, Rejection)}
    assert few == {"s0", "s1", "s2"}  # ten at most: no stock phrase


def test_words_are_counted_as_documented():
    assert len(shingles(LONG)) == len(LONG.split()) - 12
    assert shingles("one two") == {"one two"} and shingles("?!") == set()


def test_shares_are_whole_and_add_up():
    assert whole_shares([1, 1, 1], 100) == [34, 33, 33]
    assert whole_shares([0.6, 0.3, 0.1], 15_000) == [9000, 4500, 1500]
    assert whole_shares([1e-9, 1], 3) == [0, 3]
    for total in range(1, 60):
        assert sum(whole_shares([3, 2, 0.7, 11], total)) == total


def part(name, count, share=1.0, seed=0, **changes):
    found = [replace(p, id=f"{name}-{p.id}", source=name, **changes)
             for p in problems("train", count, seed)]
    return Part(name, found, share)


def test_shares_errors_and_seeds_hold():
    def made(seed=0, error_share=0.25):
        parts = [part("one", 80, 3), part("two", 60, 1, 1)]
        return assemble(parts, 120, error_share, seed), parts

    records, parts = made()
    counts = {part.name: part.counts for part in parts}
    assert len(records) == 120 and not any(part.rejected for part in parts)
    assert Counter(r["source"] for r in records) == {"one": 90, "two": 30}
    planted = Counter(r["source"] for r in records if r["planted"])
    assert planted == {"one": 22, "two": 8} and counts["one"]["clean"] == 68
    assert sum(counts["one"]["planted"].values()) == 22 and counts["two"]["wanted"] == 30
    keys = Counter((r["id"], r["planted"] is not None) for r in records)
    assert set(keys.values()) == {1}  # at most one clean and one wrong of a problem
    both = Counter(r["id"] for r in records if r["source"] == "two")
    assert set(both.values()) == {1}  # there were problems enough
    assert [r["source"] for r in records[:40]].count("two") in range(3, 20)  # mixed
    assert made()[0] == records and made(seed=1)[0] != records
    for record in records:
        trace = parse_trace(record["trace"])
        assert (record["planted"] or {"step": None})["step"] == trace.verdict


def test_a_shortfall_stops_and_says_where_unless_fewer_are_allowed():
    parts = [part("small", 10), part("large", 100, seed=1)]
    with pytest.raises(ShortfallError) as error:
        assemble(parts, 60)
    lines = str(error.value).splitlines()
    assert lines[1:] == [
        "small: 30 wanted; 10 clean and 10 with an error, of 10 problems kept of 10",
        "large: 30 wanted; 15 clean and 15 with an error, of 100 problems kept of 100"]
    records = assemble(parts, 60, allow_fewer=True)
    assert len(records) == 50 and parts[0].counts["wanted"] == 30
    assert Counter(Counter(r["id"] for r in records if r["source"] == "small").values()) == {2: 10}


def test_nothing_that_was_read_is_lost_and_test_questions_stay_out():
    train = list(problems("train", 20, 0))
    broken = [Rejection("", "not_json", "line 3", "{"),
              replace(train[0], id="x", answer="7 cows")]
    tests, mine = TestSets({"gsm8k": [question(train[4].question)]}), Part(
        "mine", [*train, *broken], 1)
    records = assemble([mine], 10, 0.5, tests=tests)
    found = {r.reason for r in mine.rejected}
    assert {"contaminated", "not_json", "consistency/result_off_execute"} <= found
    assert mine.counts["read"] == 22 == mine.counts["kept"] + len(mine.rejected)
    assert train[4].question not in {r["question"] for r in records}
    assert mine.counts["reasons"]["contaminated"] == tests.counts["gsm8k"]


@pytest.mark.parametrize("changes, words", [
    (dict(total=0), "total"), (dict(error_share=1.5), "1.5"),
    (dict(kinds={"slip": 1}), "'slip' is unknown"), (dict(kinds={KINDS[0]: -1}), "-1"),
    (dict(kinds={KINDS[0]: 0}), "all weights"), (dict(kinds={KINDS[0]: "2"}), "'2'"),
    (dict(kinds={}), "all weights"),
])
def test_impossible_requests_are_refused(changes, words):
    for data in ("procedural", "procedural:2"):
        with pytest.raises(ValueError, match=words):
            prepare(data, **{"total": 2, **changes})


def test_kinds_are_injected_in_the_proportions_asked_for():
    pairs = [(p, procedural_trace(p)) for p in problems("train", 600, 0) if len(p.steps) > 2]
    mix = {"arithmetic_slip": 3, "wrong_operator": 1, "copying_slip": 0}
    found = Counter(inject(problem, trace, 0, mix)[1]["kind"] for problem, trace in pairs)
    assert set(found) == {"arithmetic_slip", "wrong_operator"}
    assert found["arithmetic_slip"] / len(pairs) == pytest.approx(0.75, abs=0.07)
    alike = Counter(inject(problem, trace, 0)[1]["kind"] for problem, trace in pairs)
    assert set(alike) == set(KINDS) and max(alike.values()) < 2.5 * min(alike.values())
    report = {}
    prepare("procedural", total=60, kinds={"skipped_step": 1}, report=report)
    assert set(report["planted"]) == {"skipped_step"}


def test_gsm8k_shares_hardly_anything_with_its_test_set(gsm8k):
    tests = TestSets({"gsm8k": load_problems("gsm8k", gsm8k / "test.jsonl.gz", "test")})
    found = list(tests.clean(load_problems("gsm8k", gsm8k, "train+dev")))
    assert len(found) == 7473 and tests.counts["questions"] == 1319
    assert sum(isinstance(p, Rejection) for p in found) == tests.counts["gsm8k"] < 75  # 1 %
