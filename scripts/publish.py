"""A scratch run becomes a run of reference: python scripts/publish.py SCRATCH NAME.

    python scripts/publish.py --grid ablations     a grid of ablations: the runs made here,
                                                   its figures and tables

Copies `build/runs/SCRATCH` (and the base's rows in `SCRATCH-base`) to `results/NAME`, its
figures to `figures/NAME`. Rows of any source but the project's own problems lose their texts
on the way: what stays is the id, the question's hash, the answers, and the scores that only
the text could tell; what else would show a text (figures, examples) stays behind. Rows of a
base lose theirs for the room that they take. Metrics (six digits) and rows are gzipped. Nothing
else writes below `results/`; a run that is there is replaced only with `--replace`, whole or not
at all.
"""
from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import pandas
import yaml

from nanoreason import paths
from nanoreason.ablations.grid import open_grid
from nanoreason.ablations.results import (PROBLEMS, ROWS, GridRun, add_problems, folders,
                                          read_table, write_table)
from nanoreason.evaluation.faithfulness import trace_scores
from nanoreason.evaluation.rows import compact_row, read_row
from nanoreason.evaluation.summary import check_whole
from nanoreason.files import to_json, write_text
from nanoreason.host import Told
from nanoreason.params import AblateParams, MetricsParams
from nanoreason.runs import EVALUATED, Run, RunError


def publish(scratch: str, name: str, replace: bool = False) -> Run:
    """Copy a scratch run to results; returns the run of reference.

    Raises `RunError` if the scratch run is not there, not evaluated or has bad rows, if its
    rows, adapters and summary do not belong together, if it names no commit, or if `name` exists
    and is no run or `replace` is False; ParameterError for a name that is none.
    """
    for one in (scratch, name):
        MetricsParams(run=one)
    source, into = Run(paths.RUNS / scratch), Run(paths.RESULTS / name)
    if not source.path(EVALUATED).is_file():
        raise RunError(f"run {scratch!r} has no {EVALUATED} in {paths.relative(source.folder)}: "
                       "evaluate it with notebook 03_evaluate first")
    of_run = into.has("params.yaml")  # neither a grid nor the figures of something else
    there = [path for path in (into.folder, paths.FIGURES / name) if path.exists()]
    if there and not (of_run and replace):
        otherwise = "replace the run (--replace)" if of_run else "remove what is there"
        raise RunError(f"{paths.relative(there[0])} is there already: choose another name, or "
                       f"{otherwise}")
    with source.held("publish"):
        own = source.read_mapping(EVALUATED)["data"] == "procedural"
        rows, faults = source.scan_generations()
        if faults:
            raise RunError(f"run {scratch} has {len(faults)} bad rows ({faults[0]}): run "
                           "notebook 03_evaluate with it, which writes them again")
        check_whole(source)
        if source.recorded("commit", "environment.json") is None:
            raise RunError(f"run {scratch} names no commit, so nobody could make it again: train "
                           "and evaluate it in a checkout that git knows")
        part = Run(into.folder.with_name(f".{name}.part"))
        shutil.rmtree(part.folder, ignore_errors=True)
        part.folder.mkdir(parents=True)
        _copy(source, part, name, own)
        with_texts = own and not name.endswith("-base")
        part.append_generations(rows if with_texts else map(_without_texts, rows))
        part.pack()
    old = into.folder.with_name(f".{name}.old")  # until the new one stands in its place
    shutil.rmtree(old, ignore_errors=True)
    if into.folder.exists():
        into.folder.rename(old)
    part.folder.rename(into.folder)
    shutil.rmtree(old, ignore_errors=True)
    if own and source.path("figures").is_dir():
        shutil.rmtree(paths.FIGURES / name, ignore_errors=True)
        shutil.copytree(source.path("figures"), paths.FIGURES / name)
    return into


def _copy(source: Run, part: Run, name: str, own: bool) -> None:
    """All of a run but its rows and figures."""
    if source.path("metrics.csv").is_file():
        source.read_metrics().to_csv(part.path("metrics.csv"), index=False, float_format="%.6g")
    for file in ("environment.json", "summary.json",
                 *(("examples.html",) if own else ())):
        if source.path(file).is_file():
            shutil.copyfile(source.path(file), part.path(file))
    for file in ("params.yaml", EVALUATED):
        values = _portable(source.read_mapping(file), name)
        write_text(part.path(file), yaml.safe_dump(values, sort_keys=False))
    for folder in ("adapters", "tables") if own else ("adapters",):
        if source.path(folder).is_dir():
            shutil.copytree(source.path(folder), part.path(folder))


def _drawn(grid: str) -> list[Path]:
    """Copy what notebook 06 drew of a whole grid; the folders written."""
    return [shutil.copytree(paths.BUILD / grid / name, into, dirs_exist_ok=True)
            for name, into in (("figures", paths.FIGURES / grid),
                               ("tables", paths.RESULTS / grid / "tables"))
            if (paths.BUILD / grid / name).is_dir()]


def _without_texts(row: dict) -> dict:
    """A row in its compact form, which one of a published run has already; a natural one with
    the scores of its graph."""
    if "text" not in row:
        return row
    scored = read_row(row)
    return compact_row(scored, **(trace_scores(scored) if scored.setting == "natural" else {}))


def _portable(values: dict, name: str) -> dict:
    """Parameters under the new name, with files by their name: a folder would not travel."""
    shorter = {key: Path(values[key]).name for key in ("data", "data_path") if values.get(key)}
    return values | shorter | ({"run": name} if "run" in values else {})


def publish_grid(grid: str, runs: Iterable[GridRun]) -> list[Path]:
    """Put those of these runs that were made here into results/<grid>/; the files written.

    The seeds of a condition share one table, the first row of each seed, the second, and so
    on: the same problem's rows then stand together, and take a third less room gzipped.
    """
    into, source = folders(grid)
    made = [run for run in runs if run.folder.parent == source]
    if not made and not (source / "tables").is_dir():
        raise RunError(f"no run of the grid {grid!r} is in {paths.relative(source)}: there is "
                       "nothing to copy")
    for run in made:
        run.rows()  # as they were stored; else nothing is written
    if made:
        add_problems(into / "problems.csv.gz", read_table(source / "problems.csv", PROBLEMS))
    written = []
    for condition in dict.fromkeys(run.condition for run in made):
        path = into / condition / "rows.csv.gz"
        seeds = {}
        if path.is_file():
            seeds = {int(seed): table.reset_index(drop=True)
                     for seed, table in read_table(path, ["seed", *ROWS]).groupby("seed")}
        new = [run for run in made if run.condition == condition]
        for run in new:
            seeds[run.seed] = run.table().assign(seed=str(run.seed))
        table = pandas.concat([seeds[seed] for seed in sorted(seeds)])
        write_table(path, table.sort_index(kind="stable")[["seed", *ROWS]])
        for run in new:  # last: with its JSON file a run counts as whole
            written.append(into / condition / f"seed-{run.seed}.json.gz")
            write_text(written[-1], to_json(run.facts, indent=2) + "\n")
        written.append(path)
    return written


def main() -> int:
    """Publish a run, and the rows of its untouched base if there are any."""
    if len(sys.argv) not in (3, 4):
        print("usage: python scripts/publish.py SCRATCH NAME [--replace]\n       "
              "python scripts/publish.py --grid NAME", file=sys.stderr)
        return 2
    scratch, name, replace = sys.argv[1], sys.argv[2], "--replace" in sys.argv
    try:
        if scratch == "--grid":
            asked = AblateParams(run=name)
            for written in [*publish_grid(asked.run, open_grid(asked).runs), *_drawn(asked.run)]:
                print(paths.relative(written))
            return 0
        print(paths.relative(publish(scratch, name, replace).folder))
        if (paths.RUNS / f"{scratch}-base").is_dir():
            print(paths.relative(publish(f"{scratch}-base", f"{name}-base", replace).folder))
    except (Told, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
