"""Where problems come from: the generator, GSM8K, any JSON Lines file of questions.

A source yields `Problem`s in order; a record that is none comes as a `Rejection` in its
place. GSM8K is read from local files in the hub's layout or, through `datasets`, from the
hub itself.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from nanoreason import procedural
from nanoreason.gsm8k import read_problem
from nanoreason.problem import Problem, question_sha256
from nanoreason.records import Rejection, read_json_lines

HUB_NAMES = {"gsm8k": "openai/gsm8k"}
FILE_SPLITS = ("train", "dev", "train+dev", "test")
DEV_PARTS = 20  # one part in twenty of train is dev


def in_dev(question: str) -> bool:
    """Whether a train question is in dev: 5 % by sha256 of the normalised question."""
    return int(question_sha256(question)[:8], 16) % DEV_PARTS == 0


def load_problems(source: str, path: str | Path | None = None, split: str = "train", *,
                  count: int = 1000, seed: int = 0, steps: tuple[int, ...] | None = None,
                  revision: str | None = None, configuration: str = "socratic"
                  ) -> Iterator[Problem | Rejection]:
    """The problems of a source, in order; a record that is none comes as a `Rejection`.

    source: "procedural" (count, seed, steps apply), "gsm8k", or the path of any JSON Lines
        file with `question` and `answer` (its problems carry the file's name as source).
    path: for "gsm8k", a local file (gzipped or not) or a folder of such files; None reads
        the hub at `revision` in `configuration` ("socratic" or "main").
    split: of "procedural", see `procedural.SPLITS`. Else "train" (without dev), "dev" (5 %
        of train), "train+dev", or "test". A file is taken to hold the split's records, so
        give the official test file with "test". Rejections come whichever split is asked
        for: a broken line belongs to none.

    Raises, before the first problem: `ValueError` for an unknown source or split,
    `FileNotFoundError` for a missing file, `ConnectionError` where the hub cannot be
    reached.
    """
    if source == "procedural":
        if path is not None:
            raise ValueError("source 'procedural' makes its problems and reads no path; "
                             f"leave path={str(path)!r} out")
        if split not in procedural.SPLITS:
            raise ValueError(f"split {split!r} is unknown; choose one of "
                             f"{', '.join(procedural.SPLITS)}")
        return procedural.problems(split, count, seed, steps)
    if split not in FILE_SPLITS:
        raise ValueError(f"split {split!r} is unknown; choose one of {', '.join(FILE_SPLITS)}")
    if source != "gsm8k":
        path = path or source
        if not Path(path).is_file():
            raise ValueError(
                f"source {source!r} is unknown and no file; choose 'procedural', 'gsm8k', or "
                "the path of a JSON Lines file with question and answer")
        # `source` names the problems: a path is shortened to the file's name.
        source = Path(source).name.removesuffix(".gz").removesuffix(".jsonl")
        return _in_split(_from_file(Path(path), source, split), split)
    if path is None:
        return _in_split(_from_hub(source, split, revision, configuration), split)
    path = Path(path)
    if path.is_dir():
        path = _file_in(path, split, configuration)
    return _in_split(_from_file(path, source, split), split)


def _file_in(folder: Path, split: str, configuration: str) -> Path:
    part = "test" if split == "test" else "train"
    names = [f"{part}_socratic.jsonl"] if configuration == "socratic" else []
    names = [name + end for name in [*names, f"{part}.jsonl"] for end in ("", ".gz")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"{folder} has none of the files {', '.join(names)}")


def _from_file(path: Path, source: str, split: str) -> Iterator[Problem | Rejection]:
    lines, part = read_json_lines(path), "test" if split == "test" else "train"

    def problems():
        for number, record in lines:
            if isinstance(record, Rejection):
                yield record
                continue
            problem_id = record.get("id")
            if not isinstance(problem_id, str) or not problem_id:
                problem_id = f"{source}-{part}-{number}"
            yield read_problem(record, problem_id, source, split, f"{path.name} line {number}")
    return problems()


def _from_hub(source: str, split: str, revision: str | None, configuration: str
              ) -> Iterator[Problem | Rejection]:
    from huggingface_hub import HfApi

    name, part = HUB_NAMES[source], "test" if split == "test" else "train"
    try:
        resolved = HfApi().dataset_info(name, revision=revision, timeout=20).sha
        from datasets import load_dataset  # seconds to import, and only now is it needed
        rows = load_dataset(name, configuration, split=part, revision=resolved)
    except Exception as error:  # datasets and the hub client share no base class
        raise ConnectionError(
            f"{name} ({configuration}, revision {revision or 'main'}) cannot be read from the "
            f"hub: {type(error).__name__}: {error}. Without a network give path= a local "
            "file in the same layout") from error

    def problems():
        for number, row in enumerate(rows, 1):
            problem = read_problem(row, f"{source}-{part}-{number}", source, split,
                                   f"{name} {part} row {number}")
            if isinstance(problem, Problem):
                problem.details["revision"] = resolved
            yield problem
    return problems()


def _in_split(problems: Iterable[Problem | Rejection], split: str
              ) -> Iterator[Problem | Rejection]:
    """Only what belongs to the split; the problems of "train+dev" learn which they are."""
    for problem in problems:
        if isinstance(problem, Rejection) or split == "test":
            yield problem
            continue
        part = "dev" if in_dev(problem.question) else "train"
        if split in (part, "train+dev"):
            yield replace(problem, split=part)
