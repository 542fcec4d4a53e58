"""Writing files whole or not at all, and JSON that other programs can read.

A notebook session may end at any moment (Kaggle's do, without warning). What is written at
once goes to a neighbour first and is then renamed, so a reader sees the old file or the
new one; what grows by lines can at worst lose its last line, which is cut off before the
next one is added. What is committed and large is kept gzipped, as `<name>.gz`, and read
under its plain name.
"""
from __future__ import annotations

import dataclasses
import hashlib
import gzip
import json
import os
import shutil
import warnings
from enum import Enum
from fractions import Fraction
from pathlib import Path
from typing import Any

SHOWN = 120  # characters of a value in a message


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` in UTF-8, all or nothing; folders are made.

    A path that ends in `.gz` is gzipped, without name and time: the same text gives the
    same bytes.
    """
    content = text.encode("utf-8")
    if path.suffix == ".gz":
        content = gzip.compress(content, mtime=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    neighbour = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with neighbour.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, neighbour)
        os.replace(neighbour, path)
    finally:
        neighbour.unlink(missing_ok=True)


def stored(path: Path) -> Path:
    """The file that holds what `path` names: itself, or `<path>.gz` if only that is there."""
    packed = path.with_name(f"{path.name}.gz")
    return packed if packed.is_file() and not path.is_file() else path


def read_text(path: Path) -> str:
    """The UTF-8 text of a file that is stored plain or gzipped, line breaks as they are."""
    path = stored(path)
    content = path.read_bytes()
    return (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8")


def to_json(value: Any, indent: int | None = None) -> str:
    """`value` as JSON: dataclasses as objects, fractions as text, numpy scalars as numbers.

    Raises ValueError for nan and infinity, which JSON does not have: a rate over zero cases
    is None.
    """
    try:
        return json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False,
                          default=_plain)
    except ValueError as error:
        raise ValueError(f"{error}: write None where a value was not measured") from None


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, Fraction):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if hasattr(value, "as_dict"):
        return value.as_dict()
    if hasattr(value, "tolist"):  # numpy scalars and arrays, torch tensors
        return value.tolist()
    raise TypeError(f"{type(value).__name__} {value!r} has no JSON form")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with a last newline, all or nothing."""
    write_text(path, to_json(value, indent=2) + "\n")


def shown(value: Any) -> str:
    """A value as a message quotes it: its `repr`, cut where that is long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError) as error:  # thousands of digits; lists in lists in lists
        return f"<{type(value).__name__}: {error}>"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text)} characters)"


def file_sha256(path: Path) -> str:
    """Hexadecimal sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def drop_half_line(path: Path) -> None:
    """Cut off a last line without its end, and warn; nothing happens to a whole file."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        content = file.read()
        if not content or content.endswith(b"\n"):
            return
        whole = content.rfind(b"\n") + 1
        file.truncate(whole)
    warnings.warn(f"{path.name}: dropped an unfinished last line of "
                  f"{len(content) - whole} bytes", stacklevel=3)
