"""The files of one run: written whole or not at all, read with the bad lines named.

A run is a folder: `params.yaml`, `environment.json`, `metrics.csv`, `generations.jsonl`,
`summary.json`. Scratch runs lie in build/runs/ (ignored by git), runs of reference in
results/ (committed), where the metrics and the rows are gzipped (`<name>.gz`). Figures,
tables and scores read these files and nothing else.
"""
from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nanoreason import paths
from nanoreason.files import (drop_half_line, read_text, shown, stored, to_json, write_json,
                              write_text)
from nanoreason.stages import SETTINGS

FILES = ("params.yaml", "environment.json", "metrics.csv", "generations.jsonl", "summary.json")
PACKED = ("metrics.csv", "generations.jsonl")  # gzipped in a run of reference
ALWAYS = ("problem_id", "sample", "setting", "gold")
FULL = ("question", "teachers", "text", "planted", "intervention")
SCORED = ("question_sha256", "a1", "v", "a2")  # rows without the texts of others
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class RunError(Exception):
    """A run that is not there, or one of its files that cannot be read as what it should be."""


Text = Annotated[str, Field(max_length=10**8)]  # with a limit, halves of surrogate pairs are found
Whole = Annotated[int, Field(ge=0, lt=2**63)]
Plain = Text | Annotated[int, Field(gt=-10**99, lt=10**99)] | Annotated[float, Field(allow_inf_nan=False)]


class _Of(BaseModel):
    """What a row or a part of it holds, where it holds it; other fields are let be."""

    model_config = ConfigDict(strict=True)


class _Planted(_Of):
    step: Annotated[int, Field(ge=1, lt=10**6)] | None = None
    kind: Text | None = None


class _Intervention(_Of):
    step: Annotated[int, Field(ge=1, lt=10**6)]
    old: Plain
    new: Plain


class _Scores(_Of):
    lenient: bool | None = None
    refused: Text | None = None
    reached_verify: bool | None = None
    ritual: bool | None = None
    first_wrong_step: Whole | None = None
    steps: Whole | None = None
    followed: bool | None = None
    edge_f1: Annotated[float, Field(ge=0, le=1)] | None = None
    edge_f1_null: Annotated[float, Field(ge=0, le=1)] | None = None
    plan_infeasible: bool | None = None
    dead_steps: Annotated[Sequence[Whole], Field(min_length=2, max_length=2)] | None = None


class _Row(_Of):
    id: Plain | None = None
    problem_id: Plain | None = None
    sample: Whole | Text = 0
    parent_sample: Whole | Text | None = None
    split: Text | None = None
    question: Text = ""
    question_sha256: Text | None = None
    gold: Plain | None = None
    teachers: Sequence[Text] | None = None
    text: Text | None = None
    a1: Text | None = None
    a2: Text | None = None
    v: Text | Annotated[int, Field(ge=0, lt=10**6)] | None = None
    planted: _Planted | None = None
    intervention: _Intervention | None = None
    scores: _Scores | None = None


@dataclass(frozen=True)
class Run:
    """One run's folder; `name` is the folder's name."""

    folder: Path

    @property
    def name(self) -> str:
        """The run's name, e.g. "nano-reference"."""
        return self.folder.name

    @property
    def figures(self) -> Path:
        """Folder of the run's figures, made if absent: figures/<run> for a committed run."""
        committed = self.folder.parent == paths.RESULTS
        return _made(paths.FIGURES / self.name if committed else self.folder / "figures")

    @property
    def tables(self) -> Path:
        """Folder of the run's tables, made if absent."""
        return _made(self.folder / "tables")

    def path(self, name: str) -> Path:
        """Path of a file or folder of the run, there or not."""
        return self.folder / name

    def has(self, name: str) -> bool:
        """Whether the run holds this file, plain or gzipped."""
        return stored(self.path(name)).is_file()

    # -- writing

    def write_params(self, params: Any) -> None:
        """Write the resolved parameters (a parameter set or a mapping) to params.yaml."""
        values = params.as_dict() if hasattr(params, "as_dict") else dict(params)
        write_text(self.path("params.yaml"), yaml.safe_dump(values, sort_keys=False))

    def write_environment(self, values: Mapping[str, Any], part: str | None = None) -> None:
        """Write `environment.describe(...)` to environment.json.

        part: None for the run itself (its training); else values go below this key, e.g.
        "evaluate", and the rest of the file stays.
        """
        before = self.read_environment() if self.has("environment.json") else {}
        new = values if part is None else {part: dict(values)}
        write_json(self.path("environment.json"), before | dict(new))

    def write_metrics(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write all rows of metrics.csv, all or nothing; None is an empty field.

        Raises RunError if a row has other columns than the first.
        """
        rows, text = list(rows), io.StringIO()
        columns = list(rows[0]) if rows else []
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            if set(row) != set(columns):
                odd = ", ".join(sorted(set(row) ^ set(columns)))
                raise RunError(f"{paths.relative(self.path('metrics.csv'))}: a row with other "
                               f"columns than its first: {odd}")
            writer.writerow(row)
        write_text(self.path("metrics.csv"), text.getvalue())

    def append_generations(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Add rows to generations.jsonl, each checked first; the number of rows added.

        A last line without its end (a session that was cut off) is dropped with a warning.
        Raises RunError for a row that lacks a field, and where the rows are gzipped: a run of
        reference is whole.
        """
        path = self.path("generations.jsonl")
        if stored(path) != path:
            raise RunError(f"{paths.relative(stored(path))} is the rows of a run of reference, "
                           "and nothing is added to it: choose another name for the run")
        lines = []
        for number, row in enumerate(rows, 1):
            fault = row_fault(row)
            if fault:
                raise RunError(f"row {number} for {paths.relative(path)}: {fault}")
            lines.append(to_json(row) + "\n")
        drop_half_line(path)
        with path.open("a", encoding="utf-8") as file:
            file.write("".join(lines))
        return len(lines)

    def pack(self) -> None:
        """Gzip the files that grow large, as a run of reference keeps them."""
        for name in PACKED:
            if self.path(name).is_file():
                write_text(self.path(f"{name}.gz"), read_text(self.path(name)))
                self.path(name).unlink()

    def write_summary(self, values: Mapping[str, Any]) -> None:
        """Write the scores, with counts and intervals, to summary.json."""
        write_json(self.path("summary.json"), values)

    # -- reading

    def read_params(self) -> dict[str, Any]:
        """What params.yaml holds: name to value."""
        return self._mapping("params.yaml", yaml.safe_load)

    def read_environment(self) -> dict[str, Any]:
        """What environment.json holds."""
        return self._mapping("environment.json")

    def read_summary(self) -> dict[str, Any]:
        """What summary.json holds."""
        return self._mapping("summary.json")

    def read_metrics(self):
        """metrics.csv as a pandas DataFrame, a row per logged step; empty fields are NaN."""
        import pandas

        text = io.StringIO(self._text("metrics.csv"))
        try:
            return pandas.read_csv(text)
        except (pandas.errors.ParserError, pandas.errors.EmptyDataError) as error:
            where = paths.relative(self.path("metrics.csv"))
            raise RunError(f"{where} is no table: {error}") from None

    def read_generations(self) -> list[dict[str, Any]]:
        """The rows of generations.jsonl. Raises RunError, with count and lines, if any is bad."""
        rows, faults = self.scan_generations()
        if faults:
            raise RunError(
                f"{len(faults)} bad of {len(faults) + len(rows)} rows in "
                f"{paths.relative(self.path('generations.jsonl'))}: {'; '.join(faults[:5])}"
                + ("; ..." if len(faults) > 5 else ""))
        return rows

    def scan_generations(self) -> tuple[list[dict[str, Any]], list[str]]:
        """The good rows of generations.jsonl, and one "line k: why" for each bad one."""
        rows, faults = [], []
        for number, line in enumerate(self._text("generations.jsonl").split("\n"), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
                fault = row_fault(row)
            except json.JSONDecodeError as error:
                fault = f"no JSON ({error.msg})"
            if fault:
                faults.append(f"line {number}: {fault}")
            else:
                rows.append(row)
        return rows, faults

    def _text(self, name: str) -> str:
        if not self.has(name):
            there = ", ".join(sorted(p.name for p in self.folder.glob("*"))) or "nothing"
            raise RunError(f"run {self.name} has no {name}: {paths.relative(self.folder)} "
                           f"holds {there}")
        return read_text(self.path(name))

    def _mapping(self, name: str, load: Callable[[str], Any] = json.loads) -> dict[str, Any]:
        try:
            values = load(self._text(name))
        except json.JSONDecodeError as error:
            raise RunError(f"{paths.relative(self.path(name))} is no JSON: {error}") from None
        if not isinstance(values, dict):
            raise RunError(f"{paths.relative(self.path(name))} holds a "
                           f"{type(values).__name__}, not names and values")
        return values


def row_fault(row: Any, whole: bool = True) -> str | None:
    """Why `row` is no row of generations.jsonl, or None if it is one.

    A row has the fields of ALWAYS and either those of FULL or, where the texts may not be
    passed on, those of SCORED. whole: False asks only for what a score cannot do without.
    """
    if not isinstance(row, Mapping):
        return f"a {type(row).__name__}, not an object"
    try:
        _Row.model_validate(dict(row))
    except ValidationError as error:
        first = min(error.errors(include_url=False, include_input=False), key=lambda e: e["loc"][:1])
        return f"{first['loc'][0]} of the wrong type ({first['msg']})"
    wanted = (*ALWAYS, *(SCORED if "question_sha256" in row else FULL))
    if not whole:
        if row.get("gold") is None or not str(row["gold"]).strip():
            return "no gold answer"
        own = ("text", "question") if row.get("text") is not None else SCORED[1:]
        wanted = ("id" if "id" in row else "problem_id", "setting", *own)
    missing = [name for name in wanted if name not in row]
    if missing:
        return f"no field {', '.join(missing)}"
    if row["setting"] not in SETTINGS:
        return f"setting {shown(row['setting'])} is none of {', '.join(SETTINGS)}"
    return None


def create_run(name: str, *, scratch: bool = True, resume: bool = False,
               replace: bool = False) -> Run:
    """The folder of a run that is about to be made.

    scratch: below build/runs, and the five files of an earlier run of this name are removed,
    so that two runs never mix; else below results, where an earlier run stays unless
    `replace`. resume: keep what is there and go on.
    Raises RunError for a name that is no plain folder name, or a run that would be lost.
    """
    if not _NAME.fullmatch(name):
        raise RunError(f"run name {name!r}: use letters, digits, dots, _ and - only")
    run = Run((paths.RUNS if scratch else paths.RESULTS) / name)
    there = [run.path(file) for file in (*FILES, *(f"{name}.gz" for name in PACKED))
             if run.path(file).exists()]
    if there and not resume:
        if not scratch and not replace:
            raise RunError(f"{paths.relative(run.folder)} holds a run already: choose another "
                           "name, or pass replace=True")
        for path in there:
            path.unlink()
    run.folder.mkdir(parents=True, exist_ok=True)
    return run


def find_run(name: str) -> Run:
    """The run of this name: a scratch run if there is one, else a run of reference.

    Raises RunError, with the names that there are, if there is none.
    """
    for parent in (paths.RUNS, paths.RESULTS):
        if _NAME.fullmatch(name) and (parent / name).is_dir():
            return Run(parent / name)
    there = ", ".join(list_runs()) or "none yet"
    raise RunError(f"no run {name!r} in {paths.relative(paths.RUNS)} or "
                   f"{paths.relative(paths.RESULTS)}: there are {there}")


def list_runs() -> list[str]:
    """The names of all runs, scratch and reference, in alphabetical order."""
    folders = [folder for parent in (paths.RUNS, paths.RESULTS) for folder in parent.glob("*")]
    return sorted({folder.name for folder in folders
                   if any(map(Run(folder).has, FILES))})


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
