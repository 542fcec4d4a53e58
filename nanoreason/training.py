"""`train(params)`: from a parameter set to a finished run, and back from a run to a model.

Data → tokens → base → adapters → Trainer → `params.yaml`, `environment.json`,
`metrics.csv` and `adapters/`, with the hashes that tell two runs apart.
"""
from __future__ import annotations

import hashlib
from collections import Counter

from transformers import set_seed

from nanoreason import environment
from nanoreason.data import prepare
from nanoreason.location import Location
from nanoreason.loss import GROUPS, IGNORE, step_aware_loss
from nanoreason.models import (base_name, choose_device, choose_dtype, load_base,
                               load_tokenizer, locate)
from nanoreason.params import TrainParams
from nanoreason.routing import (adapter_parameters, attach_adapters, load_adapters, route,
                                save_adapters)
from nanoreason.runs import Run, RunError, create_run, find_run
from nanoreason.tokens import Encoded, encode
from nanoreason.trace import parse_trace
from nanoreason.trainer import tune

__all__ = ["attach_adapters", "encode_records", "load_run", "route", "step_aware_loss",
           "train"]


def encode_records(tokenizer, records: list[dict], max_length: int
                   ) -> tuple[list[Encoded], dict]:
    """Training rows of prepared records, and what there is of them.

    The counts: traces, planted (their EXECUTE carries no loss), too_long (left out), and
    supervised tokens by loss group.
    """
    rows, counts = [], Counter(traces=len(records), planted=0, too_long=0)
    for record in records:
        wrong = record["planted"] is not None
        row = encode(tokenizer, record["question"], parse_trace(record["trace"]), max_length,
                     wrong_execute=wrong)
        if row is None:
            counts["too_long"] += 1
            continue
        rows.append(row)
        counts["planted"] += wrong
        for group in row.groups:
            if group != IGNORE:
                counts[f"{GROUPS[group]}_tokens"] += 1
    return rows, dict(counts)


def rows_sha256(rows: list[Encoded]) -> str:
    """Hexadecimal sha256 of the tokens and groups, in order: what was trained on."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(repr((row.input_ids, row.groups)).encode())
    return digest.hexdigest()


def adapters_sha256(model) -> str:
    """Hexadecimal sha256 of all adapter weights, by name: equal runs have equal hashes."""
    digest = hashlib.sha256()
    for name in model.router.names:
        for key, parameter in sorted(adapter_parameters(model, name)):
            digest.update(key.encode())
            digest.update(parameter.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def train(params: TrainParams) -> Run:
    """Train both adapters as `params` say and write the run's files; returns the run.

    With one seed and one machine the adapters come out bit for bit the same. The base is
    loaded quantised where `quantisation` says so; the adapters are float32.
    """
    set_seed(params.seed)
    device = choose_device()
    dtype, reason = choose_dtype(device)
    report: dict = {}
    records = prepare(params.data, total=params.traces, error_share=params.error_share,
                      seed=params.seed, path=params.data_path, kinds=params.error_kinds,
                      language=params.language, allow_fewer=params.allow_fewer, report=report)
    rows, counts = encode_records(load_tokenizer(params.base), records, params.max_length)
    model, tokenizer = load_base(params.base, params.quantisation, device)
    model = attach_adapters(model, params.rank, params.alpha, params.dropout, params.seed,
                            params.routing)
    if params.gradient_checkpointing:
        model.router.enable_checkpointing(model)
    run = create_run(params.run)
    run.write_params(params)
    steps, summary = tune(model, tokenizer, rows, params, run.path("trainer"))
    for step in steps:
        run.append_metrics(step)
    save_adapters(model, run.path("adapters"), base_name(params.base))
    facts = environment.describe(dtype=str(dtype).removeprefix("torch."), dtype_reason=reason,
                                 seconds=summary["seconds"])
    facts["base"] = locate(params.base).as_dict()
    facts["training"] = summary | counts | {
        "data": {key: report[key] for key in ("read", "kept", "reasons", "planted")},
        "parameters": {name: sum(p.numel() for _, p in adapter_parameters(model, name))
                       for name in model.router.names},
        "weights": {group: getattr(params, f"{group}_weight") for group in GROUPS},
        "rows_sha256": rows_sha256(rows), "adapters_sha256": adapters_sha256(model)}
    run.write_environment(facts)
    return run


def check_base(run: Run, found: Location) -> None:
    """Refuse weights of the same name other than those that a run's adapters were made for.

    Raises `RunError`. A run that did not record its base passes.
    """
    there = run.path("environment.json").exists()
    made_for = run.read_environment().get("base") if there else None
    if made_for and made_for["version"] != found.version:
        raise RunError(f"run {run.name} was trained on {made_for['base']} from the "
                       f"{made_for['source']} ({made_for['version']}), but here it comes from "
                       f"the {found.source} ({found.version}): bring the same weights, or "
                       "train again")


def load_run(name: str, quantisation: str | None = None):
    """(model with both adapters, tokenizer, parameters as a mapping) of a finished run.

    quantisation: None takes what the run was trained on. Raises `RunError` if there is no
    such run or the base found here is not the one it was trained on, `FileNotFoundError` if
    it has no adapters.
    """
    run = find_run(name)
    params = run.read_params()
    check_base(run, locate(params["base"]))
    model, tokenizer = load_base(params["base"], quantisation or params["quantisation"])
    return load_adapters(model, run.path("adapters")), tokenizer, params
