"""Phase verification: a frozen reasoning adapter, and the VERIFY that finds its own errors.

The trained reasoning adapter of another run (the student) writes UNDERSTAND, PLAN and EXECUTE
of a train problem. Its EXECUTE is wrong where its Result is not the gold answer, and the step
to blame is the first wrong one by the known graph (`matching.first_wrong_step`). The rules can
write VERIFY where everything before that step is the teacher's, step by step: then the
teacher's checks lead to the blamed step and the teacher's steps from there on repair it.
The kind of each check is the one that the problem's right trace has, drawn before anybody
knew whether the step is wrong.

Left out on purpose: students that solve a problem in another order or in another number of
steps. The rules know no check and no repair for them; they are counted with the reason.
"""
from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import torch
from peft import set_peft_model_state_dict
from safetensors.torch import load_file

from nanoreason.arithmetic.answers import same_answer
from nanoreason.arithmetic.equations import read_equations
from nanoreason.data.errors import read_steps
from nanoreason.data.filters import examine
from nanoreason.data.problem import Problem, question_sha256
from nanoreason.data.verify_lines import (CorruptionError, check_kinds, check_line,
                                          check_lines, repaired)
from nanoreason.files import (file_sha256, parse, read_text, set_aside, to_json,
                              write_text)
from nanoreason.graph.builder import execute_graph
from nanoreason.graph.matching import align, first_wrong_step
from nanoreason.host import GivenError
from nanoreason.model.adapters import load_adapters
from nanoreason.model.base import load_base, locate
from nanoreason.model.decoding import Request, generate
from nanoreason.model.tokens import given_part, prompt_ids, tag_ids, text_ids
from nanoreason.runs import FINISHED, Run, RunError, check_manifest, find_run
from nanoreason.stages import Stage
from nanoreason.trace import Trace, TraceError, parse_trace, render_trace, render_verify
from nanoreason.training.resume import require_finished

MUST_MATCH = ("base", "routing", "form", "rank", "alpha")
FILE = "on_policy.jsonl"
CHUNK = 512  # texts that are sampled before it is looked whether there are enough
BATCH_TOKENS = 32_768  # cache positions of one decoding batch
SPARE = 1.25  # longest text that is sampled, in multiples of the longest right one
_NO_VERIFY = "\n" + render_verify(("1 = 1",), "correct", (), "0")


def find_reasoning(params) -> Run | None:
    """The run whose reasoning adapter `params` builds on; None outside phase verification.

    Raises `RunError` where there is no such run, it has no reasoning adapter or not the one that
    was written, or it was trained with another base, routing, form, rank or alpha.
    """
    if params.phase != "verification":
        return None
    run = find_run(params.reasoning_run)
    require_finished(run)
    if not reasoning_file(run).is_file():
        raise RunError(f"run {run.name} has no reasoning adapter: finish its training first "
                       "(phase=reasoning or joint), or name another run in reasoning_run")
    check_manifest(run.folder, FINISHED)
    check_manifest(run.path("adapters"))
    there = {"form": "staged"} | run.read_params()  # an older run does not name it
    other = [f"{name}={there.get(name)!r} there and {getattr(params, name)!r} here"
             for name in MUST_MATCH if there.get(name) != getattr(params, name)]
    if other:
        raise RunError(f"the reasoning adapter of run {run.name} does not fit: "
                       f"{', '.join(other)}; give the same values")
    return run


def reasoning_file(run: Run) -> Path:
    """Where a run keeps the weights of its reasoning adapter."""
    return run.path("adapters") / "reasoning" / "adapter_model.safetensors"


def take_reasoning(model, run: Run) -> None:
    """Copy a run's reasoning adapter into the model's, bit for bit; `tune` freezes it.

    Raises `RunError` where the weights there have other names than here.
    """
    loaded = set_peft_model_state_dict(model, load_file(reasoning_file(run)), "reasoning")
    lacking = [name for name in loaded.missing_keys if ".reasoning." in name]
    if odd := loaded.unexpected_keys + lacking:
        raise RunError(f"run {run.name}: {odd[0]} stands in one of its adapter and the model's "
                       "alone; they are of different models")


@dataclass(frozen=True)
class Judgement:
    """What a sampled text is worth.

    outcome: unreadable, right, not_repairable or repairable. reason: why it is unreadable or
    not repairable, else None.
    trace, kind: of a repairable one, the whole trace, and "false_equation" (the blamed line
    does not add up) or "wrong_value" (it does, but the step comes to something else).
    """

    outcome: str
    reason: str | None = None
    trace: Trace | None = None
    kind: str | None = None


def right_trace(record: Mapping) -> Trace:
    """The right trace behind a record with an injected error, its checks included.

    Raises `CorruptionError` where a line of it is no plain step of two operands.
    """
    trace = repaired(parse_trace(record["trace"]))
    steps = read_steps(trace)
    return replace(trace, checks=check_lines(record["id"], steps, trace.execute))


def judge(record: Mapping, right: Trace, text: str) -> Judgement:
    """Judge one sampled text of a record's problem.

    record: a prepared record (its question, answer and source are used). right: the
    teacher's trace, see `right_trace`. text: what the student wrote, as far as the VERIFY
    tag; what stands behind the tag is not looked at.
    """
    written, tag, _ = f"{text}\n".partition(f"\n{Stage.VERIFY.tag}\n")
    if not tag:
        return Judgement("unreadable", "no_verify_tag")
    try:
        student = parse_trace(written + _NO_VERIFY)
    except TraceError as error:
        return Judgement("unreadable", f"in_{error.stage.value}")
    ours = execute_graph(student.execute, record["question"], plan=student.plan)
    if ours.graph["unreadable"]:
        return Judgement("unreadable", "line_of_EXECUTE")
    if same_answer(student.result, record["answer"]):
        return Judgement("right")
    theirs = execute_graph(right.execute, record["question"], plan=right.plan)
    step = first_wrong_step(ours, theirs)
    reason = _unfit(student, right, ours, theirs, step)
    if reason:
        return Judgement("not_repairable", reason)
    steps = read_steps(right)
    found = [ours.nodes["step", number]["value"] for number in range(1, step + 1)]
    try:
        checks = tuple(map(check_line, check_kinds(right, steps), steps, found))
    except ZeroDivisionError:
        return Judgement("not_repairable", "check_divides_by_zero")
    if not all(any(e.holds for e in read_equations(check)) for check in checks):
        return Judgement("not_repairable", "check_unreadable")
    trace = replace(student, checks=checks, verdict=step, repairs=right.execute[step - 1:],
                    answer=right.answer)
    problem = Problem(record["id"], record["source"], record["split"], "", record["question"],
                      record["answer"])
    trace, rejection = examine(problem, trace)
    if rejection:
        return Judgement("not_repairable", rejection.reason)
    kind = "wrong_value" if ours.nodes["step", step]["holds"] else "false_equation"
    return Judgement("repairable", None, trace, kind)


def _unfit(student: Trace, right: Trace, ours, theirs, step: int | None) -> str | None:
    """Why the teacher's checks and repairs do not fit a wrong EXECUTE; None if they do."""
    if step is None:
        return "no_wrong_step"
    if len(student.plan) != len(right.plan):
        return "plan_of_other_length"
    if step > len(student.execute):
        return "wrong_step_has_no_line"
    partner = align(ours, theirs)
    if any(partner.get(("step", n)) != ("step", n) for n in range(1, step)):
        return "steps_before_in_other_order"
    if ours.nodes["step", step]["value"] == theirs.nodes["step", step]["value"]:
        return "false_equation_with_right_value"
    return None


class Sampler:
    """Texts of the reasoning adapter up to the VERIFY tag, from the run's file or the model.

    run: with the adapters. folder: the run that is being made, where the file is. longest:
    tokens of a text at most. The model is loaded when the first text is missing.
    """

    def __init__(self, params, run: Run, folder: Run, longest: int, device):
        self.params, self.run, self.longest, self.device = params, run, longest, device
        self.path = folder.path(FILE)
        self.settings = {
            "base": params.base, "base_version": locate(params.base).version,
            "quantisation": params.quantisation,
            "reasoning_sha256": file_sha256(reasoning_file(run)),
            "temperature": params.on_policy_temperature, "seed": params.seed,
            "max_new_tokens": longest}
        self.rows = {self._key(row): row for row in self._read()}
        self.taken_up = len(self.rows)
        self._model = None

    def _read(self) -> list[dict]:
        """The rows of an earlier file of the same settings."""
        if not self.path.exists():
            return []
        with suppress(RunError, KeyError, TypeError):  # damaged, or of another form
            first, *rows = map(parse, read_text(self.path).rstrip("\n").split("\n"))
            if first["settings"] == self.settings and all(map(self._key, rows)):
                return rows
        print(f"{self.path.name}: the texts there are of another adapter or sampling; they are "
              f"kept as {set_aside(self.path).name}, and sampled anew")
        return []

    @staticmethod
    def _key(row: dict) -> tuple:
        return row["problem_id"], row["question_sha256"], row["sample"]

    def sample(self, records: Sequence[dict], sample: int) -> list[dict]:
        """One row (its `text`, and what is noted there) for each record.

        sample: the number of the text among those of its problem; each has its own seed.
        """
        rows = [{"problem_id": record["id"], "sample": sample,
                 "question_sha256": question_sha256(record["question"])} for record in records]
        missing = [i for i, row in enumerate(rows) if self._key(row) not in self.rows]
        for i, text in zip(missing, self._generate([records[i] for i in missing], sample)):
            self.rows[self._key(rows[i])] = rows[i] | {"text": text}
        return [self.rows[self._key(row)] for row in rows]

    def _generate(self, records: list[dict], sample: int) -> list[str]:
        if not records:
            return []
        if self._model is None:
            base, tokenizer = load_base(self.params.base, self.params.quantisation, self.device)
            self._model = load_adapters(base, self.run.path("adapters")), tokenizer
        model, tokenizer = self._model
        requests = []
        for record in records:
            ids = prompt_ids(tokenizer, record["question"])
            own = random.Random(f"on-policy/{self.params.seed}/{record['id']}/{sample}")
            requests.append(Request(ids, len(ids), own.getrandbits(60)))
        batches = generate(
            model, tokenizer, requests, tag_ids(tokenizer), self.longest, BATCH_TOKENS,
            self.params.on_policy_temperature, f"on-policy sample {sample + 1}",
            stop_at_tag=True)
        texts = {index: new for batch in batches for index, new in batch}
        return [tokenizer.decode(texts[i], skip_special_tokens=True).rstrip("\n")
                for i in range(len(records))]

    def write(self) -> None:
        """Write all texts, whole or not at all."""
        lines = [{"settings": self.settings}, *self.rows.values()]
        write_text(self.path, "".join(to_json(line) + "\n" for line in lines))


def add_on_policy(records: list[dict], tokenizer, params, run: Run, folder: Run, device
                  ) -> tuple[list[dict], dict]:
    """The records with a share of the injected errors exchanged for on-policy ones; counts.

    records: prepared ones of the train split. params: a `TrainParams`; `on_policy_share`
    of the records with an injected error are to be exchanged. run: of the reasoning adapter.
    folder: the run that is being made.
    The counts: `wanted`, `kept`, `filled_with_planted` (wanted - kept), `no_right_trace`
    (problems that the rules cannot judge, never sampled); `sampled` = unreadable + right +
    wrong, wrong = not_repairable + repairable, each with its reasons; `unused` (repairable,
    but there were enough), `kinds` of those kept; `taken_up`, texts of an earlier file.
    Raises `ValueError` for a record outside the train split.
    """
    outside = next((r for r in records if r["split"] != "train"), None)
    if outside is not None:
        raise GivenError(f"{outside['id']} is of the split {outside['split']!r}: errors are "
                         "sampled on train problems only")
    planted = [i for i, record in enumerate(records)
               if record["planted"] and record["planted"]["origin"] == "planted"]
    wanted = round(params.on_policy_share * len(planted))
    random.Random(f"on-policy/{params.seed}").shuffle(planted)
    rights: dict[int, Trace] = {}
    for i in planted if wanted else ():
        try:
            rights[i] = right_trace(records[i])
        except CorruptionError:
            continue
    found: dict[int, dict] = {}
    judged: list[Judgement] = []
    taken_up = 0
    if rights:
        longest = max(len(text_ids(tokenizer, given_part(right))) for right in rights.values())
        sampler = Sampler(params, run, folder, int(SPARE * longest), device)
        found, judged = _sampled(records, rights, wanted, params.on_policy_samples, sampler)
        taken_up = sampler.taken_up
        del sampler  # the model with it
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    kept = dict(islice(found.items(), wanted))
    outcomes = Counter(judgement.outcome for judgement in judged)
    reasons = {outcome: Counter(j.reason for j in judged if j.outcome == outcome)
               for outcome in ("unreadable", "not_repairable")}
    return [kept.get(i, record) for i, record in enumerate(records)], {
        "sampled": len(judged), "unreadable": outcomes["unreadable"],
        "right": outcomes["right"],
        "wrong": outcomes["not_repairable"] + outcomes["repairable"],
        "not_repairable": outcomes["not_repairable"], "repairable": outcomes["repairable"],
        "reasons": {outcome: dict(sorted(of.items())) for outcome, of in reasons.items()},
        "wanted": wanted, "kept": len(kept), "filled_with_planted": wanted - len(kept),
        "unused": len(found) - len(kept),
        "no_right_trace": len(planted) - len(rights) if wanted else 0,
        "kinds": dict(sorted(Counter(r["planted"]["kind"] for r in kept.values()).items())),
        "taken_up": taken_up}


def _sampled(records: list[dict], rights: dict[int, Trace], wanted: int, samples: int,
             sampler: Sampler) -> tuple[dict[int, dict], list[Judgement]]:
    """(new record of each place that was found a repairable error, all judgements)."""
    found: dict[int, dict] = {}
    judged: list[Judgement] = []
    for sample in range(samples):
        left = [i for i in rights if i not in found]
        for start in range(0, len(left), CHUNK):
            if len(found) >= wanted:
                break
            places = left[start:start + CHUNK]
            for i, row in zip(places, sampler.sample([records[i] for i in places], sample)):
                judgement = judge(records[i], rights[i], row["text"])
                row.update(outcome=judgement.outcome, reason=judgement.reason)
                judged.append(judgement)
                if judgement.trace:
                    found[i] = records[i] | {
                        "trace": render_trace(judgement.trace),
                        "planted": {"step": judgement.trace.verdict, "kind": judgement.kind,
                                    "origin": "on_policy"}}
        sampler.write()
    return found, judged
