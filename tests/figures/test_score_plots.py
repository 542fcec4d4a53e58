"""Figures and tables of single questions show the scores, and names of rows stay text."""
import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot as plt
from synthetic import make_rows

from nanoreason.figures import plots as figures
from nanoreason.evaluation.summary import summarise
from nanoreason.figures.tables import Table, make_tables


@pytest.fixture(scope="module")
def summary():
    rows = make_rows(10)
    other = [row for row in make_rows(10, seed=4) if row["split"] == "test"]
    return summarise(rows, make_rows(10, seed=1, base=True), others={"other": other},
                     run="synthetic")


@pytest.fixture
def axes():
    with matplotlib.rc_context():
        figures.use_style()
        yield plt.subplots()[1]
        plt.close("all")


def drawn(axes, coordinate):
    return {c.get_label(): list(c.lines[0].get_xydata()[:, coordinate]) for c in axes.containers}


def test_kinds_are_drawn_with_counts_and_intervals(summary, axes):
    kinds = summary["splits"]["test"]["given"]["kinds"]
    figures.plot_kinds(kinds, axes)
    found, seen = drawn(axes, 1), {k: v for k, v in kinds.items() if v["detected"]["counts"][1]}
    for score, label in (("detected", "VERIFY objects"), ("located", "right step blamed"),
                         ("repaired", "answer repaired")):
        assert found[label] == [scores[score]["value"] for scores in seen.values()]
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels[0] == f"arithmetic\nslip\nn={kinds['arithmetic_slip']['detected']['counts'][1]}"


def test_differences_are_drawn_for_the_base_and_for_other_runs(summary, axes):
    figures.plot_differences(summary, axes)
    found = drawn(axes, 0)
    pairs = [section["comparison"] for section in summary["splits"].values()]
    pairs.append(summary["others"]["other"])
    assert found["last number"] == [pair["lenient"]["difference"] for pair in pairs]
    bars = next(c for c in axes.containers if c.get_label() == "last number").lines[2][0]
    ends = np.array([segment[:, 0] for segment in bars.get_segments()])
    assert ends == pytest.approx(np.array([pair["lenient"]["interval"] for pair in pairs]),
                                 abs=1e-9)
    assert found["answer (a2)"] == [pairs[-1]["a2"]["difference"]]  # of the base by construction
    assert [label.get_text().split("\n")[0] for label in axes.get_yticklabels()] == [
        "test, untouched base", "larger numbers, untouched base",
        "new situations, untouched base", "more steps, untouched base", "test, other"]
    alone = figures.plot_differences(summary | {"others": {}}, axes.figure.add_subplot())
    assert alone.get_legend_handles_labels()[1] == ["last number"]  # what is drawn, and no more


def test_no_difference_that_is_so_by_construction_is_drawn(summary, axes):
    other = summary["others"]["other"]
    figures.plot_differences(summary | {
        "run": "mine", "no_verify_loss": ["mine-no-verify"],
        "others": {"mine-no-verify": other, "mine, gate": other}}, axes)
    assert [label.get_text().split("\n")[0] for label in axes.get_yticklabels()][4:] == [
        "test, without VERIFY loss", "test, itself behind a gate"]
    places = {c.get_label(): [y for _, y in c.lines[0].get_xydata()] for c in axes.containers}
    assert [round(y) for y in places["result of EXECUTE (a1)"]] == [4]
    assert [round(y) for y in places["answer (a2)"]] == [5]
    assert [round(y) for y in places["last number"]] == [0, 1, 2, 3, 5]


@pytest.mark.parametrize("plot, nothing", [
    (figures.plot_kinds, None),
    (figures.plot_differences, {"splits": {"test": None}, "others": {}})])
def test_what_was_not_run_says_so(plot, nothing, axes):
    plot(nothing, axes)
    assert [text.get_text() for text in axes.texts] == ["not run"]


def test_names_of_rows_are_no_formulas_and_no_markup(summary, axes):
    evil = r"$\frac{$ <script>alert(1)</script> | & x"
    kinds = dict(zip([evil, "b"], summary["splits"]["test"]["given"]["kinds"].values()))
    figures.plot_kinds(kinds, axes)
    axes.figure.canvas.draw()
    assert "alert(1)" in axes.get_xticklabels()[0].get_text()
    page = Table(evil, ("a",), ((evil,),)).markdown()
    assert "<" not in page and page.count("&lt;script&gt;") == 2 and "\\|" in page


def test_rows_that_are_not_counted_are_counted_and_named():
    rows = make_rows(4)
    rows += [rows[0] | {"gold": "", "problem_id": "without"},
             next(r for r in rows if r["setting"] == "intervened") | {"parent_sample": 9}]
    table = make_tables(summarise(rows), ["line 7: no JSON"])["left_out"]
    assert table.rows[0] == ("file", "all", "1", "no row", "line 7: no JSON")
    assert ("test", "verification", "1", "no gold answer", "without/0/natural") in table.rows
    assert any(row[:4] == ("test", "faithfulness", "1", "intervention without its parent")
               for row in table.rows)
    assert make_tables(summarise(rows[:9]))["left_out"].rows == (("all", "all", "0", "", ""),)


def test_the_ledger_is_drawn_as_what_is_left_and_what_would_be_gained(summary):
    test = summary["splits"]["test"]
    with matplotlib.rc_context():
        figures.use_style()
        _, (left, right) = plt.subplots(1, 2)
        figures.plot_ledger({"own": test, "injected": test["given"], "none": None}, (left, right))
        found = test["given"]["ledger"]
        whole = found["wrong_checked"]["counts"][1]
        assert drawn(left, 1)[f"injected (n={whole})"] == [
            found[f"wrong_{part}"]["counts"][0] / whole
            for part in ("checked", "operands", "sum", "comparison", "blamed", "repaired")]
        gains = drawn(right, 0)["injected"]
        assert gains[0] == test["given"]["verification"]["delta"]["value"]
        named = [label.get_text() for label in right.get_yticklabels()]
        assert gains[named.index("sum")] == found["delta_if_sum"]["value"]
        plt.close("all")


def test_tables_of_the_ledger_have_a_row_for_every_part(summary):
    made, found = make_tables(summary), summary["splits"]["test"]["given"]["ledger"]
    rows = {row[0]: row for row in made["ledger_given"].rows}
    counts = "/".join(map(str, found["right_sum"]["counts"]))
    assert f"({counts})" in rows["right sum"][2]
    assert rows["repaired"][-1] == f"{100 * found['delta_if_repair']['value']:+.1f} points"
    beside = {row[0]: row for row in made["ledger_beside"].rows}
    assert len(beside) == 8 and len(made["equations"].rows) == 12
    assert len(make_tables({"splits": {"test": None}, "verifiers": {"natural": {}, "given": {}},
                            "others": {}, "smoke": False, "no_verify_loss": []}
                           )["ledger"].rows) == 1
