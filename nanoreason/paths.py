"""Where things lie, in a checkout and in an installed package.

In a checkout everything hangs from the repository's root, whichever folder the caller
stands in (papermill runs in the caller's folder, nbval in the notebook's). Installed from
a git address there is no root: profiles, the base and the runs of reference come out of
the package, and what is written goes below the folder that the platform keeps (see `home`),
else the one that one stands in, and so it does where a checkout cannot be written.
`NANOREASON_HOME` sets that folder by hand.
"""
from __future__ import annotations

import os
from pathlib import Path

import yaml

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the fast one where it is there
PACKAGE = Path(__file__).resolve().parent
ASSETS = PACKAGE / "assets"  # base weights, tokenizer, prompts: part of the package
DRIVE = Path("/content/drive/MyDrive")  # of Colab, once it is mounted
WORKING = Path("/kaggle/working")


def find_root(start: Path) -> Path | None:
    """The nearest folder from `start` upwards that is a checkout of this project, or None."""
    for folder in (start, *start.parents):
        if (folder / "params" / "nano.yaml").is_file() and (folder / "nanoreason").is_dir():
            return folder
    return None


def home() -> Path | None:
    """The folder of a platform that outlives the session, None elsewhere.

    Kaggle keeps what lies below /kaggle/working; Colab keeps nothing but what is written to
    a mounted Drive.
    """
    if DRIVE.is_dir():
        return DRIVE / "nanoreason"
    return WORKING if WORKING.is_dir() else None


def _root() -> Path:
    by_hand = os.environ.get("NANOREASON_HOME")
    if by_hand:
        return Path(by_hand).expanduser().resolve()
    here = Path.cwd()
    return find_root(PACKAGE.parent) or find_root(here) or home() or here


CHECKOUT = find_root(PACKAGE.parent)  # None in an installed package
ROOT = _root()
PARAMS = CHECKOUT / "params" if CHECKOUT else PACKAGE / "params_files"
NOTEBOOKS = (CHECKOUT or ROOT) / "notebooks"
# Runs of reference, committed.
RESULTS = ROOT / "results" if CHECKOUT or find_root(ROOT) == ROOT else PACKAGE / "results_files"
FIGURES = ROOT / "figures"  # of the runs of reference
# All else, not committed. A root that is not there yet was set by hand, and is made.
BUILD = (ROOT if not ROOT.exists() or os.access(ROOT, os.W_OK) else Path.cwd()) / "build"
RUNS = BUILD / "runs"  # scratch runs
STUDY = BUILD / "study"  # executed notebooks of `make study`


def asset(name: str) -> Path:
    """Path of a file or folder that ships with the package, e.g. `asset("nano")`."""
    return ASSETS / name


def asset_table(name: str) -> dict:
    """What a YAML file of the package's own words and constants holds."""
    return yaml.load(asset(name).read_text(encoding="utf-8"), LOADER)


def relative(path: Path) -> str:
    """`path` as people read it: below the root, or in the package, without it, else as it is."""
    path = Path(path)
    within = next((folder for folder in (ROOT, PACKAGE) if path.is_relative_to(folder)), None)
    return str(path.relative_to(within) if within else path)
