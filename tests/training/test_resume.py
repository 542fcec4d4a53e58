"""A training that is cut off and called again ends where the unbroken one does."""
from __future__ import annotations

import importlib
import json
import subprocess
import sys

import pytest
import torch

from nanoreason.training import checkpoints, resume as identity, train
from nanoreason import paths
from nanoreason.training.checkpoints import Checkpoints, Clock
from nanoreason.model.base import Location
from nanoreason.params import TrainParams
from nanoreason.runs import Run, RunError
from nanoreason.training.resume import CHECKPOINTS, FINISHED, STARTS, locked
from nanoreason.training.train import load_run

SMALL = {"profile": "nano", "traces": 12, "epochs": 2, "batch_size": 4, "micro_batch_size": 2,
         "seed": 3, "dropout": 0.1, "dynamic": "dwa", "checkpoint_minutes": 0.0}
STEPS = 6


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folder of runs of this file."""
    before, paths.RUNS = paths.RUNS, tmp_path_factory.mktemp("runs")
    yield paths.RUNS
    paths.RUNS = before


@pytest.fixture(scope="module")
def unbroken(runs):
    """The run that every broken one must equal; it makes no checkpoint at all."""
    return train(TrainParams(**(SMALL | {"run": "unbroken", "checkpoint_minutes": 10.0})))


def go(name, **changes):
    return train(TrainParams(**(SMALL | {"run": name} | changes)))


def facts(run):
    return run.read_environment()["training"]


def assert_equal(run, other):
    assert facts(run)["adapters_sha256"] == facts(other)["adapters_sha256"]
    for name in ("reasoning", "verification"):
        weights = f"adapters/{name}/adapter_model.safetensors"
        assert run.path(weights).read_bytes() == other.path(weights).read_bytes()
    assert run.path("metrics.csv").read_bytes() == other.path("metrics.csv").read_bytes()


class Cut(BaseException):
    """Stands for the end of a session: nothing catches it."""


def cut_after(monkeypatch, name, step, **changes):
    """Train until the checkpoint of `step` is whole and the next is about to be."""
    commit = Checkpoints.commit

    def until(self, now):
        if now > step:
            raise Cut
        return commit(self, now)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "commit", until)
        with pytest.raises(Cut):
            go(name, **changes)


def test_cut_off_at_any_place_it_ends_like_the_unbroken(unbroken, monkeypatch, capsys):
    loads, load = [], torch.load
    monkeypatch.setattr(torch, "load", lambda *given, **named: loads.append(
        named.get("weights_only")) or load(*given, **named))
    cut_after(monkeypatch, "broken", 2)  # within the first epoch
    cut_after(monkeypatch, "broken", 3)  # between the epochs
    cut_after(monkeypatch, "broken", 4)
    newest = paths.RUNS / "broken" / CHECKPOINTS / "checkpoint-4"
    content = bytearray((newest / "optimizer.pt").read_bytes())
    content[5000] ^= 1
    (newest / "optimizer.pt").write_bytes(bytes(content))
    run = go("broken")  # from step 3
    assert loads and set(loads) == {True}
    assert_equal(run, unbroken)
    printed = capsys.readouterr().out
    assert [line for line in printed.splitlines() if "goes on" in line] == [
        f"run broken goes on from step {step}" for step in (2, 3, 3)]
    assert "checkpoint-4 is damaged (the sha256 of optimizer.pt is not as" in printed
    assert facts(run)["resumed"] == 3 and len(facts(run)["part_seconds"]) == 4
    # The third session left one checkpoint, and that was damaged: its seconds are not known.
    assert [part > 0 for part in facts(run)["part_seconds"]] == [True, True, False, True]
    assert sum(facts(run)["part_seconds"]) == pytest.approx(facts(run)["seconds"])
    assert not run.path(CHECKPOINTS).exists() and not run.path(STARTS).exists()


def test_cut_off_after_the_last_step_nothing_is_trained_twice(unbroken, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Run, "write_metrics", lambda *_: (_ for _ in ()).throw(Cut))
        with pytest.raises(Cut):
            go("late")
    assert_equal(go("late"), unbroken)


def test_max_minutes_stops_in_time_and_the_same_call_goes_on(unbroken, capsys):
    stopped = go("timed", max_minutes=1e-6, checkpoint_minutes=10.0)
    assert facts(stopped)["optimiser_steps"] == 1 and not facts(stopped)["finished"]
    assert facts(stopped)["planned_steps"] == STEPS
    assert len(stopped.read_metrics()) == 1 and not stopped.path(FINISHED).exists()
    assert f"at step 1 of {STEPS}: the same parameters go on" in capsys.readouterr().out
    with pytest.raises(RunError, match="the training of run timed is not finished"):
        load_run("timed")
    run = go("timed", checkpoint_minutes=10.0)  # without a limit: it is no other training
    assert_equal(run, unbroken)
    assert facts(run)["resumed"] == 1 and facts(run)["finished"]
    load_run("timed")


def test_a_finished_run_is_not_repeated_and_other_parameters_start_anew(
        unbroken, monkeypatch, capsys):
    before = unbroken.path("environment.json").read_bytes()
    assert go("unbroken") == unbroken
    assert unbroken.path("environment.json").read_bytes() == before
    assert "run unbroken is finished with these parameters" in capsys.readouterr().out

    cut_after(monkeypatch, "other", 2)
    capsys.readouterr()
    stopped = go("other", seed=4, max_minutes=1e-6)  # never takes up the state of seed 3
    printed = capsys.readouterr().out
    assert "checkpoint-2 is of another training" in printed and "seed 4, was 3" in printed
    assert "goes on" not in printed
    assert facts(stopped)["optimiser_steps"] == 1 and facts(stopped)["resumed"] == 0

    again = go("other", seed=4, max_minutes=1e-6, fresh=True)
    assert facts(again)["optimiser_steps"] == 1 and facts(again)["resumed"] == 0


def test_a_finished_run_with_damaged_files_is_trained_again(runs, capsys):
    tiny = {"traces": 4, "epochs": 1, "run": "spoiled"}
    run = go(**{"name": "spoiled"} | tiny)
    wanted = facts(run)["adapters_sha256"]
    run.path("adapters/reasoning/adapter_model.safetensors").write_bytes(b"")
    run = go(**{"name": "spoiled"} | tiny)
    assert "the files of run spoiled are damaged" in capsys.readouterr().out
    assert facts(run)["adapters_sha256"] == wanted


HOLDER = """
import sys, time
from pathlib import Path
from nanoreason.runs import Run
from nanoreason.training.resume import locked
with locked(Run(Path(sys.argv[1]))):
    print(flush=True)
    time.sleep(60)
"""


def test_one_training_of_a_run_at_a_time(tmp_path):
    run = Run(tmp_path / "run")
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(run.folder)],
                              stdout=subprocess.PIPE)
    holder.stdout.readline()
    with pytest.raises(RunError, match="is being trained by another process"):
        with locked(run, patience=0.1):
            pass
    holder.kill()
    holder.communicate()
    with locked(run, patience=5):  # the system has dropped the lock with its process
        pass


@pytest.mark.slow
def test_two_processes_go_on_together(runs):
    """Each process has random states of its own (dropout); all of them come back."""
    two = {"processes": 2, "batch_size": 8}
    wanted = go("two-unbroken", **two)
    stopped = go("two", **two, max_minutes=1e-6)
    assert facts(stopped)["optimiser_steps"] == 1 and not facts(stopped)["finished"]
    run = go("two", **two)
    assert facts(run)["resumed"] == 1
    assert_equal(run, wanted)
    assert go("two", **two) == run and facts(run)["resumed"] == 1


# -- what makes two trainings the same

def test_the_identity_is_all_that_reaches_the_adapters(tmp_path):
    params = TrainParams(profile="nano")
    base = Location("nano", "", "package", "ab")
    same = identity.identity(params, "rows", base, "cpu", "float32", 1)
    assert set(identity.NEUTRAL_PARAMETERS) < set(TrainParams.model_fields)
    changed = params.model_copy(update={"max_minutes": 5.0, "run": "x", "fresh": True})
    assert identity.identity(changed, "rows", base, "cpu", "float32", 1) == same
    others = [identity.identity(params.model_copy(update={"rank": 3}), "rows", base, "cpu",
                                "float32", 1),
              *(identity.identity(params, *rest) for rest in (
                  ("rows2", base, "cpu", "float32", 1), ("rows", base, "cuda", "float32", 1),
                  ("rows", Location("nano", "", "package", "cd"), "cpu", "float32", 1),
                  ("rows", base, "cpu", "float16", 1), ("rows", base, "cpu", "float32", 2)))]
    for other in others:
        assert checkpoints.differences(same, other).count(", was ") == 1
    folder = Location("mine", str(tmp_path), "folder", None)
    (tmp_path / "model.safetensors").write_bytes(b"one")
    first = identity.base_version(folder)
    (tmp_path / "model.safetensors").write_bytes(b"two")
    assert identity.base_version(folder) != first != "ab"


def test_the_clock_says_when():
    now = [100.0]
    clock = Clock(began=90.0, every=1.0, limit=3.0, starts=3, now=lambda: now[0])
    clock.load_parts([5.0])
    arguments = type("Arguments", (), {"world_size": 1, "device": None})
    clock.on_train_begin(arguments, None, None)
    seen = []
    for step in range(1, 40):
        now[0] += 10
        state = type("S", (), {"global_step": step, "max_steps": 40})
        control = type("C", (), {"should_save": False, "should_training_stop": False})
        clock.on_step_end(arguments, state, control)
        if control.should_save:
            now[0] += 2  # what a checkpoint takes
            clock.on_save(arguments, state, control)
            seen.append((step, now[0] - 90))
        if control.should_training_stop:
            break
    # Checkpoints a minute apart; the last one and the stop before 180 seconds are over.
    assert seen == [(6, 72.0), (12, 134.0), (16, 176.0)] and clock.stopped
    assert clock.seconds() == [5.0, 0.0, 176.0]


# -- real kills

@pytest.fixture(scope="module")
def benchmark():
    # Its sessions are new processes: they must be able to import it by its name.
    sys.path.insert(0, str(paths.CHECKOUT / "benchmarks"))
    yield importlib.import_module("resume_kills")
    sys.path.remove(str(paths.CHECKOUT / "benchmarks"))


def assert_survived(result, kills):
    assert len(result["kills"]) == kills and result["unequal"] == 0
    assert sum(run["kills"] for run in result["runs"]) == kills
    assert all(run["adapters_equal"] and run["metrics_equal"] for run in result["runs"])


def test_killed_three_times_it_ends_like_the_unbroken(benchmark):
    assert_survived(benchmark.measure(3, settings=SMALL, span=0.5), 3)


@pytest.mark.slow
def test_killed_twenty_times_it_ends_like_the_unbroken(benchmark):
    result = benchmark.measure(benchmark.KILLS, seed=1)
    assert_survived(result, 20)
    assert sum(kill["while_writing"] for kill in result["kills"]) >= 5


def test_the_committed_log_of_kills_says_so():
    result = json.loads((paths.RESULTS / "resume-kills.json").read_text())
    assert_survived(result, 20)
    assert sum(kill["while_writing"] for kill in result["kills"]) >= 5
    assert not result["environment"]["dirty"]
