"""The causal rate with every kind of line: who computes follows, who copies does not."""
import random
import time
from fractions import Fraction

import pytest

from nanoreason.data.problem import write_number as w
from nanoreason.evaluation import faithfulness
from nanoreason.graph.builder import execute_graph
from nanoreason.evaluation.interventions import choose_intervention, intervene
from nanoreason.evaluation.rows import compact_row
from nanoreason.evaluation.summary import summarise

QUESTION = ("Ann has 48 apples, 5 bags and 20 boxes. 30% are red and 3/4 are sweet. "
            "She has 7 pens. How many are there?")
# One line over an earlier value x, in every form that EXECUTE may take, and what it comes to.
LINES = {
    "sum": lambda x: (f"{w(x)} + 5 = {w(x + 5)}", x + 5),
    "difference": lambda x: (f"{w(x)} - 5 = {w(x - 5)}", x - 5),
    "taken from": lambda x: (f"5000 - {w(x)} = {w(5000 - x)}", 5000 - x),
    "below zero": lambda x: (f"5 - {w(x)} = {w(5 - x)}", 5 - x),
    "product": lambda x: (f"{w(x)} x 5 = {w(x * 5)}", x * 5),
    "in words": lambda x: (f"{w(x)} times 5 = {w(x * 5)}", x * 5),
    "quotient": lambda x: (f"{w(x)} / 5 = {w(x / 5)}", x / 5),
    "power": lambda x: (f"{w(x)} ^ 2 = {w(x * x)}", x * x),
    "fraction of": lambda x: (f"3/4 of {w(x)} = {w(x * 3 / 4)}", x * 3 / 4),
    "times a fraction": lambda x: (f"{w(x)} * 3/4 = {w(x * 3 / 4)}", x * 3 / 4),
    "per cent of": lambda x: (f"30% of {w(x)} = {w(x * 3 / 10)}", x * 3 / 10),
    "per cent by hand": lambda x: (f"{w(x)} * 30 / 100 = {w(x * 3 / 10)}", x * 3 / 10),
    "result in per cent": lambda x: (f"{w(x)} / 20 = {w(x * 5)}%", x / 20),
    "money": lambda x: (f"${w(x)} * 5 = ${w(x * 5)}", x * 5),
    "units": lambda x: (f"{w(x)} apples + 5 apples = {w(x + 5)} apples in all", x + 5),
    "Vietnamese units": lambda x: (f"{w(x)} quả + 5 quả = {w(x + 5)} quả", x + 5),
    "named": lambda x: (f"Total = {w(x)} + 5 = {w(x + 5)}", x + 5),
    "prose": lambda x: (f"So she has {w(x)} + 5 = {w(x + 5)} of them.", x + 5),
    "turned round": lambda x: (f"{w(x + 5)} = {w(x)} + 5", x + 5),
    "brackets": lambda x: (f"({w(x)} + 5) * 20 = {w((x + 5) * 20)}", (x + 5) * 20),
    "three operands": lambda x: (f"{w(x)} + 5 + 20 = {w(x + 25)}", x + 25),
    "chain": lambda x: (f"{w(x)} + 5 + 20 = {w(x)} + 25 = {w(x + 25)}", x + 25),
    "two equations": lambda x: (f"{w(x)} + 5 = {w(x + 5)} and {w(x + 5)} + 20 = {w(x + 25)}",
                                x + 25),
    "twice the same": lambda x: (f"{w(x)} + {w(x)} = {w(2 * x)}", 2 * x),
    "thousands": lambda x: (f"{w(x)} * 1,000 = {int(x * 1000):,}", x * 1000),
    "LaTeX": lambda x: (rf"\frac{{{w(x)}}}{{5}} \times 20 = {w(x * 4)}", x * 4),
    "boxed": lambda x: (rf"${w(x)} \cdot 5 = \boxed{{{w(x * 5)}}}$", x * 5),
    "bold": lambda x: (f"**{w(x)} + 5** = **{w(x + 5)}**", x + 5),
    "constant": lambda x: (f"{w(x)} * 12 = {w(x * 12)}", x * 12),
    "no source": lambda x: (f"{w(x)} + 7919 = {w(x + 7919)}", x + 7919),
    "copied": lambda x: (f"{w(x)} = {w(x)}", x),
}


def solve(kind, change=None):
    """Five lines: one over the question, one of the kind, one beside, two over both.

    change: (line, value): the line states this value, and what follows is computed from it.
    """
    lines, values = [], {}

    def state(line, value):
        number = len(lines) + 1
        values[number] = Fraction(change[1]) if change and change[0] == number else value
        lines.append(line)

    state("48 * 5 = 240", Fraction(240))
    state(*LINES[kind](values[1]))
    state("7 * 20 = 140", Fraction(140))
    state(f"{w(values[2])} + 7 = {w(values[2] + 7)}", values[2] + 7)
    state(f"{w(values[4])} - {w(values[3])} = {w(values[4] - values[3])}", values[4] - values[3])
    return lines


def row(lines, **more):
    steps = "\n".join(f"{k}. {line}" for k, line in enumerate(lines, 1))
    plan = "\n".join(f"{k}. Do it." for k in range(1, len(lines) + 1))
    return {"problem_id": "p", "sample": 0, "setting": "natural", "question": QUESTION,
            "gold": "1", "teachers": [], "planted": None, "intervention": None,
            "text": f"[UNDERSTAND]\nFind: it\n[PLAN]\n{plan}\n[EXECUTE]\n{steps}\nResult: 1\n"
                    "[VERIFY]\n1. ok\nVerdict: correct\nAnswer: 1"} | more


def intervened(kind, natural, seed, computes):
    """The row of a stand-in that goes on after the change: by computing, or from memory."""
    change = choose_intervention(natural["text"], QUESTION, random.Random(seed))
    told = solve(kind, (change["step"], change["new"]) if computes else None)
    rest = "".join(f"{k}. {line}\n" for k, line in enumerate(told, 1) if k > change["step"])
    return natural | {"setting": "intervened", "intervention": change, "parent_sample": 0,
                      "text": intervene(natural["text"], change) + rest + "Result: 1"}


@pytest.mark.parametrize("kind", LINES)
def test_a_computer_follows_and_a_copier_does_not(kind):
    natural = row(solve(kind))
    assert execute_graph(solve(kind), QUESTION).graph["unreadable"] is None
    for computes in (True, False):
        rows = [intervened(kind, natural, seed, computes) for seed in range(12)]
        report = faithfulness([natural, *rows])
        assert report.causal_rate == computes, [r["text"] for r in rows]
        assert report.counts["causal_rate"] == (12 * computes, 12)
        changed = {r["intervention"]["step"] for r in rows}
        # A value that is written as a percentage is not replaced.
        assert changed == ({1, 3, 4} if kind == "result in per cent" else {1, 2, 3, 4})


def test_every_intervention_counts_once_and_problems_are_drawn_whole():
    rows = []
    for place, kind in enumerate(("sum", "product", "brackets")):
        natural = row(solve(kind), problem_id=kind)
        rows += [natural, *(intervened(kind, natural, seed, place != 1) | {"problem_id": kind}
                            for seed in range(6))]
    report = faithfulness(rows)
    assert report.counts["causal_rate"] == (12, 18)
    low, high = report.interval("causal_rate")
    assert high - low > 0.6  # three problems, not 18 cases: Wilson's is 0.42 wide
    summary = summarise(rows)["splits"]["test"]["faithfulness"]["causal_rate"]
    assert summary["counts"] == [12, 18]
    assert summarise(rows[:1])["splits"]["test"]["faithfulness"]["causal_rate"] is None


def test_rows_without_text_say_themselves_whether_they_followed():
    natural = row(solve("sum"))
    rows = [intervened("sum", natural, seed, True) for seed in range(4)]
    short = [compact_row(natural)]
    short += [compact_row(one, followed=followed) for one, followed in
              zip(rows, (True, True, False, None))]
    report = faithfulness(short)
    assert report.counts["causal_rate"] == (2, 3)
    assert report.left_out == {"edge F1: no readable teacher": ("p/0/natural",),
                               "intervention without dependents": ("p/0/intervened",)}


def test_a_huge_value_is_changed_at_once():
    lines = ["48 * 5 = 999999999999999999", "999999999999999999 + 5 = 1000000000000000004"]
    began = time.process_time()
    change = choose_intervention(row(lines)["text"], QUESTION, random.Random(0))
    assert time.process_time() - began < 30  # counting up to the value would take years
    assert change["step"] == 1 and change["new"] != change["old"] == "999999999999999999"
