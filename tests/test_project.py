"""The project's own files agree: metadata, lock, environment, address, wheel, study."""
import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from graphlib import TopologicalSorter

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_notebook
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import address, keep_outputs, release, study
from nanoreason import paths
from nanoreason.runs import RunError, find_run

ROOT = paths.CHECKOUT
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DECLARED = {canonicalize_name(Requirement(line).name): Requirement(line)
            for line in PROJECT["dependencies"]
            + PROJECT["optional-dependencies"]["notebooks"]
            + PROJECT["optional-dependencies"]["test"]}
LOCKED = {name: [Requirement(line) for line in re.findall(r"^[^#\s][^\\\n]*", text, re.MULTILINE)]
          for name in ("requirements.lock", "requirements-cuda.lock")
          for text in [(ROOT / name).read_text()]}
LOCK = {canonicalize_name(requirement.name): str(requirement.specifier).removeprefix("==")
        for requirement in LOCKED["requirements.lock"]}
MODULES = sorted((ROOT / "nanoreason").rglob("*.py"))


# -- metadata, lock, environment

@pytest.mark.parametrize("name", LOCKED)
def test_lock_is_exact_hashed_and_free_of_places(name):
    text = (ROOT / name).read_text()
    for requirement in LOCKED[name]:
        assert re.fullmatch("==[0-9][A-Za-z0-9.]*", str(requirement.specifier)), requirement
    assert len({requirement.name for requirement in LOCKED[name]}) == len(LOCKED[name])
    lines = [line.strip() for line in text.splitlines() if not line.startswith("#")]
    for line, after in zip(lines, [*lines[1:], ""]):
        hashed = re.fullmatch(r"--hash=sha256:[0-9a-f]{64}( \\)?", line)
        assert hashed or after.startswith("--hash"), f"{line}: no hash"
    assert "://" not in text


def test_the_second_lock_is_of_cuda_alone():
    names = {canonicalize_name(requirement.name)
             for requirement in LOCKED["requirements-cuda.lock"]}
    assert not names & set(LOCK)
    assert all(name.startswith(("nvidia-", "cuda-")) or name == "triton" for name in names)
    assert LOCK["torch"] == "2.13.0"


def test_lock_satisfies_the_ranges():
    for name, requirement in DECLARED.items():
        assert LOCK[name] in requirement.specifier, f"{requirement} but lock {LOCK[name]}"


def test_torch_is_a_range_in_the_metadata():
    assert {s.operator for s in DECLARED["torch"].specifier} == {">="}


def test_what_is_installed_here_is_the_lock():
    """The lock was written from an environment that works; this is one, or it is stale."""
    from importlib import metadata

    here = {name: metadata.version(name).partition("+")[0] for name in DECLARED}
    assert here == {name: LOCK[name] for name in DECLARED}


def test_environment_yml_says_the_same_and_why():
    text = (ROOT / "environment.yml").read_text()
    for line in text.splitlines():
        assert re.search(r"(^|  )# \w.{8,}$", line), f"no reason: {line}"
    whole = yaml.safe_load(text)["dependencies"]
    pinned = [Requirement(line) for line in next(d["pip"] for d in whole if isinstance(d, dict))]
    assert {canonicalize_name(r.name) for r in pinned} == set(DECLARED)
    for requirement in pinned:
        name = canonicalize_name(requirement.name)
        assert str(requirement.specifier) == f"=={LOCK[name]}", name
    assert "python=3.11" in whole
    assert "3.11" in PROJECT["requires-python"]


def test_notebooks_name_no_place_of_the_machine_that_ran_them():
    absolute = re.compile(r"(?<![\w./:])/(?:home|root|tmp|usr|opt|work|mnt|var)/\w+")
    for path in sorted(paths.NOTEBOOKS.glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            shown = json.dumps(cell.get("outputs", []), ensure_ascii=False)
            assert not absolute.search(shown), f"{path.name}: {absolute.search(shown)[0]}"


def test_continuous_integration_runs_the_same_command():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    steps = workflow["jobs"]["test"]["steps"]
    assert {"run": "bash .ci/run"} in steps
    for step in steps:  # a tag may be moved, a commit not
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step.get("uses", f"x@{'0' * 40}"))
    assert any(s.get("with", {}).get("python-version") == "3.11" for s in steps)
    script = (ROOT / ".ci/run").read_text()
    assert "set -euo pipefail" in script and "make --no-print-directory test" in script


# -- the package's modules

def imported(tree):
    """(top-level name, line) of each absolute import."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name.partition(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition(".")[0], node.lineno


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_module_imports_what_the_metadata_declares(path):
    names = {"yaml": "pyyaml", "PIL": "pillow", "math_verify": "math-verify"}
    extra = {Requirement(line).name for line in PROJECT["optional-dependencies"]["cluster"]}
    for name, line in imported(ast.parse(path.read_text())):
        if name not in sys.stdlib_module_names and name != "nanoreason":
            assert canonicalize_name(names.get(name, name)) in DECLARED.keys() | extra, \
                f"{path.name}:{line}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_module_runs_no_text_and_unpickles_nothing(path):
    """Model output is data; `.eval()` of a torch module is another thing and is an attribute."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("eval", "exec", "compile", "sympify", "sympy.sympify",
                                  "parse_expr", "pickle.load", "pickle.loads", "os.system"), \
                f"{path.name}:{node.lineno}"
            for keyword in node.keywords:
                assert (keyword.arg, ast.unparse(keyword.value)) not in (
                    ("weights_only", "False"), ("trust_remote_code", "True"),
                    ("shell", "True")), f"{path.name}:{node.lineno}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_module_raises_errors_that_a_notebook_tells_in_a_sentence(path):
    """Of what was given wrong; a RuntimeError or TypeError is a fault of ours, with its traceback.

    See `host.Told`.
    """
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            assert ast.unparse(node.exc.func) not in (
                "ValueError", "KeyError", "OSError", "FileNotFoundError", "ConnectionError"), \
                f"{path.name}:{node.lineno}"


def test_modules_import_no_deeper_than_ten_and_in_no_circle():
    """Imports inside functions counted; a circle raises `CycleError`."""
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts): path
             for path in MODULES if path.stem != "__init__"}
    needs = {name: {found for node in ast.walk(ast.parse(path.read_text()))
                    if isinstance(node, ast.ImportFrom)
                    for found in (node.module, *(f"{node.module}.{a.name}" for a in node.names))
                    if found in names and found != name} for name, path in names.items()}
    depth: dict[str, int] = {}
    for name in TopologicalSorter(needs).static_order():
        depth[name] = 1 + max((depth[other] for other in needs[name]), default=0)
    assert 5 < max(depth.values()) <= 10, sorted(depth, key=depth.get)[-3:]


# -- the wheel

def copy_of_checkout(target):
    """The files that git tracks or would track, copied."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"],
        capture_output=True, text=True, check=True).stdout.splitlines()
    for name in listed:
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps",
                    "--no-build-isolation", "--wheel-dir", str(folder / "out"),
                    str(copy_of_checkout(folder / "source"))], check=True)
    return next((folder / "out").glob("nanoreason-*.whl"))


def test_wheel_holds_profiles_and_assets(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for path in (ROOT / "params").glob("*.yaml"):
        assert f"nanoreason/params_files/{path.name}" in names
    for path in [*MODULES, *(p for p in paths.ASSETS.rglob("*") if p.is_file())]:
        if not {".DS_Store", "__pycache__"} & set(path.parts):
            assert str(path.relative_to(ROOT)) in names
    assert not [name for name in names if name.startswith(("tests/", "params/"))]


def test_installed_package_finds_its_profiles_and_writes_where_one_stands(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    (tmp_path / "work").mkdir()
    script = ("from nanoreason import paths\nfrom nanoreason.params import TrainParams\n"
              "print(paths.CHECKOUT, paths.PACKAGE.parent.name, paths.RUNS)\n"
              "print(TrainParams(profile='nano').max_length)")
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path / "work",
                          env={"PYTHONPATH": str(tmp_path / "site"), "PATH": "/usr/bin:/bin"},
                          capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first == f"None site {(tmp_path / 'work').resolve()}/build/runs"
    assert int(second) == yaml.safe_load((ROOT / "params/nano.yaml").read_text())["max_length"]


def test_installed_package_holds_the_run_of_reference(wheel, tmp_path):
    """Solved, scored and drawn without a checkout; four megabytes beside the grid at most."""
    packed = {info.filename: info.compress_size for info in zipfile.ZipFile(wheel).infolist()}
    runs = sum(size for name, size in packed.items()
               if name.startswith("nanoreason/results_files/nano-reference"))
    assert 3 * 10**6 < runs <= 4 * 10**6
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    (tmp_path / "work" / "results").mkdir(parents=True)  # a folder of somebody else's
    script = """
import nanoreason
from nanoreason import paths
from nanoreason.ablations.grid import open_grid
from nanoreason.evaluation.summary import find_base, find_gate, find_others, find_prompted, open_run
from nanoreason.params import AblateParams
print(nanoreason.solve("Mia has 12 apples. She picks 9 more apples. "
                       "How many apples are there now?").answer)
run = open_run("nano-reference", "metrics.csv", "summary.json", "generations.jsonl")
beside = find_base(run), find_gate(run), find_prompted(run), *find_others(run)
print(*(paths.relative(found.folder) for found in (run, *beside)))
grid = open_grid(AblateParams())
print(len(grid.missing), len(grid.runs[0].rows()) > 100)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path / "work",
                          env={"PYTHONPATH": str(tmp_path / "site"), "PATH": "/usr/bin:/bin"},
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    assert "21" in lines, lines
    names = ("base", "gate", "prompted")
    assert lines[-2:] == [" ".join(["build/runs/nano-reference",
                                    *(f"results_files/nano-reference-{name}" for name in names)]),
                          "0 True"]
    assert list((tmp_path / "work" / "results").iterdir()) == []


# -- the public address

def test_every_copy_of_the_address_is_the_one_of_the_metadata():
    owner, name = address.split_address(address.public_address(ROOT))
    form = re.compile(r"(?:github\.com|githubusercontent\.com|colab\.research\.google\.com/github)"
                      r"(?:/|%2F)([A-Za-z0-9-]+)(?:/|%2F)(nanoreason|" + re.escape(name) + ")\\b")
    pages = [p for p in address.address_files(ROOT) if p.suffix in (".md", ".ipynb", ".toml")]
    assert pages
    for path in pages:
        for found in form.finditer(path.read_text()):
            assert found.groups() == (owner, name), f"{path.name}: {found.group()}"


def test_change_of_address_reaches_every_form(tmp_path):
    copy = copy_of_checkout(tmp_path / "copy")
    old = address.public_address(ROOT)
    path = "/".join(address.split_address(old))
    (copy / "page.md").write_text(
        f"[a]({old}) [b]({old}.git) git+{old}@main {old}/blob/main/x.ipynb\n"
        f"https://colab.research.google.com/github/{path}/blob/main/x.ipynb\n"
        f"https://kaggle.com/kernels/welcome?src={old}/x "
        f"https://raw.githubusercontent.com/{path}/m\n"
        f"https://x.org/?u=https%3A%2F%2Fgithub.com%2F{path.replace('/', '%2F')}%2Fy\n"
        f"{old}-other https://gitlab.com/{path}\n")
    subprocess.run(["git", "init", "-q", str(copy)], check=True)
    changed = address.change_address(copy, "https://github.com/some-one/else.where/")
    assert {p.name for p in changed} >= {"page.md", "pyproject.toml"}
    assert address.public_address(copy) == "https://github.com/some-one/else.where"
    page = (copy / "page.md").read_text()
    assert page.count("some-one/else.where") == 7 and page.count("some-one%2Felse.where%2Fy") == 1
    assert page.count(path) == 2  # another repository and another host stay
    for file in address.address_files(copy):
        if file.name != "page.md":
            assert f"github.com/{path}" not in file.read_text(errors="replace"), file
    address.change_address(copy, old)
    assert (copy / "pyproject.toml").read_text() == (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize("url", ["", "github.com/a/b", "https://gitlab.com/a/b",
                                 "https://github.com/a", "https://github.com/a/b/c"])
def test_other_addresses_are_refused_and_nothing_is_written(tmp_path, url, capsys):
    copy = copy_of_checkout(tmp_path / "copy")
    with pytest.raises(address.AddressError, match="give URL=https://github.com/owner/name"):
        address.change_address(copy, url)
    assert (copy / "pyproject.toml").read_bytes() == (ROOT / "pyproject.toml").read_bytes()


# -- the version that the notebooks install

def installed(root):
    """What the notebooks of a checkout install: (address, commit or None), each once."""
    return {found.groups() for path in (root / "notebooks").glob("*.ipynb")
            for cell in nbformat.read(path, 4).cells
            for found in release.INSTALLED.finditer(cell.source)}


def test_the_notebooks_install_one_commit_of_this_history():
    (where, commit), = installed(ROOT)
    assert where == f"git+{address.public_address(ROOT)}" and commit
    if release.git(ROOT, "rev-parse", "--is-shallow-repository") == "false":
        release.git(ROOT, "merge-base", "--is-ancestor", commit, "HEAD")


def test_a_release_names_the_commit_of_the_package_that_stands_there(tmp_path, capsys):
    copy, who = copy_of_checkout(tmp_path / "copy"), ["-c", "user.name=a", "-c", "user.email=a@b"]
    release.git(copy.parent, "init", "-q", str(copy))

    def commit():
        release.git(copy, "add", "-A")
        release.git(copy, *who, "commit", "-q", "-m", "x")
        return release.git(copy, "rev-parse", "HEAD")
    first = commit()
    (copy / "docs" / "more.md").write_text("more")
    commit()
    assert release.pin(copy, first) == first and {found[1] for found in installed(copy)} == {first}
    for path in (copy / "notebooks").glob("*.ipynb"):
        assert keep_outputs.not_executed(nbformat.read(path, 4)) == []
    changed = release.git(copy, "diff", "--stat")
    each = len(list((copy / "notebooks").glob("*.ipynb")))  # a line, and one that had no commit
    assert f" {each} insertions(+)" in changed or f" {2 * each} insertions(+)" in changed, changed
    second = commit()
    assert release.pin(copy) == second and {found[1] for found in installed(copy)} == {second}
    (copy / "nanoreason" / "new.py").write_text("")
    with pytest.raises(release.ReleaseError, match="nanoreason/new.py is another one in HEAD"):
        release.pin(copy)
    third = commit()
    for revision, words in ((second, "new.py"), ("v9", "revision"), ("--help", "revision")):
        with pytest.raises(release.ReleaseError, match=words):
            release.pin(copy, revision)
    assert {found[1] for found in installed(copy)} == {second} != {third}
    address.change_address(copy, "https://github.com/some-one/else")
    for path in (copy / "notebooks").glob("*.ipynb"):
        assert keep_outputs.not_executed(nbformat.read(path, 4)) == []


# -- the study

def write_notebook(name, *cells, parameters="profile = None\nrun = None"):
    paths.NOTEBOOKS.mkdir(exist_ok=True)
    first = new_code_cell(parameters, metadata={"tags": ["parameters"]})
    nbformat.write(new_notebook(cells=[first, *map(new_code_cell, cells)], metadata={
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}),
        paths.NOTEBOOKS / name)


@pytest.fixture
def notebooks(workspace, monkeypatch):
    monkeypatch.setattr(paths, "NOTEBOOKS", workspace / "notebooks")
    write_notebook("00_first.ipynb", "from pathlib import Path\n"
                   "folder = Path('build/runs') / run / 'figures'\n"
                   "folder.mkdir(parents=True)\n_ = (folder / 'loss.png').write_text(profile)")
    write_notebook("01_second.ipynb", "print(run, size)",
                   parameters="profile = None\nrun = None\nsize = 1")
    return workspace


def test_study_runs_all_in_order_and_says_where_things_are(notebooks, capsys):
    assert study.main(["--run", "mine", "-p", "size", "7"]) == 0
    printed = capsys.readouterr().out
    assert printed.index("[1/2] 00_first") < printed.index("[2/2] 01_second")
    for line in ("build/runs/mine/figures/loss.png", "tables: none", "run: build/runs/mine",
                 "build/study/mine/01_second.ipynb"):
        assert line in printed
    assert (notebooks / "build/runs/mine/figures/loss.png").read_text() == "nano"
    executed = nbformat.read(notebooks / "build/study/mine/01_second.ipynb", 4)
    assert executed.cells[-1].outputs[0].text == "mine 7\n"


def test_study_stops_at_the_notebook_that_fails(notebooks, capsys):
    write_notebook("01_second.ipynb", "raise ValueError('no luck')")
    write_notebook("02_third.ipynb", "pass")
    assert study.main(["--run", "mine"]) == 1
    assert "01_second.ipynb failed in cell" in (printed := capsys.readouterr()).err
    assert "ValueError: no luck" in printed.err and "02_third" not in printed.out


@pytest.mark.parametrize("arguments, sentence", [
    (["--only", "07"], "no notebook 07"), (["-p", "sise", "7"], "no notebook knows sise")])
def test_study_refuses_what_is_not_there(notebooks, capsys, arguments, sentence):
    assert study.main(arguments) == 1
    assert sentence in capsys.readouterr().err
    with pytest.raises(RunError):
        find_run("study")


def test_study_wants_profile_and_run_in_each_notebook(notebooks, capsys):
    write_notebook("02_third.ipynb", "pass", parameters="profile = None")
    assert study.main([]) == 1
    assert "02_third.ipynb: its parameters cell lacks run" in capsys.readouterr().err
