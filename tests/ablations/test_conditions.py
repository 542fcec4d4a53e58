"""The conditions of the ablations: files, differences, equal ones refused."""
from __future__ import annotations

import pytest

from nanoreason import paths
from nanoreason.ablations.conditions import (REFERENCE, cell_of, cells, chosen, condition_names,
                                             load_condition)
from nanoreason.ablations.hypotheses import SEEDS, hypotheses
from nanoreason.params import AblateParams, ParameterError, TrainParams


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder of params with the profiles, and conditions that the test writes."""
    for path in paths.PARAMS.glob("*.yaml"):
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / "ablations").mkdir()
    monkeypatch.setattr(paths, "PARAMS", tmp_path)

    def write(**files):
        for name, text in files.items():
            (tmp_path / "ablations" / f"{name}.yaml").write_text(text)
    write(staged="{}\n")
    return write


def test_every_condition_differs_from_the_reference_by_its_file_alone():
    params = AblateParams(profile="nano-switch")
    reference = cell_of(params, load_condition(REFERENCE), 3).params.recipe()
    for condition in chosen(params):
        cell = cell_of(params, condition, 3)
        differing = {name for name, value in cell.params.recipe().items()
                     if value != reference[name]}
        assert differing <= set(condition.values), condition.name
        assert condition.about, condition.name
        assert condition.name == REFERENCE or differing, condition.name


def test_a_cell_is_the_training_that_its_file_says():
    params = AblateParams(profile="nano-switch", train_traces=64, run="g")
    cell = cell_of(params, load_condition("single_verify_4"), 2)
    assert cell.params == TrainParams(profile="nano-switch", run="g.single_verify_4.2", seed=2,
                                      traces=64, routing="single", verify_weight=4.0)


def test_what_a_condition_builds_on_comes_before_it_under_the_same_seed():
    found = cells(AblateParams(profile="nano-switch", conditions=["phases"], seeds=2))
    assert [cell.name for cell in found] == [
        "ablations.reasoning.0", "ablations.phases.0", "ablations.reasoning.1",
        "ablations.phases.1"]
    assert [cell.needs for cell in found] == [None, "ablations.reasoning.0", None,
                                              "ablations.reasoning.1"]


def test_equal_conditions_are_refused_by_name(own):
    own(alike="verify_weight: 1.0\n")  # the default, written out
    with pytest.raises(ParameterError, match="staged and alike come to the same training"):
        chosen(AblateParams(profile="nano-switch"))
    own(alike="verify_weight: 2.0\n")
    assert [c.name for c in chosen(AblateParams(profile="nano-switch"))] == ["staged", "alike"]


@pytest.mark.parametrize("text, message", [
    ("verify_wieght: 2.0\n", "ablations/odd.yaml: unknown parameter verify_wieght"),
    ("verify_weight: -1\n", "ablations/odd.yaml: verify_weight=-1 is refused"),
    ("- 1\n", "ablations/odd.yaml must be a flat mapping"), (": [\n", "odd.yaml is no YAML"),
    ("seed: 3\n", "ablations/odd.yaml: seed is set by the grid"),
    ("reasoning_run: odd\n", "reasoning_run goes round in params/ablations/: odd.yaml names odd"),
    ("phase: {a: 1}\n", "ablations/odd.yaml must be a flat mapping")])
def test_a_bad_file_is_named(own, text, message):
    own(odd=text)
    with pytest.raises(ParameterError, match=message):
        chosen(AblateParams(profile="nano-switch"))


@pytest.mark.parametrize("asked, ring", [
    ("one", "one.yaml names two, two.yaml names one"),
    ("outside", "outside.yaml names two, two.yaml names one, one.yaml names two")])
def test_conditions_that_build_on_each_other_are_refused_by_their_files(own, asked, ring):
    own(one="reasoning_run: two\n", two="reasoning_run: one\n", outside="reasoning_run: two\n")
    with pytest.raises(ParameterError, match=f"goes round in params/ablations/: {ring}; in one"):
        chosen(AblateParams(profile="nano", conditions=asked))


def test_an_unknown_condition_is_told_what_there_is():
    with pytest.raises(ParameterError, match="conditions='stagd' is refused.*choose from staged"):
        chosen(AblateParams(profile="nano-switch", conditions="stagd"))


def test_the_grid_holds_what_was_set_out():
    assert AblateParams(profile="nano-switch").seeds >= SEEDS
    asked = {name for h in hypotheses() for name in (h.first, h.second) if name}
    assert asked <= set(condition_names())
    values = [load_condition(name).values for name in condition_names()]
    for wanted in ({"form": "free"}, {"plan_weight": 2.0, "execute_weight": 2.0},
                   {"dynamic": "dwa"}, {"transition_weight": 0.0}, {"transition_weight": 1.0},
                   {"routing": "single"}, {"rank": 32}, {"routing": "stack"},
                   {"error_share": 0.0}, {"error_share": 0.25}, {"error_share": 0.75},
                   {"phase": "verification", "on_policy_share": 0.0},
                   {"phase": "verification", "on_policy_share": 0.5},
                   {"understand_weight": 0.15, "plan_weight": 0.35, "execute_weight": 0.35,
                    "verify_weight": 0.15},
                   *({"routing": routing, "verify_weight": weight} if routing else
                     {"verify_weight": weight}
                     for routing in (None, "single") for weight in (0.5, 2.0, 4.0))):
        assert any(wanted.items() <= found.items() for found in values), wanted
