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
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from nanoreason.params.profiles import choose_profile, load_profile, profile_names

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


KINDS: dict[str, type[Params]] = {}  # every set by its kind, in order of definition


class Params(BaseModel):
    """What all sets share: `profile`, `run`, `seed`, and how values come together.

    Raises ParameterError for an unknown name, a wrong type or a value out of range.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
    kind: ClassVar[str] = "any"
    _profile_reason: str = PrivateAttr(default="")

    profile: str = Field("nano", description="a file of params/, or auto")
    run: Name = Field("scratch", description="text of letters, digits, "
                      "dots, _ and - (papermill -r passes digits as text)")
    seed: Seed = Field(0, description="a whole number from 0 on")

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        if "kind" in vars(cls):
            KINDS[cls.kind] = cls

    def __init__(self, **given: Any) -> None:
        given = {name: value for name, value in given.items() if value is not None}
        for name in given:
            if name not in type(self).model_fields:
                raise ParameterError(unknown(name, type(self)))
        profile, reason = _profile(given.get("profile", "nano"))
        merged = {**_profile_values(profile, type(self)), **given, "profile": profile}
        try:
            super().__init__(**merged)
        except ValidationError as error:
            raise ParameterError(_sentence(error, type(self), given, profile)) from None
        self._profile_reason = reason

    @property
    def profile_reason(self) -> str:
        """Why this profile: asked for by name, or chosen for the hardware found."""
        return self._profile_reason

    def as_dict(self) -> dict:
        """Name to plain value, in order of definition: what `params.yaml` holds."""
        return self.model_dump(mode="json")


def owners(name: str) -> list[str]:
    """The kinds of the sets that have a parameter `name`."""
    return [kind for kind, set_ in KINDS.items() if name in set_.model_fields]


def unknown(name: str, set_: type[Params]) -> str:
    """The sentence for a name that a set lacks."""
    elsewhere = {name: owners(name)} if owners(name) else {}
    return unknown_name(name, set_.kind, set_.model_fields, elsewhere)


def _profile(name: Any) -> tuple[str, str]:
    """The profile's file name, and the reason for it."""
    names = profile_names()
    if name == "auto":
        return choose_profile()
    if name not in names:
        raise ParameterError(bad_value("profile", name, f"auto or one of {', '.join(names)}"))
    return name, f"{name}, asked for by name"


def _profile_values(profile: str, set_: type[Params]) -> dict[str, Any]:
    """What the profile says about the parameters of `set_`."""
    values = load_profile(profile)
    for name in values:
        if not owners(name):
            raise ParameterError(f"params/{profile}.yaml: {unknown(name, set_)}")
    return {name: value for name, value in values.items() if name in set_.model_fields}


def _sentence(error: ValidationError, set_: type[Params], given: Mapping, profile: str) -> str:
    """The first of pydantic's complaints, as one sentence."""
    first = error.errors(include_url=False)[0]
    if not first["loc"]:
        return first["msg"].removeprefix("Value error, ")
    name = first["loc"][0]
    values = given if name in given else load_profile(profile)
    origin = "" if name in given else f" in params/{profile}.yaml"
    return bad_value(name, values[name], set_.model_fields[name].description, origin)
