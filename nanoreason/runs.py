"""The files of one run: written whole or not at all, read with the bad lines named.

A run is a folder: `params.yaml`, `environment.json`, `metrics.csv`, `generations.jsonl`,
`summary.json`. Scratch runs lie in build/runs/ (ignored by git), runs of reference in
results/ (committed), where the metrics and the rows are gzipped (`<name>.gz`). Figures,
tables and scores read these files and nothing else.

Nothing that was computed is lost: what is in the way of a new run is set aside under a
number (`<run>.1`, itself a run), and whatever writes into a run of reference writes into a
copy of it below build/runs/, which is then found under its name. Only scripts/publish.py
writes below results/.
"""
from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nanoreason import files, host, paths
from nanoreason.files import (PATIENCE, RunError, drop_half_line, free_name, parse, read_bytes,
                              read_csv, read_text, set_aside, stored, to_json, write_json,
                              write_text)
from nanoreason.host import shown
from nanoreason.stages import SETTINGS

FILES = ("params.yaml", "environment.json", "metrics.csv", "generations.jsonl", "summary.json")
PACKED = ("metrics.csv", "generations.jsonl")  # gzipped in a run of reference
# What a row says of its text, beside the fields that every row has.
SAID = {"cut": "cut at max_new_tokens", "sure": "without VERIFY, since EXECUTE was sure"}
ALWAYS = ("problem_id", "sample", "setting", "gold")
FULL = ("question", "teachers", "text", "planted", "intervention")
EVALUATED = "evaluate.yaml"  # what the rows were made of
FINISHED = "finished.json"  # the seal of a training: the hashes of its files
# What an evaluation leaves, and what is made of its rows.
OF_ROWS = ("summary.json", "tables", "figures", "examples.html", "generations.jsonl", EVALUATED)
BESIDE = ("-base", "-gate", "-prompted")  # how the names of rows that stand beside a run's end
SCORED = ("question_sha256", "a1", "v", "a2")  # rows without the texts of others
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")  # what a folder's name may be


Text = Annotated[str, Field(max_length=10**8)]  # with a limit, halves of surrogate pairs are found
Whole = Annotated[int, Field(ge=0, lt=2**63)]
Plain = (Text | Annotated[int, Field(gt=-10**99, lt=10**99)]
         | Annotated[float, Field(allow_inf_nan=False)])


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
    edge_f1_unflattened: Annotated[float, Field(ge=0, le=1)] | None = None
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
    language: Text | None = None
    gold: Plain | None = None
    teachers: Sequence[Text] | None = None
    text: Text | None = None
    cut: bool | None = None
    sure: bool | None = None
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
        """Folder of the run's figures, made if absent."""
        return _made(self.folder / "figures")

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

    def held(self, what: str, patience: float = PATIENCE) -> AbstractContextManager[None]:
        """Within, no other process writes into the run; see `files.locked`.

        what: training, evaluation, metrics or figures.
        """
        return files.locked(self.folder, what, patience)

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
        before = {}
        try:
            before = self.read_environment() if self.has("environment.json") else {}
        except RunError as error:
            print(f"{error}; it is kept as {set_aside(self.path('environment.json')).name}")
        new = values if part is None else {part: dict(values)}
        write_json(self.path("environment.json"), before | dict(new))

    def write_metrics(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write all rows of metrics.csv, all or nothing; None, and what a row lacks, is an
        empty field."""
        import pandas

        table = pandas.DataFrame(list(rows))
        write_text(self.path("metrics.csv"), table.to_csv(index=False, lineterminator="\n"))

    def append_generations(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows to generations.jsonl, each checked first.

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

    def pack(self) -> None:
        """Gzip the files that grow large, as a run of reference keeps them."""
        for name in PACKED:
            if self.path(name).is_file():
                write_text(self.path(f"{name}.gz"), read_text(self.path(name)))
                self.path(name).unlink()

    def unpack(self) -> None:
        """Undo `pack`: what is written into lies plain."""
        for name in PACKED:
            if stored(self.path(name)) != self.path(name):
                write_text(self.path(name), read_text(self.path(name)))
                self.path(f"{name}.gz").unlink()

    def write_summary(self, values: Mapping[str, Any]) -> None:
        """Write the scores, with counts and intervals, to summary.json."""
        with self.held("metrics"):
            write_json(self.path("summary.json"), values)

    # -- reading

    def read_params(self, *needed: str) -> dict[str, Any]:
        """What params.yaml holds: name to value. Raises RunError where it lacks a needed one."""
        found = self.read_mapping("params.yaml")
        if lacking := [name for name in needed if name not in found]:
            raise RunError(f"{paths.relative(self.path('params.yaml'))} is not whole, it lacks "
                           f"{', '.join(lacking)}: bring it back, or train again (-p fresh True)")
        return found

    def read_environment(self) -> dict[str, Any]:
        """What environment.json holds."""
        return self.read_mapping("environment.json")

    def read_summary(self) -> dict[str, Any]:
        """What summary.json holds."""
        return self.read_mapping("summary.json")

    def read_mapping(self, name: str) -> dict[str, Any]:
        """What a .json or .yaml file of the run holds: name to value.

        Raises RunError, in one line that names the file, where it is absent or damaged.
        """
        return files.read_mapping(self._there(name))

    def recorded(self, key: str, *files: str) -> str | None:
        """A hash of what made the run's files, `adapters_sha256`, `base_version` or `commit`, as
        the first of these files that names it has it; None where none does.

        files: "training" (of environment.json) or files of the run; without any, "training",
        EVALUATED and params.yaml.
        """
        for file in files or ("training", EVALUATED, "params.yaml"):
            source = "environment.json" if file == "training" else file
            found = self.read_mapping(source) if self.has(source) else {}
            found = found.get("training") if file == "training" else found
            if isinstance(found, Mapping) and found.get(key):
                return str(found[key])
        return None

    def read_metrics(self):
        """metrics.csv as a pandas DataFrame, a row per logged step; empty fields are NaN."""
        return read_csv(self._there("metrics.csv"))

    def read_generations(self) -> list[dict[str, Any]]:
        """The good rows of generations.jsonl; how many are left out is printed, with lines."""
        rows, faults = self.scan_generations()
        if faults:
            print(f"{len(faults)} bad of {len(faults) + len(rows)} rows in "
                  f"{paths.relative(self.path('generations.jsonl'))} are left out: "
                  f"{'; '.join(faults[:5])}" + ("; ..." if len(faults) > 5 else ""))
        return rows

    def scan_generations(self) -> tuple[list[dict[str, Any]], list[str]]:
        """The good rows of generations.jsonl, and one "line k: why" for each bad one.

        A row that stands twice is one. Raises RunError where the two differ.
        """
        path, rows, faults = self._there("generations.jsonl"), {}, []
        for number, line in enumerate(read_bytes(path).split(b"\n"), 1):
            found, fault = rows_of(line) if line.strip() else ((), None)
            for row in found:
                first = rows.setdefault(row_key(row), row)
                if first != row:
                    raise RunError(f"line {number} of {paths.relative(path)} is another row for "
                                   f"{' '.join(f'{part!s:.40}' for part in row_key(row))}, which "
                                   "stands above already: remove the one that is wrong")
            if fault:
                faults.append(f"line {number}: {fault}")
        return list(rows.values()), faults

    def mend_generations(self) -> None:
        """Leave nothing but good rows in generations.jsonl.

        A last line without its end (a session that was cut off) is dropped with a warning;
        where other lines are bad, the file as it was is kept under a number, and it is said.
        """
        path = self.path("generations.jsonl")
        drop_half_line(path)
        rows, faults = self.scan_generations()
        if faults:
            print(f"{len(faults)} bad of {len(faults) + len(rows)} rows in "
                  f"{paths.relative(path)} are written again ({'; '.join(faults[:5])}); the file "
                  f"as it was is {shutil.copyfile(path, free_name(path)).name}")
            write_text(path, "".join(to_json(row) + "\n" for row in rows))

    def _there(self, name: str) -> Path:
        """Path of a file, plain or gzipped. Raises RunError where there is none."""
        if not self.has(name):
            there = ", ".join(sorted(p.name for p in self.folder.glob("*"))) or "nothing"
            raise RunError(f"run {self.name} has no {name}: {paths.relative(self.folder)} "
                           f"holds {there}")
        return self.path(name)


def row_key(row: Mapping) -> tuple:
    """What names a row within its run."""
    return row["setting"], row.get("split"), row["problem_id"], row["sample"]


def rows_of(line: bytes) -> tuple[list[dict], str | None]:
    """The rows of one line, and what is wrong with it; (…, None) if nothing is.

    Two rows whose line break is damaged are two rows.
    """
    try:
        found = [parse(line)]
    except RunError as error:
        try:
            row, end = json.JSONDecoder().raw_decode(line.decode("utf-8", "replace"))
            found = [row, parse(line.decode("utf-8", "replace")[end + 1:])]
        except (ValueError, RecursionError, RunError):
            return [], str(error)
    fault = next(filter(None, map(row_fault, found)), None)
    return ([], fault) if fault else (found, None)


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
        first = min(error.errors(include_url=False, include_input=False),
                    key=lambda e: e["loc"][:1])
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


def set_rows_aside(run: Run) -> Run:
    """Keep the rows of a scratch run, and all that was made of them, as a run of their own.

    It has all files of the run, so it can be scored, and gone on with; the run itself is
    left with its training. Returns it.
    """
    kept = Run(free_name(run.folder))
    _copied(run.folder, kept.folder)
    # The record last: until then a session that is cut off does it again.
    for name in ("generations.jsonl.gz", *OF_ROWS):
        path = run.path(name)
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return kept


def writable(run: Run) -> Run:
    """The run itself; of one of reference or attached, its copy below build/runs, made if absent.

    The copy holds all its files, unpacked. Which of the two is used is printed where both
    are there.
    """
    kept = [*host.attached(), paths.RESULTS]
    copy, committed = Run(paths.RUNS / run.name), next(
        (Run(parent / run.name) for parent in kept if (parent / run.name).is_dir()), None)
    if committed is None or run.folder.parent not in (paths.RUNS, *kept):
        return run
    if not copy.folder.exists():
        with copy.held("copy"):
            if not copy.folder.exists():
                _copied(committed.folder, copy.folder)
    print(f"run {run.name}: {paths.relative(copy.folder)} is read and written, "
          f"{paths.relative(committed.folder)} stays as it is")
    return copy


def bring(name: str) -> None:
    """Copy an attached run that is not here yet, so that its training goes on where it stopped."""
    for folder in host.attached():
        if (folder / name).is_dir() and not (paths.RUNS / name).exists():
            writable(Run(folder / name))


def _copied(source: Path, target: Path) -> None:
    """Copy a run's folder, whole or not at all, its packed files unpacked."""
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(source, part)
    Run(part).unpack()
    part.rename(target)


def find_run(name: str) -> Run:
    """The run of this name: a scratch run if there is one, else attached, else of reference.

    One that hides a run of reference with other adapters, such as a copy of the one before, is
    told of. Raises RunError, with the names that there are, if there is none.
    """
    name = str(name)
    for parent in (paths.RUNS, *host.attached(), paths.RESULTS):
        if _NAME.fullmatch(name) and (parent / name).is_dir():
            _tell_apart(parent / name, paths.RESULTS / name)
            return Run(parent / name)
    there = ", ".join(list_runs()) or "none yet"
    raise RunError(f"no run {name!r:.80} in {paths.relative(paths.RUNS)} or "
                   f"{paths.relative(paths.RESULTS)}: there are {there}")


@lru_cache
def _tell_apart(found: Path, committed: Path) -> None:
    """Say once that a run hides one of reference that was trained to other adapters."""
    if found == committed:
        return
    with suppress(RunError):
        here, there = (Run(of).recorded("adapters_sha256", "training") for of in (found, committed))
        if here and there and here != there:
            print(f"run {found.name}: {paths.relative(found)} is read ({here[:12]}), and "
                  f"{paths.relative(committed)} is another ({there[:12]}): rename the first to "
                  "read that")


def check_manifest(folder: Path, name: str = files.MANIFEST) -> None:
    """Raise RunError where files are not as the manifest of a folder says; nothing without one."""
    try:
        if (folder / name).exists():
            files.read_manifest(folder, name)
    except files.DamagedError as error:
        raise RunError(f"{paths.relative(folder)}: {error}; bring it back, or train again "
                       "(-p fresh True)") from None


def list_runs(beside: bool = False) -> list[str]:
    """The names of all runs, scratch, attached and reference, in alphabetical order.

    beside: also the rows of an untrained base, of a gate and of a prompt, which stand beside a
    run's own (see BESIDE) and are none to choose.
    """
    runs = [Run(folder) for parent in (paths.RUNS, *host.attached(), paths.RESULTS)
            for folder in parent.glob("*") if _NAME.fullmatch(folder.name)]
    return sorted({run.name for run in runs if any(map(run.has, FILES)) and (
        beside or run.has("metrics.csv") or not run.name.endswith(BESIDE))})


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
