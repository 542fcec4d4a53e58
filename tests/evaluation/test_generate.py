"""A whole evaluation at tiny size: cut off and gone on with, several samples, the record."""
from __future__ import annotations

import psutil
import pytest

from nanoreason.evaluation import generate as evaluation
from nanoreason.evaluation import accuracy
from nanoreason.model.base import load_base
from nanoreason.params import EvaluateParams, ParameterError
from nanoreason.training import attach_adapters
from nanoreason.runs import RunError, create_run, find_run

SMALL = {"profile": "nano", "n": 3, "splits": ("test", "test_ood"), "max_new_tokens": 6,
         "batch_tokens": 200, "interventions": 0, "baseline": False}


@pytest.fixture(scope="module")
def pair():
    """The base with untrained adapters, and its tokenizer."""
    model, tokenizer = load_base("nano", "none")
    return attach_adapters(model, rank=2).eval(), tokenizer


def evaluated(pair, name, **changes):
    run = create_run(name, resume=True)
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
    assert "starting anew" not in capsys.readouterr().out
    assert len(evaluated(pair, "cut", n=2).read_generations()) == 8
    assert "of other parameters" in capsys.readouterr().out


def test_the_rows_of_a_run_of_reference_are_neither_dropped_nor_added_to(pair, workspace):
    params = EvaluateParams(**(SMALL | {"run": "kept", "settings": ("natural",),
                                        "splits": ("test",)}))
    run = create_run("kept", scratch=False)
    run.write_params({"base": "nano", "quantisation": "none"})
    rows = evaluation.evaluate(params, *pair).read_generations()
    run.pack()
    assert evaluation.evaluate(params, *pair).read_generations() == rows  # nothing is left to do
    with pytest.raises(RunError, match="rows of other parameters and is a run of reference"):
        evaluation.evaluate(params.model_copy(update={"n": 2}), *pair)
    assert run.read_generations() == rows


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
    full = psutil.virtual_memory()._replace(available=-1)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: full)
    said = evaluated(pair, "packed", **settings).read_environment()["evaluate"]["decoding"]
    assert said == {"unpacked": False}
