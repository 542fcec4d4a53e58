"""The outputs of executed notebooks become those that are committed.

    python scripts/study.py --run study --only 00 02 03
    python scripts/study.py --run data --only 01
    python scripts/study.py --run nano-reference --only 04 05 07
    python scripts/study.py --run ablations --only 06
    python scripts/study.py --run study --only nanoreason
    python scripts/keep_outputs.py build/study/*/*.ipynb

Each code cell keeps, as `executed_sha256` in its metadata, the hash of the source that gave
its outputs. A test compares it with the source that stands there, so a cell that is edited
and not executed again fails. Pictures are kept with 256 colours, lines of progress are not
kept. Execute on a clean commit with PYTHONWARNINGS=ignore: progress and warnings belong to the
machine, not to the result.
"""
from __future__ import annotations

import hashlib
import re
import sys
from base64 import b64decode, b64encode
from pathlib import Path

import nbformat

from release import INSTALLED

from nanoreason import paths
from nanoreason.figures.plots import few_colours

MARK = "executed_sha256"
PROGRESS = re.compile(r"^.+: \d+/\d+ \w+s, [\d:]+ gone, [\d:?]+ left.*\n?", re.MULTILINE)
PLACE = re.compile(r"(?<![\w./:])/(?:home|root|tmp|usr|opt|work|mnt|var)/\w+")


class KeepError(Exception):
    """Outputs that must not be committed; the message says why."""


def source_sha256(cell) -> str:
    """Hexadecimal sha256 of a cell's source, whatever version it installs from where."""
    return hashlib.sha256(INSTALLED.sub("git+", cell.source).encode("utf-8")).hexdigest()


def not_executed(book) -> list[str]:
    """The ids of the code cells whose source is not the one that was executed."""
    return [cell.id for cell in book.cells if cell.cell_type == "code"
            and cell.metadata.get(MARK) != source_sha256(cell)]


def keep_outputs(executed: Path) -> Path:
    """Take the outputs of an executed notebook into the one of its name; returns its path.

    The cell of parameters that papermill puts in is left out. Raises KeepError, before
    anything is written, where the sources differ, a cell was not executed, failed, or names
    a place of this machine.
    """
    target = paths.NOTEBOOKS / executed.name
    book, done = (nbformat.read(path, as_version=4) for path in (target, executed))
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    ran = [cell for cell in done.cells if cell.cell_type == "code"
           and "injected-parameters" not in cell.metadata.get("tags", [])]
    if [*map(source_sha256, cells)] != [*map(source_sha256, ran)]:
        raise KeepError(f"{executed.name} was executed with other cells than those in "
                        f"{paths.relative(target)}; execute it again")
    for number, (cell, other) in enumerate(zip(cells, ran), 1):
        outputs = _joined(other.outputs)
        place = PLACE.search(str(outputs))
        if other.execution_count is None or any(o.output_type == "error" for o in outputs):
            raise KeepError(f"{executed.name}: cell {cell.id} failed or was not executed")
        if place:
            raise KeepError(f"{executed.name}: cell {cell.id} names {place[0]} of this machine")
        cell.outputs, cell.execution_count = outputs, number
        for output in outputs:
            if output.output_type == "execute_result":
                output.execution_count = number
            image = output.get("data", {}).get("image/png")
            if image:
                few = few_colours(b64decode(image))
                output.data["image/png"] = b64encode(few).decode("ascii")
        cell.metadata[MARK] = source_sha256(cell)
    nbformat.write(book, target)
    return target


def _joined(outputs: list) -> list:
    """The outputs with pieces of one stream that follow each other put together, without lines
    of progress."""
    joined: list = []
    for output in outputs:
        last = joined[-1] if joined else None
        if last and output.output_type == "stream" == last.output_type \
                and output.name == last.name:
            last.text += output.text
        else:
            joined.append(output)
    for output in joined:
        if output.output_type == "stream":
            output.text = PROGRESS.sub("", output.text)
    return [output for output in joined if output.get("text") != ""]


def main(arguments: list[str]) -> int:
    """`python scripts/keep_outputs.py EXECUTED …`"""
    if not arguments:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        for argument in arguments:
            print(paths.relative(keep_outputs(Path(argument))))
    except KeepError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
