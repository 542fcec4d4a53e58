"""What nobody has read goes to a sheet; what readers found goes to the table."""
import csv
import json
import sys

import pytest

from nanoreason.data.gsm8k.readings import RIGHT, WRONG, fingerprint

PROBLEMS = [
    ("Ann has 8 pens and 3 caps. How many things?", "8 pens + 3 caps = <<8+3=11>>11\n#### 11"),
    ("Bo has 5 red, 4 blue and 4 green pens. How many blue pens in 5 such boxes?",
     "<<5*4=20>>20\n#### 20"),
]
LINES = ("5 * 4 = 20",)


@pytest.fixture(scope="module")
def reading(benchmark_scripts):
    import reading
    return reading


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps({"question": q, "answer": a}) + "\n" for q, a in PROBLEMS))
    return path


@pytest.fixture
def run(reading, data, tmp_path, monkeypatch):
    table = tmp_path / "readings.csv"
    table.write_text(",".join(reading.FIELDS) + "\n")

    def call(what, file, *options):
        monkeypatch.setattr(sys, "argv", ["reading.py", what, str(data), str(file),
                                          "--table", str(table), *options])
        reading.main()
        return list(csv.DictReader(table.open()))
    return call


def test_a_sheet_has_the_least_sure_first_and_tags_the_quantities(run, tmp_path):
    sheet = tmp_path / "sheet.txt"
    run("sheet", sheet)
    text = sheet.read_text()
    assert text.index("=== row 2") < text.index("=== row 1")
    assert "Ann has [q0:8] pens and [q1:3] caps." in text and "<<" not in text
    assert "  1. 8 + 3 = 11    [8 from q0; 3 from q1]" in text
    run("sheet", sheet, "--most", "1")
    assert "=== row 1" not in sheet.read_text()


def test_every_fault_is_a_row_and_what_they_lead_to_is_right(run, reading, data, tmp_path):
    trace = next(t for t in reading.unread(data) if t.row == 2)
    assert trace.lines == LINES
    other = {("given", 1): "q2", ("given", 2): "q1"}[trace.sources[0][1]]
    verdicts = tmp_path / "verdicts.csv"
    verdicts.write_text(f"1,right\n2,wrong,1,2,{other}\n")
    rows = run("take", verdicts)
    assert [(row["row"], row["verdict"]) for row in rows if row["row"] == "1"] == [("1", RIGHT)]
    second = {row["trace"]: row for row in rows if row["row"] == "2"}
    ends = [[trace.sources[0][0], ("given", int(other[1]))]]
    assert second[fingerprint(PROBLEMS[1][0], LINES, ends)]["verdict"] == RIGHT
    assert sorted(row["verdict"] for row in second.values()) == [RIGHT, WRONG]
    assert {row["round"] for row in rows} == {"3"}
    assert run("take", verdicts) == rows  # once is enough


def test_a_step_that_is_left_out_ends_in_no_right_trace(run, tmp_path):
    verdicts = tmp_path / "verdicts.csv"
    verdicts.write_text("1,unsure\n2,wrong,1,2,step\n")
    (row,) = run("take", verdicts)
    assert (row["row"], row["verdict"], row["source"]) == ("2", WRONG, "step")


@pytest.mark.parametrize("line", ["2,maybe", "2,wrong", "2,wrong,1,2,x3", "two,right", "2",
                                  "2,wrong,1,2,q1,quantity"])
def test_what_is_no_verdict_is_named(run, tmp_path, line):
    verdicts = tmp_path / "verdicts.csv"
    verdicts.write_text(f"1,right\n{line}\n")
    with pytest.raises(ValueError, match="line 2"):
        run("take", verdicts)


@pytest.mark.parametrize("fault, message", [
    ("1,3,q1", "row 2 has no operand 3 in line 1"), ("2,1,q1", "row 2 has no operand 1 in line 2"),
    ("1,2,q3", "row 2, line 1: q3 is not 4"), ("1,2,q9", "q9 is not 4"), ("1,2,r1", "r1 is not 4"),
])
def test_a_fault_that_cannot_be_is_named(run, tmp_path, fault, message):
    verdicts = tmp_path / "verdicts.csv"
    verdicts.write_text(f"2,wrong,{fault}\n")
    before = run("sheet", tmp_path / "sheet.txt")
    with pytest.raises(ValueError, match=message):
        run("take", verdicts)
    assert run("sheet", tmp_path / "sheet.txt") == before  # nothing is lost


def test_a_constant_that_the_question_does_not_speak_of_ends_in_no_right_trace(run, tmp_path):
    verdicts = tmp_path / "verdicts.csv"
    verdicts.write_text("2,wrong,1,2,constant\n")
    assert [row["verdict"] for row in run("take", verdicts)] == [WRONG]
