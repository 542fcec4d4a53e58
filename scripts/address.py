"""The public address of the repository, changed everywhere at once.

The one source is `[project.urls]` in pyproject.toml. Badges, bootstrap cells and links
carry copies of it, because a README and a notebook cannot read a TOML file:

    make address URL=https://github.com/owner/name
"""
from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

from nanoreason import paths
from nanoreason.files import write_text

# The forms in which hosts write a repository: github.com/o/n, raw.githubusercontent.com/o/n,
# colab.research.google.com/github/o/n, and github.com%2Fo%2Fn inside a query.
_HOSTS = r"(github\.com|githubusercontent\.com|colab\.research\.google\.com/github)"
_ADDRESS = re.compile(r"https://github\.com/([A-Za-z0-9-]+)/([A-Za-z0-9._-]+)")
SUFFIXES = {".md", ".ipynb", ".toml", ".yml", ".yaml", ".py", ".cff", ".json", ".html", ""}


class AddressError(ValueError):
    """An address that is not of the form https://github.com/owner/name."""


def split_address(url: str) -> tuple[str, str]:
    """Owner and name of `https://github.com/owner/name`; Colab opens no other host.

    Raises AddressError for any other form.
    """
    url = url.strip().removesuffix("/").removesuffix(".git")
    match = _ADDRESS.fullmatch(url)
    if match is None:
        raise AddressError(f"address {url!r} is refused: give URL=https://github.com/owner/name")
    return match.group(1), match.group(2)


def public_address(root: Path) -> str:
    """The address that `[project.urls]` of the checkout `root` states."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["urls"]["Repository"]


def address_files(root: Path) -> list[Path]:
    """The files of the repository that may carry its address: text, tracked or about to be.

    Committed runs are left alone: what a run recorded stays as it was.
    """
    listed = subprocess.run(
        ["git", "-C", str(root), "ls-files", "--cached", "--others", "--exclude-standard"],
        capture_output=True, text=True, check=True).stdout.splitlines()
    return [root / name for name in listed
            if Path(name).suffix in SUFFIXES and not name.startswith("results/")
            and (root / name).is_file()]


def replace_address(text: str, old: str, new: str) -> str:
    """`text` with each form of the address `old` in the form of `new`."""
    old_path, new_path = "/".join(split_address(old)), "/".join(split_address(new))
    plain = re.compile(_HOSTS + "/" + re.escape(old_path) + r"(?![A-Za-z0-9_-])")
    text = plain.sub(lambda match: f"{match.group(1)}/{new_path}", text)
    quoted = re.compile(r"github\.com%2F" + re.escape(old_path.replace("/", "%2F"))
                        + r"(?![A-Za-z0-9_-])", re.IGNORECASE)
    return quoted.sub("github.com%2F" + new_path.replace("/", "%2F"), text)


def change_address(root: Path, new: str) -> list[Path]:
    """Write the address `new` wherever the checkout `root` carries its own; the files changed.

    Raises AddressError if `new` is no such address; then nothing is written.
    """
    new = "https://github.com/" + "/".join(split_address(new))
    old = public_address(root)
    changed = []
    for path in address_files(root):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:  # a weight file without a suffix
            continue
        replaced = replace_address(text, old, new)
        if replaced != text:
            write_text(path, replaced)
            changed.append(path)
    return changed


def main(arguments: list[str]) -> int:
    """`python scripts/address.py URL`: change it, and print the files changed."""
    if len(arguments) != 1:
        print("usage: make address URL=https://github.com/owner/name", file=sys.stderr)
        return 2
    try:
        changed = change_address(paths.ROOT, arguments[0])
    except AddressError as error:
        print(error, file=sys.stderr)
        return 2
    for path in changed:
        print(paths.relative(path))
    print(f"{len(changed)} files changed to {public_address(paths.ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
