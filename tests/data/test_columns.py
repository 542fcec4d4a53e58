"""Problems in files of any form, under any names: read whole, or refused by name.

All records are invented; only their fields are those of the data sets.
"""
from __future__ import annotations

import gzip
import json

import pandas
import pytest

from nanoreason.arithmetic.answers import grade
from nanoreason.data import load_problems, teach
from nanoreason.data.columns import gold_value
from nanoreason.data.prepare import prepare
from nanoreason.data.problem import Problem, Rejection, question_sha256
from nanoreason.trace import Trace


def read(tmp_path, *records, **options):
    path = tmp_path / "own.jsonl"
    path.write_text("\n".join(map(json.dumps, records)))
    return list(load_problems(str(path), split="test", **options))


KNOWN = {
    "SVAMP": ({"ID": "c1", "Body": "Ada has 5 pens. She buys 8.", "Question": "How many now?",
               "Equation": "( 5.0 + 8.0 )", "Answer": 13.0, "Type": "Addition"}, "13"),
    "ASDiv": ({"body": "Ada has five pens and buys 8.", "question": "How many now?",
               "solution_type": "Addition", "answer": "13 (pens)", "formula": "5+8=13"}, "13"),
    "MAWPS": ({"iIndex": 1, "sQuestion": "Ada has 5 pens and buys 8. How many now?",
               "lEquations": ["X=(5.0+8.0)"], "lSolutions": [13.0]}, "13"),
    "MAWPS, tokenised": ({"id": 1, "original_text": "Ada has 5 pens and buys 8 . How many now ?",
                          "segmented_text": "Ada has 5 pens and buys 8 . How many now ?",
                          "equation": "X=(5.0+8.0)", "ans": 13.0}, "13"),
    "MAWPS, numbered": ({"Question": "Ada has number0 pens and buys number1 . How many now ?",
                         "Numbers": "5.0 8.0", "Equation": "+ number0 number1", "Answer": 13.0,
                         "Body": "Ada has number0 pens and buys number1 .",
                         "Ques_Statement": "How many now ?"}, "13"),
    ", MAWPS": ({"input": "Ada has 5 pens and buys 8. How many now?", "target": 13.0}, "13"),
    "GSM-IC": ({"original_question": "Ada has 5 pens. How many?", "answer": "13.0",
                "new_question": "Ada has 5 pens and buys 8. Bo is 9. How many now?"}, "13"),
    "AQuA": ({"question": "Ada has 5 pens and buys 8. How many?", "options": ["A)12", "B)13"],
              "rationale": "5 + 8 = 13", "correct": "B"}, "B"),
    "TabMWP": ({"question": "How many pens in all?", "choices": None, "answer": "13",
                "table_title": "Pens", "table": "Ada | 5\nBo | 8", "solution": "5 + 8 = 13"}, "13"),
    "MGSM": ({"question": "Ada hat 5 Stifte und kauft 8. Wie viele?", "answer": None,
              "answer_number": 13, "equation_solution": None}, "13"),
    "OlympiadBench": ({"id": 1, "context": None, "question": "What is $5+8$?", "unit": None,
                       "solution": ["It is $13$."], "final_answer": ["$13$"]}, "13"),
    "GSM-Plus": ({"question": "Ada has 5 pens and buys 8. How many?", "answer": "13",
                  "solution": "5 + 8 = 13\n#### 13", "perturbation_type": "digit"}, "13"),
    "GSM-symbolic": ({"id": 0, "instance": 3, "question": "Ada has 5 pens and buys 8. How many?",
                      "answer": "5 + 8 = <<5+8=13>>13\n#### 13", "original_id": 4}, "13"),
    "MATH-500": ({"problem": "What is $5+8$?", "solution": "$\\boxed{13}$", "answer": "13",
                  "unique_id": "test/1.json"}, "13"),
    ", bare": ({"problem": "What is 5 + 8? Ada asks.", "answer": 13.0, "url": "x"}, "13"),
    "MetaMathQA": ({"query": "Ada has 5 pens and buys 8. How many?", "original_question": "Why?",
                    "response": "5 + 8 = 13\nThe answer is: 13", "type": "x"}, "13"),
    ", chat": ({"prompt": "Ada has 5 pens and buys 8. How many?", "completion": "#### 13"}, "13"),
    ", task": ({"instruction": "Ada has 5 pens and buys 8. How many?", "input": "",
                "output": "The answer is 13."}, "13"),
    "Minerva": ({"problem": "What is $5+8$?", "solution": "It is $\\boxed{13}$.", "idx": 0,
                 "type": "x"}, "13"),
}


@pytest.mark.parametrize("name", KNOWN)
def test_known_sets_are_told_by_their_fields_and_that_is_said(tmp_path, name):
    record, answer = KNOWN[name]
    (found,) = read(tmp_path, record)
    assert found.details.get("columns", [""])[0] == name.split(",")[0]
    assert grade(answer, found.answer).right
    assert found.question.count("Ada") < 2
    numbers = {"OlympiadBench": "5+8", "Minerva": "5+8", "MATH-500": "5+8", "MGSM": "5 Stifte"}
    assert numbers.get(name, "Ada") in found.question and found.answer != record.get("solution")
    if name in ("SVAMP", "ASDiv", "MAWPS", "MAWPS, tokenised", "TabMWP", "GSM-Plus",
                "GSM-symbolic"):
        (trace,) = teach([found])
        assert isinstance(trace, Trace) and trace.execute == ("5 + 8 = 13",)


def test_what_was_taken_is_reported(tmp_path):
    path = tmp_path / "svamp.json"
    path.write_text(json.dumps([KNOWN["SVAMP"][0]]))
    report = {}
    prepare(str(path), error_share=0.0, report=report)
    assert report["columns"]["SVAMP"]["question"] == ["Body", "Question"]


def test_columns_say_where_a_problem_stands(tmp_path):
    record = {"story": "Ada has 5 pens and buys 8.", "ask": "How many now?", "gold": "13 pens",
              "steps": "5 + 8 = 13"}
    (refused,) = read(tmp_path, record)
    assert refused.reason == "no_question"
    assert "story, ask, gold, steps" in refused.detail and "columns=" in refused.detail
    (found,) = read(tmp_path, record, columns={
        "question": ["story", "ask"], "answer": "gold", "solution": "steps"})
    assert found.question == "Ada has 5 pens and buys 8.\nHow many now?" and found.answer == "13"
    assert isinstance(next(iter(teach([found]))), Trace)
    for wrong in ({"question": "ask"}, {"question": "ask", "answer": 3},
                  {"question": "ask", "answer": "gold", "id": "x"}):
        with pytest.raises(ValueError, match="columns names"):
            read(tmp_path, record, columns=wrong)


@pytest.mark.parametrize("beside", ["passage", "table", "Options", "image", "B", "option_c"])
def test_half_a_problem_is_not_taken_in_silence(tmp_path, beside):
    record = {"question": "How many pens has Ada?", "answer": "13", beside: "Ada has 13 pens"}
    (found,) = read(tmp_path, record)
    assert found.reason == "half_a_problem" and beside in found.detail
    (found,) = read(tmp_path, record | {beside: {"A": "13 pens"}})
    assert found.reason == "half_a_problem"
    (found,) = read(tmp_path, record | {beside: ""})
    assert isinstance(found, Problem)
    (found,) = read(tmp_path, record, columns={"question": [beside, "question"],
                                               "answer": "answer"})
    assert "Ada has 13 pens" in found.question


GOLDS = [
    ("7 + 3 = 10 #### 10", "10"), ("7 + 3 = 10\n###10", "10"), ("10 cups", "10"),
    ("7 + 3 = 10. The answer is: 10", "10"), ("7 + 3 = 10\n#### 10 in all", "10"),
    ("7 + 3 = 10", "10"), ("He has 7 + 3 = 10 cups.", "10"), ("₺1,250", "1250"),
    ("R$ 4.50", "4.50"),
    ("Đáp số: 12", "12"), ("$\\frac{3}{4}$", "3/4"), ("(C)", "C"), ("x^2 + 1", "1+x^2"),
    ("Monday", "Monday"), ("10:30 am", "10:30 am"), ("So $\\boxed{7}$ is it.", "7"),
    ("-2,1", "-2, 1"), ("1,2,13", "1, 2, 13"), ("2k", "2k"), ("2xy", "2xy"), ("5kg", "5 kg"),
    ("Its answer is found by length: it is $\\boxed{\\frac{1}{4}}$ cm.", "1/4"),
    ("The answer is the slope, $\\boxed{12}$ here, by step 3.", "12"),
    ("$\\boxed{AB=BC}$", "AB=BC"),
    ("7 cm^2", "7"), ("2 dozen", None), ("$7 million", None), ("2 and a half", None),
    ("first 3 cups and then 4 cups more", None), ("Ada bought pens and Bo did not buy any", None),
]


@pytest.mark.parametrize("written, right", GOLDS)
def test_a_gold_answer_is_a_value_or_refused(tmp_path, written, right):
    (found,) = read(tmp_path, {"question": "How many?", "answer": written})
    if right is None:
        assert found.reason == "gold_is_no_value" and written[-20:] in found.detail
    else:
        assert grade(right, found.answer).right and (found.answer == written) <= (
            len(written.split()) < 4)


@pytest.mark.parametrize("written, right", [
    ("12,5 kg", "12.5"), ("15.000 đồng", "15000"), ("#### 1.250,5", "1250.5"), ("2,125", None),
    (2.125, None), (7.5, "7.5"), (1e-5, "0.00001")])
def test_a_vietnamese_gold_answer_is_read_as_vietnamese_writes_it(tmp_path, written, right):
    (found,) = read(tmp_path, {"question": "Lan có 3 cái bút, mua thêm 4 cái. Hỏi có mấy cái?",
                               "answer": written})
    assert found.reason == "gold_is_no_value" if right is None else (
        found.language == "vi" and found.answer == right)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_gold_answer_that_is_no_number_is_refused(tmp_path, number):
    (found,) = read(tmp_path, {"question": "How many?", "answer": number})
    assert found.reason == "no_answer"


def test_a_value_stays_as_it_is():
    for value in ("12.5", "3/4", "20%", "-7", "B", "\\frac{1}{2}", "(1, 2)", "2x = 5"):
        assert gold_value(value) == value


ROWS = [{"id": f"{n:03}", "question": f"Ada has {n} pens, \"new\" ones, and buys 3. How many?",
         "answer": f"{n}+3=<<{n}+3={n + 3}>>{n + 3} pens\n#### {n + 3}"} for n in range(5, 9)]


@pytest.mark.parametrize("name", ["a.json", "a.json.gz", "a.csv", "a.csv.gz", "a.tsv", "a.parquet",
                                  "a.jsonl", "b.json"])
def test_every_form_of_file_gives_the_same_problems(tmp_path, name):
    path, table = tmp_path / name, pandas.DataFrame(ROWS)
    text = {"a.json": json.dumps(ROWS, indent=1), "a.jsonl": "\n".join(map(json.dumps, ROWS)),
            "b.json": json.dumps({row["id"]: row for row in ROWS}, indent=1)}.get(
                name.removesuffix(".gz"))
    if text:
        path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    elif "parquet" in name:
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep="\t" if "tsv" in name else ",")
    found = list(load_problems(str(path), split="test"))
    assert [(p.id, p.question, p.answer) for p in found] == [
        (row["id"], row["question"], str(n)) for n, row in enumerate(ROWS, 8)]
    assert len(prepare(str(path), error_share=0.0)) in (3, 4)  # one may be of dev


def test_a_table_without_names_and_values_that_a_reader_would_change(tmp_path):
    path = tmp_path / "mgsm_en.tsv"
    path.write_text("Ada has 5 pens. How many?\t5\nBo has 7. How many?\t1,007\n")
    assert [p.answer for p in load_problems(str(path), split="test")] == ["5", "1007"]
    path = tmp_path / "a.csv"
    path.write_text("question,answer\nWhich year?,007\nWho?,NA\n")
    assert [p.answer for p in load_problems(str(path), split="test")] == ["007", "NA"]
    path.write_text("question,answer\nHow many?,7\nHow,many,8\n")
    assert [r.reason for r in load_problems(str(path), split="test")] == ["not_a_table"]


def test_a_file_that_cannot_be_read_says_what_is_expected(tmp_path):
    path = tmp_path / "a16.jsonl"
    path.write_bytes(json.dumps(ROWS[0]).encode("utf-16"))
    with pytest.raises(ValueError, match="one object a line"):
        prepare(str(path), error_share=0.0)
    path.write_text(json.dumps({"question": "Is it so?", "answer": "Monday"}))
    with pytest.raises(ValueError, match="teacher llm .* teacher recorded"):
        prepare(str(path), error_share=0.0)


def test_questions_that_differ_in_a_sign_or_bracket_are_two():
    for one, other in (("Compute $\\cos(-45^\\circ) - 2$.", "Compute $\\cos(45^\\circ) + 2$."),
                       ("What is 17 - 8?", "What is 17 + 8?"), ("Find $8/(4/2)$", "Find $8/4/2$"),
                       ("$k > 0$ on [1,2)", "$k < 0$ on [1,2)"), ("What is 5!?", "What is 5?"),
                       ("Is 3 ≤ n?", "Is 3 ≥ n?"), ("The sum of \\{1,2\\}", "The sum of (1,2)"),
                       ("On [1,2), is it so?", "On (1,2], is it so?")):
        assert question_sha256(one) != question_sha256(other)
    for one, other in (("What is 17 - 8?", "what is 17−8"), ("A well-known (old) man.", "a well "
                       "known, old man"), ("Ann - he has 3 cups", "Ann, he has 3 cups")):
        assert question_sha256(one) == question_sha256(other)


def test_signs_of_money_are_alike(tmp_path):
    for sign in ("$", "€", "£", "₺", "₣", "₹", "₩", "R$", "US$", "S$"):
        (found,) = read(tmp_path, {"question": f"A pen costs {sign}4. What do 3 pens cost?",
                                   "answer": f"3 * {sign}4 = {sign}12\n#### {sign}12"})
        (trace,) = teach([found])
        assert found.answer == "12" and not isinstance(trace, Rejection), sign
        assert trace.execute in (("3 * 4 = 12",), ("4 * 3 = 12",))
