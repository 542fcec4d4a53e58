"""The notebooks' first cells install the version of the package that they belong to.

    make release [REVISION=v0.2.0]

A notebook that is opened alone, on Colab or Kaggle, knows nothing but itself, so its first
cell carries the commit to install. REVISION (default: HEAD) must hold the package as it
stands here. What this writes is committed after it and pushed with it. The outputs stay
valid: the hash of an executed cell leaves out what is installed from where.
"""
from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import nbformat

from nanoreason import paths

# The address in a first cell, and the commit on a line of its own.
INSTALLED = re.compile(r'(git\+https://github\.com/[\w.-]+/[\w.-]+)(?:"\s+"@([0-9a-f]{40}))?(?=")')
# What an installation is made of.
PACKAGE = ("nanoreason", "params", "pyproject.toml", ":(glob)results/nano-reference*/**",
           "results/ablations")


class ReleaseError(Exception):
    """A revision that the notebooks do not belong to; the message says what to do."""


def git(root: Path, *arguments: str) -> str:
    """What git prints; raises ReleaseError with its complaint."""
    done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True)
    if done.returncode:
        raise ReleaseError(done.stderr.strip() or f"git {arguments[0]} ended with status 1")
    return done.stdout.strip()


def pin(root: Path, revision: str = "HEAD") -> str:
    """Write the commit of `revision` into the notebooks of the checkout `root`; returns it.

    Raises ReleaseError, and writes nothing, for a revision that is not in the history or
    whose package is another than the one that stands here.
    """
    commit = git(root, "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}")
    git(root, "merge-base", "--is-ancestor", commit, "HEAD")
    changed = git(root, "diff", "--name-only", commit, "--", *PACKAGE) or git(
        root, "ls-files", "--others", "--exclude-standard", "--", *PACKAGE)
    if changed:
        raise ReleaseError(f"{changed.splitlines()[0]} is another one in {revision}: commit it, "
                           "and release that commit")
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        book = nbformat.read(path, as_version=4)
        for cell in book.cells:
            cell.source = INSTALLED.sub(rf'\1"\n{" " * 20}"@{commit}', cell.source)
        nbformat.write(book, path)
    return commit


def main(arguments: list[str]) -> int:
    """`python scripts/release.py [REVISION]`"""
    try:
        commit = pin(paths.ROOT, *arguments[:1])
    except ReleaseError as error:
        print(f"not released: {error}", file=sys.stderr)
        return 1
    print(f"the notebooks install {commit}: commit them, and push")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
