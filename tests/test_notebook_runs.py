"""Notebooks with other parameters, with wrong ones, and once more with those committed.

01_data is cheap and deterministic: its committed outputs are compared strictly.
"""
from __future__ import annotations

import json
import re
import shutil
from copy import deepcopy

import nbformat
import pytest
from executing import NOTEBOOKS, nbval, papermill
from IPython.core.interactiveshell import InteractiveShell
from matplotlib import pyplot
from nbformat.v4 import new_code_cell, new_notebook

from nanoreason import paths
from nanoreason.params.validation import ParameterError
from nanoreason.stages import SPLITS

STRICT = "01_data"


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
        source = paths.CHECKOUT / "results/nano-reference" / name
        target = paths.RUNS / "some" / name
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
