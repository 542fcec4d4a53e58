"""`-p data gsm8k:8+math:6`: how a mixture is named, where it is read, what its card says."""
from __future__ import annotations

import json

import pytest

from nanoreason.data import teach
from nanoreason.data.prepare import ShortfallError, prepare
from nanoreason.data.problem import Problem, make_record, write_traces
from nanoreason.data.problem import Entry, read_mixture
from nanoreason.data.teachers import RecordedTeacher, choose_teacher
from nanoreason.figures import data_card
from nanoreason.model.base import load_tokenizer
from nanoreason.params import DataParams, EvaluateParams, ParameterError, TrainParams
from nanoreason.trace import Trace


def test_a_mixture_is_read_from_its_line():
    assert read_mixture("gsm8k:8+math@abc/1.0:6.5+vnhsge") == [
        Entry("gsm8k", None, 8), Entry("math", "abc/1.0", 6.5), Entry("vnhsge", None, 1)]
    for other in ("hens.jsonl", "gsm8k+", "gsm8k;math", "gsm8k:x", "C:\\gsm8k:1", "", "gsm8k:-1"):
        assert read_mixture(other) == []
    for twice in ("math+math", "math:0"):
        with pytest.raises(ValueError, match="math"):
            read_mixture(twice)


def hens(number):
    a, b = number + 20, number + 3
    return {"question": f"There are {a} brown hens and {b} white hens. Each lays 4 eggs on day "
                        f"{number}. How many eggs do the hens of farm {number} lay?",
            "answer": f"There are {a}+{b}=<<{a}+{b}={a + b}>>{a + b} hens.\n"
                      f"They lay <<{a + b}*4={(a + b) * 4}>>eggs.\n#### {(a + b) * 4}"}


def equation(n):
    return f"Problem {n}: solve $x - {n} = 35$."


def solved(n):
    return Trace((f"Given: $x - {n} = 35$", "Find: x"), ("Move the number over.",),
                 (f"35 + {n} = {35 + n}",), str(35 + n), (f"{35 + n} - {n} = 35",), None, (),
                 str(35 + n))


@pytest.fixture
def folder(tmp_path):
    """Two data sets in their own layouts; math's test set repeats one of its problems."""
    for name, numbers in (("train", range(60)), ("test", range(58, 62))):
        path = tmp_path / "gsm8k" / f"{name}.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(json.dumps(hens(n)) + "\n" for n in numbers))
    for part, numbers in (("train", range(30)), ("test", range(29, 31))):
        for n in numbers:
            path = tmp_path / "math" / part / "algebra" / f"{n}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({
                "problem": equation(n), "level": "Level 1", "type": "Algebra",
                "solution": rf"Then $x = \boxed{{{35 + n}}}$."}))
    recorded = [make_record(Problem(f"r{n}", "math", "train", "en", equation(n), str(35 + n)),
                            solved(n)) for n in range(25)]
    write_traces(tmp_path / "recorded.jsonl", recorded)
    return tmp_path


def test_two_data_sets_become_one_training_set(folder):
    report = {}
    teacher = choose_teacher("recorded", path=str(folder / "recorded.jsonl"))
    records = prepare("math", teacher, 20, 0.0, 1, path=folder / "math", report=report)
    assert len(records) == 20 and {r["source"] for r in records} == {"math"}
    reasons = report["by_source"]["math"]["reasons"]
    # `Problem 29` is in both parts; it and its like have fewer than 13 words.
    assert report["test_sets"] == {"questions": 2, "math": reasons["contaminated"], "absent": [],
                                   "shared_runs": {"all": reasons["contaminated"]}}
    assert reasons["recorded/missing"] >= 3
    assert report["read"] == report["kept"] + len(report["rejected"])

    class Both:
        def teach(self, problems):
            problems = list(problems)
            name = next((p.source for p in problems if isinstance(p, Problem)), "")
            return teach(problems, teacher if name == "math" else "rules")

    both = prepare("gsm8k:3+math:1", Both(), 40, 0.5, 1, path=folder, report=report)
    assert len(both) == 40 and sum(r["source"] == "math" for r in both) == 10
    assert report["by_source"]["gsm8k"]["clean"] == 15 and sum(report["planted"].values()) == 20
    assert report["test_sets"]["questions"] == 6 and report["test_sets"]["gsm8k"] >= 1
    assert not {r["question"] for r in both} & {hens(n)["question"] for n in range(58, 62)}
    with pytest.raises(ShortfallError, match="(?s)allow.*math: 60 wanted"):
        prepare("gsm8k:1+math:1", Both(), 120, 0.5, 1, path=folder)
    assert len(prepare("gsm8k:1+math:1", Both(), 200, 0.5, 1, path=folder, allow_fewer=True)) < 200


def test_a_lone_file_has_no_test_set_and_that_is_said(folder):
    report = {}
    prepare("gsm8k", total=10, path=folder / "gsm8k" / "train.jsonl", report=report)
    assert report["test_sets"] == {"questions": 0, "absent": ["gsm8k"], "shared_runs": {}}
    (folder / "gsm8k" / "test.jsonl").unlink()
    prepare("gsm8k", total=10, path=folder / "gsm8k", report=report)
    assert report["test_sets"]["absent"] == ["gsm8k"]
    with pytest.raises(ValueError, match="one folder"):
        prepare("gsm8k+math", path=folder / "gsm8k" / "train.jsonl")


def test_the_card_counts_what_there_is_and_holds_no_text():
    report = {}
    records = prepare("procedural", total=80, error_share=0.25, report=report)
    card = data_card.data_card(records, report, load_tokenizer("nano"))
    assert (card["traces"], card["planted"], card["problems"]) == (80, 20, 80)
    assert sum(card["steps"].values()) == 60 and card["read"] == 80 == card["kept"]
    (part,) = card["by_source"].values()
    assert part["clean"] == 60 and sum(part["planted"].values()) == 20
    assert sum(card["operands"].values()) == pytest.approx(1)
    assert card["operands"]["unknown"] == 0 < card["operands_null"]["unknown"]
    for median, ninety, longest in card["tokens"].values():
        assert 0 < median <= ninety <= longest
    assert card["tokens"]["question and trace"][0] > card["tokens"]["execute"][0]
    text = json.dumps(card)
    assert not any(r["question"][:20] in text for r in records)
    changed = [records[0] | {"answer": "0"}, *records[1:]]
    assert data_card.data_card(changed, report, load_tokenizer("nano"))["sha256"] != card["sha256"]
    figure = data_card.draw_card(card)
    assert [axes.get_xlabel() for axes in figure.axes][0] == "problems"
    widths = [patch.get_width() for patch in figure.axes[0].patches]
    assert widths[0] == 80
    assert [text.get_text() for text in figure.axes[2].get_yticklabels()] == [
        "question", "earlier step", "constant", "unknown"]


def test_the_choice_of_a_teacher_names_what_is_missing(folder):
    assert choose_teacher("rules") == "rules"
    assert isinstance(choose_teacher("recorded", path=str(folder / "recorded.jsonl")),
                      RecordedTeacher)
    for call, words in ((("llm",), "teacher_model"), (("recorded",), "teacher_path"),
                        (("gpt",), "'gpt'")):
        with pytest.raises(ValueError, match=words):
            choose_teacher(*call)


def test_parameters_know_mixtures_and_kinds():
    assert DataParams(data="gsm8k:2+math:1").data == "gsm8k:2+math:1"
    assert TrainParams(data="vnhsge", error_kinds={"skipped_step": 2}).error_kinds
    for set_, values, words in (
            (EvaluateParams, {"data": "gsm8k+math"}, "gsm8k"),
            (DataParams, {"data": "gsm8k+x"}, "x"),
            (TrainParams, {"error_kinds": {"slip": 1}}, "skipped_step"),
            (DataParams, {"data": "math+math"}, "math"),
            (DataParams, {"teacher": "gpt"}, "recorded")):
        with pytest.raises(ParameterError, match=words):
            set_(**values)
