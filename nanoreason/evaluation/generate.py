"""From a tuned pair of adapters to rows that can be scored.

Four settings. *natural*: the model writes the whole trace. *clean* and *injected*: the
same problems with EXECUTE given, once right and once with an injected error, and only
VERIFY is written. *intervened*: one value in EXECUTE of a natural trace is replaced and
what follows is written anew.
"""
from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import lru_cache, partial
from itertools import islice
from typing import Any

import yaml

from nanoreason import environment, paths
from nanoreason.data.errors import inject
from nanoreason.data.problem import Problem, question_sha256
from nanoreason.data.sources import load_problems
from nanoreason.data.teachers import teach
from nanoreason.data.verify_lines import procedural_trace
from nanoreason.endpoint import Client
from nanoreason.evaluation.interventions import choose_intervention, intervene
from nanoreason.evaluation.server import TAG, open_server, served
from nanoreason.files import write_text
from nanoreason.host import SEEDS, GivenError, check_number
from nanoreason.model.adapters import (adapters_sha256, dequantized, dequantized_bytes,
                                       dequantized_fits)
from nanoreason.model.base import load_base, locate
from nanoreason.model.decoding import Request, generate
from nanoreason.model.likelihood import likelihoods
from nanoreason.model.router import routing_of
from nanoreason.model.tokens import given_part, partial_ids, prompt_ids, tag_ids
from nanoreason.params.sets import EvaluateParams
from nanoreason.params.validation import ParameterError
from nanoreason.runs import (EVALUATED, Run, RunError, find_run, row_key, set_rows_aside,
                             writable)
from nanoreason.stages import GIVEN
from nanoreason.trace import Trace, before_verify, render_trace
from nanoreason.training.resume import STARTS, load_run, told

ROWS = "generations.jsonl"
CHUNK = 32  # rows that are appended to the file at a time


def make_row(problem: Problem, setting: str, teacher: Trace | None, **values) -> dict:
    """A row of `generations.jsonl` without its text; `values` override the empty fields."""
    return {"problem_id": problem.id, "sample": 0, "setting": setting, "split": problem.split,
            "question": problem.question, "gold": problem.answer,
            "teachers": [render_trace(teacher)] if teacher else [], "text": "",
            "planted": None, "intervention": None} | values


def natural_rows(problems: Iterable[Problem]) -> list[dict]:
    """Rows to be written from the question alone, with the procedural teacher's trace where a
    problem has steps."""
    return [make_row(p, "natural", procedural_trace(p) if p.steps else None) for p in problems]


def given_rows(pairs: Iterable[tuple[Problem, Trace]], seed: int) -> list[dict]:
    """Matched rows with EXECUTE given: each trace once right and once with an error.

    The kind of error is drawn uniformly, see `errors.inject`. A trace with room for no kind
    gives no row in either setting.
    """
    rows = []
    for problem, trace in pairs:
        found = inject(problem, trace, seed)
        if found is not None:
            wrong, planted = found
            rows += [make_row(problem, "clean", trace, text=given_part(trace)),
                     make_row(problem, "injected", trace, text=given_part(wrong),
                              planted=planted)]
    return rows


def interventions(rows: Iterable[dict], seed: int) -> list[dict]:
    """One intervened row for each natural row whose EXECUTE has a line with a dependent.

    What was found while its parent was written, `logprobs` and `sure`, is not of it.
    """
    changed = []
    for row in rows:
        rng = random.Random(f"intervention/{seed}/{row['problem_id']}/{row['sample']}")
        intervention = choose_intervention(row["text"], row["question"], rng)
        if intervention is not None:
            own = {name: row[name] for name in row if name not in ("logprobs", "sure")}
            changed.append(own | {
                "setting": "intervened", "text": intervene(row["text"], intervention),
                "teachers": [], "intervention": intervention, "parent_sample": row["sample"]})
    return changed


def generate_traces(model, tokenizer, rows: Sequence[dict], max_new_tokens: int,
                    batch_tokens: int, temperature: float = 0.0, seed: int = 0,
                    label: str = "generation", client: Client | None = None,
                    stop_at_tag: bool = False) -> Iterator[dict]:
    """Complete the text of each row with the model; rows come as their batches finish.

    What stands in `text` is given and is continued. temperature 0 is greedy; else every
    sample has a seed of its own. max_new_tokens, batch_tokens: see `model.decoding.Decoder`.
    client: of a server that writes in the model's place, see `server`. stop_at_tag: see
    `model.decoding.Decoder`; a text then ends with the tag's newline, which is a token. `cut`
    says whether a text came to max_new_tokens before its end. Natural rows get `logprobs`, see
    `model.likelihood`.
    """
    check_number(int, 0, SEEDS, seed=seed)
    seeds = [random.Random(f"{seed}/{row['problem_id']}/{row['sample']}").getrandbits(60)
             for row in rows]
    if client:
        batches = served(client, model, tokenizer, rows, seeds, max_new_tokens, temperature, label)
    else:
        requests = [Request(partial_ids(tokenizer, row["question"], row["text"]),
                            len(prompt_ids(tokenizer, row["question"])), own)
                    for row, own in zip(rows, seeds)]
        batches = ([(index, tokenizer.decode(new, skip_special_tokens=True),
                     len(new) >= max_new_tokens) for index, new in batch] for batch in generate(
            model, tokenizer, requests, tag_ids(tokenizer), max_new_tokens, batch_tokens,
            temperature, label, stop_at_tag))
    ends = "" if stop_at_tag else "\n"
    for batch in batches:
        done = [rows[index] | {"text": (rows[index]["text"] + new).rstrip(ends), "cut": cut}
                for index, new, cut in batch]
        own = [row for row in done if row.get("setting") == "natural"]
        for row, found in zip(own, likelihoods(model, tokenizer, own)):
            row["logprobs"] = found
        yield from done


def verify_in_doubt(model, tokenizer, rows: Sequence[dict], below: float, max_new_tokens: int,
                    batch_tokens: int, temperature: float = 0.0, seed: int = 0,
                    label: str = "generation") -> Iterator[dict]:
    """`generate_traces` for natural rows, with a VERIFY only where EXECUTE was unsure.

    below: a log-probability. A row whose `execute_min` (see `model.likelihood`) is not less ends
    with EXECUTE and is marked `sure`, and its result counts as its answer. Rows without a VERIFY
    come as they are written, the others when EXECUTE stands in all. max_new_tokens: as far as
    the tag, and as many again from there. At temperature 0 a text that is not cut is the one
    that `generate_traces` writes, or its part before VERIFY. Raises ValueError where no adapter
    takes over at the tag.
    """
    doubtful = []
    for row in generate_traces(model, tokenizer, rows, max_new_tokens, batch_tokens, temperature,
                               seed, label, stop_at_tag=True):
        if not row["text"].endswith(TAG):
            yield row | {"text": row["text"].rstrip("\n")}
        elif row["logprobs"]["execute_min"] is None or row["logprobs"]["execute_min"] < below:
            doubtful.append(row)
        else:
            yield row | {"text": before_verify(row["text"]).rstrip("\n"), "sure": True,
                         "cut": False}
    yield from generate_traces(model, tokenizer, doubtful, max_new_tokens, batch_tokens,
                               temperature, (seed + 1) % SEEDS, f"{label}, VERIFY")


Writer = Callable[..., Iterator[dict]]  # (rows, label) -> the rows, completed


def writer(model, tokenizer, params: EvaluateParams, temperature: float | None = None,
           run: Run | None = None) -> Writer:
    """`generate_traces` with the parameters of an evaluation, for rows and a label.

    run: where a server's answers are kept; without it the model itself writes. A base without
    adapters has no VERIFY to leave out, and writes all. Raises ValueError where `verify_below` is
    asked of adapters none of which takes over at VERIFY's tag.
    """
    if params.verify_below is not None and routing_of(model) == "single":
        raise GivenError(f"verify_below={params.verify_below!r} leaves out what the second adapter "
                         "would write, and a run with routing='single' has none: leave it out")
    drawn, client = params.temperature if temperature is None else temperature, None
    if run and params.engine == "server":
        what = adapters_sha256(model)[:16] if hasattr(model, "router") else "base"
        client = open_server(params, model, run.path("answers") / what)

    def write(rows: list[dict], label: str) -> Iterator[dict]:
        how = params.max_new_tokens, params.batch_tokens, drawn, params.seed, label
        if params.verify_below is None or not hasattr(model, "router") or any(
                row["setting"] != "natural" for row in rows):
            return generate_traces(model, tokenizer, rows, *how, client)
        return verify_in_doubt(model, tokenizer, rows, params.verify_below, *how)

    return write


def problems_of(params: EvaluateParams, split: str, count: int) -> list[Problem]:
    """The first `count` problems of a split of what is evaluated on."""
    found = load_problems(params.data, params.data_path, split, count=count, seed=params.seed,
                          language=params.language, columns=params.columns)
    return list(islice((p for p in found if isinstance(p, Problem)), count))


def planned_rows(params: EvaluateParams) -> Iterator[tuple[str, list[dict]]]:
    """(label, rows to be completed) of every setting but *intervened*.

    Of each split the first n problems, with a right trace where the rules write one; every
    row once a sample, the samples of a problem side by side.
    """
    for split in params.splits if params.data == "procedural" else ("test",):
        problems = problems_of(params, split, params.n)
        pairs = [(problem, trace if isinstance(trace, Trace) else None)
                 for problem, trace in zip(problems, teach(problems))]
        rows = [make_row(problem, "natural", trace) for problem, trace in pairs]
        if split == "test":
            rows += given_rows([pair for pair in pairs if pair[1]], params.seed)
        for setting in ("natural", *GIVEN):
            chosen = [row | {"sample": sample} for row in rows if row["setting"] == setting
                      for sample in range(params.samples)]
            if chosen and setting in params.settings:
                yield f"natural, {split}" if setting == "natural" else setting, chosen


def append_missing(run: Run, rows: Iterable[dict],
                   complete: Callable[[list[dict]], Iterator[dict]]) -> None:
    """Append those of these rows that the run does not hold yet, as `complete` yields them."""
    done = {row_key(row) for row in run.read_generations()} if run.has(ROWS) else set()
    made = complete([row for row in rows if row_key(row) not in done])
    while chunk := list(islice(made, CHUNK)):
        run.append_generations(chunk)


def begin(run: Run, params: EvaluateParams, planned: Iterable[dict] = (),
          **wrote: str | None) -> None:
    """Make a run ready for rows of these parameters; it must be held.

    planned: the rows that will be asked for. wrote: hashes of what writes them,
    `adapters_sha256` and `base_version`, kept beside the rows in evaluate.yaml. Rows that are
    there stay and are added to; those of other parameters or adapters are set aside with all
    that was made of them, and it is said.
    """
    asked = params.as_dict() | wrote
    run.unpack()  # a run may be a copy of a packed one
    if run.has(ROWS):
        rows = {row_key(row): row for row in run.scan_generations()[0]}
        try:
            before = recorded(run)
            why = told(_others(before, asked, rows, planned))
        except RunError as error:
            why = str(error)
        if why:
            print(f"run {run.name}: the rows there are others ({why}); they are kept as run "
                  f"{set_rows_aside(run).name}, and new ones are written")
        else:
            run.mend_generations()
            asked |= {name: _both(before[name], asked[name]) for name in EvaluateParams.extending}
    write_text(run.path(EVALUATED), yaml.safe_dump(asked, sort_keys=False))


def recorded(run: Run) -> dict:
    """What evaluate.yaml says of a run's rows; a parameter that it does not name yet is at its
    default. Raises RunError where it is absent or damaged."""
    found, free = run.read_mapping(EVALUATED), (
        *EvaluateParams.recorded, *EvaluateParams.by_content)
    names = [name for name in EvaluateParams.model_fields if name not in free]
    try:
        read = EvaluateParams(**{name: found[name] for name in names if name in found}).as_dict()
    except ParameterError as error:
        raise RunError(f"{EVALUATED} is damaged: {error}") from None
    return found | {name: read[name] for name in names}


def _others(before: Mapping, asked: Mapping, rows: Mapping[tuple, Mapping],
            planned: Iterable[Mapping]) -> dict[str, tuple]:
    """What tells the rows of a run from those that are asked for: name to (old, new).

    A hash that the record does not name is unknown, and tells nothing. Data are told by their
    problems, since a file may change under its name: those of a split are the first n, so the
    fewer of two calls are all among the others.
    """
    free = {*EvaluateParams.recorded, *EvaluateParams.by_content, *EvaluateParams.extending}
    found = {name: (before.get(name, asked[name]), asked[name])
             for name in asked if name not in free}
    planned = {row_key(row): row for row in planned}
    problems, parts = {key[:3] for key in planned}, {key[:2] for key in planned}
    there = {key[:3] for key in rows if key[:2] in parts}
    odd = not there & problems or (asked["n"] >= before["n"] and there - problems)
    if odd or any(_asks(rows[key]) != _asks(planned[key]) for key in rows.keys() & planned.keys()):
        old, new = before.get("data"), asked["data"]
        found["data"] = f"{old} with other problems" if there and old == new else old, new
    return {name: both for name, both in found.items() if both[0] != both[1]}


def _asks(row: Mapping) -> tuple:
    """What a row asks: its question and its gold answer."""
    return (row.get("question_sha256") or question_sha256(row["question"]), str(row["gold"]))


def _both(before: Any, now: Any) -> Any:
    """What two calls asked for together: all names, the greater number."""
    return max(before, now) if isinstance(now, int) else [*dict.fromkeys([*before, *now])]


@contextmanager
def decoding(run: Run, params: EvaluateParams, model, part: str | None = None, **facts
             ) -> Iterator[None]:
    """Within, a model decodes for a run, whose environment.json then says how and how long.

    4-bit weights are dequantized where the memory allows it, see `adapters.dequantized`.
    part, facts: as in `Run.write_environment`, and what else it says.
    """
    began, unpack = time.perf_counter(), params.unpack and dequantized_fits(model)
    if params.unpack and not unpack:
        print(f"the 4-bit weights stay packed: {dequantized_bytes(model) / 2**30:.1f} GiB more "
              "are not free twice over; the texts are the same, and come more slowly")
    with dequantized(model) if unpack else nullcontext():
        yield
    said = environment.describe(seconds=time.perf_counter() - began)
    run.write_environment(said | facts | {"decoding": {"unpacked": unpack}}, part)


def evaluate(params: EvaluateParams, model, tokenizer) -> Run:
    """Write all rows of a run, and the untouched base's beside them in `<run>-base`.

    What the base writes under a prompt is made apart: `prompting.prompt_base`.

    Started again with the same parameters it goes on where it stopped; with more problems,
    settings, splits, samples or interventions it adds them, see `begin`. Rows for a run of
    reference go into its copy (`runs.writable`). Returns the run that was written.
    """
    run, planned = writable(find_run(params.run)), list(planned_rows(params))
    every = [row for _, rows in planned for row in rows]
    name, write = run.read_params("base")["base"], writer(model, tokenizer, params, run=run)
    base = beside(run, "base") if params.baseline else None
    with run.held("evaluation"):
        begin(run, params, every, adapters_sha256=adapters_sha256(model),
              base_version=locate(name).version)
        with decoding(run, params, model, "evaluate"):
            for label, rows in planned:
                append_missing(run, rows, partial(write, label=label))
            there = {row_key(row): row for row in run.read_generations()}
            natural = [there[row_key(row)] for row in every if row["setting"] == "natural"
                       and row["split"] == "test" and row["sample"] == 0]
            with_text = [row for row in natural if row.get("text") is not None]
            changed = interventions(with_text[:params.interventions], params.seed)
            append_missing(run, changed, partial(write, label="intervened"))
        if base:  # the natural rows once more, by the base without adapters, which writes all
            params = params.model_copy(update={"verify_below": None})
            natural = [(label, rows) for label, rows in planned if label.startswith("natural")]
            with base.held("evaluation"):
                begin(base, params, [row for _, rows in natural for row in rows],
                      base_version=locate(name).version)
                base.write_params({"base": name, "quantisation": params.quantisation})
                plain, _ = load_base(name, params.quantisation)
                write = writer(plain, tokenizer, params, run=base)
                with decoding(base, params, plain, base=locate(name).as_dict()):
                    for label, rows in natural:
                        append_missing(base, rows, partial(write, label=f"base, {label}"))
    return run


def beside(run: Run, what: str) -> Run:
    """The run `<run>-<what>`, a scratch run as `run` is, its folder made if absent.

    Raises RunError where a training has that name: its files are not to be mixed with others.
    """
    found = Run(run.folder.with_name(f"{run.name}-{what}"))
    if not found.folder.exists():
        found = writable(Run(paths.RESULTS / found.name)) \
            if (paths.RESULTS / found.name).is_dir() else found
    if found.path("adapters").exists() or found.path(STARTS).exists():
        raise RunError(f"run {found.name} is a training, and what the {what} writes for run "
                       f"{run.name} would go into it: rename one of the two folders, or leave "
                       f"these rows out (-p {'baseline' if what == 'base' else what} False)")
    found.folder.mkdir(parents=True, exist_ok=True)
    return found


@lru_cache(maxsize=1)
def _loaded(name: str, folder: str, changed: float):
    """`changed` tells a run that was trained anew."""
    return load_run(name)


def load_writer(name: str):
    """A run's model with both adapters, its tokenizer and parameters, loaded once a process."""
    folder = find_run(name).path("adapters")
    return _loaded(name, str(folder), folder.stat().st_mtime if folder.exists() else 0.0)
