"""On-policy errors: wrong EXECUTEs that the trained reasoning adapter writes itself.

Planted errors are of five kinds; what a student gets wrong is its own. So in the phase
verification a share of the wrong traces comes from the frozen reasoning adapter: it is
sampled on train problems, `student_errors.judge` says what is wrong and writes the VERIFY.

Which problems have a wrong trace is drawn before anything is sampled: an on-policy trace
takes the place of the same problem's planted one, so hard problems are as frequent among
right traces as among wrong ones. All problems are sampled once, then those without a usable
trace again, and so on, until there are enough. Where fewer come than were asked for, the
planted trace stays; all of it is counted.

The texts are kept in the run's folder. They are taken up again where adapter, base and
sampling are the same, so that a training that was cut off sees the same traces.
"""
from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from itertools import islice

import torch

from nanoreason.errors import CorruptionError
from nanoreason.files import to_json, write_text
from nanoreason.generation import Request, generate
from nanoreason.models import load_base, locate
from nanoreason.phases import reasoning_sha256
from nanoreason.problem import question_sha256
from nanoreason.records import Rejection, read_json_lines
from nanoreason.routing import load_adapters
from nanoreason.runs import Run
from nanoreason.student_errors import Judgement, judge, right_trace
from nanoreason.tokens import given_part, prompt_ids, tag_ids, text_ids
from nanoreason.trace import Trace, render_trace

FILE = "on_policy.jsonl"
CHUNK = 512  # texts that are sampled before it is looked whether there are enough
BATCH_TOKENS = 32_768  # cache positions of one decoding batch
SPARE = 1.25  # longest text that is sampled, in multiples of the longest right one


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
            "quantisation": params.quantisation, "reasoning_sha256": reasoning_sha256(run),
            "temperature": params.on_policy_temperature, "seed": params.seed,
            "max_new_tokens": longest}
        self.rows = self._read()
        self.taken_up = len(self.rows)
        self._model = None

    def _read(self) -> dict[tuple, dict]:
        """The rows of an earlier file of the same settings, by problem and sample."""
        if not self.path.exists():
            return {}
        first, *rows = [row for _, row in read_json_lines(self.path)] or [None]
        whole = not any(isinstance(row, Rejection) for row in (first, *rows))
        if not whole or first is None or first.get("settings") != self.settings:
            print(f"{self.path.name}: the texts there are of another adapter or sampling; "
                  "they are sampled anew")
            return {}
        return {self._key(row, row["sample"]): row for row in rows}

    @staticmethod
    def _key(row: dict, sample: int) -> tuple:
        return row["problem_id"], row["question_sha256"], sample

    def texts(self, records: Sequence[dict], sample: int) -> list[str]:
        """One text for each record: number `sample` of its problem, from a seed of its own."""
        asked = [{"problem_id": record["id"], "sample": sample,
                  "question_sha256": question_sha256(record["question"])} for record in records]
        missing = [i for i, row in enumerate(asked) if self._key(row, sample) not in self.rows]
        for i, text in zip(missing, self._generate([records[i] for i in missing], sample)):
            self.rows[self._key(asked[i], sample)] = asked[i] | {"text": text}
        return [self.rows[self._key(row, sample)]["text"] for row in asked]

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
        found = {index: new for batch in batches for index, new in batch}
        return [tokenizer.decode(found[i], skip_special_tokens=True).rstrip("\n")
                for i in range(len(records))]

    def note(self, record: dict, sample: int, judgement: Judgement) -> None:
        """Write beside a text what came of it."""
        key = record["id"], question_sha256(record["question"]), sample
        self.rows[key] |= {"outcome": judgement.outcome, "reason": judgement.reason}

    def write(self) -> None:
        """Write all texts, whole or not at all."""
        lines = [{"settings": self.settings}, *self.rows.values()]
        write_text(self.path, "".join(to_json(line) + "\n" for line in lines))

    def close(self) -> None:
        """Let go of the model."""
        self._model = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def add_on_policy(records: list[dict], tokenizer, params, run: Run, folder: Run, device
                  ) -> tuple[list[dict], dict]:
    """The records with a share of the planted errors exchanged for on-policy ones; counts.

    records: prepared ones of the train split. params: a `TrainParams`; `on_policy_share`
    of the records with a planted error are to be exchanged. run: of the reasoning adapter.
    folder: the run that is being made.
    The counts: `wanted`, `kept`, `filled_with_planted` (wanted - kept), `no_right_trace`
    (problems that the rules cannot judge, never sampled); `sampled` = unreadable + right +
    wrong, wrong = not_repairable + repairable, each with its reasons; `unused` (repairable,
    but there were enough), `kinds` of those kept; `taken_up`, texts of an earlier file.
    Raises `ValueError` for a record outside the train split.
    """
    outside = next((r for r in records if r["split"] != "train"), None)
    if outside is not None:
        raise ValueError(f"{outside['id']} is of the split {outside['split']!r}: errors are "
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
    counts: Counter = Counter(no_right_trace=len(planted) - len(rights) if wanted else 0)
    reasons: dict[str, Counter] = {"unreadable": Counter(), "not_repairable": Counter()}
    found: dict[int, dict] = {}
    taken_up = 0
    if rights:
        longest = max(len(text_ids(tokenizer, given_part(right))) for right in rights.values())
        sampler = Sampler(params, run, folder, int(SPARE * longest), device)
        _sample(records, rights, wanted, params.on_policy_samples, sampler, counts, reasons,
                found)
        taken_up = sampler.taken_up
    kept = dict(islice(found.items(), wanted))
    exchanged = [kept.get(i, record) for i, record in enumerate(records)]
    outcomes = {name: counts[name] for name in ("sampled", "unreadable", "right", "wrong",
                                                "not_repairable", "repairable")}
    return exchanged, outcomes | {
        "reasons": {name: dict(sorted(of.items())) for name, of in reasons.items()},
        "wanted": wanted, "kept": len(kept), "filled_with_planted": wanted - len(kept),
        "unused": len(found) - len(kept), "no_right_trace": counts["no_right_trace"],
        "kinds": dict(sorted(Counter(r["planted"]["kind"] for r in kept.values()).items())),
        "taken_up": taken_up}


def _sample(records: list[dict], rights: dict[int, Trace], wanted: int, samples: int,
            sampler: Sampler, counts: Counter, reasons: dict[str, Counter],
            found: dict[int, dict]) -> None:
    """Fill `found` (place to record), `counts` and `reasons`, round by round."""
    for sample in range(samples):
        if len(found) >= wanted:
            break
        left = [i for i in rights if i not in found]
        for start in range(0, len(left), CHUNK):
            if len(found) >= wanted:
                break
            places = left[start:start + CHUNK]
            texts = sampler.texts([records[i] for i in places], sample)
            for i, text in zip(places, texts):
                judgement = judge(records[i], rights[i], text)
                sampler.note(records[i], sample, judgement)
                counts["sampled"] += 1
                counts[judgement.outcome] += 1
                counts["wrong"] += judgement.outcome in ("not_repairable", "repairable")
                if judgement.reason:
                    reasons[judgement.outcome][judgement.reason] += 1
                if judgement.trace:
                    found[i] = records[i] | {
                        "trace": render_trace(judgement.trace),
                        "planted": {"step": judgement.trace.verdict, "kind": judgement.kind,
                                    "origin": "on_policy"}}
        sampler.write()
    sampler.close()
