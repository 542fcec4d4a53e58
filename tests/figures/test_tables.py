"""Tables: every score with its counts, nothing that was not measured, cells that stay text."""
import csv
import io

import pytest
from synthetic import make_rows, make_run

from nanoreason.evaluation.report import wilson
from nanoreason.evaluation.summary import summarise
from nanoreason.figures.tables import (Table, claims_table, judge, make_tables, results_table,
                                       rows_table, show, write_tables)


@pytest.fixture(scope="module")
def rows():
    return make_rows(10)


@pytest.fixture(scope="module")
def summary(rows):
    return summarise(rows, make_rows(10, seed=1, base=True), run="synthetic",
                     base_run="nano-base")


@pytest.mark.parametrize("n, smoke", [(49, True), (50, False)])
def test_a_run_of_few_traces_is_marked_smoke_in_every_table(rows, n, smoke):
    natural = next(row for row in rows if row["setting"] == "natural")
    summary = summarise([natural | {"sample": i} for i in range(n)])
    assert summary["smoke"] is smoke
    for table in (*make_tables(summary).values(), results_table(summary), claims_table(summary)):
        assert table.title.startswith("SMOKE") is smoke, table.title


def test_all_tables_of_a_run_are_written_in_both_forms(workspace, summary):
    run = make_run(n=2)
    paths = write_tables(summary, run, faults=["line 7: no JSON"])
    assert len(paths) == 32 and all(path.parent == run.tables for path in paths)
    names = {path.stem for path in paths}
    assert {"accuracy", "verification_given", "kinds_scores", "steps_given"} <= names
    assert {(run.tables / f"{name}.{form}").is_file() for name in names
            for form in ("md", "csv")} == {True}
    assert "line 7: no JSON" in (run.tables / "left_out.md").read_text()
    accuracy = make_tables(summary)["accuracy"].csv()
    assert (run.tables / "accuracy.csv").read_text() == accuracy


def test_every_number_of_the_readme_table_is_in_the_summary(summary):
    text = results_table(summary).markdown()
    section = summary["splits"]["test"]
    for score in (section["accuracy"]["a1"], section["accuracy"]["a2"], section["base"]["lenient"],
                  section["given"]["verification"]["svr"]):
        assert f"{100 * score['value']:.1f} %" in text
        assert f"{100 * score['interval'][0]:.1f}–{100 * score['interval'][1]:.1f}" in text


def test_the_rows_of_a_run_are_counted_and_those_of_them_that_were_cut():
    counts = {("test", "natural", True): 2, (None, "natural", False): 3,
              ("test", "clean", False): 4, ("test_ood", "natural", True): 1}
    made = [{"split": split, "setting": setting, "cut": cut}
            for (split, setting, cut), count in counts.items() for _ in range(count)]
    made += [{"setting": "injected"}]  # of before it was noted
    table = rows_table(iter(made))
    cells = {(row[0], name): cell for row in table.rows
             for name, cell in zip(table.columns[1:], row[1:])}
    said = {place: cell for place, cell in cells.items() if cell != "not run"}
    assert said == {("test", "natural"): "5 (2 cut at max_new_tokens)", ("test", "clean"): "4",
                    ("test", "injected"): "1",
                    ("test_ood", "natural"): "1 (1 cut at max_new_tokens)"}


def test_claims_follow_from_the_intervals():
    def verdict(value, interval, null):
        score = {"value": value, "interval": interval, "counts": None, "null": null}
        return judge(score, null)

    assert verdict(0.5, [0.4, 0.6], 0.3) == "shown"
    assert verdict(0.5, [0.2, 0.6], 0.3) == "not shown"
    assert verdict(0.1, [0.0, 0.2], 0.3) == "contradicted"
    assert verdict(None, None, 0.3) == "n/a (n=0)"
    assert judge(None, 0.3) == "not run"


def test_cells_survive_markdown_and_csv():
    table = Table("Which?", ("a", "b"), (("x|y", "1,5"), ("two\nlines", "")))
    assert table.markdown().split("\n")[4:] == ["| x\\|y | 1,5 |", "| two lines |  |"]
    assert list(csv.reader(io.StringIO(table.csv())))[1] == ["x|y", "1,5"]
    with pytest.raises(ValueError, match="row 1 of 'Which\\?' has 1 cells for 2"):
        Table("Which?", ("a", "b"), (("x",),))


def test_a_score_is_written_with_counts_interval_and_null():
    score = {"value": 78 / 500, "counts": [78, 500], "interval": wilson(78, 500), "null": None}
    assert show("a2", score) == "15.6 % (78/500) [12.7–19.0]"
    composite = {"value": 0.5, "counts": [[1, 2], [1, 2]], "interval": [0.1, 0.9], "null": 0.25}
    assert show("svr", composite) == "50.0 % (1/2; 1/2) [10.0–90.0], null 25.0 %"
    assert show("svr", composite | {"value": None}) == "n/a (n=0)"
    assert show("delta", {"value": -0.021, "counts": None, "interval": (-0.05, 0.01)}) == (
        "-2.1 points [-5.0 to +1.0]")
    assert show("delta", {"value": 0.021, "counts": None, "interval": None}) == "+2.1 points"


def test_a_table_is_html_in_a_notebook_and_aligned_text_in_a_terminal():
    facts = {"read": 3, "reasons": {}, "planted": {"slip": 1, "skip": 2}, "at": [1.23456789, None]}
    (cell,), = Table.of("", ("fact",), [(facts,)]).rows
    assert cell == "read 3, reasons none, planted (slip 1, skip 2), at (1.23457, none)"
    table = Table.of("What <b>is</b> it?", ("name", "n"), [("a <script>", 1), ("bb", 20)])
    shown = table._repr_html_()
    assert "<script>" not in shown and "&lt;script&gt;" in shown and "<b>" not in shown
    assert shown.startswith('<div style="overflow-x: auto"><table>')  # it scrolls, not the page
    assert [shown.count(f"<{tag}") for tag in ("table", "caption", "th ", "tr", "td")] == [
        1, 1, 2, 3, 4]
    assert repr(table).splitlines() == [
        "What <b>is</b> it?", "name        n", "a <script>  1", "bb          20"]
