"""The committed gate: every number again from the rows beside it, thresholds from dev alone."""
import json

import pytest
import yaml
from synthetic import new_run

from nanoreason import paths
from nanoreason.evaluation import self_verification
from nanoreason.evaluation.confidence import GATES, Gate, choose, gated
from nanoreason.evaluation.rows import read_rows
from nanoreason.evaluation.generate import natural_rows
from nanoreason.data.procedural import problems
from nanoreason.model.adapters import adapter_parameters
from nanoreason.runs import Run, RunError, find_run
from nanoreason.training.resume import load_run


@pytest.fixture(scope="module")
def gate(benchmark_scripts):
    import gate
    return gate


@pytest.fixture(scope="module")
def table():
    return read_rows(find_run("nano-reference-gate").read_generations())


@pytest.fixture(scope="module")
def committed():
    return json.loads(find_run("nano-reference-gate").path("gate.json").read_text())


def test_the_committed_file_is_what_the_rows_give(gate, committed):
    assert json.loads(json.dumps(gate.score("nano-reference"))) == committed


def test_the_rows_of_test_are_those_of_the_run(table):
    run = read_rows(find_run("nano-reference").read_generations()).where("natural", split="test")
    own = {row.problem: (row.a1, row.blamed, row.a2) for row in run}
    assert {row.problem: (row.a1, row.blamed, row.a2)
            for row in table.where(split="test")} == own


def test_gates_know_dev_alone(committed, table):
    dev = table.where("natural", split="dev")
    for label, agree in GATES.items():
        found, chosen = committed["gates"][label], choose(dev, agree)
        assert (found["threshold"], found["agree"]) == tuple(chosen)
        on_dev = self_verification(list(gated(dev, chosen)))
        assert on_dev.c_to_i <= committed["spoils_at_most"]
        # No gate that heeds a little more or less gains more on dev within the limit.
        for shift in (-0.1, -0.02, 0.02, 0.1):
            other = self_verification(list(gated(dev, Gate(chosen.threshold + shift,
                                                           chosen.agree))))
            assert other.delta <= on_dev.delta or other.c_to_i > committed["spoils_at_most"]


def test_rows_of_other_adapters_are_not_taken_up(gate, tmp_path, monkeypatch):
    monkeypatch.setattr(gate, "MAX_NEW_TOKENS", 30)
    model, tokenizer, _ = load_run("nano-reference")
    rows = natural_rows(problems("dev", 2, 0))

    def texts():
        return [row["text"] for row in gate.written(tmp_path / "dev.jsonl", rows, model, tokenizer,
                                                    0.0)]

    first = texts()
    turned = [weight for name, weight in adapter_parameters(model, "reasoning") if "lora_B" in name]
    for weight in turned:
        weight.data.neg_()
    assert texts() != first
    for weight in turned:
        weight.data.neg_()
    monkeypatch.setattr(gate, "generate_traces", lambda model, tokenizer, rows, *_: rows)
    assert texts() == first  # all are there
    [kept] = [path for path in tmp_path.iterdir() if first[1] in texts_of(gate, path)]
    kept.write_text(kept.read_text()[:-20])  # as a stop leaves it
    with pytest.warns(UserWarning, match="dropped an unfinished last line"):
        texts()
    assert len(texts_of(gate, kept)) == 2


def texts_of(gate, path):
    return [row["text"] for row in gate.read_lines(path)]


@pytest.mark.parametrize("changed", [{"verify_below": -0.5}, {"max_new_tokens": 30}])
def test_rows_that_are_written_otherwise_are_not_mixed_with_those_of_dev(gate, workspace, changed):
    reference = Run(paths.CHECKOUT / "results" / "nano-reference")
    run = new_run("study")
    run.append_generations(reference.read_generations()[:1])
    run.write_params(reference.read_params())
    record = reference.read_mapping("evaluate.yaml")
    run.path("evaluate.yaml").write_text(yaml.safe_dump(record | changed))
    [(name, value)] = changed.items()
    with pytest.raises(RunError, match="run study do not go with those of dev.*: "
                                       f"{name}={value!r}"):
        gate.generate("study", workspace / "gate")
    assert not (workspace / "gate").exists()
    run.path("evaluate.yaml").write_text(yaml.safe_dump(record))
    assert len(gate.rows_of_test("study")) == 1
