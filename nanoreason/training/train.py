"""From a parameter set to a finished run: records, rows, two adapters, files."""
from __future__ import annotations

import hashlib
import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext, suppress

from transformers import set_seed

from nanoreason import environment, paths
from nanoreason.data.prepare import prepare, with_checks
from nanoreason.data.verify_lines import CorruptionError, by_digits, repaired
from nanoreason.environment import choose_device, choose_dtype
from nanoreason.files import file_sha256, write_manifest
from nanoreason.host import GivenError, check_type
from nanoreason.model.adapters import (adapter_parameters, adapters_sha256, attach_adapters,
                                       dequantized, save_adapters)
from nanoreason.model.base import (Location, base_name, load_base, load_tokenizer,
                                   locate)
from nanoreason.model.tokens import IGNORE, Encoded, encode, encode_free, paired, tag_ids
from nanoreason.params.sets import TrainParams
from nanoreason.runs import Run, bring, find_run
from nanoreason.stages import GROUPS
from nanoreason.trace import Trace, parse_trace
from nanoreason.training.batches import download_text, forecast_text
from nanoreason.training.on_policy import (add_on_policy, find_reasoning, reasoning_file,
                                           take_reasoning)
from nanoreason.training.processes import (first_before_others, gathered, process_count, rank,
                                           train_in_processes)
from nanoreason.training.resume import (TrainingState, check_base, identity, make_way,
                                        open_training)
from nanoreason.training.trainer import StepAwareTrainer, check_logger, tune

MOST_LOST = 0.1  # of the traces, to max_length: beyond it what is learned is another mixture


def training_records(params: TrainParams, reasoning: Run | None, tokenizer, device
                     ) -> tuple[list[dict], dict]:
    """The prepared records, and `data`, in phase verification also `on_policy`, `reasoning`.

    reasoning: the run whose reasoning adapter is frozen, which then also gives a share of
    the wrong traces; None outside phase verification.
    """
    report: dict = {}
    records = prepare(params.data, total=params.traces, error_share=params.error_share,
                      seed=params.seed, path=params.data_path, columns=params.columns,
                      kinds=params.error_kinds,
                      language=params.language, allow_fewer=params.allow_fewer,
                      drop_ambiguous=params.drop_ambiguous, report=report)
    facts: dict = {"data": {key: report[key] for key in ("read", "kept", "reasons", "planted")}}
    folder = Run(paths.RUNS / params.run)
    if reasoning is None:
        return with_checks(records, params.checks), facts
    if params.checks != "digits" and any(by_digits(record["trace"]) for record in records):
        raise GivenError(f"checks={params.checks!r}, but VERIFY in {params.data} is by digits: "
                         "beside it the form of an on-policy one would tell the error; give "
                         "checks='digits'")
    records, counts = add_on_policy(records, tokenizer, params, reasoning, folder, device)
    planted = [record["planted"] for record in records if record["planted"]]
    left = Counter(error["kind"] for error in planted if error["origin"] == "planted")
    facts["data"]["planted"] = dict(sorted(left.items()))
    facts["on_policy"] = counts
    facts["reasoning"] = {"run": reasoning.name, "sha256": file_sha256(reasoning_file(reasoning))}
    if counts["filled_with_planted"] and rank() == 0:
        print(f"on-policy errors: {counts['kept']} of {counts['wanted']} wanted came from "
              f"{counts['sampled']} samples; injected ones stay in place of the rest")
    return with_checks(records, params.checks), facts


def larger_records(params: TrainParams) -> list[dict]:
    """Records with larger numbers, as many as `larger_share` says, from which VERIFY alone is
    learned: it has to check and mend what EXECUTE cannot do. Under `reread` the reasoning adapter
    takes nothing from them; under `switch` and `stack` the loss of VERIFY reaches it through its
    keys and values, and under `single` it is the adapter that learns VERIFY."""
    count = round(params.larger_share * params.traces)
    return prepare(params.data, total=count, error_share=params.error_share, seed=params.seed,
                   split="train_999", kinds=params.error_kinds, language=params.language,
                   drop_ambiguous=params.drop_ambiguous, checks=params.checks) if count else []


def encode_records(tokenizer, records: list[dict], max_length: int, form: str = "staged",
                   routing: str = "switch", right_twins: bool = False,
                   larger: Sequence[dict] = ()) -> tuple[list[Encoded], dict]:
    """Training rows of prepared records, and what there is of them.

    form: "staged", or "free" for `tokens.encode_free`. routing, right_twins: see
    `tokens.paired`; the twin of a trace with an error is `right_twin`. larger: records from
    which VERIFY is learned in place of as many of the others, evenly spread; all else is
    learned as it is without them.

    The counts: traces, `planted` (with an error: their EXECUTE carries no loss), larger (used in
    another's place), too_long (left out), the tokens of the longest of these, and supervised
    tokens by loss group.
    """
    rows, counts = [], Counter(traces=len(records), planted=0, larger=0, too_long=0)
    tag = tag_ids(tokenizer)
    for number, own in enumerate(records):
        done, due = (n * len(larger) // len(records) for n in (number, number + 1))
        other = done < due
        record = larger[done] if other else own
        question, trace = record["question"], parse_trace(record["trace"])
        wrong = trace.verdict is not None  # injected, on-policy, or a teacher's own
        row = (encode_free(tokenizer, question, trace, sys.maxsize) if form == "free" else
               encode(tokenizer, question, trace, sys.maxsize, wrong_execute=wrong))
        twin = None
        if form == "staged" and (other or wrong and right_twins):
            first = parse_trace(own["trace"]) if other else trace
            twin = right_twins and right_twin(first) or (first if other else None)
            twin = twin and encode(tokenizer, own["question"], twin, sys.maxsize,
                                   wrong_execute=twin.verdict is not None)
        length = max(len(each.input_ids) for each in (row, twin) if each)
        if length > max_length:
            counts["too_long"] += 1
            counts["longest"] = max(counts["longest"], length)
            continue
        if form == "staged":
            row = paired(row, tag, routing, twin)
        rows.append(row)
        counts["planted"] += wrong
        counts["larger"] += other
        counts.update(f"{GROUPS[group]}_tokens" for reading in row.readings
                      for group in reading.groups if group != IGNORE)
    return rows, dict(counts)


def right_twin(trace: Trace) -> Trace | None:
    """What the repairs of a wrong trace make of it; None where PLAN has other steps than that."""
    with suppress(CorruptionError):
        twin = repaired(trace)
        return twin if len(twin.execute) == len(twin.plan) else None


def rows_sha256(rows: list[Encoded]) -> str:
    """Hexadecimal sha256 of the tokens and groups, in order: what was trained on."""
    digest = hashlib.sha256()
    for row in rows:
        for reading in row.readings:
            digest.update(repr((reading.input_ids, reading.groups)).encode())
    return digest.hexdigest()


def train(params: TrainParams) -> Run:
    """Train both adapters as `params` say and write the run's files; returns the run.

    With one seed and one machine the adapters come out bit for bit the same, also where the
    training was killed or stopped by `max_minutes` and called again with the same
    parameters (see `resume`). The base is loaded quantised where `quantisation` says so;
    the adapters are float32. More than one process (`processes`, None: one a GPU) is started
    beside this one; one trains right here. Raises `ProcessError` with the message of the
    process that failed, `RunError` where another process writes into this run, another
    training of its name is finished, or the disk is full.
    """
    check_type(TrainParams, "a TrainParams, such as TrainParams(profile='nano')", params=params)
    bring(params.run)
    processes = process_count(params.processes)
    if processes == 1:
        return train_here(params)
    with Run(paths.RUNS / params.run).held("training"):  # refused before they are started
        device = choose_device()
        what = _identity(params, locate(params.base), find_reasoning(params), device,
                         choose_dtype(device)[0], processes)
        make_way(params, what, params.fresh)
    train_in_processes(params.as_dict(), processes)
    return find_run(params.run)


def _identity(params: TrainParams, base: Location, reasoning: Run | None, device, dtype,
              processes: int) -> dict:
    """The identity of a training, as far as it is known without its rows."""
    hashes = {"reasoning_sha256": file_sha256(reasoning_file(reasoning))} if reasoning else {}
    return identity(params, base, device.type, str(dtype).removeprefix("torch."), processes,
                    **hashes)


def train_here(params: TrainParams) -> Run | None:
    """`train` in this process, which may be one of a group; only its process 0 writes files.

    Returns the run in process 0, None in the others.
    """
    began, main = time.monotonic(), rank() == 0
    check_logger(params.report_to)
    set_seed(params.seed)
    device = choose_device()
    dtype, dtype_reason = choose_dtype(device)
    base, reasoning = locate(params.base), find_reasoning(params)
    if reasoning is not None:
        check_base(reasoning, base)
    with Run(paths.RUNS / params.run).held("training") if main else nullcontext():
        what = _identity(params, base, reasoning, device, dtype, len(gathered(None)))
        if main:
            make_way(params, what, params.fresh)
            print(f"run {params.run}: {params.traces} traces are made ready and the base is "
                  "loaded; a forecast of time and memory follows")
        with first_before_others():
            tokenizer = load_tokenizer(params.base)
            records, of_data = training_records(params, reasoning, tokenizer, device)
        rows, counts = encode_records(tokenizer, records, params.max_length, params.form,
                                      params.routing, params.right_twins,
                                      larger_records(params))
        if counts["too_long"]:
            said = (f"{counts['too_long']} of {counts['traces']} traces are longer than max_length="
                    f"{params.max_length} tokens: max_length={counts['longest']} takes them all")
            if counts["too_long"] > MOST_LOST * counts["traces"] and not params.allow_fewer:
                raise GivenError(f"{said}, allow_fewer=True trains without them")
            if main:
                print(f"{said}; they are left out")
        what["rows_sha256"] = rows_sha256(rows)
        state = gathered(open_training(params, what) if main else None)[0]
        if state.finished:
            return state.run if main else None
        if main:
            state.run.write_params(params)
            print(download_text(base))
        with first_before_others():
            model, _ = load_base(params.base, params.quantisation, device)
        model = attach_adapters(model, params.rank, params.alpha, params.dropout, params.seed,
                                params.routing)
        if reasoning is not None:
            take_reasoning(model, reasoning)
        if params.gradient_checkpointing:
            model.router.enable_checkpointing(model)
        with dequantized(model) if params.unpack else nullcontext():
            trainer = StepAwareTrainer(model, tokenizer, rows, params, state, began)
            text = forecast_text(trainer, params)
            if main:
                print(text)
            steps, summary = tune(trainer)
        peaks = gathered(environment.peak_memory()), gathered(environment.peak_gpu_memory())
        if not main:
            return None
        facts = environment.describe(dtype=what["recorded"]["dtype"],
                                     dtype_reason=dtype_reason,
                                     seconds=summary["seconds"])
        facts["base"] = base.as_dict()
        facts["training"] = summary | counts | of_data | {
            "process_peak_memory_bytes": peaks[0], "process_peak_gpu_memory_bytes": peaks[1],
            "parameters": {name: sum(p.numel() for _, p in adapter_parameters(model, name))
                           for name in model.router.names},
            "weights": {group: getattr(params, f"{group}_weight") for group in GROUPS},
            "rows_sha256": what["rows_sha256"], "adapters_sha256": adapters_sha256(model),
            "base_version": what["base_version"]}
        _write(state, model, base_name(params.base), steps, facts)
        if not summary["finished"]:
            print(f"run {params.run} stops here, before max_minutes={params.max_minutes:g}, at "
                  f"step {summary['optimiser_steps']} of {summary['planned_steps']}: the same "
                  "parameters go on from there")
    return state.run


def _write(state: TrainingState, model, base: str, steps: list[dict], facts: dict) -> None:
    """The files of a run, each whole or not at all; the seal, if it is finished, comes last."""
    run = state.run
    run.write_metrics(steps)
    folder, beside = run.path("adapters"), run.path(".adapters.part")
    shutil.rmtree(beside, ignore_errors=True)
    save_adapters(model, beside, base)
    write_manifest(beside, {}, {})
    shutil.rmtree(folder, ignore_errors=True)
    beside.replace(folder)
    run.write_environment(facts)
    if facts["training"]["finished"]:
        state.seal()
