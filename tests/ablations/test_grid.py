"""A small grid run for real: two processes, what is kept, what goes on, what is refused."""
from __future__ import annotations

import dataclasses
import shutil
import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from publish import publish_grid

from nanoreason.ablations.conditions import cells
from nanoreason.ablations.grid import (Grid, GridError, _work, check, evaluation_of, open_grid,
                                       run_grid, to_run)
from nanoreason.ablations.results import GridRun, find, store
from nanoreason.data.prepare import prepare
from nanoreason.model.base import load_tokenizer
from nanoreason.params import AblateParams, TrainParams
from nanoreason.training.train import encode_records, larger_records, rows_sha256
from nanoreason.evaluation.rows import compact_row
from nanoreason.files import read_mapping
from nanoreason.runs import Run, RunError
from nanoreason import paths
from nanoreason.evaluation import accuracy, self_verification


def asked(**values):
    return AblateParams(**{"profile": "nano-switch", "run": "small",
                           "conditions": ["phases", "free"], "seeds": 1, "train_traces": 16,
                           "test_problems": 3, "workers": 2, **values})


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The grid of two conditions and the one that they build on, in an empty workspace."""
    place = tmp_path_factory.mktemp("grid")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NANOREASON_HOME", str(place))  # the workers read it
        for name, path in (("ROOT", place), ("RESULTS", place / "results"),
                           ("FIGURES", place / "figures"), ("BUILD", place / "build"),
                           ("RUNS", place / "build" / "runs")):
            patch.setattr(paths, name, path)
        yield run_grid(asked())


def test_everything_that_was_asked_for_is_there(done):
    assert [(run.condition, run.seed) for run in done.runs] == [
        ("reasoning", 0), ("phases", 0), ("free", 0)]
    assert not done.missing
    assert not done.of("reasoning").keys() - {0}


def test_the_rows_kept_score_like_the_generations(done):
    for run in done.runs:
        full = Run(paths.RUNS / f"small.{run.condition}.0").read_generations()
        for setting in {row["setting"] for row in full}:
            mine = [row for row in run.rows() if row["setting"] == setting]
            theirs = [row for row in full if row["setting"] == setting]
            assert accuracy(mine).counts == accuracy(theirs).counts
        compact = {(row["setting"], row["problem_id"]): compact_row(row) for row in full}
        for row in run.rows():
            other = compact[row["setting"], row["problem_id"]]
            assert row["question_sha256"] == other["question_sha256"]
            assert (row["gold"], row["a2"]) == (str(other["gold"]), other["a2"])
            assert (row["planted"] or {}).get("kind") == (other["planted"] or {}).get("kind")
    given = [row for row in done.of("phases")[0].rows() if row["setting"] != "natural"]
    full = [row for row in Run(paths.RUNS / "small.phases.0").read_generations()
            if row["setting"] != "natural"]
    assert self_verification(given).counts == self_verification(full).counts


def test_each_run_says_what_it_was(done):
    facts = done.of("phases")[0].facts
    assert facts["recipe"]["reasoning_run"] == "small.reasoning.0"
    assert facts["training"]["on_policy"]["wanted"] == 0
    for run in done.runs:
        made = run.facts["training"]
        assert made["tokens"] > 0 and made["weights"] and sum(made["parameters"].values()) > 0
        assert len(made["adapters_sha256"]) == len(made["order_sha256"]) == 64
        assert made["tokens_seen"] == made["tokens"]  # one epoch
        assert {"commit", "packages", "hardware", "seconds"} <= run.facts.keys()
    made = done.of("reasoning")[0].facts["training"]
    assert made["effective_weights"]["verify"] is None  # nothing of VERIFY is learned
    assert made["effective_weights"]["execute"] == 1
    assert made["trained_parameters"] == made["parameters"]["reasoning"]
    assert done.of("free")[0].facts["evaluated"]["settings"] == ["natural"]


def test_started_again_nothing_is_run(done):
    def logs():
        return {path: path.stat().st_mtime_ns for path in (paths.BUILD / "small").rglob("*.log")}

    before = logs()
    assert [run.facts for run in run_grid(asked()).runs] == [run.facts for run in done.runs]
    assert logs() == before and len(before) == 3


def test_what_is_missing_is_named_and_not_run(done):
    found = open_grid(asked(seeds=2))
    assert [cell.name for cell in found.missing] == ["small.reasoning.1", "small.phases.1",
                                                     "small.free.1"]
    assert run_grid(asked(seeds=2, max_minutes=1e-9)).missing == found.missing


def test_another_recipe_under_the_same_name_is_refused(done):
    with pytest.raises(RunError, match="another recipe: traces is 16 there and 17 here"):
        open_grid(asked(train_traces=17))
    with pytest.raises(RunError, match="n is 3 there and 4 here"):
        open_grid(asked(test_problems=4))


def test_a_run_that_fails_stops_the_grid_with_its_name(done):
    hindrance = paths.RUNS / "small.reasoning.1"
    hindrance.write_text("a file where the run's folder should be")
    try:
        with pytest.raises(GridError, match="condition reasoning, seed 1, failed: .*where: "
                                            "build/small/logs/small.reasoning.1.log"):
            run_grid(asked(seeds=2, workers=1))
    finally:
        hindrance.unlink()
    assert len(open_grid(asked(seeds=2)).missing) == 3  # nothing that waits for it was begun


@contextmanager
def workers_killed(name, times):
    """Within, up to so many processes are killed while they run this cell; yields who ran
    which cell, and who of them was killed."""
    killed, over, ran = [], threading.Event(), {}

    def kill():
        while not over.wait(0.1):
            for process in psutil.Process().children():
                with suppress(psutil.Error):
                    for file in process.open_files():
                        if file.path.endswith(".log"):
                            ran.setdefault(Path(file.path).stem, set()).add(process.pid)
                    if len(killed) < times and process.pid not in killed \
                            and process.pid in ran.get(name, ()):
                        process.kill()
                        killed.append(process.pid)

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield killed, ran
    finally:
        over.set()
        thread.join()


def test_a_killed_worker_costs_its_cell_alone(done):
    params = asked(run="killed", conditions=["reasoning", "free"])
    with workers_killed("killed.free.0", 99) as (killed, ran), \
            pytest.raises(GridError, match="killed.free.0 was killed 3 times, .*workers=1; .*"
                                           "(TerminatedWorkerError)"):
        run_grid(params)
    assert len(killed) == 3 and len(ran["killed.reasoning.0"]) == 1  # beside all three
    with workers_killed("killed.free.0", 1) as (killed, _):
        grid = run_grid(params)
    assert len(killed) == 1 and not grid.missing
    for run in grid.runs:
        whole = done.of(run.condition)[0]
        assert run.facts["training"]["adapters_sha256"] == \
            whole.facts["training"]["adapters_sha256"]
        assert run.rows() == whole.rows()


def test_without_ray_the_engine_names_what_is_missing(done, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(GridError, match="engine='ray' needs the package ray, .* pip install ray=="):
        run_grid(asked(seeds=2, engine="ray"))


def test_equal_adapters_and_other_data_stop_the_grid(done):
    first, second = done.of("reasoning")[0], done.of("phases")[0]

    def with_training(run, **changed):
        return dataclasses.replace(
            run, facts=run.facts | {"training": run.facts["training"] | changed})
    same = first.facts["training"]["adapters_sha256"]
    with pytest.raises(GridError, match="reasoning and phases, seed 0, have the same adapters"):
        check([first, with_training(second, adapters_sha256=same)])
    twin = dataclasses.replace(with_training(first, adapters_sha256="0"), condition="twin")
    check([first, twin])
    for name, word in (("rows_sha256", "rows"), ("order_sha256", "order")):
        with pytest.raises(GridError, match=f"same data, but their {word} differ"):
            check([first, with_training(twin, **{name: "1"})])
    with pytest.raises(GridError, match="differ in base_version: a grid is of one base"):
        check([first, with_training(twin, base_version="1")])


@pytest.mark.parametrize("profile", ["nano", "nano-switch"])
def test_conditions_have_the_same_rows_where_no_setting_of_the_data_differs(profile):
    """Under both profiles, whatever a condition changes; a run that does not know a setting yet
    has its default."""
    tokenizer = load_tokenizer("nano")
    runs = []
    for cell in cells(asked(profile=profile, train_traces=4, conditions=[])):
        records = prepare("procedural", total=4, error_share=cell.params.error_share,
                          checks=cell.params.checks)
        rows, _ = encode_records(tokenizer, records, 2000, cell.params.form, cell.params.routing,
                                 cell.params.right_twins, larger_records(cell.params))
        known = {name: value for name, value in cell.params.recipe().items()
                 if value != TrainParams.model_fields[name].default}
        runs.append(GridRun(cell.condition.name, 0, {"recipe": known, "training": {
            "adapters_sha256": cell.name, "base_version": "", "order_sha256": "",
            "rows_sha256": rows_sha256(rows)}}, Path()))
    check(runs)
    other = dataclasses.replace(runs[-1], condition="other", facts={
        **runs[-1].facts, "training": runs[-1].facts["training"] | {
            "adapters_sha256": "other", "rows_sha256": "other"}})
    with pytest.raises(GridError, match="same data, but their rows differ"):
        check([*runs, other])


def test_adapters_of_another_run_are_not_built_on(done):
    """A scratch run of the right name with other adapters is made again."""
    found = Grid([done.of("reasoning")[0]], [c for c in cells(asked()) if c.needs])
    assert [c.name for c in to_run(asked(), found)] == ["small.phases.0"]
    training = found.runs[0].facts["training"] | {"adapters_sha256": "of another run"}
    other = dataclasses.replace(found.runs[0], facts={"training": training})
    again = to_run(asked(), Grid([other], found.missing))
    assert [c.name for c in again] == ["small.reasoning.0", "small.phases.0"]


def test_a_row_written_twice_is_refused(done):
    cell = next(cell for cell in cells(asked()) if cell.condition.name == "free")
    rows = Run(paths.RUNS / cell.name).read_generations()
    with pytest.raises(RunError, match="has 1 problems twice, such as natural"):
        store(cell, {}, {}, [*rows, rows[0]])


def test_published_runs_are_found_without_the_scratch_ones(done):
    copied = publish_grid("small", done.runs)
    conditions = {run.condition for run in done.runs}
    assert len(copied) == len(done.runs) + len(conditions)
    assert all(path.suffix == ".gz" for path in copied)
    (paths.BUILD / "small").rename(paths.BUILD / "away")
    try:
        found = open_grid(asked())
        assert not found.missing
        assert found.runs[1].rows() == dataclasses.replace(
            done.runs[1], folder=paths.BUILD / "away" / "phases").rows()
    finally:
        (paths.BUILD / "away").rename(paths.BUILD / "small")
    with pytest.raises(RunError, match="no run of the grid 'small' is in build/small"):
        publish_grid("small", [])


def test_seeds_published_one_after_the_other_share_a_table_in_their_own_order(done):
    run = done.of("free")[0]
    other = dataclasses.replace(run, seed=1, facts=run.facts | {"seed": 1, "table_sha256": None})
    lines = (run.folder / "seed-0.csv").read_text().splitlines(keepends=True)
    path = run.folder / "seed-1.csv"
    path.write_text("".join([lines[0], *lines[:1:-1]]))  # turned around, and one row less
    changed = dataclasses.replace(other, facts=other.facts | {"table_sha256": "0"})
    shutil.rmtree(paths.RESULTS / "small", ignore_errors=True)
    try:
        with pytest.raises(RunError, match="seed-1, or problems.csv .* is not as it was written"):
            publish_grid("small", [run, changed])
        assert not (paths.RESULTS / "small").exists()  # not the first one of them either
        publish_grid("small", [run])
        publish_grid("small", [other])
        for wanted in (run, other):
            published = dataclasses.replace(wanted, folder=paths.RESULTS / "small" / "free")
            assert published.rows() == wanted.rows()
        with pytest.raises(RunError, match="rows.csv.gz has no row of seed 2"):
            dataclasses.replace(published, seed=2).rows()
    finally:
        path.unlink()
        shutil.rmtree(paths.RESULTS / "small")


def test_rows_of_other_problems_are_named(done):
    cell = next(cell for cell in cells(asked()) if cell.condition.name == "free")
    run = find(cell, done.of("free")[0].facts["evaluated"])
    path = run.folder / "seed-0.csv"
    text = path.read_text()
    problem = run.rows()[0]["problem_id"]
    path.write_text(text.replace(problem, "other"))
    try:
        with pytest.raises(RunError, match="natural other stands in no line of problems.csv"):
            run.rows()
    finally:
        path.write_text(text)
    assert isinstance(Grid([run], []).of("free")[0].rows(), list)


@pytest.mark.parametrize("name, damage, sentence", [
    ("free/seed-0.csv", lambda text: f"{text[:-1]}1\n", "is not as it was written: bring it back"),
    ("free/seed-0.csv", lambda text: "\n".join(text.split("\n")[:-2]) + "\n", "is not as it was"),
    ("free/seed-0.csv", lambda text: text + text.split("\n")[1] + "\n", "in two lines: remove the"),
    ("free/seed-0.csv", lambda text: "", "is no table: No columns"),
    ("problems.csv", lambda text: text.replace(text.split(",")[9], "7", 1), "is not as it was"),
    ("problems.csv", lambda text: text + text.split("\n")[1] + "\n", "problems.csv has .* in two"),
    ("free/seed-0.json", lambda text: "{}", "free/seed-0.json is not whole: bring it back"),
    ("free/seed-0.json", lambda text: text.replace('"rows_sha256"', '"rows"'), "is not whole")])
def test_files_of_a_grid_that_were_changed_are_named(done, name, damage, sentence):
    path = paths.BUILD / "small" / name
    text = path.read_text()
    path.write_text(damage(text))
    try:
        with pytest.raises(RunError, match=sentence):
            open_grid(asked()).of("free")[0].rows()
    finally:
        path.write_text(text)


def test_rows_that_were_added_to_a_run_by_hand_are_not_of_the_grid(done):
    run, log = done.of("free")[0], paths.BUILD / "small" / "logs" / "small.free.0.log"
    scratch = Run(paths.RUNS / "small.free.0")
    generations, said = scratch.path("generations.jsonl"), log.read_text()
    content = generations.read_bytes()
    cell = next(cell for cell in cells(asked()) if cell.condition.name == "free")
    scratch.append_generations(row | {"split": "test_ood", "problem_id": f"x{row['problem_id']}"}
                               for row in scratch.read_generations())
    try:
        assert _work(cell, evaluation_of(asked(), cell), 0).rows() == run.rows()
    finally:
        generations.write_bytes(content)
        log.write_text(said)


def test_the_grid_that_lost_a_node_ended_whole_and_equal():
    """What benchmarks/lost_node.py saw."""
    found = read_mapping(paths.CHECKOUT / "results" / "lost-node.json")
    assert found["same_adapters"] == found["cells"] == 8 and found["missing"] == 0
    assert found["same_rows"] == found["rows"] > 0
    assert found["lost"]["cell"] in found["run_twice"] and found["begun_on_node"][1] > 0
