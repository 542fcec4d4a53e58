"""What is lost when a session is killed, two run at once, the disk fills up, or bytes go bad?

    python benchmarks/faults.py [OUT.json] [PART ...]

Without the name of a part, those that OUT lacks are measured; each is written when it ends.
`training`, `evaluation` and `metrics` (notebook 04's cells) are killed with SIGKILL again and
again, each kill at a random moment, every other one as soon as the run's files change; every
run must end as the unbroken one did. `pairs` starts two processes on one run
at once: each must end, or be refused in a sentence that names the other, and the run must
come out as if there had been one. `full` gives training and evaluation a disk (a mounted
tmpfs, which takes root) that fills up at some point; they must stop with one sentence, keep
what was there, and end as the unbroken ones once there is room. `mutations` damages files
of a run and single rows: each must be read, or refused in one line, within a second, and no
row but the damaged one may be lost.

Sessions are forked from a server that has imported the package and done nothing else, which
saves the seconds of the import and nothing of the work. All is seeded but the machine's pace.
"""
from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path

from result import write_result

from nanoreason import environment, paths
from nanoreason.files import read_mapping, to_json
from nanoreason.runs import Run, RunError, row_key

SEED = 0
COUNTS = {"training": 40, "evaluation": 40, "metrics": 10, "pairs": 20, "full": 20,
          "mutations": 100_000}
TRAIN = {"profile": "nano-switch", "traces": 12, "epochs": 2, "batch_size": 4,
         "micro_batch_size": 4, "seed": 3, "dropout": 0.1, "dynamic": "dwa",
         "checkpoint_minutes": 0.0}
EVALUATE = {"profile": "nano-switch", "n": 12, "splits": ["test"], "interventions": 4,
            "max_new_tokens": 24, "batch_tokens": 2000, "baseline": False}
LONGEST = 600.0  # seconds that any session may take, on a busy machine too


# -- what is done, each in a process of its own

def train_run(name: str) -> None:
    from nanoreason.params import TrainParams
    from nanoreason.training import train

    train(TrainParams(**TRAIN, run=name))


def evaluate_run(name: str) -> None:
    from nanoreason.evaluation.generate import evaluate
    from nanoreason.params import EvaluateParams
    from nanoreason.training.resume import load_run

    evaluate(EvaluateParams(**EVALUATE, run=name), *load_run(name)[:2])


def score_run(name: str) -> None:
    """The cells of notebook 04, one after the other."""
    import nbformat
    from IPython.core.interactiveshell import InteractiveShell

    book, shell = nbformat.read(paths.NOTEBOOKS / "04_metrics.ipynb", 4), InteractiveShell()
    for cell in (cell for cell in book.cells if cell.cell_type == "code"):
        given = f"\nrun = {name!r}" if "parameters" in cell.metadata.get("tags", []) else ""
        done = shell.run_cell(cell.source + given, store_history=True)
        done.raise_error()


WORK = {"training": train_run, "evaluation": evaluate_run, "metrics": score_run}


def _session(folder: Path, what: str, name: str) -> None:
    """One call, its runs below `folder`; what it says goes to a log, its error last."""
    paths.RUNS, paths.RESULTS = folder, folder / "none"
    with _log(folder, os.getpid()).open("w") as log, redirect_stdout(log), redirect_stderr(log):
        try:
            WORK[what](name)
        except RunError as error:
            print(f"\n{error}", flush=True)
            os._exit(1)


def _log(folder: Path, process: int) -> Path:
    """Beside the folder, which may be a disk that is full."""
    logs = folder.with_name(f"{folder.name}.logs")
    logs.mkdir(exist_ok=True)
    return logs / f"{process}.log"


def start(folder: Path, what: str, name: str):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["nanoreason.training", "nanoreason.evaluation.generate"])
    process = context.Process(target=_session, args=(folder, what, name))
    process.start()
    return process


def said(folder: Path, process) -> str:
    """The last line that a session wrote."""
    text = _log(folder, process.pid).read_text().strip()
    return text.splitlines()[-1] if text else ""


def ended(folder: Path, what: str, name: str, process=None) -> str:
    """Let a session end by itself. Raises RuntimeError, with its last line, where it fails."""
    process = process or start(folder, what, name)
    process.join(LONGEST)
    if process.exitcode != 0:
        raise RuntimeError(f"{what} of {name}: {process.exitcode}, {said(folder, process)}")
    return said(folder, process)


# -- what came of it

def outcome(what: str, run: Run):
    """What must be equal: adapters and steps, rows by their name, or scores and tables."""
    if what == "training":
        return (run.read_environment()["training"]["adapters_sha256"],
                run.path("metrics.csv").read_bytes())
    if what == "evaluation":
        rows, faults = run.scan_generations()
        count = len(run.path("generations.jsonl").read_bytes().splitlines())
        return {row_key(row): row for row in rows}, faults, count
    return run.path("summary.json").read_bytes().replace(run.name.encode(), b""), {
        path.name: path.read_bytes() for path in run.tables.iterdir()}


def prepared(folder: Path, what: str, name: str) -> Run:
    """A run that is ready for `what`: the trained one, evaluated for its metrics."""
    if what != "training":
        source = "trained" if what == "evaluation" else "evaluated"
        shutil.copytree(folder / source, folder / name, dirs_exist_ok=True)
    return Run(folder / name)


def workplace() -> Path:
    """A folder of runs with one that is trained and one that is evaluated too."""
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    ended(folder, "training", "trained")
    prepared(folder, "evaluation", "evaluated")
    ended(folder, "evaluation", "evaluated")
    return folder


def _state(run: Run) -> set:
    found = set()
    # Not rglob: a folder that goes while it is listed, `os.walk` passes over.
    for folder, folders, files in os.walk(run.folder):
        for path in (Path(folder, name) for name in (*folders, *files)):
            try:
                found.add((str(path), path.stat().st_size, path.stat().st_mtime_ns))
            except OSError:  # gone since it was listed
                continue
    return found


def kill_once(process, run: Run, aimed: bool, delay: float) -> dict | None:
    """Kill a session after `delay` seconds; what was known then. None if it ended first.

    aimed: kill at the first change of the run's files from then on.
    """
    began = time.monotonic()
    process.join(delay)
    before = _state(run) if aimed else set()
    while aimed and process.is_alive() and _state(run) == before \
            and time.monotonic() < began + LONGEST:
        time.sleep(0.0005)
    if not process.is_alive():
        return None
    process.kill()
    process.join()
    return {"run": run.name, "seconds": round(time.monotonic() - began, 3), "aimed": aimed}


def kill(what: str, kills: int, folder: Path, seed: int = SEED) -> dict:
    """Kill `kills` sessions of `what`; the kills, the runs, and how many ended unequal."""
    rng = random.Random(f"{what}/{seed}")
    unbroken, began = prepared(folder, what, f"{what}-unbroken"), time.monotonic()
    ended(folder, what, unbroken.name)
    span, wanted = time.monotonic() - began, outcome(what, unbroken)
    done, runs = [], []
    while len(done) < kills:
        run, killed = prepared(folder, what, f"{what}-{len(runs)}"), 0
        while len(done) < kills:
            process = start(folder, what, run.name)
            found = kill_once(process, run, len(done) % 2 == 1, rng.uniform(0, span))
            if found is None:
                break
            done.append(found)
            killed += 1
        ended(folder, what, run.name)
        runs.append({"run": run.name, "kills": killed, "equal": outcome(what, run) == wanted})
    return {"kills": done, "aimed": sum(found["aimed"] for found in done), "runs": runs,
            "unequal": sum(not run["equal"] for run in runs), "unbroken_seconds": round(span, 1)}


PAIRS = (("training", "training"), ("evaluation", "evaluation"), ("evaluation", "metrics"),
         ("metrics", "metrics"))


def pairs(count: int, folder: Path) -> dict:
    """Two processes on one run at once, `count` times; `unequal`: runs that came out otherwise
    than from one process after the other, `unsaid`: refusals that name no holder."""
    wanted, result = {}, {"pairs": count, "both_ended": 0, "refused": 0, "unsaid": 0, "unequal": 0}
    for number in range(count):
        both = PAIRS[number % len(PAIRS)]
        first = "metrics" if "metrics" in both else both[0]
        run = prepared(folder, first, f"pair-{number}")
        made = [start(folder, what, run.name) for what in both]
        for process in made:
            process.join(LONGEST)
        lines = [said(folder, process) for process in made if process.exitcode]
        result["both_ended" if not lines else "refused"] += 1
        result["unsaid"] += sum("is held by process" not in line for line in lines)
        for what in dict.fromkeys(both):
            ended(folder, what, run.name)
            if what not in wanted:
                one = prepared(folder, what, f"pair-one-{what}")
                ended(folder, what, one.name)
                wanted[what] = outcome(what, one)
            result["unequal"] += outcome(what, run) != wanted[what]
    return result


def full(points: int, folder: Path) -> dict | None:
    """A disk that is full at `points` points of training and evaluation, spread over what an
    unbroken session takes of it; None without root.

    stopped: sessions that ended with the sentence, `unsaid` with another one; unequal: runs
    that, given room, ended unlike the unbroken one, or runs beside them that were changed.
    """
    disk, wanted, most = folder / "disk", {}, {}
    result = {"points": points, "stopped": 0, "ended": 0, "unsaid": 0, "unequal": 0}
    disk.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", disk]
                                      ).returncode:
        return None
    try:
        for number in range(points + 2):
            what = ("training", "evaluation")[number % 2]
            for path in disk.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            beside = Run(shutil.copytree(folder / "evaluated", disk / "beside"))
            if what == "evaluation":
                shutil.copytree(folder / "trained", disk / "run")
            before, need = _contents(beside), shutil.disk_usage(disk).used
            if what not in wanted:
                most[what] = _most(disk, what) - need
                wanted[what] = outcome(what, Run(disk / "run"))
                continue
            room = need + int(most[what] * (number // 2 - 0.5) / (points // 2))
            subprocess.run(["mount", "-o", f"remount,size={room}", disk], check=True)
            process = start(disk, what, "run")
            process.join(LONGEST)
            stopped = process.exitcode != 0
            result["stopped" if stopped else "ended"] += 1
            subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
            result["unsaid"] += stopped and "the disk is full" not in said(disk, process)
            ended(disk, what, "run")
            result["unequal"] += outcome(what, Run(disk / "run")) != wanted[what] \
                or _contents(beside) != before
    finally:
        subprocess.run(["umount", disk], check=True)
    return result


def _contents(run: Run) -> dict:
    return {path: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}


def _most(disk: Path, what: str) -> int:
    """The bytes of the disk that were taken at most while a session ran."""
    process, most = start(disk, what, "run"), 0
    while process.is_alive():
        most = max(most, shutil.disk_usage(disk).used)
        process.join(0.002)
    ended(disk, what, "run", process)
    return most


TOKENS = (b"NaN", b"1e999", b"9" * 5000, b"[" * 2000, b"{", b"null", b"\xff\xfe", b"\x00",
          b'"\\ud800"', b"&a *a", b"!!python/object:os.system", b"\n", b"\r", b",", b"-", b": ",
          b"2026-02-30", b"\xed\xa0\x80")


def mutated(content: bytes, rng: random.Random) -> bytes:
    """The content with one fault: a bit, a piece lost or put in, an end cut off, or nothing."""
    place, end = sorted(rng.randrange(len(content) + 1) for _ in range(2))
    kind = rng.randrange(6)
    if kind == 0 and place < len(content):
        flipped = bytes([content[place] ^ 1 << rng.randrange(8)])
        return content[:place] + flipped + content[place + 1:]
    return (content[:place] + content[end:], content[:place] + rng.choice(TOKENS) + content[place:],
            content[:place] + rng.randbytes(end - place) + content[end:],
            content[:place] + rng.choice(TOKENS) + content[end:], content[:place],
            b"")[kind]


def readers(run: Run) -> dict[str, Callable[[], object]]:
    """How each file of a run is read."""
    from nanoreason.evaluation.generate import recorded
    from nanoreason.files import read_manifest
    from nanoreason.training.resume import FINISHED

    return {"params.yaml": run.read_params, "environment.json": run.read_environment,
            "summary.json": run.read_summary, "metrics.csv": run.read_metrics,
            "evaluate.yaml": partial(recorded, run),
            FINISHED: partial(read_manifest, run.folder, FINISHED)}


def mutations(count: int, folder: Path, seed: int = SEED) -> dict:
    """Read `count` damaged files and rows, two rows for each file.

    uncaught: errors other than RunError, by kind; slow: above a second; lost: rows beside
    the damaged one that were not read; long: refusals of more than a line of 300 signs
    (seconds of this process, which a busy machine does not stretch).
    """
    rng, run = random.Random(f"mutations/{seed}"), Run(folder / "mutated")
    shutil.copytree(folder / "evaluated", run.folder)
    run.write_summary({"svr": 0.5, "counts": {"n": [1, 2]}, "note": "Đúng"})
    read = readers(run)
    whole = {name: run.path(name).read_bytes() for name in read}
    rows = run.read_generations()[:4]
    lines = [to_json(row).encode() + b"\n" for row in rows]
    result = {"count": count, "read": 0, "refused": 0, "uncaught": {}, "slow": 0, "long": 0,
              "lost_rows": 0, "slowest_seconds": 0.0}
    for number in range(count):
        name = rng.choice(list(read)) if number % 5 == 0 else "generations.jsonl"
        if name in read:
            run.path(name).write_bytes(mutated(whole[name], rng))
        else:
            at = rng.randrange(len(lines))
            damaged = mutated(lines[at][:-1], rng) + b"\n"
            run.path(name).write_bytes(b"".join([*lines[:at], damaged, *lines[at + 1:]]))
        began = time.process_time()
        try:
            found = read[name]() if name in read else run.scan_generations()[0]
            result["read"] += 1
            if name not in read:
                result["lost_rows"] += sum(
                    row not in found for i, row in enumerate(rows) if i != at)
        except RunError as error:
            result["refused"] += 1
            result["long"] += len(str(error)) > 300 or "\n" in str(error)
        except Exception as error:
            kind = f"{name}: {type(error).__name__}"
            result["uncaught"][kind] = result["uncaught"].get(kind, 0) + 1
        seconds = time.process_time() - began
        result["slow"] += seconds > 1
        result["slowest_seconds"] = round(max(result["slowest_seconds"], seconds), 3)
        if name in read:
            run.path(name).write_bytes(whole[name])
    return result


def measure(part: str) -> dict | None:
    """A part's numbers, and the seconds that it took."""
    work = {"pairs": pairs, "full": full, "mutations": mutations}.get(part) or partial(kill, part)
    folder, began = workplace(), time.monotonic()
    try:
        found = work(COUNTS[part], folder)
        return found and found | {"seconds": round(time.monotonic() - began, 1),
                                  "environment": environment.describe()}
    finally:
        shutil.rmtree(folder)
        shutil.rmtree(folder.with_name(f"{folder.name}.logs"))


def main(arguments: list[str]) -> None:
    """`python benchmarks/faults.py [OUT.json] [PART ...]`"""
    out = Path(arguments[0]) if arguments else paths.RESULTS / "faults.json"
    found = read_mapping(out) if out.exists() else {}
    for part in arguments[1:] or [part for part in COUNTS if part not in found]:
        found[part] = measure(part)
        write_result(out, found | {"seed": SEED, "train": TRAIN, "evaluate": EVALUATE}, True)
        print(part, to_json({name: value for name, value in (found[part] or {}).items()
                             if name != "environment" and not isinstance(value, list)}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
