"""How a parameter set comes together: what is given, the profile's values, refusals.

A profile is a file of `params/`: a flat mapping of parameter names to values, for all
notebooks at once and also good for `papermill -f`; its comment lines say what it is for, how
it is launched and what it needs. `auto` is no file: it picks one by the hardware found.

A refusal is one sentence with the name, the value and what would be right. The names that
a notebook was given are found in its own cells, because papermill only warns about a name
that the notebook does not know, puts it into the kernel and goes on.
"""
from __future__ import annotations

import ast
import difflib
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Annotated, Any, ClassVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError
from pydantic.fields import FieldInfo

from nanoreason import paths
from nanoreason.files import load_yaml
from nanoreason.host import GivenError, shown

GIB = 2**30
LIMITS = {"le": "at most {}", "lt": "below {}", "max_length": "at most {} characters"}
LITERALS = (bool, int, float, str, list, tuple, dict, type(None))

Name = Annotated[str, Field(
    pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100, description="text of letters, digits, "
    "dots, _ and - (digits alone: papermill -r, or quotes in YAML)")]
Seed = Annotated[int, Field(ge=0, lt=2**32, description="a whole number from 0 on")]


class ParameterError(GivenError):
    """A parameter that does not exist or has a value that makes no sense, in one sentence."""


def profile_names() -> tuple[str, ...]:
    """The profiles there are, in alphabetical order, without `auto`."""
    return tuple(sorted(path.stem for path in paths.PARAMS.glob("*.yaml")))


def load_profile(name: str) -> dict:
    """The values of profile `name` as they stand in its file, `profile` itself among them.

    Raises ParameterError if the file is no flat mapping; the caller knows that it exists.
    """
    return read_mapping(paths.PARAMS / f"{name}.yaml")[0]


def read_mapping(path: Path) -> tuple[dict, list[str]]:
    """The values of a YAML file of parameters, and its comment lines without their marks.

    Raises ParameterError, in one line, if the file is no YAML or no flat mapping of names.
    """
    inside = path.is_relative_to(paths.PARAMS)
    where = f"params/{path.relative_to(paths.PARAMS)}" if inside else str(path)
    try:
        text = path.read_text(encoding="utf-8")
        values = load_yaml(text)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise ParameterError(f"{where} is no YAML: {' '.join(str(error).split())[:200]}"
                             ) from None
    if not isinstance(values, dict) or any(isinstance(v, dict) for v in values.values()):
        raise ParameterError(f"{where} must be a flat mapping of names to values; {{}} for none")
    return values, [line.lstrip("# ") for line in text.splitlines() if line.startswith("#")]


def choose_profile(gpus: Sequence | None = None) -> tuple[str, str]:
    """The profile for this hardware, and the reason in one sentence.

    gpus: CUDA devices as torch describes them; None looks at the machine. bf16 is native from
    compute capability 8.0 on: what torch says of a T4 is emulation.
    """
    if gpus is None:
        import torch  # here, so that reading parameters does not load torch

        gpus = [torch.cuda.get_device_properties(k) for k in range(torch.cuda.device_count())]
    if not gpus:
        return "nano", "nano, because torch sees no CUDA device"
    first = gpus[0]
    here = f"{len(gpus)} x {first.name} ({first.total_memory / GIB:.1f} GiB)"
    if first.total_memory >= 22 * GIB and first.major >= 8:
        return "gpu-bf16", f"gpu-bf16, because of {here} with native bf16"
    if first.total_memory < 14 * GIB:
        return "smollm2", f"smollm2, because {here} is too small for the 3B model"
    if len(gpus) > 1:
        return "kaggle-2xt4", f"kaggle-2xt4, because of {here}"
    return "t4", f"t4, because of {here} and 4 bits fit it"


KINDS: dict[str, type[Params]] = {}  # every set by its kind, in order of definition


class Params(BaseModel):
    """What all sets share: `profile`, `run`, `seed`, and how values come together.

    Raises ParameterError for an unknown name, a wrong type or a value out of range.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
    kind: ClassVar[str] = "any"
    # What tells two results apart is every parameter but these. `recorded`: change none.
    # `by_content`: told by what is read, not by its name. `extending`: more is added to less.
    recorded: ClassVar[tuple[str, ...]] = ()
    by_content: ClassVar[tuple[str, ...]] = ()
    extending: ClassVar[tuple[str, ...]] = ()
    _profile_reason: str = PrivateAttr(default="")

    profile: str = Field("nano", description="a file of params/, or auto")
    run: Name = "scratch"
    seed: Seed = 0

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        if "kind" in vars(cls):
            KINDS[cls.kind] = cls

    def __init__(self, **given: Any) -> None:
        given = {name: value for name, value in given.items() if value is not None}
        for name in given:
            if name not in type(self).model_fields:
                raise ParameterError(unknown(name, type(self)))
        names = profile_names()
        profile = given.get("profile", type(self).model_fields["profile"].default)
        reason = f"{profile}, asked for by name"
        if profile == "auto":
            profile, reason = choose_profile()
        elif profile not in names:
            raise ParameterError(bad_value("profile", profile,
                                           f"auto or one of {', '.join(names)}"))
        of_profile = load_profile(profile)
        for name in of_profile:
            if not owners(name):
                raise ParameterError(f"params/{profile}.yaml: {unknown(name, type(self))}")
        values = {name: value for name, value in of_profile.items()
                  if name in type(self).model_fields and self._holds(name, given)} | given
        named = values.get("run", type(self).model_fields["run"].default)
        values |= {"profile": profile, "run": "unnamed" if named is None else named}
        try:
            super().__init__(**values)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            if not first["loc"]:
                raise ParameterError(first["msg"].removeprefix("Value error, ")) from None
            name = first["loc"][0]
            right = _right(type(self).model_fields[name])
            raise ParameterError(bad_value(
                name, values[name], right + _limit(first, right),
                "" if name in given else f" in params/{profile}.yaml")) from None
        self._profile_reason = reason
        if named is None:  # made of values that have been found to be good
            vars(self)["run"] = self._made_name(of_profile, given)

    @classmethod
    def _holds(cls, name: str, given: Mapping) -> bool:
        """Whether the profile's value of a parameter has a meaning beside what is given."""
        return True

    def _made_name(self, of_profile: Mapping, given: Iterable[str]) -> str:
        """The name of a run that was given none: the profile's."""
        return self.profile

    @property
    def profile_reason(self) -> str:
        """Why this profile: asked for by name, or chosen for the hardware found."""
        return self._profile_reason

    @property
    def needs(self) -> str:
        """The hardware, download and time that the profile's file asks for, in its words."""
        comments = read_mapping(paths.PARAMS / f"{self.profile}.yaml")[1]
        return " ".join(comments).partition("Needs: ")[2]

    def as_dict(self) -> dict:
        """Name to plain value, in order of definition: what `params.yaml` holds."""
        return self.model_dump(mode="json")

    def deciding(self) -> dict:
        """Name to plain value of what tells the results of two sets apart by its name."""
        others = {*self.by_content, *self.extending}
        return {name: value for name, value in self.recipe().items() if name not in others}

    def in_force(self) -> tuple[tuple[str, str, str], ...]:
        """(name, value, what set it) of every parameter; for None, what it comes to."""
        of_profile, rows = load_profile(self.profile), []
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            by = ("profile" if name != "profile" and of_profile.get(name, ...) == value else
                  "default" if value == field.default else "given")
            without, empty = ((field.description or "").partition(sign)[2]
                              for sign in ("None: ", "empty: "))
            shown_as = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
            rows.append((name, (without or "none") if value is None else
                         shown_as or empty or "all", by))
        return tuple(rows)

    def recipe(self) -> dict:
        """Name to plain value of all that a result comes from, but for where files lie."""
        return {name: value for name, value in self.as_dict().items()
                if name not in (*self.recorded, "data_path")}


def name_of(profile: str, values: Mapping[str, Any]) -> str:
    """A run's name by what differs from its profile, e.g. "verify_weight-2"; else the profile's.

    It is a plain folder name: a path counts by its last part, and what is long or holds
    other signs is cut and gets a hash.
    """
    parts = [] if values and profile == Params.model_fields["profile"].default else [profile]
    for name, value in values.items():
        text = f"{value:g}" if isinstance(value, float) else str(value).rsplit("/", 1)[-1]
        parts.append(f"{name}-{_shortened(re.sub('[^A-Za-z0-9.-]+', '-', text), text, 24)}")
    whole = "_".join(parts)
    return _shortened(whole, whole, 90)


def _shortened(safe: str, text: str, most: int) -> str:
    if safe == text and len(text) <= most:
        return text
    return f"{safe[:most - 9]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def owners(name: str) -> list[str]:
    """The kinds of the sets that have a parameter `name`."""
    return [kind for kind, set_ in KINDS.items() if name in set_.model_fields]


def unknown(name: Any, set_: type[Params]) -> str:
    """The sentence for a name that a set lacks: where it belongs, or what is close to it."""
    if not isinstance(name, str):
        return f"{shown(name)} is a {type(name).__name__} and no name of a parameter"
    sentence, known = f"unknown parameter {name} for {set_.kind}", list(set_.model_fields)
    if owners(name):
        return f"{sentence}: it belongs to {', '.join(owners(name))}"
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"{sentence}: did you mean {close[0]}?" if close else \
        f"{sentence}: it has {', '.join(known)}"


def bad_value(name: str, value: Any, right: str, origin: str = "") -> str:
    """The sentence for a value that cannot be.

    right: what would be right, e.g. "a number, 0 or more"; origin: where the value stood.
    """
    sentence = f"{name}={shown(value)}{origin} is refused: {name} must be {right}"
    if isinstance(value, date):
        sentence += " (a date here; in YAML write it in quotes)"
    if type(value) in (int, float) and right.startswith(("text", "the name")):
        sentence += " (a number here: papermill -p takes 24_11 and 7e12345 for one, -r keeps text)"
    with suppress(ValueError):
        if isinstance(value, str) and float(value) is not None:
            sentence += " (text here; in YAML write 1.0e-4, since 1e-4 is text)"
    return sentence


def _right(field: FieldInfo) -> str:
    """What would be right for a field: as it is described, or the values that it may have."""
    if field.description:
        return field.description
    *others, last = get_args(field.annotation) or (True, False)
    return f"{', '.join(map(str, others))} or {last}"


def _limit(error: Mapping, right: str) -> str:
    """The limit that a value is beyond, where `right` does not name it."""
    if error["type"] == "finite_number":
        return ", finite"
    found = [(words, str(limit).removesuffix(".0")) for name, words in LIMITS.items()
             if (limit := error.get("ctx", {}).get(name)) is not None]
    return "".join(f", {words.format(limit)}" for words, limit in found if limit not in right)


def given_names(namespace: Mapping[str, Any]) -> list[str]:
    """The public names in a notebook's namespace that stand for parameters, in order.

    In a kernel: what is assigned in cells that hold nothing but literal assignments (the
    tagged parameters cell and papermill's injected one). In a kernel that keeps no history
    (nbval's): every public name with a literal value. In a mapping that is no namespace of
    Python's, such as a file's: every name.
    """
    if "__name__" not in namespace:
        return list(namespace)
    cells, names = namespace.get("In"), []
    if isinstance(cells, list) and "get_ipython" in namespace:
        names = [name for cell in cells for name in literal_assignments(cell)]
    if not names:
        names = [name for name, value in namespace.items()
                 if name not in ("In", "Out") and isinstance(value, LITERALS)]
    return [name for name in dict.fromkeys(names)
            if name in namespace and not name.startswith("_")]


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
                pass
            case (ast.Assign(targets=[ast.Name(id=name)], value=value)
                  | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
                  ) if _is_literal(value):
                names.append(name)
            case _:
                return []
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
