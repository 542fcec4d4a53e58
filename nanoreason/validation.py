"""What stands under the parameter sets: types, ranges, the names a notebook was given,
refusals.

A refusal is one sentence with the name, the value and what would be right. The names that
a notebook was given are found in its own cells, because papermill only warns about a name
that the notebook does not know, puts it into the kernel and goes on.
"""
from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

Count = Annotated[int, Field(ge=1)]
CountOrNone = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
Quantisation = Literal["nf4", "none"]

LITERALS = (bool, int, float, str, list, tuple, dict, type(None))


class ParameterError(ValueError):
    """A parameter that does not exist or has a value that makes no sense, in one sentence."""


def unknown_name(name: str, kind: str, known: Iterable[str], elsewhere: Mapping) -> str:
    """The sentence for a name that set `kind` lacks.

    known: names of the set; elsewhere: name -> kinds of the other sets that have it.
    """
    sentence = f"unknown parameter {name} for {kind}"
    if name in elsewhere:
        return f"{sentence}: it belongs to {', '.join(elsewhere[name])}"
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    if close:
        return f"{sentence}: did you mean {close[0]}?"
    return f"{sentence}: it has {', '.join(known)}"


def bad_value(name: str, value: Any, right: str, origin: str = "") -> str:
    """The sentence for a value that cannot be.

    right: what would be right, e.g. "a number, 0 or more"; origin: where the value stood.
    """
    sentence = f"{name}={value!r}{origin} is refused: {name} must be {right}"
    if isinstance(value, str) and _is_number(value):
        sentence += " (text here; in YAML write 1.0e-4, since 1e-4 is text)"
    return sentence


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def as_names(value: Any) -> Any:
    """A list of names given as list, or as text with commas (papermill -p), as a tuple."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return tuple(value) if isinstance(value, list) else value


def given_names(namespace: Mapping[str, Any]) -> list[str]:
    """The public names in a notebook's namespace that stand for parameters, in order.

    In a kernel: what is assigned in cells that hold nothing but literal assignments (the
    tagged parameters cell and papermill's injected one). Elsewhere, in a plain mapping
    or in a kernel that keeps no history (nbval's): every public name with a literal value.
    """
    cells = namespace.get("In")
    names = []
    if isinstance(cells, list) and "get_ipython" in namespace:
        names = [name for cell in cells for name in literal_assignments(cell)]
    if not names:
        names = [name for name, value in namespace.items()
                 if name not in ("In", "Out") and isinstance(value, LITERALS)]
    unique = dict.fromkeys(name for name in names if name in namespace)
    return [name for name in unique if not name.startswith("_")]


def literal_assignments(cell: str) -> list[str]:
    """The names that `cell` assigns if it holds only `name = literal` lines, else []."""
    try:
        body = ast.parse(cell).body
    except SyntaxError:  # a cell with magics is no parameters cell
        return []
    names = []
    for statement in body:
        match statement:
            case ast.Expr(value=ast.Constant(value=str())):
                continue
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                pass
            case _:
                return []
        if not _is_literal(value):
            return []
        names.append(name)
    return names


def _is_literal(node: ast.expr) -> bool:
    match node:
        case ast.Call(func=ast.Name(id="float"), args=[ast.Constant(value=str())]):
            return True  # how papermill writes nan and infinity
    try:
        ast.literal_eval(node)
    except (ValueError, TypeError):
        return False
    return True


def phase_fault(phase: str, run: str, reasoning_run: str | None, routing: str,
                on_policy_share: float) -> str | None:
    """Why these parameters of a training do not go together; None if they do."""
    if phase != "verification":
        given = {"reasoning_run": reasoning_run, "on_policy_share": on_policy_share}
        odd = next((name for name, value in given.items() if value), None)
        return odd and (f"{odd}={given[odd]!r} is of phase=verification, but phase={phase!r}; "
                        "leave it out")
    if routing == "single":
        return ("phase='verification' trains the second adapter, which routing='single' does "
                "not have: take switch or stack")
    if reasoning_run is None:
        return ("phase='verification' builds on a reasoning adapter: name in reasoning_run a "
                "run that was trained with phase='reasoning' (or 'joint')")
    if reasoning_run == run:
        return (f"reasoning_run and run are both {run!r}: give the new run another name, or it "
                "would write over the adapter that it builds on")
    return None


def form_fault(form: str, phase: str, error_share: float) -> str | None:
    """Why a free form does not go with these parameters; None if it does."""
    if form == "free" and error_share:
        return (f"form='free' has no VERIFY that could find an error, but error_share="
                f"{error_share!r}: give error_share=0")
    if form == "free" and phase != "joint":
        return f"form='free' has one stage, but phase={phase!r}: leave the phase out"
    return None
