"""The figures show what the files say, fit their frame, and come out the same each time."""
import json
import random

import matplotlib
import numpy as np
import pandas
import pytest
from matplotlib import pyplot as plt
from matplotlib.patches import FancyArrowPatch
from synthetic import GROUPS, make_metrics, make_rows

from nanoreason.figures import graph_plot, plots as figures
from nanoreason.graph import dependency_graph
from nanoreason.graph.builder import execute_graph
from nanoreason.data.procedural import problems
from nanoreason.stages import Stage
from nanoreason.evaluation.summary import summarise
from nanoreason.data.verify_lines import procedural_trace


@pytest.fixture(scope="module")
def rows():
    return make_rows(10)


@pytest.fixture(scope="module")
def summary(rows):
    return summarise(rows, make_rows(10, seed=1, base=True), run="synthetic")


@pytest.fixture(scope="module")
def metrics():
    return pandas.DataFrame(make_metrics(60))


@pytest.fixture
def axes():
    with matplotlib.rc_context():
        figures.use_style()
        figure, axes = plt.subplots(figsize=(figures.COLUMN, 2.6))
        yield axes
        plt.close("all")


def texts(axes):
    return [text.get_text() for text in axes.texts]


def markers(axes):
    """label -> the points drawn under it, as (x, y) rows."""
    found = {c.get_label(): c.lines[0].get_xydata() for c in axes.containers}
    return found | {c.get_label(): np.asarray(c.get_offsets()) for c in axes.collections
                    if not c.get_label().startswith("_")}


@pytest.mark.parametrize("plot, what", [(figures.plot_loss, "loss"),
                                        (figures.plot_token_accuracy, "accuracy")])
def test_training_curves_are_the_columns_of_the_metrics(plot, what, metrics, axes):
    assert plot(metrics, axes) is axes
    lines = axes.get_lines()
    assert len(lines) == 2 * len(GROUPS)
    for group, thin, thick in zip(GROUPS, lines[::2], lines[1::2]):
        assert list(thin.get_ydata()) == list(metrics[f"{group}_{what}"])
        assert thick.get_label() == group.upper()
        low, high = metrics[f"{group}_{what}"].min(), metrics[f"{group}_{what}"].max()
        assert low <= min(thick.get_ydata()) and max(thick.get_ydata()) <= high
    colours = {line.get_label(): line.get_color() for line in lines[1::2]}
    assert all(colours[stage.value] == stage.colour for stage in Stage)
    assert len({line.get_marker() for line in lines[1::2]}) == len(GROUPS)


def test_the_words_that_object_have_a_curve_where_they_were_counted(metrics, axes):
    told = metrics.assign(objection_accuracy=np.linspace(0.1, 0.9, len(metrics)))
    figures.plot_token_accuracy(told, axes)
    curve = axes.get_lines()[-1]
    assert curve.get_label() == "objections of VERIFY"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [curve.get_label()]
    assert np.corrcoef(curve.get_ydata(), told["objection_accuracy"])[0, 1] > 0.99
    figures.plot_token_accuracy(metrics.assign(objection_accuracy=np.nan), axes)
    assert axes.get_lines()[-1].get_label() != "objections of VERIFY"


def test_a_group_that_was_not_supervised_has_no_curve(metrics, axes):
    figures.plot_loss(metrics.assign(verify_loss=np.nan), axes)
    assert "VERIFY" not in [line.get_label() for line in axes.get_lines()]


def test_accuracy_points_are_the_scores_with_their_intervals(summary, axes):
    figures.plot_accuracy(summary, axes)
    found = markers(axes)
    assert len(found) == 4  # the base states neither a1 nor a2
    for part, model, names in (("accuracy", "tuned", ("a1", "a2", "lenient")),
                               ("base", "base", ("lenient",))):
        for name in names:
            expected = [section[part][name]["value"] for section in summary["splits"].values()]
            label = f"{model}, {'last number' if name == 'lenient' else name}"
            assert list(found[label][:, 1]) == expected
    bars = next(c for c in axes.containers if c.get_label() == "tuned, a2").lines[2][0]
    interval = summary["splits"]["test"]["accuracy"]["a2"]["interval"]
    assert list(bars.get_segments()[0][:, 1]) == pytest.approx(interval)
    assert [label.get_text() for label in axes.get_xticklabels()][0] == "test\nn=10"


def test_verdict_counts_are_those_of_the_cells(summary, axes):
    section = summary["splits"]["test"]
    figures.plot_verdicts(section, axes, "own answers")
    assert sorted(map(int, texts(axes))) == sorted(c["count"] for c in section["cells"])
    by_place = {text.get_position(): int(text.get_text()) for text in axes.texts}
    kept = section["verification"]["svr"]["counts"][1][0]
    assert by_place[0.5, 3.5] == kept  # a1 right, verdict correct, a2 right
    framed = [p for p in axes.patches if not p.get_fill()]
    assert {p.get_y() for p in framed} == {0.05, 3.05} and len(framed) == 2
    assert axes.get_title(loc="left") == "own answers (n=10)"


def test_svr_stands_with_its_null(summary, axes):
    figures.plot_svr(summary, axes)
    found = markers(axes)
    sections = summary["splits"].values()
    own = [s["verification"]["svr"] for s in sections]
    given = summary["splits"]["test"]["given"]["verification"]["svr"]
    assert list(found["own answers"][:, 1]) == [s["value"] for s in own if s["value"] is not None]
    assert list(found["injected and clean"][:, 1]) == [given["value"]]
    nulls = [s["null"] for s in (*own, given) if s["null"] is not None]
    assert sorted(found["null"][:, 1]) == sorted(nulls)


def test_faithfulness_points_and_what_was_not_run(summary, axes):
    section = summary["splits"]["test"]["faithfulness"]
    figures.plot_faithfulness(section, axes)
    found = markers(axes)
    assert list(found["all traces"][:, 1]) == [
        section[name]["value"] for name in ("edge_f1", "causal_rate", "rfs")]
    assert section["edge_f1"]["null"] in list(found["null"][:, 1])
    axes.clear()
    figures.plot_faithfulness(summary["splits"]["test_ood"]["faithfulness"], axes)
    assert texts(axes).count("not run") == 2


@pytest.mark.parametrize("plot", [figures.plot_verdicts, figures.plot_faithfulness])
def test_an_absent_setting_says_so(plot, axes):
    plot(None, axes)
    assert texts(axes) == ["not run"]


def test_half_points_are_not_rounded_away(axes):
    written = figures.draw_points(axes, "points", ["one"]).xaxis.get_major_formatter()
    assert [written(value) for value in (-0.075, 0.0, 0.02, 0.07)] == ["-7.5", "0", "+2", "+7"]


def test_the_same_run_gives_the_same_bytes(summary, rows, tmp_path):
    def draw(folder):
        with matplotlib.rc_context():
            figures.use_style()
            figure, axes = plt.subplots(figsize=(figures.COLUMN, 2.6))
            figures.plot_accuracy(summary, axes)
            written = [*figures.save_figure(figure, folder, "a", "Accuracy of run x.")]
            written += figures.save_figure(graph_plot.trace_figure(rows[0]), folder, "t", "One.")
            plt.close("all")
        return [path.read_bytes() for path in written]

    first, second = draw(tmp_path / "1"), draw(tmp_path / "2")
    assert first == second
    assert first[0].startswith(b"%PDF") and b"CreationDate" not in first[0]
    assert first[1].startswith(b"\x89PNG")


def test_captions_are_kept_and_smoke_runs_are_marked(axes, tmp_path):
    figure = axes.figure
    figures.save_figure(figure, tmp_path, "b", "Second, of run x.", smoke=True)
    figures.save_figure(figure, tmp_path, "a", "First, of\nrun x.")
    captions = json.loads((tmp_path / "captions.json").read_text())
    assert list(captions.items()) == [
        ("a", "First, of run x."),
        ("b", "SMOKE run, too few traces for a result. Second, of run x.")]
    assert figure.get_supxlabel() == "SMOKE RUN"
    with pytest.raises(ValueError, match="'c' has no caption"):
        figures.save_figure(figure, tmp_path, "c", " ")


def graphs():
    for problem in problems("test_ood", 25, 5):
        yield dependency_graph(procedural_trace(problem), problem.question)
    for problem in problems("test", 25, 5):
        yield dependency_graph(procedural_trace(problem), problem.question)


def test_graphs_run_downwards_and_no_node_hides_another():
    for graph in graphs():
        places = graph_plot.layered_layout(graph)
        assert set(places) == set(graph)
        assert len(set(places.values())) == len(places)
        assert all(places[a][1] > places[b][1] for a, b in graph.edges)


def test_a_graph_has_each_value_and_a_red_wrong_step(axes):
    problem = next(problems("test", 1, 2, steps=(4,)))
    trace = procedural_trace(problem)
    graph = dependency_graph(trace, problem.question)
    graph_plot.draw_graph(graph, axes, wrong_step=2)
    shown = texts(axes)
    assert sorted(t for t in shown if not t.endswith(".")) == sorted(
        str(value) for _, value in graph.nodes(data="value"))
    assert rims(axes).count(tuple(matplotlib.colors.to_rgba(figures.RED))) == 1


def rims(axes):
    return [tuple(rim) for c in axes.collections for rim in np.atleast_2d(c.get_edgecolor())]


def test_a_graph_marks_what_is_wrong_without_source_or_dead(axes):
    question = "Ann has 12 apples. She buys 9 more and gives 5 away."
    graph = execute_graph(["12 + 9 = 21", "9 - 5 = 3", "21 + 60 = 81", "81 + 7919 = 8000"],
                          question)
    graph_plot.draw_graph(graph, axes, wrong_step=3)
    found = rims(axes)
    # False, blamed, and two without source; three quantities of the question.
    assert found.count(tuple(matplotlib.colors.to_rgba(figures.RED))) == 4
    assert found.count(tuple(matplotlib.colors.to_rgba(Stage.UNDERSTAND.colour))) == 3
    dashes = [pattern for c in axes.collections for _, pattern in c.get_linestyle() if pattern]
    assert len(dashes) == 1
    assert sorted(texts(axes)) == sorted([
        "12", "9", "5", "21", "3", "81", "60", "7919", "8000",
        *(f"{k}." for k in range(1, 5))])


def test_an_edge_past_a_layer_bends_round_the_nodes_between(axes):
    def past(graph):
        places = graph_plot.layered_layout(graph)
        return [(a, b) for a, b in graph.edges if places[a][0] == places[b][0]
                and places[a][1] - places[b][1] > 1]

    graph = next(graph for graph in graphs() if past(graph))
    graph_plot.draw_graph(graph, axes)
    bends = [patch.get_connectionstyle().rad for patch in axes.patches
             if isinstance(patch, FancyArrowPatch)]
    assert len(bends) == graph.number_of_edges()
    assert sum(bend != 0 for bend in bends) == len(past(graph))


def test_no_label_of_a_step_lies_on_a_node():
    for graph in graphs():
        figure, axes = plt.subplots(figsize=(figures.COLUMN, 2))
        graph_plot.draw_graph(graph, axes)
        figure.canvas.draw()
        nodes = axes.transData.transform(list(graph_plot.layered_layout(graph).values()))
        reach = 330 ** 0.5 / 2 * figure.dpi / 72  # half the width of a node
        for label in (text for text in axes.texts if text.get_text().strip("step .").isdigit()
                      and text.get_color() == figures.GREY):
            box = label.get_window_extent()
            for x, y in nodes:
                gap = max(box.x0 - x, x - box.x1, 0), max(box.y0 - y, y - box.y1, 0)
                assert np.hypot(*gap) >= 0.9 * reach, label.get_text()
        plt.close(figure)


def test_an_unreadable_execute_has_no_graph(axes):
    graph_plot.draw_graph(execute_graph((), "no question"), axes)
    assert "cannot be read" in texts(axes)[0]


def test_nothing_of_a_drawn_trace_is_cut_off(rows):
    chosen = random.Random(0).sample(rows, 6)
    with matplotlib.rc_context():
        figures.use_style()
        for row in chosen:
            figure = graph_plot.trace_figure(row)
            figure.canvas.draw()
            left, right = figure.axes
            frame, graph = figure.bbox, right.get_window_extent()
            for text in left.texts:
                box = text.get_window_extent()
                assert box.x1 <= graph.x0 + 1, text.get_text()
                assert box.y0 >= frame.y0 - 1 and box.y1 <= frame.y1 + 1, text.get_text()
            for text in right.texts:
                assert text.get_window_extent().x1 <= frame.x1 + 1, text.get_text()
            plt.close(figure)


def test_a_hostile_text_is_drawn_as_text(rows, tmp_path):
    row = next(r for r in rows if r["setting"] == "injected")
    evil = "$\\frac{$ <b> \x00\x1b[31m \u202e \ud800"
    row = row | {"question": evil + row["question"], "text": row["text"].replace(" = ", evil)}
    with matplotlib.rc_context():
        figures.use_style()
        figure = graph_plot.trace_figure(row)
        written = figures.save_figure(figure, tmp_path, "evil", "A hostile text.")
        assert all(path.stat().st_size > 1000 for path in written)
        drawn = " ".join(texts(figure.axes[0]))
        assert "$\\frac{$ <b>" in drawn and "\x00" not in drawn and "⟨U+D800⟩" in drawn
        plt.close(figure)
