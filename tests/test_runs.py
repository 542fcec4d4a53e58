"""Run folders: what is written can be read, what is bad is counted and named."""
import json
import math
import os
import shutil
import stat
import subprocess
import sys
import warnings
from fractions import Fraction

import numpy
import pytest
from synthetic import new_run

from nanoreason import environment, paths
from nanoreason.files import read_text, to_json, write_text
from nanoreason.params import TrainParams
from nanoreason.runs import Run, RunError, find_run, list_runs, row_fault, writable


def row(**changes):
    values = {"problem_id": "p1", "sample": 0, "setting": "natural", "question": "1 + 1?",
              "gold": "2", "teachers": [], "text": "Answer: 2", "planted": None,
              "intervention": None}
    return {**values, **changes}


def without(name):
    return {key: value for key, value in row().items() if key != name}


def test_files_of_a_run_come_back(workspace):
    run = new_run("first")
    params = TrainParams(verify_weight=2.0, run="first")
    run.write_params(params)
    run.write_summary({"svr": None, "counts": {"n": numpy.int64(3)}, "value": Fraction(1, 3)})
    run.write_metrics({"step": step, "loss": 0.5 / step, "loss_verify": None}
                      for step in (1, 2))
    run.append_generations([row(), row(sample=1, question="Đúng?")])
    assert TrainParams(**run.read_params()) == params
    assert run.read_summary() == {"svr": None, "counts": {"n": 3}, "value": "1/3"}
    assert run.read_metrics()["loss"].tolist() == [0.5, 0.25]
    assert run.read_metrics()["loss_verify"].isna().all()
    assert [r["sample"] for r in run.read_generations()] == [0, 1]
    assert run.read_generations()[1]["question"] == "Đúng?"


def test_environment_says_what_ran_and_names_no_machine(workspace):
    run = new_run("first")
    run.write_environment(environment.describe(dtype="float32", dtype_reason="no CUDA",
                                               seconds=12.34))
    run.write_environment({"seconds": 5.0}, part="evaluate")
    found = run.read_environment()
    assert (found["dtype"], found["dtype_reason"], found["seconds"]) == \
        ("float32", "no CUDA", 12.3)
    assert found["evaluate"] == {"seconds": 5.0}
    assert found["packages"]["torch"] and found["hardware"]["cores"] >= 1
    assert found["peak_memory_bytes"] > 10 * 2**20
    assert found["commit"] is None or len(found["commit"]) == 40
    text = run.path("environment.json").read_text()
    assert os.uname().nodename not in text and str(paths.CHECKOUT) not in text


def test_bad_rows_are_counted_and_named(workspace, capsys):
    run = new_run("first")
    lines = [json.dumps(row()), "{broken", json.dumps(without("text")),
             json.dumps(row(setting="wild")), "[1]", "", json.dumps(row(sample=1))]
    run.path("generations.jsonl").write_text("\n".join(lines) + "\n")
    rows, faults = run.scan_generations()
    assert [r["sample"] for r in rows] == [0, 1]
    assert [fault.split(":")[0] for fault in faults] == ["line 2", "line 3", "line 4", "line 5"]
    assert run.read_generations() == rows
    said = capsys.readouterr().out
    assert "4 bad of 6 rows in build/runs/first/generations.jsonl are left out" in said
    assert "line 3: no field text" in said
    run.mend_generations()
    assert run.scan_generations() == (rows, [])
    assert run.path("generations.jsonl.1").read_text() == "\n".join(lines) + "\n"
    assert "the file as it was is generations.jsonl.1" in capsys.readouterr().out


def test_one_bad_byte_costs_one_row_wherever_it_stands(workspace):
    run = new_run("first")
    wanted = [row(sample=sample, text="Answer: Đ2") for sample in range(3)]
    run.append_generations(wanted)
    content = run.path("generations.jsonl").read_bytes()
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= 0x80
        run.path("generations.jsonl").write_bytes(bytes(damaged))
        rows, faults = run.scan_generations()
        kept = [found for found in rows if found in wanted]
        assert len(kept) >= 2 and (len(kept) == 3 or faults), (place, faults)


def test_a_row_that_stands_twice_is_one_or_refused(workspace):
    run = new_run("first")
    run.append_generations([row(), row(sample=1), row()])
    assert [found["sample"] for found in run.read_generations()] == [0, 1]
    run.append_generations([row(text="Answer: 3")])
    with pytest.raises(RunError, match="line 4 of build/runs/first/generations.jsonl is another "
                                       "row for natural None p1 0, which stands above already"):
        run.read_generations()


@pytest.mark.parametrize("name", ["problem_id", "sample", "setting", "question", "gold",
                                  "teachers", "text", "planted", "intervention"])
def test_every_field_of_a_row_is_wanted(workspace, name):
    assert row_fault(row()) is None
    with pytest.raises(RunError, match=f"row 2 for .*no field {name}"):
        new_run("first").append_generations([row(), without(name)])
    assert not (paths.RUNS / "first" / "generations.jsonl").exists()


def test_rows_without_texts_hold_scores():
    scored = {"problem_id": "g1", "sample": 0, "setting": "clean", "gold": "2",
              "question_sha256": "0" * 64, "a1": "2", "v": None, "a2": "2"}
    assert row_fault(scored) is None
    del scored["a2"]
    assert row_fault(scored) == "no field a2"


def test_half_a_line_is_dropped_with_a_warning(workspace):
    run = new_run("first")
    run.append_generations([row()])
    with run.path("generations.jsonl").open("a") as file:
        file.write(json.dumps(row(sample=1))[:20])
    with pytest.warns(UserWarning, match="unfinished last line of 20 bytes"):
        run.append_generations([row(sample=2)])
    assert [r["sample"] for r in run.read_generations()] == [0, 2]
    content = run.path("generations.jsonl").read_bytes()
    run.path("generations.jsonl").write_bytes(content[:-1])  # as an editor may leave a whole row
    run.mend_generations()
    assert run.path("generations.jsonl").read_bytes() == content


def test_packed_files_are_read_under_their_plain_names_and_stay_as_they_are(workspace):
    run = new_run("first", paths.RESULTS)
    rows = [row(), row(sample=1)]
    run.append_generations(rows)
    run.write_metrics([{"step": 1, "loss": 1.0}])
    run.pack()
    run.pack()  # nothing is left to do
    assert sorted(p.name for p in run.folder.iterdir()) == ["generations.jsonl.gz",
                                                            "metrics.csv.gz"]
    assert run.has("generations.jsonl") and not run.has("summary.json")
    assert run.read_generations() == rows and run.read_metrics()["loss"].tolist() == [1.0]
    assert list_runs() == ["first"]
    with pytest.raises(RunError, match="nothing is added to it"):
        run.append_generations([row(sample=2)])
    copy = writable(run)
    assert copy == writable(copy) == find_run("first") and copy.folder.parent == paths.RUNS
    assert sorted(p.name for p in copy.folder.iterdir()) == ["generations.jsonl", "metrics.csv"]
    copy.append_generations([row(sample=2)])
    assert len(run.read_generations()) == 2
    assert len(writable(run).read_generations()) == 3  # what was written there stays


def test_the_same_text_is_gzipped_to_the_same_bytes_whatever_its_name_and_time(tmp_path):
    one, two = tmp_path / "one.gz", tmp_path / "two.gz"
    for path in (one, two):
        write_text(path, "a,b\r\n1,2\n")
    assert one.read_bytes() == two.read_bytes()
    assert one.read_bytes()[3:8] == bytes(5)  # no flag for a name, time 0
    assert read_text(tmp_path / "one") == read_text(one) == "a,b\r\n1,2\n"


def test_a_field_that_a_row_of_metrics_lacks_is_empty(workspace):
    """Such as one that an earlier version of the code, before a resume, did not write."""
    run = new_run("first")
    run.write_metrics([{"step": 1, "loss": 0.1}, {"words": 2, "step": 2, "loss": 2e-5}])
    assert run.path("metrics.csv").read_text() == "step,loss,words\n1,0.1,\n2,2e-05,2.0\n"


def test_what_is_not_measured_is_none_not_nan():
    with pytest.raises(ValueError, match="write None"):
        to_json({"svr": math.nan})


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "summary.json"
    write_text(path, "old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["summary.json"]


def test_writing_keeps_the_mode(tmp_path):
    path = tmp_path / "run"
    write_text(path, "old")
    path.chmod(0o755)
    write_text(path, "new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o755


HOLDER = """
import sys, time
from pathlib import Path
from nanoreason.runs import Run
with Run(Path(sys.argv[1])).held("training"):
    print(flush=True)
    time.sleep(60)
"""


def test_a_run_is_held_by_one_process_which_is_named(tmp_path):
    run = Run(tmp_path / "run")
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(run.folder)],
                              stdout=subprocess.PIPE)
    holder.stdout.readline()
    with pytest.raises(RunError, match=rf"run run is held by process {holder.pid} on .*\(training, "
                                       r"since 20.*\): wait for its end, or take another run name"):
        with run.held("metrics", patience=0.1):
            pass
    holder.kill()
    holder.communicate()
    half = run.tables / f".accuracy.md.{holder.pid}.part"
    half.write_text("of a write that was cut")
    with run.held("metrics", patience=5), run.held("figures"):  # the system dropped the lock
        run.write_summary({})
    assert not list(tmp_path.glob(".run.json")) and run.read_summary() == {}
    assert not half.exists()


@pytest.mark.skipif(os.name != "posix" or os.geteuid(), reason="mounts a disk, which takes root")
def test_a_full_disk_and_one_that_is_read_only_are_told_in_a_sentence(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk]).returncode:
        pytest.skip("this machine mounts no disk")
    try:
        run = Run(disk / "run")
        run.folder.mkdir()
        with pytest.raises(RunError, match="the disk is full where run run is written "
                                           ".*nothing that"):
            with run.held("evaluation"):
                for sample in range(10**4):
                    run.append_generations([row(sample=sample)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of half a line
            run.mend_generations()
        assert len(run.read_generations()) > 10
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        with pytest.raises(RunError, match="the disk is read-only .*set NANOREASON_HOME"):
            run.write_summary({})
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_folder_where_a_file_belongs_and_a_file_where_a_folder_does(workspace):
    run = new_run("first")
    run.path("summary.json").mkdir()
    with pytest.raises(RunError, match="a folder stands in a file's place .*summary.json"):
        run.write_summary({})
    run.path("tables").write_text("a file")
    with pytest.raises(RunError, match="a file stands in a folder's place .*tables"), \
            run.held("metrics"):
        write_text(run.path("tables") / "accuracy.md", "")
    (workspace / "data").mkdir()
    with pytest.raises(IsADirectoryError), run.held("training"):  # elsewhere: as it is
        (workspace / "data").read_text()


def test_a_home_that_is_set_by_hand_need_not_be_there_yet(tmp_path):
    home = tmp_path / "new" / "home"
    said = subprocess.run(
        [sys.executable, "-c", "from nanoreason import paths; print(paths.RUNS)"], cwd=tmp_path,
        env=os.environ | {"NANOREASON_HOME": str(home), "PYTHONPATH": str(paths.CHECKOUT)},
        check=True, capture_output=True, text=True).stdout
    assert said == f"{home / 'build' / 'runs'}\n"


@pytest.mark.skipif(os.name != "posix" or os.geteuid(), reason="mounts a disk, which takes root")
def test_a_checkout_that_is_read_only_is_worked_with_from_outside(tmp_path):
    """As where it is attached to a notebook of Kaggle: what is written lies where one stands."""
    checkout, work = tmp_path / "input", tmp_path / "working"
    for name in ("nanoreason", "params", "results/nano-reference"):
        shutil.copytree(paths.CHECKOUT / name, checkout / name,
                        ignore=shutil.ignore_patterns("__pycache__"))
    work.mkdir()
    if subprocess.run(["mount", "--bind", checkout, checkout]).returncode:
        pytest.skip("this machine mounts no disk")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", checkout], check=True)
        code = ("from nanoreason import paths\n"
                "from nanoreason.runs import Run, find_run, writable\n"
                "for run in (Run(paths.RUNS / 'new'), writable(find_run('nano-reference'))):\n"
                "    with run.held('metrics'):\n"
                "        run.write_summary({})")
        environment = {name: value for name, value in os.environ.items()
                       if name != "NANOREASON_HOME"} | {"PYTHONPATH": str(checkout)}
        for given in ({}, {"NANOREASON_HOME": str(checkout)}):  # the latter as a process's own ones
            subprocess.run([sys.executable, "-B", "-c", code], cwd=work, env=environment | given,
                           check=True)
    finally:
        subprocess.run(["umount", checkout], check=True)
    for name in ("new", "nano-reference"):
        assert Run(work / "build" / "runs" / name).read_summary() == {}
    assert not (checkout / "build").exists()


@pytest.mark.parametrize("name", ["", "..", "../up", "a/b", ".hidden", "a b"])
def test_run_names_stay_in_their_folder(workspace, name):
    (paths.RUNS / "a" / "b").mkdir(parents=True)
    with pytest.raises(RunError, match="no run"):
        find_run(name)


def test_scratch_is_found_before_reference(workspace):
    new_run("both", paths.RESULTS).write_summary({})
    assert find_run("both").folder == paths.RESULTS / "both"
    new_run("both").write_summary({})
    assert find_run("both").folder == paths.RUNS / "both"
    assert list_runs() == ["both"]
    with pytest.raises(RunError, match="no run 'neither' .* there are both"):
        find_run("neither")
    for name in ("both-base", "both-gate", "both-prompted"):  # beside a run: none to choose
        new_run(name).write_params({})
    new_run("own-base").write_metrics([{"loss": 1.0}])  # a training that is called so
    new_run(".both.1.part").write_params({})  # of a copy that was killed
    assert list_runs() == ["both", "own-base"] and len(list_runs(beside=True)) == 5
    with pytest.raises(RunError, match="there are both, own-base$"):
        find_run("neither")


def test_a_run_that_hides_another_one_of_reference_is_told_of_once(workspace, capsys):
    new_run("odd").write_environment({"training": {"adapters_sha256": 5}})
    assert new_run("odd").recorded("adapters_sha256") == "5"
    for parent, adapters in ((paths.RESULTS, "b"), (paths.RUNS, "a")):
        for name, own in (("same", "b"), ("other", adapters)):
            new_run(name, parent).write_environment({"training": {"adapters_sha256": own * 64}})
        (parent / "damaged").mkdir()
        (parent / "damaged" / "environment.json").write_text("{")
    for name in ("same", "other", "other", "damaged"):
        assert find_run(name).folder == paths.RUNS / name
    assert capsys.readouterr().out == (
        "run other: build/runs/other is read (aaaaaaaaaaaa), and results/other is another "
        "(bbbbbbbbbbbb): rename the first to read that\n")


def test_absent_and_broken_files_are_named(workspace):
    run = new_run("first")
    with pytest.raises(RunError, match="run first has no summary.json: build/runs/first holds"):
        run.read_summary()
    for content, sentence in (
            (b"{", "no JSON"), (b"", "no JSON"), (b"[]", "a list, not names and values"),
            (b"\xff", r"not UTF-8 \(byte 0\)"), (b"[" * 10**5, "nested too deeply"),
            (b'{"n": ' + b"1" * 5000 + b"}", "no JSON")):
        run.path("summary.json").write_bytes(content)
        with pytest.raises(RunError, match="^build/runs/first/summary.json is damaged: "
                                           f"{sentence}.*; bring it back, or make") as caught:
            run.read_summary()
        assert len(str(caught.value)) < 220 and "\n" not in str(caught.value)
    bombs = "\n".join(f"a{i}: &a{i} [{', '.join(['*a%d' % (i - 1)] * 9 if i else ['x'])}]"
                      for i in range(9))
    for content in (bombs, "a: 1\na: 1", "a: [", "2026-13-41: 1", "1: 2", "? [a]\n: 1",
                    "[" * 10**4):
        run.path("params.yaml").write_text(content)
        with pytest.raises(RunError, match="params.yaml is damaged: ") as caught:
            run.read_params()
        assert len(str(caught.value)) < 220 and "\n" not in str(caught.value)
    for content, sentence in ((b"", "is no table"), (b"\xff", "is damaged: not UTF-8"),
                              (b"a\n1\n1,2,3\n", "is no table")):
        run.path("metrics.csv").write_bytes(content)
        with pytest.raises(RunError, match=f"build/runs/first/metrics.csv {sentence}"):
            run.read_metrics()


def test_committed_runs_are_whole():
    """Each run of reference in the repository has its five files, all readable.

    The rows of an untouched base, prompted or not, and of a gate have no training and no
    summary of their own;
    a grid's folder (it holds problems.csv.gz) is read by tests/test_ablation_results.py.
    """
    folders = [folder for folder in (paths.CHECKOUT / "results").glob("*")
               if folder.is_dir() and not (folder / "problems.csv.gz").exists()]
    assert len(folders) >= 3
    for folder in folders:
        run = Run(folder)
        assert run.read_params() and run.read_environment() and run.read_generations()
        if not folder.name.endswith(("-base", "-prompted", "-gate")):
            assert run.read_summary() and len(run.read_metrics())
