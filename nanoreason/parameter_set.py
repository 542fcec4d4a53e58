"""What every parameter set does: take values, profile and defaults together, refuse the rest.

What is given beats the profile, the profile beats the defaults; None means "not given". A
refusal is one sentence that names the value and what would be right. The sets themselves
stand in `params`.
"""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from nanoreason.profiles import choose_profile, load_profile, profile_names
from nanoreason.validation import Name, ParameterError, Seed, bad_value, unknown_name

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
