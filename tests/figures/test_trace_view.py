"""A trace on a page: every character escaped, every mark the program's own."""
import random
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import agree, make_rows, object_to, unasked

from nanoreason.data.errors import KINDS, CorruptionError
from nanoreason.data import corrupt
from nanoreason.data.procedural import problems
from nanoreason.evaluation.rows import ScoredRow
from nanoreason.figures.trace_view import TraceView, find_example, read_lines
from nanoreason.stages import Stage
from nanoreason.data.verify_lines import procedural_trace
from nanoreason.trace import render_trace

EVIL = '<script>alert("x")</script><img src=http://a.b/c onerror=\'f()\'> & "quoted" &lt;b&gt;'


def view(trace, problem, wrong_step=None):
    return TraceView(render_trace(trace), problem.question, problem.answer, wrong_step)


def marks(found, stage):
    return [line.mark for line in found.lines if line.stage is stage and not line.is_tag]


@pytest.fixture(scope="module")
def solved():
    return [(p, procedural_trace(p)) for p in problems("test", 15, 3, steps=(3, 4))]


class Tags(HTMLParser):
    """The elements and attributes of a page, and its text."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.names, self.text = set(), set(), ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.elements.add(tag)
        self.names |= {name for name, _ in attributes}

    def handle_data(self, data):
        self.text += data


def test_everything_is_escaped_and_nothing_is_loaded():
    text = f"[UNDERSTAND]\n{EVIL}\n[PLAN]\n1. {EVIL}\n[EXECUTE]\n1. {EVIL}\nResult: {EVIL}"
    page = Tags(TraceView(text, EVIL, EVIL, 1, EVIL)._repr_html_())
    assert page.elements <= {"div", "p", "span"}
    assert page.names == {"style"}
    assert page.text.count(EVIL) >= 6
    assert "url(" not in re.sub(r"[^a-z(]", "", TraceView("x")._repr_html_())


def test_a_right_trace_has_only_true_marks(solved):
    for problem, trace in solved:
        found = view(trace, problem)
        assert marks(found, Stage.EXECUTE) == [True] * (len(trace.execute) + 1)
        assert marks(found, Stage.VERIFY) == [True] * (len(trace.checks) + 2)
        assert set(marks(found, Stage.PLAN)) == {None}


@pytest.mark.parametrize("kind", KINDS)
def test_the_planted_step_is_the_one_marked_wrong(kind, solved):
    seen = 0
    for problem, trace in solved:
        try:
            wrong = corrupt(trace, kind, random.Random(1))
        except CorruptionError:
            continue
        seen += 1
        found = view(wrong, problem, wrong.verdict)
        steps = marks(found, Stage.EXECUTE)
        assert steps[wrong.verdict - 1] is False and steps.count(False) == 2  # and Result
        assert steps[-1] is False
        assert marks(found, Stage.VERIFY)[-1] is True
        verdict = next(line for line in found.lines if line.text.startswith("Verdict:"))
        assert verdict.mark is True
    assert seen >= 3


def test_false_verdicts_are_named(solved):
    problem, trace = solved[0]
    wrong = corrupt(trace, "arithmetic_slip", random.Random(0))

    def note(trace, wrong_step=None):
        lines = view(trace, problem, wrong_step).lines
        return next((line.mark, line.note) for line in lines if line.text.startswith("Verdict"))

    assert note(agree(wrong)) == (False, "missed error")
    assert note(object_to(trace, random.Random(0))) == (False, "false alarm")
    other = wrong.verdict % len(wrong.plan) + 1
    assert note(wrong, other) == (False, f"the first wrong step is {other}")
    unreadable = render_trace(trace).replace("Verdict: correct", "Verdict: fine")
    assert [(n.mark, n.note) for n in read_lines(unreadable, gold=problem.answer)
            if n.text.startswith("Verdict")] == [(False, "unreadable verdict")]


def test_without_a_gold_answer_only_equations_are_judged(solved):
    problem, trace = solved[0]
    lines = TraceView.of_trace(replace(trace, answer="999"), problem.question).lines
    closing = [line for line in lines if line.text.split(":")[0] in
               ("Result", "Verdict", "Answer")]
    assert len(closing) == 3 and {line.mark for line in closing} == {None}
    assert all(line.mark for line in lines
               if line.stage is Stage.EXECUTE and line.text[0].isdigit())


def test_a_false_equation_is_marked_without_any_teacher():
    lines = read_lines("[EXECUTE]\n1. 2 + 2 = 5\n2. 5 + 1 = 6\n3. guess")
    assert [(line.mark, line.note) for line in lines[1:]] == [
        (False, "false equation"), (True, ""), (None, "")]


@pytest.mark.parametrize("check, mark, note", [
    ("26 - 6 = 20, want 21, correct", False, "20 is not 21"),
    ("26 - 6 = 20, want 21, wrong", True, ""), ("26 - 6 = 20, want 20, correct", True, ""),
    ("26 - 6 = 20, want 20, wrong", False, "20 is 20"),
    ("26 - 6 = 21, want 21, correct", False, "false equation"),
    ("2 + 2 = 4, want 1/0, wrong", True, ""), ("want 21, correct", None, ""),
    ("4 * 24: 4 * 4 = 16;2 * 4 + 1 = 9;4 * 24 = 96, want 96: 66y 99y, correct", True, ""),
    ("4 * 24: 4 * 4 = 16;2 * 4 + 1 = 9;4 * 24 = 96, want 6: 66y 9-n, wrong", True, ""),
    ("4 * 24: 4 * 4 = 16;2 * 4 + 1 = 9;4 * 24 = 96, want 97: 67n 99y, correct", False,
     "96 is not 97"),
    ("4 * 24: 4 * 4 = 16;2 * 4 + 1 = 9;4 * 24 = 96, want 97: 66y 99y, wrong", False,
     "not the digits of 96 and 97"),
    ("4 * 24: 4 * 4 = 16;2 * 4 + 1 = 8;4 * 24 = 96, want 96: 66y 99y, correct", False,
     "false equation"),
    ("4 * 24: 4 * 4 = 16;2 * 4 = 8;4 * 24 = 96, want 96: 66y 99y, correct", False,
     "not the digits of 4 * 24"),
    ("2 + 3: 2 + 3 = 5;2 + 3 = 5, want 5: 55y, correct", True, ""),
    ("20% * 10 = 2, want 2: 22y, correct", True, ""),
    ("4 * 24: 4 * 4 = 16;2 * 4 + 1 = 9;4 * 24 = 96", True, ""),
])
def test_a_tick_means_that_what_a_check_says_of_its_two_numbers_holds(check, mark, note):
    line, = read_lines(f"[VERIFY]\n1. {check}")[1:]
    assert (line.mark, line.note) == (mark, note)


def test_the_plain_form_holds_each_line_with_its_mark(solved):
    problem, trace = solved[0]
    plain = repr(view(trace, problem))
    assert "<" not in plain and problem.question in plain
    assert f"1. {trace.execute[0]}  ✓" in plain
    assert plain.splitlines()[-1] == f"Answer: {trace.answer}  ✓"


@settings(max_examples=60)
@given(st.text(alphabet=st.sampled_from("[]EXCUTVRIFYPLAN<>#/ \n\r\t1.2+=:Result%é\x00"),
               max_size=200))
def test_no_text_breaks_the_page(text):
    shown = TraceView("[EXECUTE]\n" + text, "q", "5", 1)
    assert Tags(shown._repr_html_()).elements <= {"div", "p", "span"}
    assert isinstance(repr(shown), str)


def test_examples_are_the_first_of_their_kind():
    rows = make_rows(20, splits=("test",))
    caught = find_example(rows, "injected", right=True, objects=True)
    assert caught["setting"] == "injected" and "is wrong" in caught["text"]
    assert TraceView.of_row(caught).wrong_step == caught["planted"]["step"]
    for right in (True, False):
        for objects in (True, False):
            row = find_example(rows, "natural", right=right, objects=objects)
            if row:
                lines = TraceView.of_row(row).lines
                answers = [line.mark for line in lines if line.text.startswith("Answer:")]
                assert answers == [right] or not (right or answers)
                assert ("is wrong" in row["text"]) is objects
    elsewhere = caught | {"text": re.sub(r"step \d+ is wrong", "step 9 is wrong", caught["text"])}
    assert find_example([elsewhere], "injected", right=True, objects=True) is None
    assert find_example([elsewhere, caught], "injected", right=True, objects=True) is caught
    sure = unasked(next(row for row in rows if row["setting"] == "natural"
                        and ScoredRow(unasked(row)).second))
    assert find_example([sure], "natural", right=True, objects=False) is None
    assert "without VERIFY, since EXECUTE was sure" in TraceView.of_row(sure).html()
    compact = [row | {"text": None, "a1": "1", "v": "correct", "a2": "1"} for row in rows]
    assert find_example(compact, "natural", right=False, objects=False) is None
    with pytest.raises(ValueError, match="holds no text"):
        TraceView.of_row(compact[0])
