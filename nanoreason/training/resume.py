"""What makes two trainings the same one, and what happens to another one in its place.

A training may go on from a checkpoint, and a finished one be taken as it is, only if all
that decides its adapters is equal: the deciding parameters (`Params.deciding`), the encoded
rows (so changed data are seen, whatever they are called), the weights of the base and of
the adapter that it builds on, and RECIPE. Everything else is recorded: paths, batch, memory
and chunk sizes, device, type of the forward, number of processes, versions of the libraries
and of this project. Where those of BITS change on the way, the adapters come out near the
same numbers though not bit for bit, and a line says so.

Another training that is finished stays: the call is refused, and says what differs. Another
one that is not finished is set aside with all that stands beside it.
"""
from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transformers import AutoConfig

from nanoreason import paths
from nanoreason.files import (DamagedError, read_manifest, set_aside, sync, to_json,
                              write_manifest, write_text)
from nanoreason.model.adapters import ROUTING_FILE, adapters_sha256, load_adapters
from nanoreason.model.base import Location, load_base, locate
from nanoreason.model.base import told as told_of_base
from nanoreason.params.sets import TrainParams
from nanoreason.runs import EVALUATED, FINISHED, Run, RunError, check_manifest, find_run
from nanoreason.training.checkpoints import Checkpoint, Checkpoints

RECIPE = 1  # raised where a change of the code makes other adapters of the same rows
BITS = ("micro_batch_size", "micro_batch_tokens", "gradient_checkpointing", "unpack", "device",
        "dtype", "processes")  # of a step that is computed in another order
CHECKPOINTS = "checkpoints"
STARTS = "starts.txt"  # a line for every session that began to train: the step it began at
# What a training leaves before it has computed anything that could be lost.
BEGUN = ("params.yaml", STARTS, CHECKPOINTS, "on_policy.jsonl")


def identity(params: TrainParams, base: Location, device: str, dtype: str, processes: int,
             **hashes: str) -> dict[str, Any]:
    """The identity of a training, JSON values.

    base: where its base was found. device: "cpu" or "cuda". dtype: of the forward, e.g.
    "float32". processes: replicas of the model that share each optimiser step. hashes: of
    the rows and of the adapter that it builds on, as far as they are known.
    """
    deciding = params.deciding()
    recorded = {name: value for name, value in params.as_dict().items() if name not in deciding}
    return {"parameters": deciding, "base_version": base_version(base), "recipe": RECIPE,
            **hashes, "recorded": recorded | {"device": device, "dtype": dtype,
                                              "processes": processes}}


def base_version(base: Location) -> str | None:
    """Which weights a base is: its version, else the hub's commit.

    None where the hub's cache does not say its commit.
    """
    if base.version is None:  # not in the cache when it was looked for
        with told_of_base(base.base):
            return getattr(AutoConfig.from_pretrained(base.path), "_commit_hash", None)
    return base.version


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple]:
    """What decides the adapters and differs between two identities: name to (old, new).

    A parameter that an older identity does not name is at its default. Other rows are told
    by the names that they come from, where those differ too.
    """
    fields = TrainParams.model_fields
    old, new = before.get("parameters", {}), now["parameters"]
    found = {name: (old.get(name, fields[name].default), value) for name, value in new.items()}
    hashes = {name: (before[name], now[name]) for name in now.keys() & before.keys()
              - {"parameters", "recorded", "recipe"}}
    found["recipe"] = before.get("recipe", 1), now["recipe"]
    recorded = before.get("recorded", {})
    named = {name: (recorded.get(name, fields[name].default), value)
             for name, value in now["recorded"].items() if name in TrainParams.by_content}
    if len(set(hashes.get("rows_sha256", ()))) > 1:
        del hashes["rows_sha256"]
        found |= {name: both for name, both in named.items() if both[0] != both[1]} or {
            "data": (f"{named['data'][0]} with other rows", named["data"][1])}
    return {name: both for name, both in (found | hashes).items()
            if to_json(both[0]) != to_json(both[1])}


def told(changes: Mapping[str, tuple]) -> str:
    """Differences as words: "verify_weight was 1.0 and is 2.0 now"."""
    return "; ".join(f"{name} was {_short(old)} and is {_short(new)} now"
                     for name, (old, new) in changes.items())


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else to_json(value)
    if len(text) <= 60:
        return text
    return f"...{text[-60:]}" if "/" in text else f"{text[:12]}..."  # a path, or a hash


@dataclass(frozen=True)
class TrainingState:
    """How far a training has come.

    finished: the run has all its files. checkpoint: where it goes on, None: at the start.
    starts: sessions that have begun to train it, with this one.
    """

    run: Run
    checkpoints: Checkpoints
    finished: bool = False
    checkpoint: Checkpoint | None = None
    starts: int = 1

    def seal(self) -> None:
        """Mark the run as finished; its checkpoints are not needed any more."""
        sync(self.run.path("adapters"))
        files = [path for path in self.run.path("adapters").rglob("*") if path.is_file()]
        write_manifest(self.run.folder, self.checkpoints.identity, {}, FINISHED,
                       [*files, self.run.path("metrics.csv")])
        self.clear()

    def clear(self) -> None:
        """Remove what only an unfinished training needs."""
        self.checkpoints.clear()
        self.run.path(STARTS).unlink(missing_ok=True)


def make_way(params: TrainParams, what: Mapping[str, Any], fresh: bool = False) -> bool:
    """Leave in the folder of `params.run` only what the training `what` may go on from.

    what: its identity, which need not name its rows yet. fresh: nothing of what is there
    stays. Returns whether the training is finished. Raises RunError where another one is.
    """
    run = Run(paths.RUNS / params.run)
    if fresh and run.folder.exists():
        gone = run.folder.with_name(f".{run.name}.gone")
        shutil.rmtree(gone, ignore_errors=True)  # of a session that was killed here
        shutil.rmtree(run.folder.rename(gone))
    if not run.folder.exists():
        return False
    there, finished = None, run.path(FINISHED).exists()
    try:
        if finished:
            there = read_manifest(run.folder, FINISHED)["identity"]
    except (DamagedError, KeyError) as error:
        print(f"the files of run {run.name} are damaged ({error})")
    if there is None and not finished:
        checkpoint = Checkpoints(run.path(CHECKPOINTS), what, 0.0).latest()
        there = checkpoint and checkpoint.identity
        if all(path.name.startswith(BEGUN) for path in run.folder.iterdir()):
            there = there or what
    changes = differences(there, what) if there else {}
    if finished and changes:
        raise RunError(
            f"run {run.name} is finished, and this is another training: {told(changes)}. Nothing "
            "was changed: give this one another name (-p run NAME), or let it take the place of "
            "the finished one (-p fresh True)")
    if there is None or changes:
        why = f"was another training ({told(changes)})" if changes else \
            "is not whole" if finished else "holds files that no training can go on from"
        print(f"run {run.name} {why}: it is kept as {paths.relative(set_aside(run.folder))}")
    return finished and there is not None


def open_training(params: TrainParams, what: Mapping[str, Any]) -> TrainingState:
    """How far the training of this identity has come in `params.run`, after `make_way`.

    Of several processes the first alone asks: while it writes, the others would find half.
    """
    run = Run(paths.RUNS / params.run)
    checkpoints = Checkpoints(run.path(CHECKPOINTS), what, params.checkpoint_gigabytes)
    if make_way(params, what):
        TrainingState(run, checkpoints).clear()  # killed between the seal and the clearing
        print(f"run {run.name} is finished with these parameters: nothing is trained again "
              "(fresh=True would)")
        return TrainingState(run, checkpoints, finished=True)
    checkpoint, starts = checkpoints.latest(), _starts(run)
    starts.append(str(checkpoint.step if checkpoint else 0))
    write_text(run.path(STARTS), "".join(f"{step}\n" for step in starts))
    if checkpoint is not None:
        there, here = checkpoint.identity.get("recorded", {}), what["recorded"]
        other = {name: (there.get(name), here[name]) for name in BITS
                 if there.get(name) != here[name]}
        print(f"run {run.name} goes on from step {checkpoint.step}" + (
            f": the same training, no longer bit for bit ({told(other)})" if other else ""))
    return TrainingState(run, checkpoints, False, checkpoint, len(starts))


def _starts(run: Run) -> list[str]:
    """The sessions so far; a damaged record of them is set aside."""
    path = run.path(STARTS)
    lines = path.read_bytes().split() if path.exists() else []
    if all(line.isdigit() for line in lines):
        return [line.decode() for line in lines]
    print(f"{STARTS} of run {run.name} is damaged: it is kept as {set_aside(path).name}, and "
          "sessions are counted anew")
    return []


def require_finished(run: Run) -> None:
    """Raise RunError if a training of this run has begun and not ended."""
    if run.path(STARTS).exists() and not run.path(FINISHED).exists():
        raise RunError(f"the training of run {run.name} is not finished: train it again with "
                       "the same parameters, it goes on where it stopped")


def check_base(run: Run, found: Location) -> None:
    """Refuse weights of the same name other than those that a run's adapters were made for.

    Raises `RunError`, naming the first file that differs. A run that did not record its base
    passes.
    """
    made_for = run.read_environment().get("base") if run.has("environment.json") else None
    if not made_for:
        return
    there, here = made_for.get("files"), found.files
    odd = [name for name in sorted({*there, *here}) if there.get(name) != here.get(name)] \
        if there and here else []
    if made_for["version"] in (found.version, None) and not odd:
        return
    raise RunError(f"run {run.name} was trained on {made_for['base']} from the "
                   f"{made_for['source']} ({made_for['version']}), but here it comes from the "
                   f"{found.source} ({found.version})"
                   + (f", where {odd[0]} is another file" if odd else "")
                   + ": bring the same weights, or train again")


def check_adapters(run: Run) -> None:
    """Raise RunError where a run is not finished, or its adapters are not there as written."""
    require_finished(run)
    folder = run.path("adapters")
    if not (folder / ROUTING_FILE).is_file():
        raise RunError(f"run {run.name} has no adapters, only what they wrote "
                       f"({paths.relative(folder)} lacks {ROUTING_FILE}): train it again (-p fresh "
                       "True), or name another run")
    check_manifest(folder)


def load_run(name: str):
    """(model with both adapters, tokenizer, parameters as a mapping) of a finished run.

    Raises `RunError` if there is no such run, its training is not finished, a file of its
    adapters is not as it was written, the base found here is not the one it was trained on, or
    it has no adapters.
    """
    run = find_run(name)
    check_adapters(run)
    params, folder = run.read_params("base", "quantisation", "data"), run.path("adapters")
    check_base(run, locate(params["base"]))
    model, tokenizer = load_base(params["base"], params["quantisation"])
    model = load_adapters(model, folder)
    trained, found = run.recorded("adapters_sha256", "training", EVALUATED), adapters_sha256(model)
    if trained not in (None, found):
        raise RunError(f"{paths.relative(folder)} holds other adapters ({found[:12]}) than run "
                       f"{run.name} was trained to ({trained[:12]}): bring them back, or train "
                       "again (-p fresh True)")
    return model, tokenizer, params
