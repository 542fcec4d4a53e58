"""Training in two phases: what each needs, and the reasoning adapter of a finished run.

`joint` trains both adapters at once. `reasoning` trains the reasoning adapter alone.
`verification` takes the reasoning adapter of such a run, freezes it, and trains a new
verification adapter on planted errors and on the errors that the frozen adapter makes:

    train(TrainParams(phase="reasoning", run="a"))
    train(TrainParams(phase="verification", reasoning_run="a", run="b"))
"""
from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file

from nanoreason.routing import adapter_parameters
from nanoreason.runs import Run, RunError, find_run
from nanoreason.standing import require_finished

MUST_MATCH = ("base", "routing", "rank", "alpha")


def find_reasoning(params) -> Run | None:
    """The run whose reasoning adapter `params` builds on; None outside phase verification.

    Raises `RunError` where there is no such run, it has no reasoning adapter, or it was
    trained with another base, routing, rank or alpha.
    """
    if params.phase != "verification":
        return None
    run = find_run(params.reasoning_run)
    require_finished(run)
    if not reasoning_file(run).is_file():
        raise RunError(f"run {run.name} has no reasoning adapter: finish its training first "
                       "(phase=reasoning or joint), or name another run in reasoning_run")
    there: Mapping = run.read_params()
    other = [f"{name}={there.get(name)!r} there and {getattr(params, name)!r} here"
             for name in MUST_MATCH if there.get(name) != getattr(params, name)]
    if other:
        raise RunError(f"the reasoning adapter of run {run.name} does not fit: "
                       f"{', '.join(other)}; give the same values")
    return run


def reasoning_file(run: Run) -> Path:
    """Where a run keeps the weights of its reasoning adapter."""
    return run.path("adapters") / "reasoning" / "adapter_model.safetensors"


def reasoning_sha256(run: Run) -> str:
    """Hexadecimal sha256 of the file with a run's reasoning adapter."""
    return hashlib.sha256(reasoning_file(run).read_bytes()).hexdigest()


@torch.no_grad()
def take_reasoning(model, run: Run) -> None:
    """Copy a run's reasoning adapter into the model's, bit for bit; `tune` freezes it.

    Raises `RunError` where the weights there and here differ in name or shape.
    """
    weights = load_file(reasoning_file(run))
    for name, parameter in adapter_parameters(model, "reasoning"):
        weight = weights.pop(name.replace(".reasoning.", "."), None)
        if weight is None or weight.shape != parameter.shape:
            found = "missing" if weight is None else f"of shape {tuple(weight.shape)}"
            raise RunError(f"run {run.name}: {name} is {found}, and here it is of shape "
                           f"{tuple(parameter.shape)}; the adapters are of different models")
        parameter.copy_(weight)
    if weights:
        raise RunError(f"run {run.name} adapts {next(iter(weights))}, which this model has not; "
                       "the adapters are of different models")
