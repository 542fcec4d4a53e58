"""The conditions of an ablation: `params/ablations/*.yaml`, one file each, its difference only.

A file is a flat mapping of `TrainParams` names to values, on top of the profile; its comment
lines say what it is. `reasoning_run`, where a condition builds on another one, names that
condition; each seed builds on the run of the same seed. Two conditions that come to the same
training are refused by name: a grid that compares a run with itself shows nothing.
"""
from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from nanoreason import paths
from nanoreason.params.sets import AblateParams, TrainParams
from nanoreason.params.validation import ParameterError, read_mapping

FOLDER = "ablations"
REFERENCE = "staged"  # the condition without a difference
OF_THE_GRID = ("profile", "run", "seed", "traces", "max_minutes", "fresh", "processes")


@dataclass(frozen=True)
class Condition:
    """name: of the file. values: what differs. about: its comment lines."""

    name: str
    values: dict
    about: str

    @property
    def needs(self) -> str | None:
        """The condition that this one builds on, None without one."""
        return self.values.get("reasoning_run")


@dataclass(frozen=True)
class Cell:
    """One run of a grid: a condition under a seed."""

    grid: str
    condition: Condition
    seed: int
    params: TrainParams

    @property
    def name(self) -> str:
        """The name of its scratch run."""
        return self.params.run

    @property
    def needs(self) -> str | None:
        """The scratch run that must be finished before, None without one."""
        return self.params.reasoning_run


def condition_names() -> tuple[str, ...]:
    """The conditions there are, the reference first, then in alphabetical order."""
    found = sorted(path.stem for path in (paths.PARAMS / FOLDER).glob("*.yaml"))
    return tuple(sorted(found, key=lambda name: name != REFERENCE))


def load_condition(name: str) -> Condition:
    """A condition by name. Raises ParameterError where there is none, or it is no mapping."""
    names = condition_names()
    if name not in names:
        raise ParameterError(f"conditions={name!r} is refused: there is no params/{FOLDER}/"
                             f"{name}.yaml; choose from {', '.join(names)}")
    values, comments = read_mapping(paths.PARAMS / FOLDER / f"{name}.yaml")
    odd = next((key for key in values if key in OF_THE_GRID), None)
    if odd:
        raise ParameterError(f"params/{FOLDER}/{name}.yaml: {odd} is set by the grid for all "
                             "conditions alike; leave it out")
    return Condition(name, values, " ".join(comments))


def chosen(params: AblateParams) -> list[Condition]:
    """The conditions of a grid with those that they build on, each after what it needs.

    Raises ParameterError, see `load_condition`, where two come to the same training, and where
    one builds on itself, by way of others or not.
    """
    found: dict[str, Condition] = {}

    def add(name: str, *above: str) -> None:
        if name in above:
            ring = ", ".join(f"{one}.yaml names {other}" for one, other in pairwise((*above, name)))
            raise ParameterError(f"reasoning_run goes round in params/{FOLDER}/: {ring}; in "
                                 "one of them name a condition that builds on no other")
        condition = load_condition(name)
        if condition.needs:
            add(condition.needs, *above, name)
        found.setdefault(name, condition)

    for name in params.conditions or condition_names():
        add(name)
    seen: dict[str, str] = {}
    for name, condition in found.items():
        recipe = repr(sorted(cell_of(params, condition, 0).params.recipe().items()))
        if recipe in seen:
            raise ParameterError(
                f"conditions {seen[recipe]} and {name} come to the same training: change one of "
                f"their files in params/{FOLDER}/, or remove it")
        seen[recipe] = name
    return list(found.values())


def cell_of(params: AblateParams, condition: Condition, seed: int) -> Cell:
    """The run of a condition under a seed. Raises ParameterError for a value of its file."""
    values = dict(condition.values)
    if condition.needs:
        values["reasoning_run"] = run_name(params.run, condition.needs, seed)
    try:
        made = TrainParams(profile=params.profile, run=run_name(params.run, condition.name, seed),
                           seed=seed, traces=params.train_traces, **values)
    except ParameterError as error:
        raise ParameterError(f"params/{FOLDER}/{condition.name}.yaml: {error}") from None
    return Cell(params.run, condition, seed, made)


def run_name(grid: str, condition: str, seed: int) -> str:
    """The name of the scratch run of a condition under a seed."""
    return f"{grid}.{condition}.{seed}"


def cells(params: AblateParams) -> list[Cell]:
    """All runs of a grid, seed by seed: a grid that stops early has whole comparisons."""
    conditions = chosen(params)
    return [cell_of(params, condition, seed) for seed in range(params.seeds)
            for condition in conditions]
