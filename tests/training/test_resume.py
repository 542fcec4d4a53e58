"""A training that is cut off and called again ends where the unbroken one does."""
from __future__ import annotations

import shutil

import pytest
import torch

from nanoreason.data.prepare import prepare
from nanoreason.data.problem import write_traces
from nanoreason.training import resume, train
from nanoreason import paths
from nanoreason.exporting import export
from nanoreason.training.checkpoints import PARTIAL, Checkpoints, Clock
from nanoreason.model.base import Location, locate
from nanoreason.params import TrainParams
from nanoreason.runs import OF_ROWS, Run, RunError
from nanoreason.training.resume import CHECKPOINTS, FINISHED, STARTS, load_run

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
    assert "no longer bit for bit" not in printed
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
    begun = paths.RUNS / "timed"  # killed within its first write
    begun.mkdir()
    (begun / ".params.yaml.9.part").write_text("profile: na")
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
    assert not begun.with_name("timed.1").exists()


def files_of(run):
    return {path.relative_to(run.folder): path.read_bytes()
            for path in run.folder.rglob("*") if path.is_file()}


def test_a_finished_run_is_not_repeated_and_never_replaced(unbroken, capsys):
    before = files_of(unbroken)
    same = {"micro_batch_size": 1, "micro_batch_tokens": 90, "gradient_checkpointing": True,
            "unpack": False, "max_minutes": 9.0, "allow_fewer": True, "on_policy_samples": 9}
    for changes in ({}, same):
        assert go("unbroken", **changes) == unbroken
        assert "run unbroken is finished with these parameters" in capsys.readouterr().out
    for changes, said in (({"seed": 4, "rank": 8}, "seed was 3 and is 4 now; rank was 16 and is 8 "
                           "now"), ({"language": "vi"}, "language was en and is vi now")):
        with pytest.raises(RunError, match=f"run unbroken is finished, and this is another "
                                           f"training: {said}. .*-p run NAME.*-p fresh True"):
            go("unbroken", **changes)
    assert files_of(unbroken) == before
    assert not unbroken.folder.with_name("unbroken.1").exists()


def test_stopped_work_of_other_parameters_is_set_aside(unbroken, runs, monkeypatch, capsys):
    cut_after(monkeypatch, "other", 2)
    shutil.rmtree(runs / "other" / CHECKPOINTS / PARTIAL)
    before = files_of(Run(runs / "other"))
    capsys.readouterr()
    stopped = go("other", seed=4, max_minutes=1e-6)  # never takes up the state of seed 3
    printed = capsys.readouterr().out
    assert "run other was another training (seed was 3 and is 4 now): it is kept as " in printed
    assert "other.1" in printed and "goes on" not in printed
    assert facts(stopped)["optimiser_steps"] == 1 and facts(stopped)["resumed"] == 0
    kept = Run(runs / "other.1")
    assert files_of(kept) == before
    assert_equal(go("other.1"), unbroken)  # what was set aside goes on
    assert "run other.1 goes on from step 2\n" in capsys.readouterr().out

    for name in OF_ROWS:
        stopped.path(name).write_text("of the run that is replaced")
    again = go("other", seed=4, max_minutes=1e-6, fresh=True)
    assert facts(again)["optimiser_steps"] == 1 and facts(again)["resumed"] == 0
    assert not any(again.path(name).exists() for name in OF_ROWS)
    assert not (runs / "other.2").exists()


def test_other_micro_batches_go_on_and_it_is_said(unbroken, monkeypatch, capsys):
    cut_after(monkeypatch, "smaller", 4)
    capsys.readouterr()
    run = go("smaller", micro_batch_size=1, gradient_checkpointing=True)
    assert ("goes on from step 4: the same training, no longer bit for bit (micro_batch_size was "
            "2 and is 1 now; gradient_checkpointing was false and is true now)"
            ) in capsys.readouterr().out
    assert len(run.read_metrics()) == STEPS and facts(run)["resumed"] == 1
    totals = [found.read_metrics()["total"].to_numpy() for found in (run, unbroken)]
    assert abs(totals[0] - totals[1]).max() < 0.1  # of other dropout, of the same steps


def test_a_file_is_known_by_what_it_holds(runs, tmp_path, monkeypatch, capsys):
    made, short = tmp_path / "made.jsonl", {"traces": 8, "epochs": 1}
    write_traces(made, prepare("procedural", total=8))
    monkeypatch.chdir(tmp_path)
    go("file", data="made.jsonl", max_minutes=1e-6, **short)
    run = go("file", data=str(made), **short)
    assert facts(run)["resumed"] == 1
    assert "goes on from step 1" in capsys.readouterr().out
    write_traces(made, prepare("procedural", total=8, seed=1))
    with pytest.raises(RunError, match="data was .*made.jsonl with other rows and is "
                                       ".*made.jsonl now"):
        go("file", data=str(made), **short)


def test_a_finished_run_with_damaged_files_is_kept_and_trained_again(runs, capsys):
    tiny = {"traces": 4, "epochs": 1, "name": "spoiled"}
    run = go(**tiny)
    wanted = facts(run)["adapters_sha256"]
    weights = "adapters/reasoning/adapter_model.safetensors"
    content = bytearray(run.path(weights).read_bytes())
    content[-9] ^= 1
    run.path(weights).write_bytes(bytes(content))
    with pytest.raises(RunError, match="adapters: the sha256 of reasoning/adapter_model.safeten"):
        load_run("spoiled")
    run = go(**tiny)
    said = capsys.readouterr().out
    assert f"the files of run spoiled are damaged (the sha256 of {weights}" in said
    assert "run spoiled is not whole: it is kept as" in said
    assert facts(run)["adapters_sha256"] == wanted
    assert Run(runs / "spoiled.1").path(weights).read_bytes() == bytes(content)
    run.path("params.yaml").write_text("profile: nano\nbase: nano\n")  # a copy that was cut off
    for read in (load_run, lambda name: export(name, runs / "exported")):
        with pytest.raises(RunError, match="spoiled/params.yaml is not whole, it lacks "
                                           "quantisation, data"):
            read("spoiled")


def test_a_damaged_record_is_named_and_set_aside(unbroken, monkeypatch, capsys):
    cut_after(monkeypatch, "records", 2)
    run = Run(paths.RUNS / "records")
    run.path(STARTS).write_bytes(b"0\n\xff\n")
    run.path("params.yaml").write_bytes(b"\xff")
    assert_equal(go("records"), unbroken)
    assert "starts.txt of run records is damaged: it is kept as starts.txt.1" in \
        capsys.readouterr().out
    run.path(FINISHED).write_text("")
    go("records", max_minutes=1e-6)
    assert "run records are damaged (finished.json is not as it was written)" in \
        capsys.readouterr().out
    assert Run(paths.RUNS / "records.1").path("adapters").is_dir()


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


@pytest.mark.slow
def test_one_process_goes_on_where_two_stopped_and_two_where_one_did(runs, unbroken, capfd):
    for processes in (1, 2):
        go("changing", processes=processes, max_minutes=1e-6)
    run = go("changing")
    assert "processes was 2 and is 1 now" in capfd.readouterr().out
    assert facts(run)["resumed"] == 2 and len(run.read_metrics()) == STEPS
    totals = [found.read_metrics()["total"].to_numpy() for found in (run, unbroken)]
    assert abs(totals[0] - totals[1]).max() < 0.1


# -- what makes two trainings the same

def test_the_identity_is_all_that_reaches_the_adapters():
    params, base = TrainParams(profile="nano"), Location("nano", "", "package", "ab")

    def identity(changes, *rest, **hashes):
        return resume.identity(params.model_copy(update=changes),
                               *(rest or (base, "cpu", "float32", 1)),
                               **{"rows_sha256": "one", **hashes})

    same = identity({})
    names = {*params.deciding(), *params.recorded, *params.by_content}
    assert names | {n for n in TrainParams.model_fields if n.startswith("on_policy")} == \
        set(TrainParams.model_fields)
    for other in (identity({"max_minutes": 5.0, "run": "x", "fresh": True, "processes": 2}),
                  identity({"data": "elsewhere", "data_path": "x", "base": "other-name"}),
                  identity({"micro_batch_size": 1}, base, "cuda", "bfloat16", 2)):
        assert resume.differences(same, other) == {}
    for other, said in ((identity({"rank": 3}), "rank was 16 and is 3 now"),
                        (identity({"data": "gsm8k"}, rows_sha256="two"),
                         "data was procedural and is gsm8k now"),
                        (identity({}, rows_sha256="two"),
                         "data was procedural with other rows and is procedural now"),
                        (identity({}, Location("nano", "", "package", "cd"), "cpu", "float32", 1),
                         "base_version was ab and is cd now")):
        assert resume.told(resume.differences(same, other)) == said
    before = {"parameters": {**same["parameters"], "seed": 1, "micro_batch_size": 1},
              "rows_sha256": "one", "device": "cuda", "version": "0.0.1"}  # as it once was
    del before["parameters"]["form"]
    assert resume.told(resume.differences(before, same)) == "seed was 1 and is 0 now"
    before = identity({"data": "gsm8k", "larger_share": 0.0}, rows_sha256="two")
    del before["recorded"]["larger_share"]  # as it once was
    for share, said in ((0.0, ""), (0.5, "; larger_share was 0.0 and is 0.5 now")):
        assert resume.told(resume.differences(before, identity({"larger_share": share}))) == \
            f"data was gsm8k and is procedural now{said}"


def test_a_base_in_a_folder_is_known_by_every_file_that_is_read(tmp_path):
    run = Run(tmp_path / "run")
    for name in ("model.safetensors", "tokenizer.json", "README.md"):
        (tmp_path / name).write_bytes(b"one")
    run.write_environment({"base": locate(str(tmp_path)).as_dict()})
    (tmp_path / "README.md").write_bytes(b"two")
    resume.check_base(run, locate(str(tmp_path)))
    (tmp_path / "tokenizer.json").write_bytes(b"ond")
    with pytest.raises(RunError, match="where tokenizer.json is another file: bring the same"):
        resume.check_base(run, locate(str(tmp_path)))


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
