"""What a grid keeps of its runs: two small files a run, and the problems once.

`results/<grid>/<condition>/seed-<k>.json` (recipe, weights, parameter counts, tokens, versions,
hardware, commit, hashes of data, order and adapters, and `table_sha256` of its rows with their
problems, which older runs lack) and `seed-<k>.csv` (a1, v and a2 of every row); `problems.csv`
holds what all runs share: question's hash, gold answer, injected error. All scores of a grid are
functions of these rows, in the form that the score functions take. Runs made here lie in
build/<grid>/ until they are copied to results/<grid>/. There the files are gzipped, and the rows
of all seeds of a condition stand in one table, `rows.csv.gz`.
"""
from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas
from filelock import FileLock

from nanoreason import paths
from nanoreason.ablations.conditions import Cell
from nanoreason.evaluation.rows import Texts, compact_row, read_rows
from nanoreason.evaluation.self_verification import count_table, self_verification
from nanoreason.files import read_csv, read_mapping, stored, to_json, write_json, write_text
from nanoreason.params.sets import EvaluateParams, TrainParams
from nanoreason.runs import RunError
from nanoreason.stages import GIVEN

KEY = ["setting", "problem_id"]
PROBLEMS = [*KEY, "question_sha256", "gold", "planted_step", "planted_kind", "steps"]
ROWS = [*KEY, "a1", "v", "a2", "lenient", "ritual"]
PARTS = ("recipe", "evaluated", "training")  # of a JSON file
HASHES = ("rows_sha256", "order_sha256", "adapters_sha256", "base_version")  # of its training
NATURAL, BOTH_GIVEN = "natural", "injected and clean"
POOLED = {NATURAL: ("natural",), BOTH_GIVEN: GIVEN}  # the settings whose rows are scored together


@dataclass(frozen=True)
class Counts:
    """What a run's rows of one entry of POOLED come to, all that its scores are functions of.

    problems: sorted. table: the sums of `count_table` of each problem's rows, (problems, 8).
    svr_null: that of its `self_verification`.
    """

    problems: tuple[str, ...]
    table: np.ndarray
    svr_null: float | None


@dataclass(frozen=True)
class GridRun:
    """One finished run of a grid. facts: its JSON file; folder: where its files lie; texts: of
    runs that answer the same problems, whose answers are then graded once."""

    condition: str
    seed: int
    facts: dict
    folder: Path
    texts: Texts | None = field(default=None, compare=False, repr=False)

    def rows(self) -> list[dict]:
        """Its rows, in the compact form that the score functions take.

        Raises RunError where they are of other problems than `problems.csv` holds, or they or
        these are not as they were stored.
        """
        problems = read_table(self.folder.parent / "problems.csv", PROBLEMS)
        table = self.table().merge(problems, "left", KEY)
        odd, where = table[table["gold"].isna()], f"{paths.relative(self.folder)}/seed-{self.seed}"
        if len(odd):
            raise RunError(f"{where}.csv: {' '.join(odd.iloc[0][KEY])} stands in no line of "
                           "problems.csv: the run was made on other problems")
        known = self.facts.get("table_sha256")  # none of a run that was made before there was one
        if known and known != table_sha256(table):
            kept = paths.relative(stored(self.folder / f"seed-{self.seed}.json"))
            raise RunError(f"the table of {where}, or problems.csv beside its folder, is not as it "
                           "was written: bring it back; where problems.csv is whole, removing "
                           f"{kept} and starting the grid again will do, too")
        # pandas' own kind of text is slow to hand out one by one.
        return [_row(line) for line in table.astype(object).to_dict("records")]

    @cached_property
    def counts(self) -> dict[str, Counts]:
        """Its counts by POOLED. Kept, since several tables and hypotheses ask for them; the
        rows, a hundred times as large, are not."""
        rows, found = self.rows(), {}
        for name, settings in POOLED.items():
            scored = read_rows((row for row in rows if row["setting"] in settings),
                               self.texts).pooled()
            problems = tuple(sorted({row.problem for row in scored}))
            places = {problem: place for place, problem in enumerate(problems)}
            table = np.zeros((len(problems), count_table([]).shape[1]))
            np.add.at(table, [places[row.problem] for row in scored], count_table(scored))
            found[name] = Counts(problems, table, self_verification(scored).svr_null)
        return found

    def table(self) -> pandas.DataFrame:
        """Its rows as they are stored, text in the columns ROWS."""
        own, shared = self.folder / f"seed-{self.seed}.csv", self.folder / "rows.csv.gz"
        if own.is_file() or not shared.is_file():
            return read_table(own, ROWS)
        table = read_table(shared, ["seed", *ROWS])
        table = table[table["seed"] == str(self.seed)]
        if table.empty:
            raise RunError(f"{paths.relative(shared)} has no row of seed {self.seed}: the run is "
                           "not whole")
        return table[ROWS].reset_index(drop=True)


@dataclass(frozen=True)
class Grid:
    """runs: finished. missing: cells that were not run."""

    runs: list[GridRun]
    missing: list[Cell]

    def of(self, condition: str) -> dict[int, GridRun]:
        """The finished runs of a condition, by seed."""
        return {run.seed: run for run in self.runs if run.condition == condition}


def _row(line: Mapping[str, str]) -> dict:
    planted = {"step": int(line["planted_step"]), "kind": line["planted_kind"],
               "origin": "planted"} if line["planted_step"] else None
    flags = {name: line[name] == "1" if line[name] else None for name in ("lenient", "ritual")}
    return {"problem_id": line["problem_id"], "sample": 0, "setting": line["setting"],
            "question_sha256": line["question_sha256"], "gold": line["gold"],
            "a1": line["a1"] or None, "v": int(line["v"]) if line["v"] else "unreadable",
            "a2": line["a2"] or None, "planted": planted,
            "scores": {**flags, "steps": int(line["steps"]) if line["steps"] else None}}


def _line(row: Mapping) -> dict[str, str]:
    """A compact row as it is stored, in the columns of both tables; None is empty.

    v is 0: correct; k: step k is wrong; empty: unreadable.
    """
    verdict = {"unreadable": None, "correct": 0}
    planted, scores = row.get("planted") or {}, row["scores"]
    values = {name: row[name] for name in (*KEY, "question_sha256", "gold", "a1", "a2")} | {
        "v": verdict[row["v"]] if row["v"] in verdict else row["v"].split()[1],
        "planted_step": planted.get("step"), "planted_kind": planted.get("kind"),
        "steps": scores["steps"] or None}
    for name in ("lenient", "ritual"):
        values[name] = None if scores[name] is None else int(scores[name])
    return {name: "" if value is None else str(value) for name, value in values.items()}


def table_sha256(table: pandas.DataFrame) -> str:
    """Hexadecimal sha256 of a run's rows with their problems, in order."""
    text = table[[*ROWS, *PROBLEMS[len(KEY):]]].to_csv(index=False, lineterminator="\n")
    return hashlib.sha256(text.encode()).hexdigest()


def folders(grid: str) -> tuple[Path, Path]:
    """Where runs of a grid may lie: committed, and made here."""
    return paths.RESULTS / grid, paths.BUILD / grid


def outputs(grid: str, whole: bool) -> tuple[Path, Path]:
    """Folders of a grid's figures and tables, made if absent.

    whole: whether all its conditions and seeds are asked for; a part is never published.
    """
    found = tuple(folders(grid)[1] / f"{what}{'' if whole else '-part'}"
                  for what in ("figures", "tables"))
    for folder in found:
        folder.mkdir(parents=True, exist_ok=True)
    return found


def find(cell: Cell, evaluated: Mapping, texts: Texts | None = None) -> GridRun | None:
    """A cell's finished run, committed or made here; None if there is none.

    evaluated: what it must have been scored on. texts: see `GridRun`. Raises RunError, naming the
    difference, where a run of this name was made by another recipe: a grid holds one recipe only;
    and where its JSON file lacks what runs are compared by.
    """
    for place in folders(cell.grid):
        path = place / cell.condition.name / f"seed-{cell.seed}.json"
        if stored(path).is_file():
            facts = read_mapping(path)
            parts = [part if isinstance(part, Mapping) else {} for part in map(facts.get, PARTS)]
            if not all(parts) or not {*HASHES} <= parts[-1].keys():
                raise RunError(f"{paths.relative(stored(path))} is not whole: bring it back, or "
                               "remove it and start the grid again")
            _require(path, TrainParams, facts["recipe"], cell.params.recipe())
            _require(path, EvaluateParams, facts["evaluated"], evaluated)
            return GridRun(cell.condition.name, cell.seed, facts, path.parent, texts)
    return None


def _require(path: Path, set_: type, there: Mapping, asked: Mapping) -> None:
    """A parameter that a run did not know yet is at its default; all are compared as JSON."""
    both = {name: [values.get(name, field.default) for values in (there, asked)]
            for name, field in sorted(set_.model_fields.items())
            if name not in (*set_.recorded, "data_path")}
    odd = [f"{name} is {old!r} there and {new!r} here" for name, (old, new) in both.items()
           if to_json(old) != to_json(new)]
    if odd:
        raise RunError(f"{paths.relative(path)} was made by another recipe: {'; '.join(odd)}. "
                       "Give the grid another name (run), or take the same values")


def store(cell: Cell, evaluated: Mapping, facts: Mapping, generations: Iterable[Mapping]
          ) -> GridRun:
    """Write a finished run's files to build/<grid>/, the JSON last; see the module.

    facts: `environment.json` of its scratch run. Raises RunError where its problems are not
    those of the grid.
    """
    place = folders(cell.grid)[1]
    table = pandas.DataFrame([_line(compact_row(row)) for row in generations])
    twice = table[table.duplicated(KEY)]
    if len(twice):
        raise RunError(f"run {cell.name} has {len(twice)} problems twice, such as "
                       f"{' '.join(twice.iloc[0][KEY])}: remove "
                       f"{paths.relative(paths.RUNS / cell.name)} and start again")
    place.mkdir(parents=True, exist_ok=True)
    with FileLock(place / ".lock"):  # other cells write at the same time
        add_problems(place / "problems.csv", table[PROBLEMS])
    folder = place / cell.condition.name
    write_table(folder / f"seed-{cell.seed}.csv", table[ROWS])
    kept = {"condition": cell.condition.name, "seed": cell.seed, "recipe": cell.params.recipe(),
            "evaluated": dict(evaluated), "table_sha256": table_sha256(table), **facts}
    write_json(folder / f"seed-{cell.seed}.json", kept)
    return GridRun(cell.condition.name, cell.seed, kept, folder)


def add_problems(path: Path, problems: pandas.DataFrame) -> None:
    """What a grid's file of problems does not know yet is added.

    Raises RunError where one that it knows is another here.
    """
    known = [read_table(path, PROBLEMS)] if stored(path).is_file() else []
    table = pandas.concat([*known, problems]).drop_duplicates()
    odd = table[table.duplicated(KEY)]
    if len(odd):
        raise RunError(f"{' '.join(odd.iloc[0][KEY])} is another problem in "
                       f"{paths.relative(path)}: all runs of a grid answer the same ones")
    write_table(path, table)


def write_table(path: Path, table: pandas.DataFrame) -> None:
    """Write a table as CSV, gzipped where the path ends so; all or nothing."""
    write_text(path, table.to_csv(index=False, lineterminator="\n"))


def read_table(path: Path, columns: list[str]) -> pandas.DataFrame:
    """A table as text, an empty field as empty text.

    Raises RunError where it is not there, is no table, has other columns, or names a row twice.
    """
    where = paths.relative(path)
    if not stored(path).is_file():
        raise RunError(f"{where} is not there: the run is not whole")
    table = read_csv(path, dtype=str, keep_default_na=False)
    if list(table.columns) != columns:
        raise RunError(f"{where} has the columns {list(table.columns)}, not {', '.join(columns)}")
    key = [name for name in ("seed", *KEY) if name in columns]
    twice = table[table.duplicated(key)]
    if len(twice):
        raise RunError(f"{where} has {' '.join(twice.iloc[0][key])} in two lines: remove the one "
                       "that is wrong")
    return table
