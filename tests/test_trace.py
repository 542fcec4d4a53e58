"""Traces: one text form, a strict reader that names what is wrong, a tolerant one."""
import pickle
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nanoreason.stages import Stage
from nanoreason.trace import Trace, TraceError, parse_trace, read_claims, render_trace
from timing import grows_linearly

WRONG = """[UNDERSTAND]
Given: 14 pens at first; 6 pens bought; 5 pens lost
Find: pens now
[PLAN]
1. Add the pens bought.
2. Subtract the pens lost.
[EXECUTE]
1. 14 + 6 = 20
2. 20 - 5 = 16
Result: 16
[VERIFY]
1. 20 - 6 = 14
2. 16 + 5 = 21
Verdict: step 2 is wrong
2. 20 - 5 = 15
Answer: 15"""

RIGHT = """[UNDERSTAND]
Find: the area
[PLAN]
1. Multiply the sides.
[EXECUTE]
1. 3 * 4 = 12
Result: 12
[VERIFY]
1. 12 / 4 = 3
2. 12 is a sensible size.
Verdict: correct
Answer: 12"""

PARTS = dict(
    understand=("Find: x",), plan=("Add.", "Subtract."), execute=("1 + 1 = 2", "2 - 1 = 1"),
    result="1", checks=("2 - 1 = 1",), verdict=None, repairs=(), answer="1",
)


def as_headers(text):
    return re.sub(r"^\[([A-Z]+)\]$", r"#### \1 ####", text, flags=re.MULTILINE)


def as_elements(text, inline=False):
    pieces = re.split(r"^\[([A-Z]+)\]\n", text, flags=re.MULTILINE)
    gap = "" if inline else "\n"
    return "\n".join(
        f"<{name}>{gap}{body.rstrip()}{gap}</{name}>"
        for name, body in zip(pieces[1::2], pieces[2::2])
    )


def test_the_wrong_and_repaired_example_is_read_part_by_part():
    assert parse_trace(WRONG) == Trace(
        understand=("Given: 14 pens at first; 6 pens bought; 5 pens lost", "Find: pens now"),
        plan=("Add the pens bought.", "Subtract the pens lost."),
        execute=("14 + 6 = 20", "20 - 5 = 16"),
        result="16",
        checks=("20 - 6 = 14", "16 + 5 = 21"),
        verdict=2,
        repairs=("20 - 5 = 15",),
        answer="15",
    )


def test_a_right_trace_has_no_blame_and_any_number_of_checks():
    trace = parse_trace(RIGHT)
    assert trace.verdict is None and trace.repairs == () and len(trace.checks) == 2


@pytest.mark.parametrize("text", [WRONG, RIGHT])
def test_render_writes_the_text_that_was_read(text):
    assert render_trace(parse_trace(text)) == text


@pytest.mark.parametrize("text", [WRONG, RIGHT])
def test_headers_and_elements_read_as_the_same_trace(text):
    trace = parse_trace(text)
    for other in (as_headers(text), as_elements(text), as_elements(text, inline=True)):
        assert other != text
        assert parse_trace(other) == trace
        assert read_claims(other) == read_claims(text)


def test_blank_lines_line_ends_and_indents_around_structure_do_not_matter():
    loose = "\n\n" + WRONG.replace("\n", "\r\n\r\n  ") + "\n"
    assert parse_trace(loose) == parse_trace(WRONG)
    assert parse_trace(WRONG.replace("\n", "\r")) == parse_trace(WRONG)


def test_stages_have_one_order_one_tag_and_one_colour_each():
    assert [stage.tag for stage in Stage] == [
        "[UNDERSTAND]", "[PLAN]", "[EXECUTE]", "[VERIFY]",
    ]
    assert [stage.colour for stage in Stage] == ["#4477AA", "#332288", "#999933", "#CC6677"]


def swapped(text, old, new):
    assert old in text, f"{old!r} is not in the example: the case would test nothing"
    return text.replace(old, new, 1)


# (what to replace in WRONG, with what, the stage that is named, a part of the reason)
BROKEN = [
    ("[UNDERSTAND]\n", "", "UNDERSTAND", "missing"),
    ("[PLAN]\n", "", "PLAN", "missing"),
    ("[EXECUTE]\n", "", "EXECUTE", "missing"),
    ("[VERIFY]\n", "", "VERIFY", "missing"),
    ("[PLAN]", "[plan]", "PLAN", "missing"),
    ("Result: 16", "Result: 16\n[EXECUTE]\n1. 2", "EXECUTE", "more than once"),
    ("[UNDERSTAND]", "[PLAN]\n1. a\n[UNDERSTAND]", "PLAN", "more than once"),
    ("[UNDERSTAND]", "Sure.\n[UNDERSTAND]", "UNDERSTAND", "before the stage"),
    ("[PLAN]\n", "[PLAN] 1. First.\n", "PLAN", "after the tag"),
    ("[PLAN]", "#### PLAN ####", "PLAN", "another form"),
    ("[PLAN]", "</PLAN>\n[PLAN]", "UNDERSTAND", "stray </PLAN>"),
    ("1. Add the pens bought.", "Add the pens bought.", "PLAN", "unnumbered"),
    ("1. Add the", "2. Add the", "PLAN", "step 1 is numbered 2"),
    ("2. Subtract", "3. Subtract", "PLAN", "step 2 is numbered 3"),
    ("2. 20 - 5 = 16", "1. 20 - 5 = 16", "EXECUTE", "step 2 is numbered 1"),
    ("1. 20 - 6", "0. 20 - 6", "VERIFY", "step 1 is numbered 0"),
    ("2. 20 - 5 = 15", "1. 20 - 5 = 15", "VERIFY", "step 2 is numbered 1"),
    ("2. 20 - 5 = 15", "20 - 5 = 15", "VERIFY", "unnumbered"),
    ("Result: 16\n", "", "EXECUTE", "no `Result:`"),
    ("Result: 16\n", "Result: 16\nResult: 16\n", "EXECUTE", "2 `Result:`"),
    ("Result: 16", "Result:", "EXECUTE", "result is empty"),
    ("Result: 16", "Result: 16\nThat was it.", "EXECUTE", "text after `Result:`"),
    ("[EXECUTE]", "Result: 1\n[EXECUTE]", "PLAN", "`Result:` does not belong"),
    ("Find: pens now", "Answer: 15", "UNDERSTAND", "`Answer:` does not belong"),
    ("Verdict: step 2 is wrong\n", "", "VERIFY", "no `Verdict:`"),
    ("Verdict: step 2 is wrong", "Verdict: it is wrong", "VERIFY", "unreadable verdict"),
    ("Verdict: step 2 is wrong", "Verdict: step 0 is wrong", "VERIFY", "unreadable verdict"),
    ("Verdict: step 2 is wrong", "Verdict: step two is wrong", "VERIFY", "unreadable"),
    ("Verdict: step 2 is wrong", "Verdict: step 3 is wrong", "VERIFY", "step 3 is numbered 2"),
    ("Verdict: step 2 is wrong\n2.", "Verdict: step 3 is wrong\n3.", "VERIFY", "steps 1 to 2"),
    ("Verdict: step 2 is wrong\n2.", "Verdict: step 1 is wrong\n1.", "VERIFY", "2 checks"),
    ("Verdict: step 2 is wrong\n2.", "Verdict: correct\n1.", "VERIFY", "1 repairs without"),
    ("2. 20 - 5 = 15\n", "", "VERIFY", "no repair of step 2"),
    ("2. 16 + 5 = 21\n", "", "VERIFY", "1 checks"),
    ("Answer: 15", "", "VERIFY", "no `Answer:`"),
    ("Answer: 15", "Answer:  ", "VERIFY", "answer is empty"),
    ("Answer: 15", "Answer: 15\nAnswer: 15", "VERIFY", "2 `Answer:`"),
    ("Answer: 15", "Answer: 15\nDone.", "VERIFY", "text after `Answer:`"),
    ("Verdict: step", "Answer: 15\nVerdict: step", "VERIFY", "2 `Answer:`"),
    ("Verdict: step 2 is wrong\n2. 20 - 5 = 15\nAnswer: 15", "Answer: 16\nVerdict: correct",
     "VERIFY", "closing lines out of order"),
    ("2. Subtract the pens lost.\n", "", "EXECUTE", "PLAN has only 1"),
    ("1. Add the pens bought.\n2. Subtract the pens lost.\n", "", "PLAN", "empty"),
    ("1. 14 + 6 = 20\n2. 20 - 5 = 16\n", "", "EXECUTE", "empty"),
    ("1. 20 - 6 = 14\n2. 16 + 5 = 21\n", "", "VERIFY", "empty"),
    ("1. 14 + 6 = 20", "1. ", "EXECUTE", "execute 1 is empty"),
    ("1. 14 + 6 = 20", "1. Answer: 20", "EXECUTE", "at a line's start"),
    ("1. 14 + 6 = 20", "1. 2. 14 + 6 = 20", "EXECUTE", "numbered line"),
    ("1. Add", "1. <VERIFY> Add", "PLAN", "at a line's start"),
]


@pytest.mark.parametrize("old, new, stage, reason", BROKEN)
def test_a_broken_text_is_refused_with_its_stage_and_reason(old, new, stage, reason):
    with pytest.raises(TraceError) as caught:
        parse_trace(swapped(WRONG, old, new))
    assert caught.value.stage is Stage[stage]
    assert reason in caught.value.reason
    assert str(caught.value) == f"{stage}: {caught.value.reason}"


def test_stages_out_of_order_are_refused():
    head, plan = WRONG.split("[PLAN]\n")
    steps, rest = plan.split("[EXECUTE]\n")
    result, verify = rest.split("[VERIFY]\n")
    text = f"{head}[EXECUTE]\n{result}[PLAN]\n{steps}[VERIFY]\n{verify}"
    with pytest.raises(TraceError, match="EXECUTE: out of order"):
        parse_trace(text)


@pytest.mark.parametrize("old, new, reason", [
    ("</PLAN>", "", "no </PLAN>"),
    ("</PLAN>", "</PLAN>\nand then", "after the stage"),
    ("</PLAN>", "</EXECUTE>\n</PLAN>", "stray </EXECUTE>"),
])
def test_broken_elements_are_refused(old, new, reason):
    with pytest.raises(TraceError, match="PLAN: .*" + re.escape(reason)):
        parse_trace(swapped(as_elements(WRONG), old, new))


@pytest.mark.parametrize("text", ["", "Answer: 5", "\n \n", "[VERIFY]"])
def test_a_text_that_is_no_trace_at_all_is_refused(text):
    with pytest.raises(TraceError, match="UNDERSTAND: the stage is missing"):
        parse_trace(text)


def test_a_trace_error_crosses_processes():
    error = pickle.loads(pickle.dumps(TraceError(Stage.PLAN, "why")))
    assert (error.stage, error.reason, str(error)) == (Stage.PLAN, "why", "PLAN: why")


BAD_LINES = [
    "[PLAN]", "  [VERIFY] x", "#### EXECUTE ####", "## PLAN ##", "<UNDERSTAND>", "</PLAN>",
    "Result: 4", "\tVerdict: correct", "Answer: 2",
]


@pytest.mark.parametrize("line", BAD_LINES)
@pytest.mark.parametrize("part", ["understand", "plan", "execute", "checks", "result", "answer"])
def test_content_that_looks_like_structure_cannot_be_built(part, line):
    Trace(**PARTS)
    line = line.strip()
    whole = line if isinstance(PARTS[part], str) else (line, *PARTS[part][1:])
    with pytest.raises(TraceError, match="at a line's start"):
        Trace(**PARTS | {part: whole})


@pytest.mark.parametrize("line", BAD_LINES + ["2. ", " 13. x", "7."])
@pytest.mark.parametrize("part", ["plan", "execute", "checks", "repairs"])
def test_a_continuation_line_that_looks_like_structure_cannot_be_built(part, line):
    parts = PARTS | {"verdict": 1, "repairs": ("1 + 1 = 2",)}
    Trace(**parts)
    with pytest.raises(TraceError):
        Trace(**parts | {part: (f"first\n{line}\nlast", *parts[part][1:])})


@pytest.mark.parametrize("changes", [
    {"plan": ["Add.", "Subtract."]}, {"plan": ()}, {"plan": ("Add.", "")},
    {"plan": ("Add.", " Subtract.")}, {"plan": ("Add.", "Sub\rtract.")}, {"plan": ("a", 2)},
    {"execute": ()}, {"execute": ("1", "2", "3")}, {"checks": ()}, {"result": ""},
    {"result": "1\n2"}, {"answer": 5}, {"answer": "1 "}, {"understand": ("a\nb",)},
    {"understand": ()}, {"verdict": 3}, {"verdict": 0}, {"verdict": True}, {"verdict": "1"},
    {"repairs": ("x",)}, {"verdict": 2, "repairs": ("x",)}, {"verdict": 1},
])
def test_parts_that_would_not_survive_cannot_be_built(changes):
    Trace(**PARTS)
    with pytest.raises(TraceError):
        Trace(**PARTS | changes)


def test_a_skipped_step_leaves_execute_shorter_than_plan():
    trace = Trace(**PARTS | {"execute": ("1 + 1 = 2",), "verdict": 1, "repairs": ("a", "b")})
    assert parse_trace(render_trace(trace)) == trace
    assert "1. a\n2. b\nAnswer" in render_trace(trace)


# Pieces that come near to structure without being it, beside any other characters.
NEAR = st.sampled_from([
    "\\[x\\]", "\\frac{1}{2}", "3.14 is", "2.", "2. x", "10)", "[PLAN", "PLAN]", "[PLAN]",
    "result: 5", "Result:", "Answer: 7", "#### 72", "#### PLAN", "#### PLAN ####",
    "<PLAN>", "</VERIFY>",
    "\u2028", "\x0b",
    "\x1c", "\x85", "đã bán", "९. x", "x = 3", "", "\t", "so  ", "🙂", "&amp;",
])
LINE = st.one_of(
    NEAR,
    st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), max_size=20),
    st.lists(NEAR, max_size=4).map(" ".join),
)
ITEM = st.lists(LINE, min_size=1, max_size=4).map("\n".join)


@st.composite
def parts_of_a_trace(draw):
    """Parts of which most make a trace and some hold what no trace may hold."""
    lines = st.lists(LINE.map(str.strip), min_size=1, max_size=3).map(tuple)
    items = ITEM.map(str.strip)
    plan = draw(st.lists(items, min_size=1, max_size=4))
    verdict = draw(st.none() | st.integers(1, len(plan)))
    count = draw(st.integers(1, 3)) if verdict is None else verdict
    return dict(
        understand=draw(lines),
        plan=tuple(plan),
        execute=tuple(draw(st.lists(items, min_size=1, max_size=len(plan)))),
        result=draw(LINE).strip(),
        checks=tuple(draw(st.lists(items, min_size=count, max_size=count))),
        verdict=verdict,
        repairs=() if verdict is None else tuple(draw(st.lists(items, min_size=1, max_size=3))),
        answer=draw(LINE).strip(),
    )


@settings(max_examples=200)
@given(parts_of_a_trace())
def test_whatever_can_be_built_survives_its_text_form(parts):
    try:
        trace = Trace(**parts)
    except TraceError:
        return  # the next test shows that this does not swallow everything
    text = render_trace(trace)
    assert parse_trace(text) == trace
    claims = read_claims(text)
    assert (claims.a1, claims.a2, claims.verdict) == (trace.result, trace.answer, trace.verdict)
    assert (claims.execute, claims.checks, claims.repairs) == (
        trace.execute, trace.checks, trace.repairs
    )
    assert claims.verdict_readable and claims.reached_verify


SAFE = st.text("ab é1+=\\{}$\n.[]#<>:", min_size=1).map(str.strip).filter(
    lambda text: text and not re.search(r"^\s*1+\.(\s|$)", text, re.MULTILINE)
)


@settings(max_examples=100)
@given(st.lists(SAFE, min_size=1, max_size=3))
def test_ordinary_items_of_several_lines_can_be_built(items):
    trace = Trace(**PARTS | {"plan": (*items, "x", "y")})
    assert parse_trace(render_trace(trace)) == trace


@pytest.mark.parametrize("old, new, changes", [
    ("Result: 16", "", {"a1": None}),
    ("Result: 16", "Result: \n", {"a1": None}),
    ("Result: 16", "Result: 16\nResult: 99", {}),
    ("[EXECUTE]\n", "", {"a1": None, "execute": (), "plan": (
        "Add the pens bought.", "Subtract the pens lost.", "14 + 6 = 20", "20 - 5 = 16")}),
    ("[PLAN]\n", "", {"plan": ()}),
    ("Verdict: step 2 is wrong", "Verdict: hm", {"verdict": None, "verdict_readable": False}),
    ("Verdict: step 2 is wrong", "Verdict: correct", {"verdict": None}),
    ("Verdict: step 2 is wrong", "Verdict: step 9 is wrong\nVerdict: correct", {"verdict": 9}),
    ("Verdict: step 2 is wrong", "Verdict: step " + "9" * 5000 + " is wrong",
     {"verdict": None, "verdict_readable": False}),
    ("Answer: 15", "", {"a2": None}),
    ("Answer: 15", "Answer: 15\nAnswer: 99", {}),
    ("Answer: 15", "Answer: 15\n[EXECUTE]\n1. 7\nResult: 7", {}),
    ("Result: 16", "Result: 16\nAnswer: 3", {}),
    ("Find: pens now", "Answer: 3\nResult: 3", {}),
    ("2. 20 - 5 = 16", "7. 20 - 5 = 16", {}),
    ("1. 14 + 6 = 20\n2. 20 - 5 = 16", "14 + 6 = 20\n20 - 5 = 16", {}),
])
def test_claims_are_read_as_far_as_they_go(old, new, changes):
    expected = dict(read_claims(WRONG).__dict__) | changes
    assert read_claims(swapped(WRONG, old, new)).__dict__ == expected


def test_claims_blame_the_step_of_the_verdict():
    assert read_claims(WRONG).verdict == 2
    assert read_claims(RIGHT).verdict is None


def test_a_text_that_stops_before_verify_claims_only_its_result():
    claims = read_claims(WRONG.split("[VERIFY]")[0])
    assert claims.a1 == "16" and claims.a2 is None and claims.execute == (
        "14 + 6 = 20", "20 - 5 = 16",
    )
    assert not claims.reached_verify and not claims.verdict_readable


def test_an_execute_after_verify_does_not_count():
    claims = read_claims("[VERIFY]\nVerdict: correct\n[EXECUTE]\n1. 2\nResult: 2")
    assert claims.a1 is None and claims.execute == () and claims.verdict_readable


FRAGMENTS = st.sampled_from([
    "[EXECUTE]", "[VERIFY]", "#### VERIFY ####", "<EXECUTE>", "</EXECUTE>", "Result:", "Verdict:",
    "Verdict: step 3 is wrong", "Verdict: correct", "Answer: 1", "1.", "2. a", "\n", " ", "\r", "7",
])


@settings(max_examples=200)
@given(st.one_of(st.text(), st.lists(FRAGMENTS).map("".join), st.lists(FRAGMENTS).map("\n".join)))
def test_reading_claims_never_raises_and_parsing_raises_only_its_error(text):
    read_claims(text)
    try:
        assert parse_trace(render_trace(parse_trace(text))) == parse_trace(text)
    except TraceError as error:
        assert error.stage in Stage and error.reason


@pytest.mark.parametrize("unit", [
    "[EXECUTE]\n", "[VERIFY]\n1. a\n", "1. \n", "Result:\n", "Answer:", "#", "## ", "<PLAN>",
    "</PLAN>\n", " ", "\n", "9", "[",
])
def test_hostile_text_is_read_in_linear_time(unit):
    def read(size):
        text = (unit * size)[:size]
        read_claims(text)
        read_claims(f"[EXECUTE]\n{text}\n[VERIFY]\n{text}")
        with pytest.raises(TraceError):
            parse_trace(f"{WRONG}\n{text}x")

    assert grows_linearly(read)
