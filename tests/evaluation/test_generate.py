"""A whole evaluation at tiny size: cut off and gone on with, several samples, the record."""
from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from synthetic import new_run, row, unasked

from nanoreason import paths
from nanoreason.data import load_problems, teach
from nanoreason.data.verify_lines import procedural_trace
from nanoreason.evaluation import generate as evaluation
from nanoreason.evaluation import accuracy
from nanoreason.evaluation.confidence import Gate, gated
from nanoreason.evaluation.generate import given_rows, load_writer
from nanoreason.evaluation.rows import ScoredRow, compact_row, read_rows
from nanoreason.files import to_json
from nanoreason.host import SEEDS
from nanoreason.model import adapters
from nanoreason.model.adapters import adapters_sha256
from nanoreason.model.base import load_base
from nanoreason.params import EvaluateParams, ParameterError
from nanoreason.training import attach_adapters
from nanoreason.runs import RunError, find_run
from nanoreason.trace import before_verify

SMALL = {"profile": "nano", "n": 3, "splits": ("test", "test_ood"), "max_new_tokens": 6,
         "batch_tokens": 200, "interventions": 0, "baseline": False}


@pytest.fixture(scope="module")
def pair():
    """The base with untrained adapters, and its tokenizer."""
    model, tokenizer = load_base("nano", "none")
    return attach_adapters(model, rank=2).eval(), tokenizer


def evaluated(pair, name, **changes):
    run = new_run(name)
    run.write_params({"base": "nano", "quantisation": "none"})
    return evaluation.evaluate(EvaluateParams(**(SMALL | {"run": name} | changes)), *pair)


def by_key(run):
    return {(row["setting"], row["split"], row["problem_id"], row["sample"]): row
            for row in run.read_generations()}


class CutOff:
    """A tokenizer with which a session ends after some texts."""

    def __init__(self, tokenizer, texts):
        self.tokenizer, self.left = tokenizer, texts

    def __getattr__(self, name):
        return getattr(self.tokenizer, name)

    def __call__(self, *args, **kwargs):
        return self.tokenizer(*args, **kwargs)

    def decode(self, *args, **kwargs):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return self.tokenizer.decode(*args, **kwargs)


def test_an_evaluation_that_was_cut_off_goes_on_to_the_same_rows(pair, workspace, capsys):
    whole, (model, tokenizer) = evaluated(pair, "whole"), pair
    with pytest.raises(KeyboardInterrupt):
        evaluated((model, CutOff(tokenizer, 8)), "cut")
    cut = find_run("cut")
    assert 0 < len(by_key(cut)) < len(by_key(whole))
    with cut.path("generations.jsonl").open("a") as file:
        file.write('{"problem_id": "half a li')
    with pytest.warns(UserWarning, match="unfinished last line"):
        resumed = evaluated(pair, "cut")
    assert by_key(resumed) == by_key(whole)
    assert len(resumed.read_generations()) == len(by_key(whole)) == 2 * 3 + 2 * 3
    assert "kept as" not in capsys.readouterr().out


def test_more_is_added_and_nothing_is_written_twice(pair, workspace, monkeypatch, capsys):
    """Each call asks for something else of the same evaluation; together they are the whole."""
    whole = evaluated(pair, "whole", interventions=3)
    for changes in ({"splits": ("test",), "settings": ("natural",), "n": 2},
                    {"splits": ("test_ood",), "n": 1}, {"n": 2}, {"interventions": 2, "n": 3},
                    {"interventions": 3, "batch_tokens": 10**6}):
        run = evaluated(pair, "parts", **changes)
    assert by_key(run) == by_key(whole)
    assert len(run.path("generations.jsonl").read_text().splitlines()) == len(by_key(whole))
    asked = run.read_mapping("evaluate.yaml")
    assert (asked["n"], asked["interventions"]) == (3, 3)
    assert (asked["settings"], asked["splits"]) == (["natural", "injected", "clean"],
                                                    ["test", "test_ood"])
    assert asked["adapters_sha256"] == adapters_sha256(pair[0]) and asked["base_version"]
    assert len(evaluated(pair, "parts", n=1).read_generations()) == len(by_key(whole))
    assert "kept as" not in capsys.readouterr().out


def test_other_rows_are_set_aside_with_all_that_was_made_of_them(pair, workspace, capsys):
    short = {"settings": ("natural",), "splits": ("test",), "n": 2}
    run = evaluated(pair, "one", **short)
    rows = run.read_generations()
    run.write_summary({"of": "these"})
    (run.tables / "old.md").write_text("of these")
    other = workspace / "other.jsonl"
    other.write_text("".join(to_json({
        "id": f"p{n}", "split": "test", "question": f"What is {n} + 1?", "answer": str(n + 1)})
        + "\n" for n in range(3)))
    run.path("adapters").mkdir()
    for number, (changes, said) in enumerate((
            ({"seed": 1}, "seed was 0 and is 1 now"),
            ({"max_new_tokens": 5, "seed": 1}, "max_new_tokens was 6 and is 5 now"),
            ({"data": str(other), "max_new_tokens": 5, "seed": 1}, "data was procedural"),
            ({"data": str(other)}, "other.jsonl with other problems and is"),
            ({"data": str(other)}, "other.jsonl with other problems and is"),
            ({"data": str(other), "n": 1}, "other.jsonl with other problems and is")), 1):
        if number > 3:  # the file changes under its name: its questions, then its ids too, twice
            text = other.read_text()
            other.write_text(text.replace("+", "+ 0 +") if number == 4
                             else text.replace('"p', '"pp'))
            changes |= {"max_new_tokens": 5, "seed": 1}
        evaluated(pair, "one", **short | changes)
        printed = capsys.readouterr().out
        assert said in printed and f"they are kept as run one.{number}, and new ones" in printed
        assert not run.has("summary.json") and not run.path("tables").exists()
    kept = find_run("one.1")
    assert kept.read_generations() == rows and kept.read_summary() == {"of": "these"}
    assert kept.path("tables/old.md").exists() and kept.path("adapters").is_dir()
    with torch.no_grad():  # and of other adapters
        next(p for n, p in pair[0].named_parameters() if "lora_B" in n).add_(1)
    try:
        evaluated(pair, "one.1", **short)
        assert "adapters_sha256 was" in capsys.readouterr().out
        assert find_run("one.1.1").read_generations() == rows
    finally:
        with torch.no_grad():
            next(p for n, p in pair[0].named_parameters() if "lora_B" in n).sub_(1)


def test_a_damaged_record_of_the_rows_is_named_and_a_bad_row_written_again(pair, workspace,
                                                                           capsys):
    short = {"settings": ("natural",), "splits": ("test",)}
    run = evaluated(pair, "one", **short)
    rows = by_key(run)
    content = run.path("generations.jsonl").read_bytes()
    run.path("generations.jsonl").write_bytes(content[:80] + b"\xff" + content[81:])
    assert by_key(evaluated(pair, "one", **short)) == rows
    assert "1 bad of 3 rows in build/runs/one/generations.jsonl are written again (line 1: not " \
        "UTF-8" in capsys.readouterr().out
    for number, damage in enumerate((b"", b"\xff", b"n: [", b"n: many\n"), 1):
        run.path("evaluate.yaml").write_bytes(damage)
        assert by_key(evaluated(pair, "one", **short)) == rows
        printed = capsys.readouterr().out
        assert "evaluate.yaml is damaged" in printed and f"kept as run one.{number}" in printed
        assert by_key(find_run(f"one.{number}")) == rows


def test_a_run_of_reference_is_evaluated_in_a_copy(pair, workspace, capsys):
    params = EvaluateParams(**(SMALL | {"run": "kept", "settings": ("natural",),
                                        "splits": ("test",)}))
    run = new_run("kept", paths.RESULTS)
    run.write_params({"base": "nano", "quantisation": "none"})
    copy = evaluation.evaluate(params, *pair)
    rows = copy.read_generations()
    shutil.copy(copy.path("generations.jsonl"), run.path("generations.jsonl"))
    shutil.copy(copy.path("evaluate.yaml"), run.path("evaluate.yaml"))
    run.pack()
    before = {path.name: path.read_bytes() for path in run.folder.iterdir()}
    shutil.rmtree(copy.folder)
    for changes, count in (({}, 3), ({"n": 2}, 3), ({"n": 4}, 4), ({"seed": 1}, 3)):
        capsys.readouterr()
        written = evaluation.evaluate(params.model_copy(update=changes), *pair)
        assert written == copy and len(written.read_generations()) == count
        assert "run kept: build/runs/kept is read and written, results/kept stays as it is" in \
            capsys.readouterr().out
    assert len(find_run("kept.1").read_generations()) == 4
    assert by_key(run) == {key: row for key, row in by_key(find_run("kept.1")).items()
                           if row in rows}
    assert {path.name: path.read_bytes() for path in run.folder.iterdir()} == before


def test_rows_of_a_copy_whose_files_are_packed_are_not_mixed_with_others(pair, workspace):
    short = {"settings": ("natural",), "splits": ("test",)}
    rows = by_key(evaluated(pair, "kept", **short))
    find_run("kept").pack()
    shutil.copytree(find_run("kept").folder, paths.RUNS / "copy")
    assert len(by_key(evaluated(pair, "copy", **short | {"n": 4}))) == 4
    other = by_key(evaluated(pair, "kept", **short, max_new_tokens=5))
    assert by_key(find_run("kept.1")) == rows and other.keys() == rows.keys()
    assert all(other[key]["text"] != rows[key]["text"] for key in rows)


def test_what_the_base_writes_goes_into_no_training(pair, workspace):
    own = new_run("one-base")
    own.write_params({"base": "nano", "seed": 7})
    own.path("starts.txt").write_text("0\n")
    with pytest.raises(RunError, match="run one-base is a training, and .*-p baseline False"):
        evaluated(pair, "one", baseline=True)
    assert own.read_params()["seed"] == 7 and not find_run("one").has("generations.jsonl")


def test_what_the_base_writes_does_not_hang_on_a_verify_in_doubt(pair, workspace):
    short = {"settings": ("natural",), "splits": ("test",), "n": 2, "baseline": True}
    for below in (None, -0.5):
        evaluated(pair, "one", verify_below=below, **short)
    assert sorted(path.name for path in paths.RUNS.glob("one*")) == ["one", "one-base", "one.1"]


def test_a_row_says_whether_its_text_was_cut():
    model, tokenizer, _ = evaluation.load_writer("nano-reference")
    problem = next(iter(load_problems("procedural", None, "test", count=1, seed=0)))
    given = evaluation.given_rows([(problem, procedural_trace(problem))], 0)[0]

    def written(most):
        row = next(evaluation.generate_traces(model, tokenizer, [given], most, 2000))
        return row["text"], row["cut"], "cut" in compact_row(row)

    whole, cut, _ = written(200)
    assert not cut and whole.startswith(given["text"]) and "Answer: " in whole
    length = len(tokenizer(whole[len(given["text"]):], add_special_tokens=False).input_ids)
    # Only the end token after a text says that it is whole, and that wants a step of its own.
    found = [written(most) for most in range(length - 1, length + 3)]
    assert all(whole.startswith(text) and kept for text, _, kept in found)
    cuts = [cut for _, cut, _ in found]
    assert cuts == sorted(cuts, reverse=True) and 0 < sum(cuts) < len(cuts)
    assert all(cut or text == whole for text, cut, _ in found) and found[0][0] != whole


def test_samples_differ_by_their_seed_and_not_by_the_batch_they_land_in(pair, workspace):
    drawn = {"samples": 3, "temperature": 3.0, "settings": ("natural",), "splits": ("test",)}
    one = evaluated(pair, "narrow", **drawn)
    other = evaluated(pair, "wide", batch_tokens=10**6, **drawn)
    assert by_key(one) == by_key(other)
    for problem in {row["problem_id"] for row in one.read_generations()}:
        texts = {row["text"] for row in one.read_generations()
                 if row["problem_id"] == problem}
        assert len(texts) == 3
    assert accuracy(one.read_generations()).counts["strict"][1] == 9
    with pytest.raises(ParameterError, match="temperature above 0"):
        EvaluateParams(samples=2)


def test_the_record_says_whether_the_weights_were_unpacked(pair, workspace, monkeypatch):
    settings = {"settings": ("natural",), "splits": ("test",), "n": 1}
    said = evaluated(pair, "unpacked", **settings).read_environment()["evaluate"]["decoding"]
    assert said == {"unpacked": True}
    monkeypatch.setattr(adapters, "free_memory", lambda device: -1)
    said = evaluated(pair, "packed", **settings).read_environment()["evaluate"]["decoding"]
    assert said == {"unpacked": False}


def test_a_verify_in_doubt_alone_is_what_the_gate_leaves():
    """The same texts as far as they go, the same verdicts and answers as behind the gate, kept
    by the compact row; the other settings are written whole."""
    wanted = {"profile": "nano", "run": "nano-reference", "n": 10, "splits": ("test_999",),
              "settings": ("natural",), "interventions": 0, "baseline": False}
    model, tokenizer, _ = load_writer("nano-reference")
    [(label, asked)] = evaluation.planned_rows(EvaluateParams(**wanted))
    whole = {row["problem_id"]: row for row in evaluation.writer(
        model, tokenizer, EvaluateParams(**wanted))(asked, label)}
    gate = Gate(float(np.median([row["logprobs"]["execute_min"] for row in whole.values()])))
    write = evaluation.writer(model, tokenizer, EvaluateParams(
        **wanted, verify_below=gate.threshold))
    made = list(write(asked, label))
    left = {row["problem_id"]: row for row in gated(read_rows(whole.values()), gate)}
    assert len(made) == len(left) == 10 and sum(row.get("sure", False) for row in made) == 5
    for row in made:
        text, scored = whole[row["problem_id"]]["text"], ScoredRow(row)
        assert row["text"] == (before_verify(text).rstrip("\n") if row.get("sure") else text)
        gates = left[row["problem_id"]]
        assert (scored.a2, scored.second) == (gates["a2"], gates["scores"]["lenient"])
        for one in (scored, ScoredRow(compact_row(row))):
            assert one.blamed == ScoredRow(gates).blamed and one.a2 == gates["a2"]
    problems = list(load_problems("procedural", None, "test", count=2, seed=0))
    given = given_rows(zip(problems, teach(problems)), 0)
    assert all("Verdict:" in row["text"] and "sure" not in row for row in write(given, "given"))


def test_a_verify_in_doubt_needs_a_second_adapter(workspace):
    """The base has no VERIFY anyway; with one adapter it is refused before any row is set aside."""
    model, tokenizer = load_base("nano", "none")
    with pytest.raises(ValueError, match="second adapter takes over"):
        next(evaluation.verify_in_doubt(model, tokenizer, [], -0.5, 5, 100))
    pair = attach_adapters(model, rank=2, routing="single"), tokenizer
    short = {"settings": ("natural",), "splits": ("test",)}
    rows = by_key(evaluated(pair, "one", **short))
    with pytest.raises(ValueError, match=r"verify_below=-0\.5 .* routing='single' has none"):
        evaluated(pair, "one", verify_below=-0.5, **short)
    assert by_key(find_run("one")) == rows and not (paths.RUNS / "one.1").exists()


def test_a_verify_in_doubt_takes_every_seed_and_a_text_that_ends_at_the_tag_is_not_cut():
    model, tokenizer, _ = load_writer("nano-reference")
    rows = evaluation.natural_rows(load_problems("procedural", None, "test", count=1, seed=0))
    sure = next(evaluation.verify_in_doubt(model, tokenizer, rows, -1e9, 640, 2000))
    most = len(tokenizer(sure["text"] + "\n[VERIFY]\n", add_special_tokens=False).input_ids)
    [short] = evaluation.verify_in_doubt(model, tokenizer, rows, -1e9, most, 2000)
    assert short == sure and sure["sure"] and not sure["cut"]
    [drawn] = evaluation.verify_in_doubt(model, tokenizer, rows, 0.0, 200, 2000, 0.1, SEEDS - 1)
    assert "[VERIFY]" in drawn["text"] and "sure" not in drawn


def test_an_intervened_row_says_nothing_of_how_its_parent_was_written():
    parent = unasked(row() | {"logprobs": {"execute_min": -0.01}})
    [changed] = evaluation.interventions([parent], 0)
    assert changed["setting"] == "intervened" and not changed.keys() & {"sure", "logprobs"}
