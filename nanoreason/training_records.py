"""The records that a training learns from, and what its environment.json says of them."""
from __future__ import annotations

from collections import Counter

from nanoreason import paths
from nanoreason.data import prepare
from nanoreason.on_policy import FILE, add_on_policy
from nanoreason.params import TrainParams
from nanoreason.phases import reasoning_sha256
from nanoreason.processes import rank
from nanoreason.runs import Run


def training_records(params: TrainParams, reasoning: Run | None, tokenizer, device
                     ) -> tuple[list[dict], dict]:
    """The prepared records, and `data`, in phase verification also `on_policy`, `reasoning`.

    reasoning: the run whose reasoning adapter is frozen, which then also gives a share of
    the wrong traces; None outside phase verification.
    """
    report: dict = {}
    records = prepare(params.data, total=params.traces, error_share=params.error_share,
                      seed=params.seed, path=params.data_path, kinds=params.error_kinds,
                      language=params.language, allow_fewer=params.allow_fewer, report=report)
    facts: dict = {"data": {key: report[key] for key in ("read", "kept", "reasons", "planted")}}
    folder = Run(paths.RUNS / params.run)
    if reasoning is None:
        folder.path(FILE).unlink(missing_ok=True)  # of an earlier run of this name
        return records, facts
    records, counts = add_on_policy(records, tokenizer, params, reasoning, folder, device)
    left = Counter(record["planted"]["kind"] for record in records
                   if record["planted"] and record["planted"]["origin"] == "planted")
    facts["data"]["planted"] = dict(sorted(left.items()))
    facts["on_policy"] = counts
    facts["reasoning"] = {"run": reasoning.name, "sha256": reasoning_sha256(reasoning)}
    if counts["filled_with_planted"] and rank() == 0:
        print(f"on-policy errors: {counts['kept']} of {counts['wanted']} wanted came from "
              f"{counts['sampled']} samples; planted ones stay in place of the rest")
    return records, facts
