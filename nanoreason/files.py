"""Writing files whole or not at all, and JSON that other programs can read.

A notebook session may end at any moment (Kaggle's do, without warning). What is written at
once goes to a neighbour first and is then renamed, so a reader sees the old file or the
new one; what grows by lines can at worst lose its last line, which is cut off before the
next one is added. What is committed and large is kept gzipped, as `<name>.gz`, and read
under its plain name.
"""
from __future__ import annotations

import hashlib
import gzip
import io
import json
import os
import shutil
import socket
import time
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from errno import EACCES, EDQUOT, EEXIST, EFBIG, EISDIR, ENOSPC, ENOTDIR, EROFS
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from nanoreason import paths
from nanoreason.host import GivenError, Told

MANIFEST = "manifest.json"
PATIENCE = 3.0  # seconds that a process waits for one that is about to end
FULL = {ENOSPC: "the disk is full", EDQUOT: "the quota of the disk is used up",
        EFBIG: "a file may not grow any more", EROFS: "the disk is read-only",
        EACCES: "the folder may not be written", EISDIR: "a folder stands in a file's place",
        **dict.fromkeys((EEXIST, ENOTDIR), "a file stands in a folder's place")}


class RunError(Told):
    """A run that is not there or held, or a file that cannot be read as what it should be."""


class DamagedError(RunError):
    """Files that are not what their manifest says; the message names the first of them."""


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
    """The UTF-8 text of a file that is stored plain or gzipped, line breaks as they are.

    Raises RunError, naming the file, for what is no UTF-8 or no whole gzip file.
    """
    try:
        return read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise _damaged(path, f"not UTF-8 (byte {error.start})") from None


def read_bytes(path: Path) -> bytes:
    """The bytes of a file that is stored plain or gzipped. Raises RunError, naming the file, for
    a cut gzip."""
    path = stored(path)
    content = path.read_bytes()
    try:
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, f"no whole gzip file ({error})") from None


def read_csv(path: Path, **options):
    """A CSV file, plain or gzipped, as a pandas DataFrame; options: those of pandas.

    Raises RunError, naming it, for what is no table.
    """
    import pandas

    text = read_text(path)
    try:
        return pandas.read_csv(io.StringIO(text), **options)
    except ValueError as error:  # pandas' own are ValueErrors
        why = " ".join(str(error).split())[:150]
        raise RunError(f"{paths.relative(path)} is no table: {why}") from None


def _damaged(path: Path, why: Any) -> RunError:
    return RunError(f"{paths.relative(path)} is damaged: {why}; bring it back, or make it again")


class _PlainLoader(yaml.SafeLoader):
    """Without aliases, since a few lines of them stand for gigabytes, and without names that stand
    twice, of which YAML would take the last."""

    def compose_node(self, parent, index):
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("anchors and aliases are not read")
        return super().compose_node(parent, index)

    def construct_mapping(self, node, deep=False):
        names = set()
        for name, _ in node.value:
            if (name.tag, str(name.value)) in names:
                raise yaml.YAMLError(f"{name.value!r:.60} stands a second time in line "
                                     f"{name.start_mark.line + 1}: leave one out")
            names.add((name.tag, str(name.value)))
        return super().construct_mapping(node, deep)


def parse(text: str | bytes, load: Callable[[str], Any] = json.loads) -> Any:
    """What a text in UTF-8 holds, by `json.loads` or `load_yaml`.

    Raises RunError, with the reason in one line, whatever the text is.
    """
    try:
        return load(text if isinstance(text, str) else text.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise RunError(f"not UTF-8 (byte {error.start})") from None
    except RecursionError:
        raise RunError("nested too deeply") from None
    except (ValueError, TypeError, AttributeError, OverflowError, yaml.YAMLError) as error:
        kind = "YAML" if load is load_yaml else "JSON"
        raise RunError(f"no {kind} ({' '.join(str(error).split())[:100]})") from None


def load_yaml(text: str) -> Any:
    """A YAML text as plain values; anchors, and names that stand twice, are refused."""
    return yaml.load(text, _PlainLoader)


def read_mapping(path: Path) -> dict[str, Any]:
    """The names and values of a .json or .yaml file. Raises RunError, naming the file."""
    text = read_text(path)
    try:
        values = parse(text, load_yaml if path.suffix == ".yaml" else json.loads)
    except RunError as error:
        raise _damaged(path, error) from None
    if isinstance(values, dict) and all(isinstance(name, str) for name in values):
        return values
    raise _damaged(path, f"a {type(values).__name__}, not names and values")


def free_name(path: Path) -> Path:
    """The first of `<path>.1`, `<path>.2`, … that is not there yet."""
    return next(place for k in count(1)
                if not (place := path.with_name(f"{path.name}.{k}")).exists())


def set_aside(path: Path) -> Path:
    """Rename a file or folder to its first free number; where it lies now."""
    return path.rename(free_name(path))


def sync(folder: Path) -> None:
    """Wait until a folder and all in it are on the disk, whatever the power does."""
    for path in (*folder.rglob("*"), folder, folder.parent):
        if os.name == "posix" or path.is_file():  # Windows opens no folder
            file = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
            try:
                os.fsync(file)
            finally:
                os.close(file)


def full_disk(error: BaseException) -> str | None:
    """Why nothing can be written, where that is what `error` means; else None.

    torch and safetensors raise errors of their own, with the system's in the text.
    """
    if isinstance(error, OSError):
        return FULL.get(error.errno)
    said = (os.strerror(ENOSPC), "PytorchStreamWriter", "inline_container")
    return FULL[ENOSPC] if any(words in str(error) for words in said) else None


@contextmanager
def locked(folder: Path, what: str, patience: float = PATIENCE) -> Iterator[None]:
    """Hold a folder for this process while `what` writes into it; may be nested.

    The lock is a file beside the folder, and the system drops it with its process. Raises
    RunError, naming the holder, where another process holds it for longer than `patience`
    seconds, and where the disk is full or cannot be written.
    """
    place = folder.with_name(f".{folder.name}.lock")
    holder = place.with_suffix(".json")
    lock = FileLock(place, is_singleton=True, thread_local=False)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=patience, poll_interval=0.1)
        if lock.lock_counter == 1:
            for half in filter(Path.is_file, folder.rglob(".*.part")):
                half.unlink()  # of a session that was killed within a write
            write_json(holder, {"pid": os.getpid(), "host": socket.gethostname(), "what": what,
                                "since": time.strftime("%Y-%m-%d %H:%M:%S")})
        yield
    except Timeout:
        raise RunError(f"run {folder.name} is held by {_holder(holder)}: wait for its end, or take "
                        "another run name") from None
    except Exception as error:
        why, place = full_disk(error), getattr(error, "filename", None) or folder.parent
        if why is None or getattr(error, "errno", None) in (EACCES, EISDIR, ENOTDIR) and not (
                Path(place).is_relative_to(folder.parent)):  # elsewhere, such as data that is read
            raise
        raise RunError(f"{why} where run {folder.name} is written ({place}): nothing that "
                        "was finished is lost; make room, or set NANOREASON_HOME to a folder "
                        "that can be written, and start again") from None
    finally:
        if lock.is_locked:
            if lock.lock_counter == 1:
                holder.unlink(missing_ok=True)
            lock.release()


def _holder(file: Path) -> str:
    try:
        return "process {pid} on {host} ({what}, since {since})".format(**read_mapping(file))
    except (OSError, RunError, KeyError):
        return "another process"


def to_json(value: Any, indent: int | None = None) -> str:
    """`value` as JSON: fractions as text, numpy scalars as numbers.

    Raises ValueError for nan and infinity, which JSON does not have: a rate over zero cases
    is None.
    """
    try:
        return json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False,
                          default=_plain)
    except ValueError as error:
        raise GivenError(f"{error}: write None where a value was not measured") from None


def _plain(value: Any) -> Any:
    if isinstance(value, Fraction):
        return str(value)
    if hasattr(value, "tolist"):  # numpy scalars and arrays, torch tensors
        return value.tolist()
    raise TypeError(f"{type(value).__name__} {value!r} has no JSON form")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with a last newline, all or nothing."""
    write_text(path, to_json(value, indent=2) + "\n")


def file_sha256(path: Path) -> str:
    """Hexadecimal sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_manifest(folder: Path, identity: Mapping[str, Any], facts: Mapping[str, Any],
                   name: str = MANIFEST, files: list[Path] | None = None) -> None:
    """Write the hashes of `files` (None: of all that `folder` holds) beside them.

    identity, facts: JSON values that are kept with the hashes.
    """
    if files is None:
        files = [path for path in folder.rglob("*") if path.is_file()]
    content = {"identity": json.loads(to_json(identity)), **facts,
               "files": {path.relative_to(folder).as_posix():
                         {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
                         for path in sorted(files)}}
    write_text(folder / name, to_json({"sha256": _digest(content), **content}, indent=1) + "\n")


def read_manifest(folder: Path, name: str = MANIFEST) -> dict[str, Any]:
    """The manifest of `folder`, after every file in it was found as it says.

    Raises DamagedError for a manifest or file that is missing or not as it was written.
    """
    try:
        manifest = parse((folder / name).read_bytes())
        content = {key: value for key, value in manifest.items() if key != "sha256"}
        files = content["files"].items()
        right = manifest["sha256"] == _digest(content)
    except FileNotFoundError:
        raise DamagedError(f"{name} is missing") from None
    except (RunError, OSError, KeyError, AttributeError, TypeError):
        right = False
    if not right:
        raise DamagedError(f"{name} is not as it was written")
    for file, facts in files:
        if not (folder / file).is_file():
            raise DamagedError(f"{file} is missing")
        size = (folder / file).stat().st_size
        if size != facts["bytes"]:
            raise DamagedError(f"{file} has {size} bytes in place of {facts['bytes']}")
        if file_sha256(folder / file) != facts["sha256"]:
            raise DamagedError(f"the sha256 of {file} is not as it was written")
    return content


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def drop_half_line(path: Path) -> None:
    """Cut off a last line that is no whole JSON value, and warn; one that lacks its line break
    alone gets it, and nothing happens to a whole file."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        content = file.read()
        if not content or content.endswith(b"\n"):
            return
        whole = content.rfind(b"\n") + 1
        with suppress(RunError):
            parse(content[whole:])
            file.write(b"\n")
            return
        file.truncate(whole)
    warnings.warn(f"{path.name}: dropped an unfinished last line of "
                  f"{len(content) - whole} bytes", stacklevel=3)
