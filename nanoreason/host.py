"""What differs by where a program runs: terminal, notebook, log, Colab, Kaggle.

Everything that asks for it stands here, so that no other module and no notebook branches on
the platform: how progress and errors are shown, what is attached to a session, and where a
secret is kept. (Which folder outlives a session is said in `paths`.)
"""
from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from tqdm import tqdm

SECONDS, LONGEST = 5.0, 60.0  # between two lines of progress, where it is no bar
TOKEN = "HF_TOKEN"
SHOWN = 120  # characters of a value in a message
SEEDS = 2**32  # of numpy's older generators: a seed is below
COLAB, INPUT = Path("/content"), Path("/kaggle/input")  # of Colab; what is attached to Kaggle
STORES = {"google.colab.userdata": lambda store: store.get,
          "kaggle_secrets": lambda store: store.UserSecretsClient().get_secret}


class Told(Exception):
    """An error that its message explains: one sentence in a notebook, without a traceback.

    In a script it is as any other. The kernel still ends the cell, and papermill with a
    status that is not 0.
    """

    def _render_traceback_(self) -> list[str]:
        """What IPython prints of it, a line each."""
        return [f"{type(self).__name__}: {self}"]


class GivenError(Told, ValueError):
    """A value that makes no sense, or a name that is none, in one sentence."""


class AbsentError(Told, FileNotFoundError):
    """A file or folder that is not there, in one sentence that says where it comes from."""


def shown(value: Any) -> str:
    """A value as a message quotes it: its `repr`, cut where that is long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError) as error:  # thousands of digits; lists in lists in lists
        return f"<{type(value).__name__}: {error}>"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text)} characters)"


def check_number(kind: type, least: float, below: float = math.inf, **given) -> None:
    """Refuse the first of the values, given by their names, that is no number in the range.

    kind: int, or float, which takes whole numbers too, or `int | None`, `float | None`, which
    take None as well; none takes a truth value. least <= value < below. Raises GivenError with
    the name, the value and the range.
    """
    whole = issubclass(int, kind)
    wanted, what = (Integral, "whole number") if whole else (Real, "number")
    to = "or more" if below == math.inf else f"to {below - 1}" if whole else f"to below {below}"
    for name, value in given.items():
        fits = isinstance(value, wanted) and not isinstance(value, bool) and least <= value < below
        if not fits and not (value is None and isinstance(None, kind)):
            raise GivenError(f"{name} is {shown(value)}; give a {what}, {least} {to}")


def check_type(kind: type | tuple[type, ...], what: str, **given) -> None:
    """Refuse the first of the values, given by their names, that is of another type.

    what: to give, in words. Raises GivenError with the name, the value and its type.
    """
    for name, value in given.items():
        if not isinstance(value, kind):
            raise GivenError(f"{name} is {shown(value)}, of type {type(value).__name__}; "
                             f"give {what}")


class _Lines(tqdm):
    """Progress as whole lines; nothing where it is over within SECONDS.

    At most one every SECONDS, and the longer it takes the fewer, down to one in LONGEST seconds:
    what takes an hour leaves about a hundred lines in a notebook.
    """

    def __init__(self, *args, **options):
        form = "{desc}: {n_fmt}/{total_fmt} {unit}s, {elapsed} gone, {remaining} left{postfix}"
        # Of two at once the second would move the cursor: a line has no place of its own.
        super().__init__(*args, **{**options, "mininterval": SECONDS, "delay": SECONDS,
                                   "bar_format": form, "file": sys.stdout, "position": 0})

    @staticmethod
    def status_printer(file):
        """A line a status, in place of one line that is written over."""
        return lambda status: status.strip() and print(status, file=file, flush=True)

    def display(self, *args, **options):
        """A line, and how long the next one waits: a tenth of the time that is gone."""
        self.mininterval = max(SECONDS, min(LONGEST, self.format_dict["elapsed"] / 10))
        return super().display(*args, **options)

    def close(self):
        """The last line, where there were others; without tqdm's own way to leave a bar."""
        if not self.disable and self.last_print_t >= self.start_t + self.delay \
                and self.n > self.last_print_n:
            self.display()
        self.delay = float("inf")
        super().close()


def progress(*args, **options) -> tqdm:
    """tqdm: a bar in a terminal, a widget in a notebook that has them, else lines; none for
    one thing.

    args, options: those of tqdm.
    """
    bar, kernel = _Lines, sys.modules.get("IPython")
    if sys.stderr.isatty():
        bar = tqdm
    elif kernel and "IPKernelApp" in getattr(kernel.get_ipython(), "config", ()) \
            and find_spec("ipywidgets"):
        bar = import_module("tqdm.notebook").tqdm
    return bar(*args, **({"disable": True} if options.get("total") == 1 else {}), **options)


def attached() -> list[Path]:
    """The folders of runs in what is attached to a Kaggle session, as its output was kept.

    They can be read, and are copied before anything is written into one.
    """
    return sorted(folder for depth in ("*", "*/*/*")
                  for folder in INPUT.glob(f"{depth}/build/runs"))


def settle(keeps: Path | None, lacks_gpu: bool = False) -> Iterator[str]:
    """Take what the platform lends, and say of each thing what became of it, a sentence each.

    keeps: the folder that outlives the session, `paths.home()`.
    """
    if lacks_gpu:
        yield ("no GPU is seen here: on Colab choose one in Runtime, Change runtime type; on "
               "Kaggle in Settings, Accelerator; and begin again")
    if keeps:
        yield f"results: below {keeps}, which this platform keeps"
    elif COLAB.is_dir():
        yield ("results: below build/, which Colab forgets when the session ends; to keep them, "
               "mount Drive (Files, on the left), restart the session and begin again")
    if attached():
        yield f"attached: {', '.join(map(str, attached()))}"
    token = _take_token()
    if token:
        yield token


def _take_token() -> str:
    """Put HF_TOKEN of Colab's or Kaggle's store of secrets where the hub's client looks."""
    if os.environ.get(TOKEN):
        return ""
    for module, reader in STORES.items():
        try:
            os.environ[TOKEN] = reader(import_module(module))(TOKEN)
            return f"{TOKEN}: from the secrets of this platform"
        except ImportError:
            continue
        except Exception as error:  # of the store: each has its own for "absent" and "not shared"
            return f"{TOKEN}: none ({type(error).__name__}); the hub is read without an account"
    return ""
