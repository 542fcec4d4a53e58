"""The notebooks: their form, a smoke run of all of them, and what is committed executed.

The smoke run goes through papermill, each notebook with small numbers, in order, as
`make study` does; nbval then executes the results again. Notebooks that are cheap and
deterministic are committed with their outputs and compared strictly.
"""
from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from copy import deepcopy

import nbformat
import pytest
from click.testing import CliRunner
from IPython.core.interactiveshell import InteractiveShell
from keep_outputs import KeepError, keep_outputs, not_executed
from matplotlib import pyplot
from nbformat.v4 import new_code_cell, new_notebook, new_output
from papermill.cli import papermill as papermill_command

from nanoreason import host, paths
from nanoreason.files import read_text
from nanoreason.params.validation import KINDS, ParameterError
from nanoreason.stages import SPLITS

NOTEBOOKS = sorted(paths.NOTEBOOKS.glob("*.ipynb"))  # the numbered ones, then the study
KIND = {"00": "base", "01": "data", "02": "train", "03": "evaluate", "04": "metrics",
        "05": "figures", "06": "ablate", "07": "tutor", "na": "study"}
STRICT = "01_data"
SMOKE = {"00": {"run": "nano-reference", "steps": 2},
         "01": {"run": "nano-reference", "total": 40},
         "02": {"run": "nano-gsm8k", "traces": 96, "epochs": 1},
         # Other rows than the committed ones of this run; see below.
         "03": {"run": "nano-reference", "n": 6, "interventions": 6, "max_new_tokens": 60,
                "seed": 1},
         "04": {"run": "nano-reference", "seed": 1}, "05": {"run": "nano-reference"},
         "06": {"run": "smoke", "conditions": "staged", "seeds": 1, "train_traces": 16,
                "test_problems": 2, "run_missing": True, "workers": 1},
         "07": {"run": "nano-reference", "language": "vi"},
         "na": {"run": "whole", "traces": 16, "n": 2, "interventions": 2, "max_new_tokens": 30}}
# A kernel chooses its own matplotlib backend: with the tests' Agg, figures would not show.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
ENVIRONMENT |= {"TQDM_DISABLE": "1", "TOKENIZERS_PARALLELISM": "false"}


def papermill(*arguments, cwd=paths.NOTEBOOKS, home=None, timeout=400):
    environment = ENVIRONMENT | ({"NANOREASON_HOME": str(home)} if home else {})
    return subprocess.run([sys.executable, "-m", "papermill", "--no-progress-bar", *arguments],
                          cwd=cwd, env=environment, capture_output=True, text=True,
                          timeout=timeout)


def nbval(path, *arguments, home=None):
    environment = ENVIRONMENT | ({"NANOREASON_HOME": str(home)} if home else {})
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "--rootdir",
         str(path.parent), *arguments, "--nbval-current-env", "--nbval-cell-timeout", "300",
         str(path)], cwd=path.parent, env=environment, capture_output=True, text=True,
        timeout=600)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_form(path):
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    tagged = [cell for cell in code if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1 and code.index(tagged[0]) == 1
    assert 15 <= len(book.cells) <= 36
    for cell in (cell for cell in code if cell is not tagged[0]):
        lines = cell.source.split("\n")
        assert len(lines) <= 20 and max(map(len, lines)) <= 88, cell.source
    assert "widgets" not in book.metadata and book.metadata.kernelspec.name == "python3"
    assert "accelerator" not in book.metadata  # the profile that stands there needs none
    assert "gpuType" not in book.metadata.colab and not book.metadata.kaggle.isGpuEnabled
    for i, cell in enumerate(book.cells):
        if cell.cell_type == "code":
            assert not any(o.output_type == "error" for o in cell.get("outputs", []))
    for line in tagged[0].source.splitlines():
        assert "#" in line and "=" not in line.split("#", 1)[1], line
    names = {line.split(":")[0] for line in tagged[0].source.splitlines()}
    fields = set(KINDS[KIND[path.stem[:2]]].model_fields)
    assert {"profile", "run"} <= names <= fields, names ^ fields
    assert names == fields or path.stem[:2] in ("04", "05")


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A notebook of one cell, and the same one executed: its source, its outputs."""
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path)
    (tmp_path / "build").mkdir()

    def make(source="print(1)", ran=None, text="1\n"):
        cell = new_code_cell(source, id="one")
        nbformat.write(new_notebook(cells=[cell]), tmp_path / "00_made.ipynb")
        parts = [new_output("stream", name="stdout", text=part) for part in text]
        done = [new_code_cell("run = 1", metadata={"tags": ["injected-parameters"]}),
                new_code_cell(ran or source, id="one", outputs=parts, execution_count=2)]
        nbformat.write(new_notebook(cells=done), tmp_path / "build" / "00_made.ipynb")
        return tmp_path / "build" / "00_made.ipynb"
    return make


def test_kept_outputs_carry_the_hash_of_their_source(kept):
    book = nbformat.read(keep_outputs(kept()), as_version=4)
    cell, = book.cells
    assert (cell.outputs[0].text, cell.execution_count) == ("1\n", 1)
    assert len(cell.outputs) == 1 and not_executed(book) == []
    cell.source = "print(2)"
    assert not_executed(book) == ["one"]


def test_lines_of_progress_are_not_kept(kept, capsys, monkeypatch):
    monkeypatch.setattr(host, "SECONDS", 0.0)
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    with host.progress(total=1300, desc="tuning", unit="step", miniters=1) as bar:
        bar.update(1299)
        bar.set_postfix(loss="0.5", refresh=True)
    lines = capsys.readouterr().out
    assert lines.count("tuning: ") >= 2
    text = "".join(output.text for output in nbformat.read(
        keep_outputs(kept(text=[*lines.splitlines(True), "run: 3/4 steps\n"])), 4).cells[0].outputs)
    assert text == "run: 3/4 steps\n"


@pytest.mark.parametrize("made, sentence", [
    ({"ran": "print(2)"}, "executed with other cells"),
    ({"text": ["/home/ann/x.py: warning"]}, "names /home/ann of this machine")])
def test_outputs_that_are_not_the_notebooks_own_are_refused(kept, made, sentence):
    executed = kept(**made)
    with pytest.raises(KeepError, match=sentence):
        keep_outputs(executed)
    assert nbformat.read(paths.NOTEBOOKS / executed.name, as_version=4).cells[0].outputs == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_outputs_are_those_of_the_source_that_stands_there(path):
    edited = not_executed(nbformat.read(path, as_version=4))
    assert not edited, f"edited and not executed again, see scripts/keep_outputs.py: {edited}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_papermill_documents_every_parameter(path):
    done = CliRunner().invoke(papermill_command, ["--help-notebook", str(path), "out.ipynb"])
    assert done.exit_code == 0, done.output
    tagged = next(cell for cell in nbformat.read(path, as_version=4).cells
                  if "parameters" in cell.metadata.get("tags", []))
    for line in tagged.source.splitlines():
        name, comment = line.split(":")[0], line.split("#", 1)[1].strip()
        assert f"{name}: " in done.output and comment[:40] in done.output, line
    assert "Unknown" not in done.output


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_parameters_cell_says_what_none_comes_to(path):
    """In brackets, with the profile `nano`: the value that is in force."""
    params = KINDS[KIND[path.stem[:2]]]()
    tagged = next(cell for cell in nbformat.read(path, as_version=4).cells
                  if "parameters" in cell.metadata.get("tags", []))
    for line in tagged.source.splitlines():
        name, value = line.split(":")[0], dict((n, v) for n, v, _ in params.in_force())
        if "= None  #" in line and getattr(params, name.strip()) is not None:
            assert line.endswith(f" [{value[name]}]"), line


def test_a_wrong_parameter_is_refused_in_one_sentence_without_what_computes(tmp_path):
    """What a notebook shows of an error of ours, and what was loaded until then."""
    code = ("from nanoreason.environment import show\n"
            "from nanoreason.params import read_parameters\nimport sys\n"
            "print(sorted({'torch', 'scipy', 'pandas', 'matplotlib'} & set(sys.modules)))\n"
            "read_parameters('train', {'traces': -1})")
    book = new_notebook(cells=[new_code_cell(code)], metadata={
        "kernelspec": {"name": "python3", "display_name": "x", "language": "python"}})
    nbformat.write(book, tmp_path / "in.ipynb")
    done = papermill("in.ipynb", "out.ipynb", cwd=tmp_path)
    assert done.returncode != 0
    outputs = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells[-1].outputs
    printed, error = outputs[-2:]
    assert printed.text == "[]\n"
    assert error.traceback == ["ParameterError: traces=-1 is refused: traces must be number of "
                               "training traces, 1 or more"]


WRONG = {
    "nanoreason.solve(' ')": "GivenError: question is ' '; give the text of a word problem",
    "nanoreason.solve('1 + 1?', 'nano-gsm8k')": "RunError: run nano-gsm8k",
    "nanoreason.solve('1 + 1?', 5)": "RunError: no run '5' in ",
    "nanoreason.solve('1 + 1?', base='/no/such')": "AbsentError: base '/no/such' cannot be loaded",
    "nanoreason.solve('1 + 1?', max_new_tokens=10**9)": "GivenError: max_new_tokens is 1000000000",
    "nanoreason.export('smollm2-gsm8k', 'new')": "RunError: run smollm2-gsm8k has no adapters",
    "list(load_problems('gsm8k', '/no/such'))": "AbsentError: /no/such is no file or folder",
    "list(load_problems('gsm8k@main'))": "AbsentError: gsm8k (revision main) cannot be read",
    "list(teach([], 'mine'))": "GivenError: teacher 'mine' is unknown",
    "self_verification([row | {'setting': s} for s in ('natural', 'clean')])": "GivenError: rows "}


def test_what_a_user_gives_wrong_is_told_in_one_sentence(tmp_path):
    """In a kernel: no traceback of ours, whichever room refuses it."""
    begin = ("import nanoreason\nfrom nanoreason.data import load_problems, teach\n"
             "from nanoreason.evaluation import self_verification\n"
             "row = {'id': 1, 'text': '', 'question': '', 'gold': '1'}")
    cells = [new_code_cell(code, metadata={"tags": ["raises-exception"]}) for code in WRONG]
    book = new_notebook(cells=[new_code_cell(begin), *cells], metadata={
        "kernelspec": {"name": "python3", "display_name": "x", "language": "python"}})
    nbformat.write(book, tmp_path / "in.ipynb")
    assert papermill("in.ipynb", "out.ipynb", cwd=tmp_path).returncode != 0
    shown = [cell.outputs[-1].traceback for cell in
             nbformat.read(tmp_path / "out.ipynb", as_version=4).cells if cell.source in WRONG]
    assert [len(lines) for lines in shown] == [1] * len(WRONG), shown
    for (line,), sentence in zip(shown, WRONG.values()):
        assert line.startswith(sentence) and "\n" not in line


def execute(number, **given):
    """The names that the cells of a notebook leave, run here with these parameters."""
    path, shell = next(p for p in NOTEBOOKS if p.stem.startswith(number)), InteractiveShell()
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            shell.run_cell(cell.source, store_history=True).raise_error()
            shell.push(given if "parameters" in cell.metadata.get("tags", []) else {})
    return shell.user_ns


def test_a_wrong_parameter_stops_at_once_with_one_sentence(tmp_path):
    done = papermill("02_train.ipynb", str(tmp_path / "out.ipynb"), "-p", "verify_wieght", "2",
                     home=tmp_path, timeout=90)
    assert done.returncode != 0
    assert "ParameterError" in done.stderr and "did you mean verify_weight" in done.stderr
    assert not (tmp_path / "build").exists()
    for value, sentence in (("heavy", "verify_weight='heavy' is refused"),
                            (-1, "verify_weight=-1")):
        with pytest.raises(ParameterError, match=sentence):
            execute("02", verify_weight=value)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """All notebooks at smoke size, in order; the folder they wrote to."""
    home = tmp_path_factory.mktemp("home")
    shutil.copytree(paths.PARAMS, home / "params")
    for name in ("nano-reference", "nano-reference-base", "nano-gsm8k"):
        shutil.copytree(paths.RESULTS / name, home / "results" / name)
    shutil.copy(paths.CHECKOUT / ".gitignore", home)
    for command in (("init",), ("add", "."), ("-c", "user.name=n", "-c", "user.email=e", "commit",
                                              "-m", "as committed")):
        subprocess.run(["git", "-C", home, *command], check=True, capture_output=True)
    (home / "build" / "executed").mkdir(parents=True)
    for path in NOTEBOOKS:
        values = SMOKE[path.stem[:2]]
        flags = [part for name, value in values.items() for part in ("-p", name, str(value))]
        done = papermill(path.name, str(home / "build" / "executed" / path.name), *flags, home=home)
        assert done.returncode == 0, f"{path.stem}\n{done.stderr[-3000:]}"
    return home


def test_the_smoke_run_leaves_a_whole_run_and_figures(smoke):
    trained = smoke / "build" / "runs" / "nano-gsm8k"
    assert {"params.yaml", "environment.json", "metrics.csv", "adapters", "finished.json"} <= {
        path.name for path in trained.iterdir()}
    run = smoke / "build" / "runs" / "nano-reference"
    assert {"params.yaml", "environment.json", "metrics.csv", "generations.jsonl",
            "summary.json", "adapters"} <= {path.name for path in run.iterdir()}
    assert len(list((run / "figures").glob("*.png"))) >= 5
    settings = {json.loads(line)["setting"]
                for line in (run / "generations.jsonl").read_text().splitlines()}
    assert {"natural", "injected", "clean"} <= settings
    grid = smoke / "build" / "smoke"  # of 06, which runs what its grid lacks
    assert (grid / "staged" / "seed-0.json").is_file()
    study = smoke / "build" / "runs" / "whole"  # of the one notebook of all
    assert {"params.yaml", "metrics.csv", "generations.jsonl", "summary.json", "adapters",
            "tables", "figures"} <= {path.name for path in study.iterdir()}
    assert {"conditions.md", "answers.md", "claims.csv"} <= {
        path.name for path in (grid / "tables-part").iterdir()}  # one condition of all


def test_the_tutor_shows_what_loads_nothing(smoke):
    """Its page, made by nbconvert, needs no network, widget or server for what was executed."""
    book = nbformat.read(smoke / "build" / "executed" / "07_tutor.ipynb", as_version=4)
    shown = [output.data for cell in book.cells if cell.cell_type == "code"
             for output in cell.outputs if "data" in output]
    pages = [data["text/html"] for data in shown if "text/html" in data]
    assert len(pages) > 9 and any("image/png" in data for data in shown)
    pages.append((smoke / "build" / "exercise.html").read_text(encoding="utf-8"))
    for page in pages:
        assert not re.search(r"<script|<link|<iframe|\bsrc=|\bhref=|url\(", page)
    assert all(set(data) <= {"text/html", "text/plain", "image/png"} for data in shown)
    assert any("VERIFY nói" in page for page in pages) and "Đáp án" in pages[-1]


def test_nothing_is_written_into_a_run_of_reference(smoke):
    status = ["git", "-C", smoke, "status", "--porcelain", "--untracked-files=all"]
    assert subprocess.run(status, check=True, capture_output=True, text=True).stdout == ""
    kept = smoke / "build" / "runs" / "nano-reference.1"  # the copy of the committed rows
    lines = read_text(kept / "generations.jsonl").splitlines()
    assert lines == read_text(paths.RESULTS / "nano-reference" / "generations.jsonl").splitlines()


def test_a_grid_of_reference_is_drawn_below_build(tmp_path):
    shutil.copytree(paths.PARAMS, tmp_path / "params")
    shutil.copytree(paths.RESULTS / "ablations", tmp_path / "results" / "ablations")
    done = papermill("06_ablate.ipynb", str(tmp_path / "out.ipynb"), "-p", "conditions",
                     "staged,single_wide", "-p", "seeds", "2", home=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "build" / "ablations" / "tables-part" / "claims.md").is_file()
    for path in (tmp_path / "results").rglob("*"):
        committed = paths.RESULTS / path.relative_to(tmp_path / "results")
        assert path.is_dir() or path.read_bytes() == committed.read_bytes(), path
    assert not (tmp_path / "figures").exists()


# 01_data is repeated below, and more strictly; 00, 02 and 03 need not come out alike.
@pytest.mark.parametrize("name", ["04_metrics", "05_figures"])
def test_nbval_repeats_the_smoke_run(smoke, name):
    done = nbval(smoke / "build" / "executed" / f"{name}.ipynb", "--nbval-lax", home=smoke)
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """What nbval says of each code cell, in order, of 01_data and of one cell put after it.

    That one is a copy of a cell whose committed output has one changed figure: the test of
    the test, in the same run.
    """
    path = tmp_path_factory.mktemp("compared") / f"{STRICT}.ipynb"
    book = nbformat.read(paths.NOTEBOOKS / path.name, as_version=4)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    falsified = deepcopy(next(cell for cell in code if "report['kept']" in cell.source))
    text = falsified.outputs[0].text
    assert "kept " in text
    falsified.outputs[0].text = text.replace("kept ", "kept 9", 1)
    falsified.id = "falsified"
    book.cells.append(falsified)
    nbformat.write(book, path)
    done = nbval(path, "--nbval")
    said = re.findall(r"::Cell [0-9]+ ([A-Z]+)", done.stdout)
    assert len(said) == len(code) + 1, done.stdout[-3000:] + done.stderr[-3000:]
    return said, done.stdout


def test_the_committed_outputs_come_out_again(compared):
    said, printed = compared
    assert set(said[:-1]) == {"PASSED"}, printed[-5000:]


def test_a_falsified_output_fails(compared):
    said, printed = compared
    assert said[-1] == "FAILED" and "kept 9" in printed


@pytest.mark.parametrize("asked, kinds", [
    ({"splits": "test_ood"}, {("natural", "test_ood")}),
    ({"settings": "injected,clean"}, {("injected", "test"), ("clean", "test")}),
    ({"settings": "natural,clean"}, {("clean", "test")} | {
        ("natural", split) for split in SPLITS})])
def test_other_splits_and_settings_go_through_to_the_figures(workspace, asked, kinds):
    """03, 04 and 05 on the adapters of the run of reference, its rows left away."""
    for name in ("params.yaml", "environment.json", "metrics.csv.gz", "adapters"):
        source, target = paths.CHECKOUT / "results/nano-reference" / name, paths.RUNS / "some" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    made = execute("03", run="some", n=2, interventions=0, max_new_tokens=60, **asked)
    assert {(row["setting"], row["split"]) for row in made["rows"]} == kinds
    summary = execute("04", run="some")["summary"]
    assert {split for split, found in summary["splits"].items() if found} >= {
        split for setting, split in kinds if setting == "natural"}
    shown = execute("05", run="some")["shown"]
    pyplot.close("all")
    assert {"training", "accuracy", "verification", "faithfulness"} <= {
        path.stem for path in shown.figures.glob("*.png")}
    assert (shown.tables / "accuracy.md").is_file()


@pytest.mark.slow
def test_one_difference_and_from_the_root_too(tmp_path):
    """`-p verify_weight 2` trains with exactly that one difference, wherever it is started."""
    import yaml
    made = {}
    for run, cwd, extra in (("plain", paths.NOTEBOOKS, []),
                            ("heavy", paths.NOTEBOOKS, ["-p", "verify_weight", "2"]),
                            ("root", paths.ROOT, ["-p", "verify_weight", "2"])):
        source = str((paths.NOTEBOOKS / "02_train.ipynb").relative_to(cwd))
        done = papermill(source, str(tmp_path / f"{run}.ipynb"), "-p", "run", run, "-p", "traces",
                         "64", "-p", "epochs", "1", *extra, cwd=cwd, home=tmp_path)
        assert done.returncode == 0, done.stderr[-2000:]
        folder = tmp_path / "build" / "runs" / run
        made[run] = (yaml.safe_load((folder / "params.yaml").read_text()),
                     json.loads((folder / "environment.json").read_text())["training"])
    plain, heavy = made["plain"][0], made["heavy"][0]
    assert {n for n in plain if plain[n] != heavy[n]} == {"verify_weight", "run"}
    assert made["heavy"][1]["adapters_sha256"] == made["root"][1]["adapters_sha256"]
    assert made["plain"][1]["adapters_sha256"] != made["heavy"][1]["adapters_sha256"]
