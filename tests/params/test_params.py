"""Parameter sets: order of resolution, types, ranges, misspelt names, a real kernel."""
import re
import subprocess
import sys
from types import SimpleNamespace

import nbformat
import numpy as np
import papermill
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_notebook

from nanoreason import paths
import study
from nanoreason.params import (EvaluateParams, MetricsParams, ParameterError, StudyParams,
                               TrainParams, read_parameters)
from nanoreason.params.sets import SETTINGS, WEIGHTS
from nanoreason.params.validation import (GIB, KINDS, choose_profile, load_profile,
                                          literal_assignments, profile_names, read_mapping)


def gpu(name, gib, major):
    """What choosing asks of a device, as torch describes it."""
    return SimpleNamespace(name=name, total_memory=int(gib * GIB), major=major)


T4 = gpu("Tesla T4", 14.7, 7)
A10 = gpu("NVIDIA A10G", 22.3, 8)
PROFILES = ("gpu-bf16", "kaggle-2xt4", "nano", "nano-switch", "smollm2", "t4")


def test_larger_numbers_are_of_procedural_traces_in_stages():
    """The profile's share stands aside where no VERIFY is learned from such problems, also as
    papermill -f brings it; a given one is refused."""
    profile = load_profile("nano")
    assert TrainParams(profile="nano").larger_share == profile["larger_share"] > 0
    for others in ({"data": "gsm8k"}, {"form": "free", "error_share": 0.0}, {"phase": "reasoning"}):
        params = TrainParams(profile="nano", **others)
        assert params.larger_share == 0
        assert ("larger_share", "0.0", "default") in params.in_force()
        unasked = dict.fromkeys(TrainParams.model_fields)
        for kind in ("train", "study"):
            brought = read_parameters(kind, unasked | profile | others)
            assert (brought.larger_share, brought.run) == (0, params.run)
        with pytest.raises(ParameterError, match="larger_share=0.5 is of data='procedural'"):
            TrainParams(profile="nano", larger_share=0.5, **others)
        with pytest.raises(ParameterError, match="larger_share=0.5 is of data='procedural'"):
            read_parameters("train", unasked | profile | others | {"larger_share": 0.5})
    assert read_parameters("train", unasked | profile) == TrainParams(profile="nano")
    for odd in (np.array(["procedural", "x"]), 5):
        with pytest.raises(ParameterError, match="data=.* is refused"):
            TrainParams(profile="nano", data=odd)


def test_given_beats_profile_beats_default():
    default = TrainParams.model_fields["learning_rate"].default
    assert load_profile("nano")["learning_rate"] != default
    assert "learning_rate" not in load_profile("t4")
    assert TrainParams(profile="t4").learning_rate == default
    assert TrainParams(profile="nano").learning_rate == load_profile("nano")["learning_rate"]
    assert TrainParams(profile="nano", learning_rate=99).learning_rate == 99


def test_none_is_not_given():
    assert TrainParams(profile="nano", rank=None) == TrainParams(profile="nano")


@pytest.mark.parametrize("name, value", [
    ("verify_weight", "heavy"), ("verify_weight", -1), ("verify_weight", True),
    ("verify_weight", float("nan")), ("verify_weight", float("inf")), ("rank", 0),
    ("rank", 1.5), ("rank", True), ("alpha", 0), ("dropout", 1.0), ("dropout", -0.1),
    ("epochs", 0), ("learning_rate", 0), ("learning_rate", "1e-4"), ("batch_size", 0),
    ("routing", "swich"), ("normalise", "tokens"), ("dynamic", "on"), ("phase", "both"),
    ("quantisation", "int8"), ("error_share", 1.5), ("data", "gsm9k"),
    ("data", "gsm8k+gsm8k"), ("run", "../escape"), ("run", 7), ("seed", -1),
    ("seed", 2**32), ("profile", "nona"), ("profile", 3), ("base", ""), ("max_length", 1),
    ("max_minutes", 0), ("checkpoint_minutes", -1), ("checkpoint_gigabytes", 0), ("fresh", 1),
])
def test_bad_value_is_refused_in_one_sentence(name, value):
    with pytest.raises(ParameterError) as caught:
        TrainParams(**{name: value})
    sentence = str(caught.value)
    assert f"{name}={value!r} is refused: {name} must be " in sentence
    assert "\n" not in sentence


def test_what_is_too_large_or_too_long_is_told_the_limit():
    for kind, name, value, limit in (
            ("train", "traces", 2**31, "at most 2147483647"),
            ("train", "seed", 2**32, "below 4294967296"),
            ("train", "run", "a" * 101, "at most 100 characters"),
            ("evaluate", "verify_below", -float("inf"), "finite")):
        with pytest.raises(ParameterError, match=f"^{name}=.* is refused: .*, {limit}$"):
            KINDS[kind](**{name: value})
    with pytest.raises(ParameterError, match="run='a/b' is refused: run must be text of letters"):
        KINDS["tutor"](run="a/b")
    with pytest.raises(ParameterError, match="run='runs' is refused: .*whose folders hold other"):
        KINDS["ablate"](run="runs")


def test_number_that_yaml_took_for_text_is_explained():
    assert yaml.safe_load("1e-4") == "1e-4"
    with pytest.raises(ParameterError, match="in YAML write 1.0e-4"):
        TrainParams(learning_rate="1e-4")


@pytest.mark.parametrize("value", [2411, float("inf")])
def test_text_that_papermill_took_for_a_number_is_explained(value):
    with pytest.raises(ParameterError, match="-r keeps text"):
        TrainParams(run=value)
    with pytest.raises(ParameterError, match="-r keeps text"):
        read_parameters("evaluate", {"run": value})
    with pytest.raises(ParameterError) as caught:
        TrainParams(rank=1.5)
    assert "-r keeps text" not in str(caught.value)


def test_all_weights_zero_is_refused_and_one_above_zero_is_enough():
    zero = dict.fromkeys(WEIGHTS, 0)
    with pytest.raises(ParameterError, match="at least one must be above 0"):
        TrainParams(**zero)
    assert TrainParams(**{**zero, "transition_weight": 0.1}).verify_weight == 0


def test_unknown_name_is_refused_with_the_closest():
    with pytest.raises(ParameterError, match="verify_wieght for train: did you mean verify_weight"):
        TrainParams(verify_wieght=2.0)
    with pytest.raises(ParameterError, match="it belongs to evaluate"):
        TrainParams(interventions=3)


def test_resolved_values_resolve_to_themselves():
    for kind in KINDS.values():
        for profile in PROFILES:
            params = kind(profile=profile, seed=3)
            written = yaml.safe_load(yaml.safe_dump(params.as_dict()))
            assert kind(**written) == params


def test_lists_as_text_or_list():
    assert EvaluateParams(settings="natural, clean").settings == ("natural", "clean")
    assert EvaluateParams().settings == SETTINGS
    assert MetricsParams(runs=["a", "b"]).run_names == ("a", "b")
    assert MetricsParams(run="c").run_names == ("c",)
    with pytest.raises(ParameterError, match="settings="):
        EvaluateParams(settings=["natural", "neutral"])


@pytest.mark.parametrize("given, name", [
    ({}, "nano"), ({"profile": "t4"}, "t4"), ({"verify_weight": 2}, "verify_weight-2"),
    ({"verify_weight": 1.0, "max_minutes": 3.0, "processes": 2}, "nano"),  # nothing differs
    ({"seed": 3, "routing": "single"}, "seed-3_routing-single"),
    ({"profile": "smollm2", "data": "gsm8k", "seed": 1}, "smollm2_seed-1"),
    ({"data_path": "/somewhere/else/my train.jsonl"}, "data_path-my-train.jsonl-[0-9a-f]{8}"),
    ({"error_kinds": {"copying_slip": 1.0}}, "error_kinds--copying-slip-1-[0-9a-f]{8}"),
    ({"run": "mine", "seed": 1}, "mine")])
def test_a_training_without_a_name_is_called_by_what_differs_from_the_profile(given, name):
    assert re.fullmatch(name, TrainParams(**given).run)
    assert TrainParams(**TrainParams(**given).as_dict()) == TrainParams(**given)


def test_a_long_name_is_cut_and_an_evaluation_is_that_of_the_profile():
    many = TrainParams(**{f"{name}_weight": 1.23456 for name in ("plan", "execute", "verify")},
                       learning_rate=0.001, understand_weight=3.0, transition_weight=9.0).run
    assert len(many) == 90 and many.startswith("understand_weight-3_plan_weight-1.23456_exec")
    assert EvaluateParams().run == "nano" and EvaluateParams(profile="t4", seed=1).run == "t4"


# -- profiles

def test_the_profiles_are_those_of_the_design():
    assert profile_names() == PROFILES


@pytest.mark.parametrize("name", PROFILES)
def test_profile_names_itself_and_holds_known_names(name):
    values = load_profile(name)
    assert values["profile"] == name
    for parameter in values:
        assert any(parameter in s.model_fields for s in KINDS.values()), parameter
    header = "\n".join(read_mapping(paths.PARAMS / f"{name}.yaml")[1])
    assert f"papermill -f params/{name}.yaml" in header and "Needs:" in header


def test_unknown_name_in_a_profile_names_the_file(tmp_path, monkeypatch):
    (tmp_path / "mine.yaml").write_text("profile: mine\nrnak: 3\n")
    (tmp_path / "high.yaml").write_text("profile: high\nrank: 0\n")
    monkeypatch.setattr(paths, "PARAMS", tmp_path)
    with pytest.raises(ParameterError, match="params/mine.yaml: .*rnak.*did you mean rank"):
        TrainParams(profile="mine")
    with pytest.raises(ParameterError, match="rank=0 in params/high.yaml is refused"):
        TrainParams(profile="high")
    assert TrainParams(profile="high", rank=2).rank == 2


@pytest.mark.parametrize("text, words", [
    ("run: 2026-03-14", "run=datetime.date(2026, 3, 14) is refused"),
    ("profile: nano\nrun: 2026-03-14 10:00:00", "in YAML write it in quotes"),
    ("run: 20260314", "run=20260314 is refused"), ("run: yes", "run=True is refused"),
    ("run: !!binary aGVsbG8=", "run=b'hello' is refused"), ("run: !!set {a}", "is refused"),
    ("max_minuts: 2026-03-14", "did you mean max_minutes"), ("_rank: 3", "unknown parameter _rank"),
    ("2026-03-14: 1", "is a date and no name"), ("1: 2", "is a int and no name"),
    ("- rank", "must be a flat mapping"), ("", "must be a flat mapping"),
    ("rank: {a: 1}", "must be a flat mapping"), ("rank: [", "is no YAML"),
    ("run: 2026-13-45", "is no YAML"), (f"rank: {'9' * 5000}", "is no YAML"),
    ("settings: " + "[" * 10_000, "is no YAML"), ("run: \ud800", "is no YAML"),
    ("a: &a [x, x]\n" + "".join(f"a{k}: &a{k} [*a{k - 1 or ''}, *a{k - 1 or ''}]\n"
                                for k in range(1, 40)), "anchors and aliases are not read"),
])
def test_a_file_of_parameters_is_read_whole_or_refused_in_one_short_line(tmp_path, text, words):
    """Nothing of it is dropped without a word: a date is not text, but was asked for."""
    path = tmp_path / "mine.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ParameterError) as caught:
        read_parameters("train", read_mapping(path)[0])
    sentence = str(caught.value)
    assert words in sentence and "\n" not in sentence and len(sentence) < 700


def test_values_of_any_size_are_refused_in_one_short_line():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    for values in ({"seed": 10**5000}, {"rank": 10**5000}, {"max_length": 10**5000},
                   {"verify_weight": 10**5000}, {"run": "a" * 10**6}, {"base": deep},
                   {"error_kinds": {"arithmetic_slip": 10**5000}}, {"data": "a" * 5000},
                   {"base": "a" * 5000},
                   {"data": "a\0b"}):
        with pytest.raises(ParameterError) as caught:
            TrainParams(**values)
        assert len(str(caught.value)) < 500 and "\n" not in str(caught.value)


@pytest.mark.parametrize("gpus, name", [
    ((), "nano"), ((T4,), "t4"), ((T4, T4), "kaggle-2xt4"), ((A10,), "gpu-bf16"),
    ((gpu("GTX", 8, 6),), "smollm2"), ((gpu("RTX 6000", 24, 7),), "t4"),
])
def test_auto_picks_by_hardware_and_says_why(gpus, name):
    picked, reason = choose_profile(gpus)
    assert picked == name
    assert reason.startswith(name) and "because" in reason


def test_auto_is_resolved():
    params = TrainParams(profile="auto")
    assert params.profile in PROFILES
    assert params.profile_reason == choose_profile()[1]


# -- notebooks

def test_names_of_other_notebooks_pass_only_with_the_profile_s_value():
    whole = load_profile("nano")
    assert read_parameters("train", {**whole, "rank": 8}).rank == 8
    with pytest.raises(ParameterError, match="n for train: it belongs to evaluate"):
        read_parameters("train", {**whole, "n": whole["n"] + 1})
    with pytest.raises(ParameterError, match="n for train"):
        read_parameters("train", {"n": whole["n"]})


def test_only_cells_of_literal_assignments_are_parameters():
    assert literal_assignments("# Parameters\nrank = 4\nlr: float = -1.0e-4  # rate\n") == \
        ["rank", "lr"]
    assert literal_assignments("weight = float('nan')\nruns = ['a']\n") == ["weight", "runs"]
    assert literal_assignments("import os\nrank = 4") == []
    assert literal_assignments("rank = len([1])") == []
    assert literal_assignments("%matplotlib inline") == []


def execute(tmp_path, parameters):
    """Run a two-cell notebook as papermill runs the real ones; the printed parameters."""
    cells = [new_code_cell("profile = 'nano'\nverify_weight = None\nrank = None",
                           metadata={"tags": ["parameters"]}),
             new_code_cell("from nanoreason.params import read_parameters\n"
                           "params = read_parameters('train', globals())\n"
                           "print(params.verify_weight, params.rank)"),
             # later cells may use any names, and the validation cell may run again
             new_code_cell("verify_wieght_of_old = 3 if params else 2\n"
                           "print(read_parameters('train', globals()).rank)")]
    book = new_notebook(cells=cells, metadata={
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}})
    nbformat.write(book, tmp_path / "in.ipynb")
    done = papermill.execute_notebook(str(tmp_path / "in.ipynb"), str(tmp_path / "out.ipynb"),
                                      parameters, progress_bar=False, cwd=str(paths.ROOT))
    return "".join(o.get("text", "") for c in done.cells for o in c.get("outputs", []))


def test_kernel_takes_parameters(tmp_path):
    """That it refuses wrong ones is tested on a notebook itself, in test_notebooks."""
    assert execute(tmp_path, {"verify_weight": 2.5}) == "2.5 16\n16\n"


NUMBERS = dict(zip(("00", "01", "02", "03", "04", "05", "06", "na", "07"), KINDS.values(),
                   strict=True))


@pytest.mark.parametrize("path", [*sorted(paths.NOTEBOOKS.glob("0[0-5]_*.ipynb")),
                                  paths.NOTEBOOKS / "nanoreason.ipynb"],
                         ids=lambda path: path.stem)
def test_parameters_cell_fits_its_set(path):
    known = papermill.inspect_notebook(str(path))
    set_ = NUMBERS[path.name[:2]]
    assert set(known) <= set(set_.model_fields)
    of_profiles = set().union(*map(load_profile, PROFILES)) - {"profile"}
    for name in set(known) & of_profiles:
        assert known[name]["default"] == "None", f"{name} is a profile's to set"
    cell = next(c for c in nbformat.read(path, 4).cells
                if "parameters" in c.metadata.get("tags", []))
    assert literal_assignments(cell.source) == list(known)
    assert set(study.parameters_for(path, {"profile": "nano", "run": "x"})) == {"profile", "run"}


@pytest.mark.parametrize("values, message", [
    ({"error_share": 0.25}, "form='free' has no VERIFY that could find an error, but "
                            "error_share=0.25: give error_share=0"),
    ({"error_share": 0.0, "phase": "reasoning"}, "form='free' has one stage, but "
                                                 "phase='reasoning'")])
def test_the_free_form_goes_with_right_traces_in_one_phase(values, message):
    with pytest.raises(ParameterError, match=message):
        TrainParams(profile="nano", form="free", **values)
    assert TrainParams(profile="nano", form="free", error_share=0.0).form == "free"


def test_parameters_are_read_before_torch_is_loaded():
    """So that a notebook refuses a wrong one at once; its cell imports these two."""
    code = ("import sys; from nanoreason.environment import show\n"
            "from nanoreason.params import read_parameters\n"
            "read_parameters('train', {'profile': 'nano', 'run': 'x'})\n"
            "sys.exit('torch' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_parts_of_a_study_are_the_sets_of_its_notebooks():
    """One name for both, made of what the training differs in alone."""
    study_of = StudyParams(profile="nano", verify_weight=2.0, n=7, seed=3)
    assert study_of.run == "seed-3_verify_weight-2"
    assert study_of.part("train") == TrainParams(profile="nano", verify_weight=2.0, seed=3)
    assert study_of.part("evaluate") == EvaluateParams(profile="nano", n=7, seed=3,
                                                       run=study_of.run)


def test_what_is_in_force_says_what_set_it_and_what_none_comes_to():
    rows = {name: rest for name, *rest in TrainParams(verify_weight=2.0).in_force()}
    assert rows["traces"] == ["36000", "profile"] and rows["verify_weight"] == ["2.0", "given"]
    assert rows["rank"] == ["16", "default"] and rows["max_minutes"] == ["no limit", "default"]
    assert list(rows) == list(TrainParams.model_fields) and "None" not in str(rows)
    assert EvaluateParams().in_force()[-1][0] in EvaluateParams.model_fields
    assert rows["profile"] == ["nano", "default"]
    assert ("runs", "`run` alone", "default") in MetricsParams().in_force()
    needs = TrainParams(profile="t4").needs
    assert needs.startswith("one GPU of 15 GB") and "download" in needs
