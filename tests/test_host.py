"""Where a program runs: progress without a terminal, what a platform lends, what is attached."""
import os
import random
import sys
import types

import pytest
from synthetic import new_run

from nanoreason import host, paths
from nanoreason.arithmetic import read_equations
from nanoreason.data import corrupt, load_problems
from nanoreason.evaluation import accuracy
from nanoreason.graph import dependency_graph, edge_f1
from nanoreason.runs import RunError, bring, find_run, list_runs, writable
from nanoreason.trace import parse_trace, render_trace
from nanoreason.training import train


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(host, "SECONDS", 0.0)
    monkeypatch.delenv("TQDM_DISABLE", raising=False)


def test_progress_is_lines_where_there_is_no_terminal(at_once, capsys):
    with host.progress(total=3, desc="tuning", unit="step", miniters=1) as bar:
        for _ in range(3):
            bar.update(1)
            bar.set_postfix(loss="0.5", refresh=False)
    printed = capsys.readouterr()
    assert printed.err == "" and "\r" not in printed.out
    lines = printed.out.splitlines()
    assert [line.split(" steps")[0] for line in lines] == [
        f"tuning: {n}/3" for n in (0, 1, 2, 3)], lines
    assert all("gone" in line and "left" in line for line in lines)


def test_two_at_once_are_lines_too(at_once, capsys):
    with host.progress(total=2, desc="runs", unit="run") as outer, \
            host.progress(total=2, desc="tuning", unit="step", miniters=1) as inner:
        inner.update(1)
        outer.update(1)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 4 and all(line.startswith(("runs: ", "tuning: ")) for line in lines), lines


def test_no_more_lines_than_one_every_few_seconds(monkeypatch, capsys):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    for _ in host.progress(range(10_000), desc="quick", unit="step"):
        pass
    assert capsys.readouterr().out == ""  # over before the first


@pytest.mark.parametrize("minutes, most", [(1, 12), (12, 45), (60, 90)])
def test_what_takes_longer_is_told_of_less_often(monkeypatch, capsys, minutes, most):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    bar = host.progress(total=60 * minutes, desc="long", unit="step", miniters=1)
    began, gone = bar.start_t, 0
    bar._time = lambda: began + gone
    for gone in range(1, 60 * minutes + 1):
        bar.update(1)
    bar.close()
    steps = [int(line.split("/")[0].split()[-1]) for line in capsys.readouterr().out.splitlines()]
    assert 5 < len(steps) <= most and steps[-1] == 60 * minutes
    assert max(b - a for a, b in zip(steps, steps[1:])) <= 62


def test_one_question_has_no_progress(at_once, capsys):
    with host.progress(total=1, desc="generation", unit="trace", miniters=1) as bar:
        bar.update(1)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("module, store, sentence", [
    ("google.colab.userdata", {"get": lambda name: "t"}, "HF_TOKEN: from the secrets"),
    ("kaggle_secrets", {"UserSecretsClient": lambda: types.SimpleNamespace(
        get_secret=lambda name: "t")}, "HF_TOKEN: from the secrets"),
    ("google.colab.userdata", {"get": lambda name: {}["x"]}, "HF_TOKEN: none (KeyError)")])
def test_the_token_comes_from_the_store_of_the_platform(monkeypatch, module, store, sentence):
    monkeypatch.setattr(os, "environ", {})
    for name in ("google.colab", "google.colab.userdata"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    parts = module.split(".")
    for end in range(1, len(parts) + 1):
        monkeypatch.setitem(sys.modules, ".".join(parts[:end]), types.ModuleType("stand-in"))
    vars(sys.modules[module]).update(store)
    assert [line for line in host.settle(paths.home()) if line.startswith(sentence)]
    assert os.environ == ({"HF_TOKEN": "t"} if "from" in sentence else {})
    os.environ["HF_TOKEN"] = "mine"
    assert not list(host.settle(paths.home())) and os.environ["HF_TOKEN"] == "mine"


def test_where_a_platform_keeps_things(monkeypatch, tmp_path):
    assert paths.home() is None and host.attached() == []
    monkeypatch.setattr(paths, "WORKING", tmp_path)
    assert paths.home() == tmp_path
    monkeypatch.setattr(paths, "DRIVE", tmp_path)
    assert paths.home() == tmp_path / "nanoreason"
    said = f"results: below {tmp_path / 'nanoreason'}, which this platform keeps"
    assert said in host.settle(paths.home())


def test_an_attached_run_is_read_and_a_copy_of_it_written(monkeypatch, tmp_path, workspace, capsys):
    monkeypatch.setattr(host, "INPUT", tmp_path / "input")
    monkeypatch.setattr(paths, "RUNS", tmp_path / "input" / "earlier" / "build" / "runs")
    new_run("mine").write_params({"base": "nano"})
    attached = paths.RUNS
    monkeypatch.setattr(paths, "RUNS", workspace / "build" / "runs")
    assert host.attached() == [attached] and list_runs() == ["mine"]
    assert find_run("mine").folder == attached / "mine"
    copy = writable(find_run("mine"))
    assert copy.folder == paths.RUNS / "mine" and copy.read_params() == {"base": "nano"}
    copy.write_params({"base": "other"})
    bring("mine")  # what is here already stays
    assert find_run("mine").read_params() == {"base": "other"}
    assert (attached / "mine" / "params.yaml").read_text() == "base: nano\n"


def test_a_value_of_another_type_is_named_with_what_to_give():
    """A text in place of a trace, nothing in place of rows, a path's object in place of a name."""
    trace = parse_trace("[UNDERSTAND]\nGiven: 2\n[PLAN]\n1. Add.\n[EXECUTE]\n1. 2 + 3 = 5\n"
                        "Result: 5\n[VERIFY]\n1. 5 - 3 = 2\nVerdict: correct\nAnswer: 5")
    for call, said in (
            (lambda: parse_trace(None), "text is None, of type NoneType; give the text of a trace"),
            (lambda: render_trace("[PLAN]"), r"trace is '\[PLAN\]', of type str; give a Trace"),
            (lambda: read_equations(b"1 = 1"), "text is b'1 = 1', of type bytes; give a text"),
            (lambda: dependency_graph("[PLAN]", "?"), "trace is .*; give a Trace"),
            (lambda: dependency_graph(trace, None), "question is None"),
            (lambda: edge_f1(trace, trace),
             "student is Trace.*; give a graph that dependency_graph"),
            (lambda: corrupt("[PLAN]", "skipped_step", random.Random(0)),
             "trace is .*; give a Trace"),
            (lambda: corrupt(trace, "skipped_step", 0),
             "rng is 0, of type int; give a random.Random"),
            (lambda: accuracy(None), "rows is None, of type NoneType; give the rows"),
            (lambda: train({"profile": "nano"}), "params is .*, of type dict; give a TrainParams"),
            (lambda: load_problems(None), "source 'None' is unknown"),
            (lambda: load_problems("9" * 5000), "source '9{50,90} is unknown")):
        with pytest.raises(host.GivenError, match=f"^{said}"):
            call()
    with pytest.raises(RunError, match="^no run '9{50,90} in "):
        find_run("9" * 5000)


def test_a_file_of_problems_may_be_named_by_a_path(tmp_path):
    (tmp_path / "own.jsonl").write_text('{"question": "What is 1 + 1?", "answer": "2"}\n')
    for place in (str(tmp_path / "own.jsonl"), tmp_path / "own.jsonl"):
        assert [problem.id for problem in load_problems(place, split="test")] == ["own-test-1"]
