"""One typed, validated parameter set per notebook.

What is given beats the profile, the profile beats the defaults below; None means "not
given". Each set is built directly, `TrainParams(profile="nano", verify_weight=2.0)`, or by
`read_parameters("train", globals())` from a notebook, which also refuses misspelt names:
papermill only warns about those and goes on without them. A field's description, its own
or its type's, is what a refusal says would be right.

Left out on purpose: nested sets and interpolation. One flat set per notebook is what
papermill can pass.
"""
from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from nanoreason import paths
from nanoreason.data.columns import ROLES, check_columns
from nanoreason.data.problem import read_mixture
from nanoreason.endpoint import MAX_BYTES, SECONDS
from nanoreason.host import shown
from nanoreason.params.validation import (KINDS, Name, ParameterError, Params, Seed, bad_value,
                                          given_names, load_profile, name_of, owners,
                                          profile_names, unknown)
from nanoreason.stages import ERRORS, GIVEN, GROUPS, LANGUAGES, SOURCES, SPLITS

ON_POLICY_SHARE = 0.5  # of the wrong traces, in phase verification
SETTINGS = ("natural", *GIVEN)  # that can be asked for
WEIGHTS = tuple(f"{group}_weight" for group in GROUPS)

QUESTION = ("Amir has 9 packs of 2 cards each. The goal is 173 cards. "
            "How many cards are missing?")  # of the tutor: an error that is found and repaired
LARGEST = 2**31 - 1  # of a count
Count = Annotated[int, Field(ge=1, le=LARGEST, description="a whole number, 1 or more")]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False, description="a number, 0 or more")]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False, description="a number above 0")]
Share = Annotated[float, Field(ge=0, le=1)]
Base = Annotated[str, Field(
    min_length=1, max_length=1000,
    description="nano, a model of the hub (name, or name@revision) or a folder")]
Minutes = Annotated[Positive | None, Field(
    description="a number above 0, in minutes; None: no limit")]


OF_VERIFY = ("data", "form", "phase")  # on which it hangs whether larger_share has a meaning


def _learns_verify(data: str, form: str, phase: str) -> bool:
    """Whether VERIFY is learned, from problems that can be made with larger numbers too."""
    return (data, form) == ("procedural", "staged") and phase != "reasoning"


def _as_names(value: Any) -> Any:
    """A list of names given as list, or as text with commas (papermill -p), as a tuple."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return tuple(value) if isinstance(value, list) else value


AsNames = BeforeValidator(_as_names)


class _WithData(Params):
    data: str = Field("procedural", description=f"one of {', '.join(SOURCES)} (gsm8k@main: a "
                      "revision), the path of a file that is there, or (01 and 02) several in "
                      "shares: gsm8k:2+math:1")
    data_path: str | None = Field(None, description="a file or folder to read instead of the hub")
    columns: dict[Literal[ROLES], str | list[str]] | None = Field(
        None, description="of a file: the fields of question, answer and solution; None: guessed")
    language: Literal[LANGUAGES] = Field(
        "en", description=f"of procedural problems, one of {', '.join(LANGUAGES)}")

    @field_validator("data")
    @classmethod
    def _known_sources(cls, value: str) -> str:
        found = read_mixture(value)
        one = len(found) == 1 and ":" not in value
        if not one and not (found and cls.kind in ("data", "train")) \
                and not os.path.isfile(value):
            raise ParameterError("no such source and no such file")
        return value

    @field_validator("columns")
    @classmethod
    def _question_and_answer(cls, value: dict | None) -> dict | None:
        check_columns(value)
        return value


class _Prepares(_WithData):
    error_share: Share = Field(
        0.5, description="the share of traces with an injected error, 0 to 1")
    error_kinds: dict[Literal[ERRORS], Weight] | None = Field(
        None, description=f"weights of {', '.join(ERRORS)}, 0 or more and not all 0; None: alike")
    allow_fewer: bool = False
    drop_ambiguous: bool = False
    checks: Literal["rearranged", "digits"] = "rearranged"

    @field_validator("error_kinds")
    @classmethod
    def _known_kinds(cls, value: dict | None) -> dict | None:
        if value is not None and not any(value.values()):
            raise ParameterError("all weights are 0")
        return value


class BaseParams(Params):
    """Notebook 00: the nano base, its hash, and (with `retrain`) its training from nothing."""

    kind: ClassVar[str] = "base"
    retrain: bool = False
    seed: Seed | None = Field(None, description="a whole number from 0 on; None: the recipe's")
    steps: Count = Field(50, description="optimiser steps of the short check, 1 or more")


class DataParams(_Prepares):
    """Notebook 01: problems, teacher, filter, injected errors."""

    kind: ClassVar[str] = "data"
    total: Count = Field(1000, description="number of traces, 1 or more")
    base: Base = "nano"
    teacher: Literal["rules", "llm", "recorded"] = "rules"
    teacher_model: str | None = Field(None, description="the name of a model, for teacher llm")
    teacher_url: str | None = Field(
        None, description="an endpoint's address, local, or None for the hub's providers")
    teacher_path: str | None = Field(None, description="a file, for teacher recorded")
    teacher_parallel: Count = Field(4, description="requests at one time, 1 or more")
    teacher_seconds: Positive = Field(SECONDS, description="of a try, in all, above 0")
    teacher_bytes: Count = Field(MAX_BYTES, description="of an answer, in all, 1 or more")


class TrainParams(_Prepares):
    """Notebook 02: the two adapters, the step-aware loss, the optimiser."""

    kind: ClassVar[str] = "train"
    recorded: ClassVar[tuple[str, ...]] = (
        "profile", "run", "allow_fewer", "micro_batch_size", "micro_batch_tokens",
        "gradient_checkpointing", "unpack", "processes", "report_to", "fresh", "max_minutes",
        "checkpoint_minutes", "checkpoint_gigabytes")
    by_content: ClassVar[tuple[str, ...]] = (
        "data", "data_path", "columns", "language", "error_kinds", "drop_ambiguous",
        "checks", "right_twins", "larger_share", "max_length", "base", "reasoning_run")
    run: Name | None = Field(None, description="text of letters, digits, dots, _ and -; None: "
                             "the name is made of what differs from the profile")
    base: Base = "nano"
    quantisation: Literal["nf4", "none"] = "nf4"
    traces: Count = Field(3000, description="number of training traces, 1 or more")
    max_length: int = Field(
        1024, ge=16, le=LARGEST, description="tokens of a trace with its question, 16 or more")

    understand_weight: Weight = 1.0
    plan_weight: Weight = 1.0
    execute_weight: Weight = 1.0
    verify_weight: Weight = 1.0
    transition_weight: Weight = 0.1
    dynamic: Literal["none", "dwa"] = "none"
    normalise: Literal["stage", "token"] = "stage"

    routing: Literal["switch", "stack", "single", "reread"] = "switch"
    right_twins: bool = False
    larger_share: Share = Field(  # by the one adapter under routing=single
        0.0, description="the share of traces whose VERIFY is learned from another problem, with "
        "numbers up to 999, 0 to 1; of procedural data only")
    form: Literal["staged", "free"] = Field(
        "staged", description="staged or free (one stage, in prose; the control)")
    phase: Literal["joint", "reasoning", "verification"] = "joint"
    reasoning_run: Name | None = Field(
        None, description="the name of a finished run, in phase verification only")
    on_policy_share: Share = Field(
        0.0, description="a share of the wrong traces (of larger_share: of the others), 0 to 1; "
        "in phase verification only")
    on_policy_temperature: Positive = 1.0
    on_policy_samples: Count = Field(4, description="texts a problem at most, 1 or more")
    rank: Count = 16
    alpha: Positive = 32.0
    dropout: float = Field(0.05, ge=0, lt=1, description="a number from 0 to below 1")

    learning_rate: Positive = 2e-4
    epochs: Count = 2
    batch_size: Count = Field(16, description="traces in an optimiser step, 1 or more")
    micro_batch_size: Count = Field(
        4, description="traces in one forward pass of one process at most, 1 or more")
    micro_batch_tokens: int = Field(
        4096, ge=16, le=LARGEST,
        description="tokens of those with their padding at most, 16 or more")
    optimiser: Literal["adamw", "adamw_8bit"] = "adamw"
    gradient_checkpointing: bool = True
    unpack: bool = False
    processes: Count | None = Field(
        None, description="a whole number, 1 or more; None: one a GPU, or 1 without any")
    report_to: str = Field(
        "none", min_length=1, description="none, or a logger that transformers knows")

    fresh: bool = False
    max_minutes: Minutes = None
    checkpoint_minutes: Weight = Field(
        10.0, description="minutes between checkpoints, 0 for one after each step")
    checkpoint_gigabytes: Positive = Field(
        3.0, description="a number above 0, of all checkpoints that are kept together")

    @classmethod
    def _holds(cls, name: str, given: Mapping) -> bool:
        return name != "larger_share" or _learns_verify(
            *(str(given.get(other, cls.model_fields[other].default)) for other in OF_VERIFY))

    def _made_name(self, of_profile: Mapping, given: Iterable[str]) -> str:
        usual = {name: of_profile.get(name, field.default)
                 for name, field in type(self).model_fields.items()
                 if name in given and name not in self.recorded}
        return name_of(self.profile, {name: getattr(self, name) for name, value in usual.items()
                                      if getattr(self, name) != value})

    def deciding(self) -> dict:
        """As in every set; what only phase verification uses tells no others apart."""
        return {name: value for name, value in super().deciding().items()
                if self.phase == "verification" or not name.startswith("on_policy")}

    @model_validator(mode="before")
    @classmethod
    def _share_of_phase(cls, values: dict) -> dict:
        share = ON_POLICY_SHARE if values.get("phase") == "verification" else 0.0
        return {"on_policy_share": share} | values

    @model_validator(mode="after")
    def _fit_together(self) -> TrainParams:
        verifies, free = self.phase == "verification", self.form == "free"
        for wrong, sentence in (
                (not any(getattr(self, name) for name in WEIGHTS),
                 f"all of {', '.join(WEIGHTS)} are 0: at least one must be above 0"),
                (verifies and self.routing == "single",
                 "phase='verification' trains the second adapter, which routing='single' does "
                 "not have: take switch, stack or reread"),
                (verifies and self.reasoning_run is None,
                 "phase='verification' builds on a reasoning adapter: name in reasoning_run a "
                 "run that was trained with phase='reasoning' (or 'joint')"),
                (verifies and self.reasoning_run == self.run,
                 f"reasoning_run and run are both {self.run!r}: give the new run another name, "
                 "or it would write over the adapter that it builds on"),
                *((not verifies and getattr(self, name),
                   f"{name}={getattr(self, name)!r} is of phase=verification, but "
                   f"phase={self.phase!r}; leave it out")
                  for name in ("reasoning_run", "on_policy_share")),
                (self.larger_share and not _learns_verify(self.data, self.form, self.phase),
                 f"larger_share={self.larger_share!r} is of data='procedural', form='staged' and a "
                 "phase that learns VERIFY, but "
                 f"{', '.join(f'{name}={getattr(self, name)!r}' for name in OF_VERIFY)}; "
                 "leave it out"),
                (free and self.error_share,
                 "form='free' has no VERIFY that could find an error, but "
                 f"error_share={self.error_share!r}: give error_share=0"),
                (free and self.phase != "joint",
                 f"form='free' has one stage, but phase={self.phase!r}: leave the phase out")):
            if wrong:
                raise ParameterError(sentence)
        return self


class EvaluateParams(_WithData):
    """Notebook 03: generated traces in the settings asked for, and interventions."""

    kind: ClassVar[str] = "evaluate"
    recorded: ClassVar[tuple[str, ...]] = ("profile", "run", "batch_tokens", "unpack", "baseline",
                                           "prompted", "server_url", "server_parallel")
    by_content: ClassVar[tuple[str, ...]] = ("data", "data_path", "columns")
    extending: ClassVar[tuple[str, ...]] = ("n", "settings", "splits", "interventions",
                                            "samples")
    run: Name | None = Field(None, description="the name of a run; None: that of the profile")
    quantisation: Literal["nf4", "none"] = "nf4"
    n: Count = Field(200, description="problems per setting, 1 or more")
    settings: Annotated[tuple[Literal[SETTINGS], ...], AsNames] = Field(
        SETTINGS, min_length=1, description=f"a list of {', '.join(SETTINGS)}")
    splits: Annotated[tuple[Literal[SPLITS], ...], AsNames] = Field(
        SPLITS, min_length=1, description=f"a list of {', '.join(SPLITS)}")
    interventions: int = Field(
        100, ge=0, le=LARGEST, description="traces to intervene in, 0 or more")
    samples: Count = Field(1, description="traces of each problem, 1 or more")
    temperature: Weight = Field(0.0, description="0 (the likeliest token) or a number above 0")
    baseline: bool = True
    prompted: bool = False
    batch_tokens: Count = Field(16384, description="tokens held by one decoding batch, 1 or more")
    max_new_tokens: Count = Field(512, description="tokens generated at most, 1 or more")
    verify_below: float | None = Field(
        None, le=0, allow_inf_nan=False,
        description="a log-probability, 0 or less: natural rows get a VERIFY only "
        "where EXECUTE's least likely token has less; None: all get one")
    unpack: bool = True
    engine: Literal["own", "server"] = Field(
        "own", description="own (the model here) or server (at server_url, see docs/scale.md)")
    server_url: str | None = Field(None, description="of a server, up to /v1")
    server_parallel: Count = Field(32, description="requests at one time, 1 or more")

    @model_validator(mode="after")
    def _samples_differ(self) -> EvaluateParams:
        if (self.engine == "server") != bool(self.server_url) or self.server_url and self.prompted:
            raise ParameterError(
                "engine='server' needs server_url, such as http://127.0.0.1:8000/v1, "
                "goes with no other engine, and prompted rows are written here: leave prompted out")
        if self.verify_below is not None and self.server_url:
            raise ParameterError(f"verify_below={self.verify_below!r} is decided while the model "
                                 "here writes, and engine='server' asks another: leave one out")
        if self.samples > 1 and not self.temperature:
            raise ParameterError(f"samples={self.samples} of temperature=0.0 are all the same: "
                                 "give a temperature above 0, for example 0.7")
        return self


class MetricsParams(Params):
    """Notebook 04: scores with intervals from the rows of one or more runs."""

    kind: ClassVar[str] = "metrics"
    runs: Annotated[tuple[Name, ...], AsNames] = Field(
        (), description="a list of run names; empty: `run` alone")

    @property
    def run_names(self) -> tuple[str, ...]:
        """The runs to read: `runs`, or `run` alone where there are none."""
        return self.runs or (self.run,)


class FiguresParams(MetricsParams):
    """Notebook 05: figures and tables from the files of one or more runs."""

    kind: ClassVar[str] = "figures"


class AblateParams(Params):
    """Notebook 06: the grid of conditions and seeds; see `conditions` and `grid`."""

    kind: ClassVar[str] = "ablate"
    profile: str = Field("nano-switch", description="a file of params/, or auto")
    run: Name = Field("ablations", description="text of letters, digits, dots, _ and -: the "
                      "name of the grid, neither runs nor study, whose folders hold other things")
    seed: Seed = Field(1001, description="a whole number from 0 on: of the test problems, a "
                       "draw that no other run has read")
    conditions: Annotated[tuple[Name, ...], AsNames] = Field(
        (), description="a list of files of params/ablations; empty: all")
    seeds: Count = Field(5, description="runs of each condition, 1 or more")
    train_traces: Count = Field(4500, description="traces of each run, 1 or more")
    test_problems: Count = Field(500, description="problems of each run, 1 or more")
    run_missing: bool = False
    workers: Count | None = Field(None, description="a whole number, 1 or more; None: one a core")
    engine: Literal["loky", "ray"] = Field(
        "loky", description="loky (processes of this machine) or ray (a Ray cluster's)")
    max_minutes: Minutes = None

    @field_validator("run")
    @classmethod
    def _a_folder_of_its_own(cls, value: str) -> str:
        if value in (paths.RUNS.name, paths.STUDY.name):
            raise ParameterError("taken")
        return value


class StudyParams(TrainParams, EvaluateParams):
    """The notebook of the whole study: training and evaluation of one run."""

    kind: ClassVar[str] = "study"
    recorded: ClassVar[tuple[str, ...]] = (*TrainParams.recorded, *(
        set(EvaluateParams.model_fields) - set(TrainParams.model_fields)))  # of the run's name

    def part(self, kind: str) -> Params:
        """The set of one of its notebooks, "train" or "evaluate", with these values."""
        set_ = KINDS[kind]
        return set_(**{name: getattr(self, name) for name in set_.model_fields})


class TutorParams(Params):
    """Notebook 07: one question, what speaks against its answer, and traces to find errors in."""

    kind: ClassVar[str] = "tutor"
    run: Name = "nano-reference"
    question: str = Field(QUESTION, min_length=1, max_length=2000, description="a word problem")
    language: Literal["en", "vi"] = Field("en", description="en or vi, of what is said beside it")
    exercises: Count = Field(10, description="traces with a hidden error, 1 or more")


def read_parameters(kind: str | type[Params], namespace: Mapping[str, Any]) -> Params:
    """The resolved parameters of a notebook, from its `globals()`.

    kind: a key of `KINDS` or a set. Names of other notebooks are let pass only if they come
    with a profile's own value, as `papermill -f params/<profile>.yaml` brings them; such a value
    also stands aside where it has no meaning, as if the profile alone had been named.
    Raises ParameterError for a name that nothing knows, a wrong type or a value out of range.
    """
    set_ = KINDS.get(kind) if isinstance(kind, str) else kind
    if not isinstance(namespace, Mapping):
        raise ParameterError(f"{shown(namespace)} is refused: give names with their values")
    if set_ is None:
        raise ParameterError(bad_value("kind", kind, f"one of {', '.join(KINDS)}"))
    profile = namespace.get("profile")
    of_profile = load_profile(profile) if profile in profile_names() else {}
    given = {}
    for name in given_names(namespace):
        value = namespace[name]
        if name in set_.model_fields:
            given |= {} if value is None else {name: value}
        elif not (owners(name) and name in of_profile and of_profile[name] == value):
            raise ParameterError(unknown(name, set_))
    return set_(**{name: value for name, value in given.items() if set_._holds(name, given)
                   or of_profile.get(name) != value})
