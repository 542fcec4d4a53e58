"""What a grid keeps of its runs: two small files a run, and the problems once.

`results/<grid>/<condition>/seed-<k>.json` (recipe, weights, parameter counts, tokens, hashes
of data, order and adapters, versions, hardware, commit) and `seed-<k>.csv` (a1, v and a2 of
every row); `problems.csv` holds what all runs share: question's hash, gold answer, planted
error. All scores of a grid are functions of these rows, in the form that the score functions
take. Runs made here lie in build/<grid>/ until they are copied to results/<grid>/. There the
files are gzipped, and the rows of all seeds of a condition stand in one table, `rows.csv.gz`.
"""
from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest
from pathlib import Path

from nanoreason import paths
from nanoreason.ablations.conditions import Cell
from nanoreason.evaluation.rows import compact_row
from nanoreason.files import read_text, stored, to_json, write_json, write_text
from nanoreason.params.sets import EvaluateParams, TrainParams
from nanoreason.runs import RunError
from nanoreason.training.resume import OTHERWISE

PROBLEMS = ("setting", "problem_id", "question_sha256", "gold", "planted_step", "planted_kind",
            "steps")
ROWS = ("setting", "problem_id", "a1", "v", "a2", "lenient", "ritual")


@dataclass(frozen=True)
class GridRun:
    """One finished run of a grid. facts: its JSON file; folder: where its files lie."""

    condition: str
    seed: int
    facts: dict
    folder: Path

    def rows(self) -> list[dict]:
        """Its rows, in the compact form that the score functions take.

        Raises RunError where they are of other problems than `problems.csv` holds.
        """
        problems = _problems(self.folder.parent / "problems.csv")
        rows = []
        for line in self.lines():
            problem = problems.get((line["setting"], line["problem_id"]))
            if problem is None:
                raise RunError(f"{paths.relative(self.folder)}/seed-{self.seed}.csv: "
                               f"{line['setting']} {line['problem_id']} stands in no line of "
                               "problems.csv: the run was made on other problems")
            rows.append(_row(line, problem))
        return rows

    def lines(self) -> list[dict[str, str]]:
        """What its table holds, by the names of ROWS."""
        own, shared = self.folder / f"seed-{self.seed}.csv", self.folder / "rows.csv.gz"
        if own.is_file() or not shared.is_file():
            return _read(own, ROWS)
        seeds = _seeds(shared)
        if self.seed not in seeds:
            raise RunError(f"{paths.relative(shared)} has no row of seed {self.seed}: the run is "
                           "not whole")
        return seeds[self.seed]


def _row(line: Mapping[str, str], problem: Mapping[str, str]) -> dict:
    planted = {"step": int(problem["planted_step"]), "kind": problem["planted_kind"],
               "origin": "planted"} if problem["planted_step"] else None
    return {"problem_id": line["problem_id"], "sample": 0, "setting": line["setting"],
            "question_sha256": problem["question_sha256"], "gold": problem["gold"],
            "a1": line["a1"] or None, "v": int(line["v"]) if line["v"] else "unreadable",
            "a2": line["a2"] or None, "planted": planted,
            "scores": {"lenient": _flag(line["lenient"]), "ritual": _flag(line["ritual"]),
                       "steps": int(problem["steps"]) if problem["steps"] else None}}


def _flag(text: str) -> bool | None:
    return None if text == "" else text == "1"


def folders(grid: str) -> tuple[Path, Path]:
    """Where runs of a grid may lie: committed, and made here."""
    return paths.RESULTS / grid, paths.BUILD / grid


def outputs(grid: str, whole: bool) -> tuple[Path, Path]:
    """Folders of a grid's figures and tables, made if absent; committed with its runs.

    whole: whether all its conditions and seeds are asked for; a part is never committed.
    """
    committed, made = folders(grid)
    found = (paths.FIGURES / grid, committed / "tables") if whole and committed.is_dir() \
        else (made / "figures", made / "tables")
    for folder in found:
        folder.mkdir(parents=True, exist_ok=True)
    return found


def find(cell: Cell, evaluated: Mapping) -> GridRun | None:
    """A cell's finished run, committed or made here; None if there is none.

    evaluated: what it must have been scored on. Raises RunError, naming the difference,
    where a run of this name was made by another recipe: a grid holds one recipe only.
    """
    for place in folders(cell.grid):
        path = place / cell.condition.name / f"seed-{cell.seed}.json"
        if stored(path).is_file():
            facts = json.loads(read_text(path))
            _require(path, _defaults(TrainParams) | facts["recipe"], _plain(cell.recipe()))
            _require(path, _defaults(EvaluateParams) | facts["evaluated"],
                     _defaults(EvaluateParams) | _plain(dict(evaluated)))
            return GridRun(cell.condition.name, cell.seed, facts, path.parent)
    return None


def _plain(values: Mapping) -> dict:
    """Values as JSON gives them back."""
    return json.loads(json.dumps(values))


def _defaults(set_: type) -> dict:
    """What a parameter is that a run did not know yet; without those of `OTHERWISE`."""
    return _plain({name: field.default for name, field in set_.model_fields.items()
                   if name not in OTHERWISE})


def _require(path: Path, there: Mapping, asked: Mapping) -> None:
    odd = [f"{name} is {there.get(name)!r} there and {asked.get(name)!r} here"
           for name in sorted({*there, *asked}) if there.get(name) != asked.get(name)]
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
    compact = [compact_row(row) for row in generations]
    names = Counter((row["setting"], row["problem_id"]) for row in compact)
    twice = [" ".join(name) for name, count in names.items() if count > 1]
    if twice:
        raise RunError(f"run {cell.name} has {len(twice)} problems twice, such as {twice[0]}: "
                       f"remove {paths.relative(paths.RUNS / cell.name)} and start again")
    _share_problems(place / "problems.csv", compact)
    folder = place / cell.condition.name
    lines = [{"setting": row["setting"], "problem_id": row["problem_id"], "a1": row["a1"],
              "v": _verdict(row["v"]), "a2": row["a2"],
              **{name: _as_flag(row["scores"][name]) for name in ("lenient", "ritual")}}
             for row in compact]
    write_text(folder / f"seed-{cell.seed}.csv", _csv(ROWS, lines))
    kept = {"condition": cell.condition.name, "seed": cell.seed, "recipe": cell.recipe(),
            "evaluated": dict(evaluated), **facts}
    write_json(folder / f"seed-{cell.seed}.json", kept)
    return GridRun(cell.condition.name, cell.seed, kept, folder)


def _share_problems(path: Path, compact: list[Mapping]) -> None:
    """Add the problems of these rows to those of the grid."""
    found = []
    for row in compact:
        planted = row.get("planted") or {}
        found.append({"setting": row["setting"], "problem_id": row["problem_id"],
                      "question_sha256": row["question_sha256"], "gold": str(row["gold"]),
                      "planted_step": str(planted.get("step", "")),
                      "planted_kind": planted.get("kind", ""),
                      "steps": str(row["scores"]["steps"] or "")})
    _add_problems(path, found)


def _add_problems(path: Path, problems: Iterable[dict[str, str]]) -> None:
    """What a grid's file does not know yet is added; what it knows must be the same."""
    known = dict(_problems(path)) if stored(path).is_file() else {}
    for problem in problems:
        key = problem["setting"], problem["problem_id"]
        if known.setdefault(key, problem) != problem:
            raise RunError(f"{' '.join(key)} is another problem in {paths.relative(path)}: all "
                           "runs of a grid answer the same ones")
    write_text(path, _csv(PROBLEMS, known.values()))
    _problems.cache_clear()


def _seeds(path: Path) -> dict[int, list[dict[str, str]]]:
    """The rows of a condition by seed, each seed's in the order in which they were written."""
    found: dict[int, list[dict[str, str]]] = {}
    for line in _read(path, ("seed", *ROWS)):
        found.setdefault(int(line["seed"]), []).append(line)
    return found


@lru_cache(maxsize=4)
def _problems(path: Path) -> dict[tuple[str, str], dict[str, str]]:
    return {(line["setting"], line["problem_id"]): line for line in _read(path, PROBLEMS)}


def _verdict(verdict: str) -> str:
    """0: correct; k: step k is wrong; empty: unreadable."""
    if verdict == "unreadable":
        return ""
    return "0" if verdict == "correct" else verdict.split()[1]


def _as_flag(value: bool | None) -> str:
    return "" if value is None else str(int(value))


def _csv(columns: tuple[str, ...], lines: Iterable[Mapping]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def _read(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    if not stored(path).is_file():
        raise RunError(f"{paths.relative(path)} is not there: the run is not whole")
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""))
    if tuple(reader.fieldnames or ()) != columns:
        raise RunError(f"{paths.relative(path)} has the columns {reader.fieldnames}, "
                       f"not {', '.join(columns)}")
    return list(reader)


def publish_grid(grid: str, runs: Iterable[GridRun]) -> list[Path]:
    """Put those of these runs that were made here into results/<grid>/; the files written.

    The seeds of a condition share one table, the first row of each seed, the second, and so
    on: the same problem's rows then stand together, and take a third less room gzipped.
    """
    into, source = folders(grid)
    made = [run for run in runs if run.folder.parent == source]
    if not made:
        raise RunError(f"no run of the grid {grid!r} is in {paths.relative(source)}: there is "
                       "nothing to copy")
    _add_problems(into / "problems.csv.gz", _problems(source / "problems.csv").values())
    written = []
    for condition in dict.fromkeys(run.condition for run in made):
        own = [run for run in made if run.condition == condition]
        table = into / condition / "rows.csv.gz"
        seeds = (_seeds(table) if table.is_file() else {}) | {run.seed: run.lines()
                                                              for run in own}
        rows = zip_longest(*([line | {"seed": seed} for line in seeds[seed]]
                             for seed in sorted(seeds)))
        write_text(table, _csv(("seed", *ROWS), (line for lines in rows for line in lines
                                                 if line is not None)))
        written.append(table)
        for run in own:
            written.append(into / condition / f"seed-{run.seed}.json.gz")
            write_text(written[-1], to_json(run.facts, indent=2) + "\n")
    return written
