"""`solve`: the answer, what speaks against it, and how both are shown."""
from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
from synthetic import new_run, row

import nanoreason
from nanoreason import solution
from nanoreason.data.procedural import problems
from nanoreason.data.prepare import prepare
from nanoreason.data.verify_lines import by_columns, column_check, plain_steps, procedural_trace
from nanoreason.evaluation import doubts
from nanoreason.files import parse, read_text
from nanoreason.paths import RESULTS
from nanoreason.runs import RunError
from nanoreason.solution import SENTENCES, judge, solve
from nanoreason.trace import render_trace

QUESTION = "Mia has 12 apples. She picks 9 more apples. How many apples are there now?"
OWN = {"base": "nano", "data": "procedural", "language": "en"}
ASKS = "|".join(SENTENCES[language]["asks"] for language in SENTENCES)


def keys(question, params=OWN):
    return [key for key, _ in doubts.of_question(question, ASKS, params)]


@pytest.mark.parametrize("question, found", [
    (QUESTION, []), ("Find the number of apples at the end.", ["no_number"]),
    (QUESTION.replace("Mia", "Eusebia"), []), (QUESTION.replace("apples", "pens"), ["words"]),
    (QUESTION.replace("12", "1200"), ["numbers"]), (QUESTION.replace("12", "1.5"), ["numbers"]),
    ("Mia has 12 apples. How many more apples has she?", ["sentence"]),
    ("Mia has 12 apples.", ["no_question"]), ("Hello", ["no_question", "no_number"]),
    ("Lan có 20 viên kẹo, Lan cho em 8 viên. Lan còn bao nhiêu viên kẹo?", ["language"])])
def test_a_question_outside_what_was_learned_is_said(question, found):
    assert keys(question)[:len(found) or None] == found


def test_of_a_base_that_has_read_more_only_the_asking_is_judged():
    for params in (None, OWN | {"base": "smollm2"}, OWN | {"data": "gsm8k"}):
        assert keys("A train travels 1250.5 km. How far is that?", params) == []
        assert keys("Hello", params) == ["no_question", "no_number"]


@pytest.mark.parametrize("language", ["en", "vi"])
def test_the_problems_that_were_learned_are_known_and_new_situations_are_not(language):
    params = OWN | {"language": language}
    for split, count, known in (("train", 200, True), ("test", 200, True),
                                ("test_template", 50, False)):
        for problem in problems(split, count, 3, language=language):
            assert (keys(problem.question, params) == []) is known, problem.question


PROBLEM = next(p for p in problems("dev", 50, 0) if len(p.steps) == 3)
TRACE = procedural_trace(PROBLEM)
LAST = TRACE.execute[-1]
LEFT = LAST.partition(" = ")[0]
FALSE = replace(TRACE, execute=(*TRACE.execute[:2], f"{LEFT} = 9001"), result="9001", answer="9001",
                verdict=None, repairs=())
OBJECTS = {"verdict": 3, "checks": TRACE.checks[:3], "repairs": (LAST,), "answer": TRACE.answer}


@pytest.mark.parametrize("trace, against, beside", [
    (TRACE, [], []), (FALSE, ["sums"], ["other_checks"]),
    (replace(FALSE, **OBJECTS), [], ["repaired"]),
    (replace(TRACE, **OBJECTS), [], ["kept"]), (replace(TRACE, answer="9001"), ["changed"], []),
    (replace(TRACE, **OBJECTS | {"repairs": (f"{LEFT} = 9001",), "answer": "9001"}),
     ["repaired_sums", "objection"], []),
    (replace(TRACE, **OBJECTS | {"verdict": 2, "checks": TRACE.checks[:2], "repairs": (
        TRACE.execute[1], LAST)}), [], ["kept"]),
    (replace(FALSE, **OBJECTS | {"repairs": (LAST, "1 + 1 = 2")}),
     ["steps_off_plan", "objection"], []),
    (replace(TRACE, execute=TRACE.execute[:2], result="9001", answer="9001"),
     ["steps_off_plan", "result_off_execute"], []),
    (replace(TRACE, understand=(f"{TRACE.understand[0]}; 777 more", *TRACE.understand[1:])),
     ["unused"], []),
    (replace(TRACE, understand=(f"{TRACE.understand[0]}; 7 more", *TRACE.understand[1:])),
     ["misread"], []),
    (replace(TRACE, execute=("4321 + 1 = 4322", *TRACE.execute[1:])),
     ["operand_without_source"], ["other_checks"]),
    (replace(TRACE, plan=(*TRACE.plan[:2], TRACE.plan[0])), ["operation_off_plan"], [])])
def test_what_speaks_against_an_answer_and_what_does_not(trace, against, beside):
    read, found, notes = doubts.of_text(render_trace(trace), PROBLEM.question, OWN)
    assert read == trace and [key for key, _ in notes] == beside
    assert set(against) <= {key for key, _ in found} and bool(found) == bool(against)


@pytest.mark.parametrize("trace, unsure", [
    (TRACE, True), (replace(TRACE, **OBJECTS), True), (replace(FALSE, **OBJECTS), False)])
def test_doubt_of_execute_is_no_warning_where_verify_has_mended_it(trace, unsure):
    """It stays one where VERIFY agrees, and where the step that it blames was right."""
    row = {"question": PROBLEM.question, "text": render_trace(trace),
           "logprobs": {"execute_min": -2.0, "decisions": [], "answer": -0.1}}
    assert ("unsure" in dict(judge(row, OWN, -1.0).against)) == unsure
    assert "unsure" not in dict(judge(row, OWN, -3.0).against)


UNSETTLED = replace(TRACE, **OBJECTS | {"repairs": (f"{LEFT} = 9001",), "answer": "9001"})


@pytest.mark.parametrize("changes, sure, answer, key", [
    ({}, -0.1, TRACE.answer, "unheeded"), ({}, -1.0, "9001", "objection"),
    ({"question": PROBLEM.question + " Why, exactly?"}, -0.1, "9001", "objection"),
    ({"text": render_trace(replace(FALSE, **OBJECTS))}, -0.1, TRACE.answer, None)])
def test_where_execute_was_sure_an_objection_that_nothing_settles_is_not_heeded(
        changes, sure, answer, key):
    """Below the gate it is, of a question of another kind too, and where arithmetic settles it."""
    row = {"question": PROBLEM.question, "text": render_trace(UNSETTLED),
           "logprobs": {"execute_min": sure, "decisions": [], "answer": -0.1}} | changes
    found = judge(row, OWN, -0.5)
    assert found.answer == answer and f"Answer: {answer}\n" in repr(found)
    assert {"unheeded", "objection"} & set(dict(found.against)) == ({key} if key else set())
    assert judge(row, OWN).answer == judge(row, None, None).answer == found.claims.a2  # no gate


@pytest.mark.parametrize("execute_min, told", [(-1e-4, "> 0.99"), (0.0, "> 0.99"), (-0.5, "0.61")])
def test_what_is_nearly_certain_is_not_called_certain(execute_min, told):
    row = {"question": PROBLEM.question, "text": render_trace(TRACE),
           "logprobs": {"execute_min": execute_min, "decisions": [], "answer": -0.1}}
    assert f"has the probability {told}." in repr(judge(row, OWN, -1.0))


DIGITS = by_columns(TRACE)
FIRST, ADDED = TRACE.checks[0], "15 + 87: 5 + 7 = 12;1 + 8 + 1 = 10;15 + 87 = 102"


@pytest.mark.parametrize("checks, against, beside", [
    ((FIRST.replace("correct", "wrong"),), {"what": "1"}, None),  # the word
    ((FIRST.replace(" = ", " = 9"),), {"what": "1"}, None),
    ((TRACE.checks[1],), None, {"what": "1"}),
    ((f"{ADDED}, want 102: 22y 00y 11y, correct",), None, {"what": "1"}),
    *(((f"{ADDED}, want 102: 22y 00y 11y, correct".replace(old, new),), {"what": "1"},
       None if old == "correct" else {"what": "1"}) for old, new in (
        ("5 + 7 = 12", "5 + 7 = 13"),  # a digit fact
        ("5 + 7 = 12", "6 + 7 = 13"),  # one of other digits
        (";15 + 87 = 102", ";15 + 87 = 112"), (";15 + 87 = 102", ";51 + 51 = 102"),
        ("00y", "00n"), ("22y", "12y"), (" 11y", ""),
        ("102: 22y", "103: 22y"), ("correct", "wrong")))])
def test_a_line_of_verify_that_does_not_hold_is_said(checks, against, beside):
    for whole in (TRACE, DIGITS):
        text = render_trace(replace(whole, checks=(*checks, *whole.checks[1:])))
        _, found, notes = doubts.of_text(text, PROBLEM.question, OWN)
        assert dict(found).get("checks") == against
        assert dict(notes).get("other_checks") == beside
        assert {key for key, _ in found} <= {"checks"}


def test_of_verify_by_digits_objections_are_settled_and_repairs_read_as_of_the_other_form():
    line = column_check(plain_steps(TRACE)[2], Fraction(9001))
    fixed = by_columns(replace(FALSE, **OBJECTS))
    assert fixed.checks[2] == line and ": " in fixed.repairs[0]
    for trace, against, beside in (
            (DIGITS, [], []), (fixed, [], ["repaired"]),
            (replace(fixed, execute=TRACE.execute, result=TRACE.result), [], ["kept"]),
            (replace(fixed, repairs=(fixed.repairs[0].replace(" = ", " = 9", 1),)),
             ["repaired_sums", "objection"], [])):
        _, found, notes = doubts.of_text(render_trace(trace), PROBLEM.question, OWN)
        assert ([key for key, _ in found], [key for key, _ in notes]) == (against, beside)


@pytest.mark.parametrize("checks", ["digits", "rearranged"])
def test_nothing_of_the_verify_of_training_traces_is_called_wrong(checks):
    found = {}
    for record in prepare("procedural", total=200, seed=11, checks=checks):
        _, against, notes = doubts.of_text(record["trace"], record["question"], OWN)
        kind = (record["planted"] or {}).get("kind")
        found.setdefault(kind, set()).update(key for key, _ in (*against, *notes))
    assert found.pop(None) == set() and found.pop("arithmetic_slip") == {"repaired"}
    assert set().union(*found.values()) == {"objection"}


def test_the_readmes_question_is_answered_without_a_warning(tmp_path):
    one = solve(QUESTION)
    assert (one.answer, one.verdict, one.steps, one.warnings) == ("21", "correct", (True,), ())
    assert one.trace.answer == "21" and one.reason is None and 0.5 < one.confidence <= 1
    shown = repr(one)
    assert shown.startswith("Answer: 21\nVERIFY says: correct\n") and "12 + 9 = 21  ✓" in shown
    page = one.save(tmp_path / "x.html").read_text(encoding="utf-8")
    assert one._repr_html_() in page and "default-src" in page and "[EXECUTE]" in page
    assert not {"<script", "src=", "href=", "url("} & set(page.split())
    for no_file in (tmp_path, None):
        with pytest.raises(ValueError, match="^path is .*; give the name of a file"):
            one.save(no_file)
    again = solve(QUESTION, language="vi")
    assert again.text == one.text and (again.verdict, again.language) == ("đúng", "vi")


def test_a_text_that_is_no_trace_is_shown_with_the_reason():
    one = solve("12*12")
    assert "⚠" in one.html()
    assert one.trace is None and "the stage is missing" in one.reason
    assert any(one.reason in warning for warning in one.warnings)
    assert "&lt;b&gt;" in replace(one, question="<b>").html() and "<b>" not in one.html()
    assert one.text.split("\n")[0] in repr(one) and one.reason in repr(one)


def test_of_several_samples_the_answer_that_most_have_is_taken():
    one = solve(QUESTION, samples=5)
    agree, of = one.votes
    assert of == 5 and one.answer == "21" and agree >= 3 and f"{agree} of 5" in repr(one)
    assert solve(QUESTION, samples=5).text == one.text
    few = [replace(one, text=one.text.replace("Answer: 21", f"Answer: {answer}"), votes=(1, 1))
           for answer in (7, 8, 8, 9, 10)]
    chosen = solution._chosen(few)
    assert chosen.answer == "8" and chosen.votes == (2, 5)
    assert chosen.warnings[-1] == "Only 2 of 5 samples have this answer."


def test_a_gate_that_was_not_chosen_yet_is_none(workspace):
    for name in ("one", "one-gate"):
        new_run(name).append_generations([row()])
    assert solution.threshold("one") is None


def test_a_base_alone_is_asked_for_the_four_stages(monkeypatch):
    asked = []
    real = solution.generate_traces
    monkeypatch.setattr(solution, "generate_traces", lambda model, tokenizer, rows, *rest: real(
        model, tokenizer, [asked.append(row["question"]) or row for row in rows], *rest))
    one = solve(QUESTION, base="nano", max_new_tokens=8)
    assert asked[0].endswith(f"Problem: {QUESTION}") and "[UNDERSTAND]" in asked[0]
    assert one.question == QUESTION and one.trace is None and len(one.warnings) == 1


def test_a_base_is_asked_by_the_prompt_that_was_chosen_for_it_on_dev(workspace):
    assert solution.prompt_of("me/other") == solution.PROMPT
    for run, base in (("one", "me/one"), ("other", "me/other")):
        new_run(f"{run}-prompted").write_params({"base": base, "prompt": "two examples alone"})
    new_run("old-prompted").write_params({"base": "me/old", "prompt": "none of today's"})
    assert solution.prompt_of("me/other") == "two examples alone"
    assert solution.prompt_of("me/old") == solution.PROMPT


@pytest.mark.parametrize("given, sentence", [
    ({"question": " "}, "question is ' '"),
    ({"question": "How many? " * 500},
     "question is 1506 tokens long as it is asked, and the base reads 1024"),
    ({"question": "How many? " * 300, "base": "nano"}, "tokens long as it is asked, .* reads 1024"),
    ({"question": "\ud800 has 5 apples?"}, "question is .* holds half of a surrogate pair"),
    ({"samples": 0}, "samples is 0"),
    ({"samples": True}, "samples is True"),
    ({"max_new_tokens": 0}, "max_new_tokens is 0"), ({"max_new_tokens": 5000}, "1 to 4096"),
    ({"seed": "5"}, "seed is '5'; give a whole number, 0 to"),
    ({"language": "fr"}, "language is 'fr'")])
def test_wrong_values_are_refused(given, sentence):
    with pytest.raises(ValueError, match=sentence):
        nanoreason.solve(**{"question": QUESTION} | given)


def test_an_unknown_run_and_an_unknown_name_are_refused():
    with pytest.raises(RunError, match="nano-reference"):
        nanoreason.solve(QUESTION, "nan-reference")
    with pytest.raises(AttributeError, match="solve"):
        nanoreason.slove


def test_the_sentences_of_both_languages_are_the_same_ones():
    first, *others = SENTENCES.values()
    for other in others:
        assert other.keys() == first.keys()
        assert all(other[part].keys() == first[part].keys() for part in ("warnings", "notes"))


def test_wrong_answers_carry_a_warning_and_right_ones_seldom_do():
    found = parse(read_text(RESULTS / "solving.json"))
    assert found["test"]["n"] == 500 and found["gsm8k"]["n"] == 200
    own, foreign = found["test"], found["gsm8k"]
    for part in (own, foreign):
        assert part["right"]["counts"][1] + part["wrong"]["counts"][1] == part["n"]
    assert foreign["wrong"]["value"] == 1 and own["wrong"]["value"] > 0.98
    assert own["right"]["value"] < 0.1
