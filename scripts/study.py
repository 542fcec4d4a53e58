"""The whole study: the numbered notebooks in order, through papermill, into build/.

    make study                          every notebook, profile nano, run "study"
    make study RUN=NAME                 the same under another name
    make figures RUN=nano-reference     notebook 05 alone, on the files of that run
    make ablate                         notebook 06 alone, with all that its grid lacks
    python scripts/study.py --only 02 03 -p epochs 1

Each notebook is executed as it stands, without an edit. It gets `profile` and `run`, and
of the `-p` values those that its parameters cell knows. Without a name of its own, a study
whose training differs from the profile bears that in its name: study_epochs-1.
"""
from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import yaml

from nanoreason import paths
from nanoreason.environment import git_commit, hardware
from nanoreason.files import write_json
from nanoreason.params import ParameterError, TrainParams
from nanoreason.runs import RunError, find_run

MAIN = ("00", "01", "02", "03", "04", "05")  # 06 takes hours, 07 asks for a question: by name


class StudyError(Exception):
    """A study that cannot start, or a notebook of it that failed."""


def numbered_notebooks(only: list[str] | None = None) -> list[Path]:
    """The notebooks `NN_verb.ipynb`, in order; `only`: the numbers wanted, None: MAIN.

    The one notebook of the whole study goes by its name, `nanoreason`. Raises StudyError if
    a number has no notebook.
    """
    found = {path.stem.partition("_")[0]: path for path in sorted(paths.NOTEBOOKS.glob("*.ipynb"))}
    missing = [number for number in only or [] if number not in found]
    if missing or not found:
        there = ", ".join(found) or "none"
        raise StudyError(f"no notebook {' '.join(missing) or 'NN_verb.ipynb'} in "
                         f"{paths.relative(paths.NOTEBOOKS)}: there are {there}")
    return [path for number, path in found.items() if number in (only or MAIN)]


def parameters_for(notebook: Path, values: dict) -> dict:
    """The part of `values` that the notebook's parameters cell knows.

    Raises StudyError if it does not know `profile` and `run`.
    """
    import papermill

    known = papermill.inspect_notebook(str(notebook))
    lacking = [name for name in ("profile", "run") if name not in known]
    if lacking:
        raise StudyError(f"{notebook.name}: its parameters cell lacks {' and '.join(lacking)}")
    return {name: value for name, value in values.items() if name in known}


def study_name(profile: str, extra: dict) -> str:
    """The name of a study's run: "study", and what its training differs in from the profile.

    Raises StudyError for a value of `extra` that makes no sense.
    """
    given = {name: value for name, value in extra.items() if name in TrainParams.model_fields}
    try:
        plain, made = (TrainParams(**{"profile": profile} | of).run for of in ({}, given))
    except ParameterError as error:
        raise StudyError(error) from None
    return "study" if made == plain else f"study_{made}"


def run_study(profile: str = "nano", run: str = "study", only: list[str] | None = None,
              extra: dict | None = None) -> list[Path]:
    """Execute the notebooks; paths of the executed ones, below build/study/<run>/.

    extra: further parameters, each for the notebooks that know it.
    Raises StudyError if a name of `extra` is known to none of them, or a notebook fails.
    """
    import papermill
    from papermill.exceptions import PapermillExecutionError

    values = {**(extra or {}), "profile": profile, "run": run}
    plan = [(path, parameters_for(path, values)) for path in numbered_notebooks(only)]
    unused = set(values).difference(*(given for _, given in plan))
    if unused:
        raise StudyError(f"no notebook knows {', '.join(sorted(unused))}")
    folder = paths.STUDY / run
    folder.mkdir(parents=True, exist_ok=True)
    executed, seconds = [], {}
    for number, (path, given) in enumerate(plan, 1):
        output = folder / path.name
        print(f"[{number}/{len(plan)}] {path.stem} -> {paths.relative(output)}", flush=True)
        start = time.monotonic()
        try:
            papermill.execute_notebook(str(path), str(output), given, cwd=str(paths.ROOT))
        except PapermillExecutionError as error:
            raise StudyError(f"{path.name} failed in cell {error.cell_index}: {error.ename}: "
                             f"{error.evalue}\nas far as it came: {paths.relative(output)}"
                             ) from None
        seconds[path.stem] = round(time.monotonic() - start, 1)
        print(f"      {seconds[path.stem]:.0f} s", flush=True)
        executed.append(output)
    write_json(folder / "cost.json", cost(seconds))
    return executed


def cost(seconds: dict[str, float]) -> dict:
    """What the notebooks took: seconds each and together, peak memory of the largest kernel.

    peak_memory_bytes: of the largest process that this one started; None on Windows.
    """
    try:
        import resource
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    except ImportError:
        peak = None
    scale = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux KiB
    commit, dirty = git_commit()
    return {"seconds": seconds, "total_seconds": round(sum(seconds.values()), 1),
            "peak_memory_bytes": None if peak is None else peak * scale,
            "hardware": hardware(), "commit": commit, "dirty": dirty}


def cost_table(costs: dict) -> str:
    """Seconds of each notebook, from `results/costs.json` (`study`: what `cost` returned)."""
    lines = ["| notebook | seconds |", "|---|---|"]
    lines += [f"| `{name}` | {value:.0f} |" for name, value in costs["study"]["seconds"].items()]
    return "\n".join(lines)


def cost_sentence(costs: dict) -> str:
    """Time and memory of study and tests, with the machine they were measured on.

    costs: study (what `cost` returned), install_seconds, test_seconds.
    """
    study = costs["study"]
    minutes = study["total_seconds"] / 60
    with_set_up = minutes + costs["install_seconds"] / 60
    return (f"`make study` takes {minutes:.1f} minutes, {with_set_up:.1f} with the installation; "
            f"its largest process holds {study['peak_memory_bytes'] / 2**30:.1f} GiB. `make test` "
            f"takes {costs['test_seconds'] / 60:.1f} minutes after the installation. Measured on "
            f"{study['hardware']['cores']} cores of a shared machine "
            f"({study['hardware']['cpu']}), commit {study['commit'][:10]}.")


def describe_outputs(run: str, executed: list[Path]) -> str:
    """Where the run's figures, tables and executed notebooks are, one file a line."""
    lines = []
    try:
        found = find_run(run)
    except RunError as error:
        return f"no files of the run: {error}"
    for title in ("figures", "tables"):
        folder = found.path(title)
        files = sorted(path for path in folder.glob("**/*") if path.is_file())
        lines.append(f"{title}:" if files else f"{title}: none in {paths.relative(folder)}")
        lines += [f"  {paths.relative(path)}" for path in files]
    lines.append(f"run: {paths.relative(found.folder)}")
    lines.append("executed notebooks:")
    lines += [f"  {paths.relative(path)}" for path in executed]
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """`python scripts/study.py`: run it, then print where everything is."""
    parser = argparse.ArgumentParser(prog="python scripts/study.py")
    parser.add_argument("--profile", default="nano", help="a file of params/, or auto")
    parser.add_argument("--run", help="name of the run; else study, and what differs")
    parser.add_argument("--only", nargs="+", metavar="NN",
                        help="numbers of notebooks, or nanoreason, all in one")
    parser.add_argument("-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"),
                        help="a further parameter, its value as YAML")
    options = parser.parse_args(arguments)
    extra = {name: yaml.safe_load(value) for name, value in options.p}
    try:
        run = options.run or study_name(options.profile, extra)
        executed = run_study(options.profile, run, options.only, extra)
    except StudyError as error:
        print(f"study stopped: {error}", file=sys.stderr)
        return 1
    print(describe_outputs(run, executed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
