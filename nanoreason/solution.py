"""One question answered, with what speaks against the answer said beside it.

The text is the model's; marks, warnings and notes are the program's (`evaluation.doubts`), and
so is the confidence, the probability of EXECUTE's least likely token. An answer with a warning
is not to be relied on; one without may still be wrong, how often is in docs/running.md.

Where the run has a gate (`evaluation.confidence`), an objection of VERIFY that arithmetic does
not settle is heeded where EXECUTE was unsure, and the answer is EXECUTE's result elsewhere. The
gate was chosen on questions like those that were learned: where one is known to be of another kind
(a warning of the question), it decides nothing.
"""
from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from nanoreason import paths
from nanoreason.arithmetic.answers import read_answer
from nanoreason.arithmetic.expression import language_of
from nanoreason.environment import choose_device
from nanoreason.evaluation import doubts
from nanoreason.evaluation.generate import generate_traces, load_writer
from nanoreason.evaluation.prompting import candidates, complete
from nanoreason.evaluation.summary import find_gate
from nanoreason.figures.trace_view import MARK_COLOURS, TraceView, box, page, safe, visible
from nanoreason.files import write_text
from nanoreason.host import SEEDS, GivenError, check_number, shown
from nanoreason.model.base import load_base
from nanoreason.model.tokens import prompt_ids
from nanoreason.runs import find_run, list_runs
from nanoreason.stages import RESULT, Stage
from nanoreason.trace import Claims, Trace, TraceError, read_claims

SENTENCES = paths.asset_table("solution.yaml")
PROMPT = "told, two examples"  # of a base for which none has been chosen, see `prompt_of`
TEMPERATURE = 0.7  # of several samples
BATCH_TOKENS = 65536
DOUBT = -0.2  # the run of reference is then warned of in 8 % of its right answers of dev
MOST = 4096  # samples, and tokens of one
load_base = lru_cache(maxsize=1)(load_base)


@dataclass(frozen=True)
class Solution:
    """An answer; in a notebook it shows itself as a coloured page, in a terminal as text.

    text: what the model wrote. trace: what it is, None with the reason where it is no trace.
    against, beside: what speaks against the answer and what else is to be said, as findings of
    `evaluation.doubts`; `warnings` and `notes` are their sentences, in the language. confidence:
    the probability of EXECUTE's least likely token, None where there is none. votes: (samples
    with this answer, samples).
    """

    question: str
    text: str
    trace: Trace | None
    reason: str | None
    against: tuple[doubts.Finding, ...] = ()
    beside: tuple[doubts.Finding, ...] = ()
    confidence: float | None = None
    votes: tuple[int, int] = (1, 1)
    language: str = "en"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What speaks against the answer, one sentence each; an answer without any may be wrong."""
        told = SENTENCES[self.language]["warnings"]
        return tuple(told[key].format(**values) for key, values in self.against)

    @property
    def notes(self) -> tuple[str, ...]:
        """What else is to be said beside the answer, one sentence each."""
        told = SENTENCES[self.language]["notes"]
        return tuple(told[key].format(**values) for key, values in self.beside)

    @property
    def claims(self) -> Claims:
        """What can be read of the text, trace or not."""
        return read_claims(self.text)

    @property
    def answer(self) -> str | None:
        """What the text states after VERIFY's `Answer:`; after EXECUTE's `Result:` where VERIFY
        objects and is not heeded."""
        return self.claims.a1 if "unheeded" in dict(self.against) else self.claims.a2

    @property
    def verdict(self) -> str:
        """VERIFY's verdict: correct, step k is wrong, or unreadable, in the question's language."""
        claims, words = self.claims, SENTENCES[self.language]["verdict"]
        kind = "wrong" if claims.verdict else "correct" if claims.verdict_readable else "unreadable"
        return words[kind].format(step=claims.verdict)

    @property
    def steps(self) -> tuple[bool | None, ...]:
        """Of each numbered line of EXECUTE whether what it states is so, None if unreadable."""
        return tuple(line.mark for line in self.view.lines if line.stage is Stage.EXECUTE
                     and not line.is_tag and not line.text.startswith(RESULT))

    @property
    def view(self) -> TraceView:
        """The text as a trace to look at."""
        return TraceView(self.text, self.question)

    def _said(self) -> tuple[list[str], list[str]]:
        """The lines above the trace: (answer and verdict, the rest)."""
        words = SENTENCES[self.language]
        head = [f"{words['answer']}: {self.answer or words['none']}",
                f"{words['says']}: {self.verdict}"]
        rest = list(self.notes)
        if self.confidence is not None and "unsure" not in dict(self.against):
            rest.append(words["sure"].format(p=_rounded(self.confidence)) + ".")
        if self.votes[1] > 1:
            rest.append(words["agreed"].format(agree=self.votes[0], of=self.votes[1]) + ".")
        return head, rest

    def html(self) -> str:
        """An HTML fragment: answer, warnings and notes, then the coloured trace."""
        (answer, verdict), rest = self._said()
        lines = [f'<span style="font-weight:bold;font-size:16px">{safe(answer)}</span> '
                 f'({safe(verdict)})']
        lines += [f'<span style="color:{MARK_COLOURS[False]}">⚠ {safe(w)}</span>'
                  for w in self.warnings]
        lines += [f'<span style="color:#555555">{safe(note)}</span>' for note in rest]
        return box("".join(f"<div>{line}</div>" for line in lines)) + self.view.html()

    _repr_html_ = html

    def __repr__(self):
        head, rest = self._said()
        return "\n".join([*map(visible, [*head, *(f"! {w}" for w in self.warnings), *rest]),
                          "", repr(self.view)])

    def save(self, path: str | Path) -> Path:
        """Write it as an HTML page of its own, which loads nothing; the page's path.

        Folders are made. Raises ValueError where the path is a folder or no path.
        """
        if not isinstance(path, (str, Path)) or Path(path).is_dir():
            raise GivenError(f"path is {path!r}; give the name of a file, such as answer.html")
        write_text(Path(path), page(self.question[:80], self.html(), self.language))
        return Path(path)


def solve(question: str, run: str = "nano-reference", *, base: str | None = None,
          samples: int = 1, language: str | None = None, max_new_tokens: int = 640,
          seed: int = 0) -> Solution:
    """A question answered by a run's adapters, or by a base alone; see `Solution`.

    base: "nano", a folder or a name of the hub: that model without adapters, asked for the four
    stages by a prompt, as in notebook 03 (see `prompt_of`). samples: more than one are drawn at
    a temperature of 0.7, from `seed`, and the answer that most of them have is taken, the first
    of equal ones. language: "en" or "vi", of what is said beside the answer; None: that of the
    question. max_new_tokens: of a text, all stages together.

    Raises ValueError for a question or a number that is none, or a question that fills what the
    base can read, and RunError, with the runs that there are, for an unknown run.
    """
    if not isinstance(question, str) or not question.strip():
        raise GivenError(f"question is {shown(question)}; give the text of a word problem")
    if any("\ud800" <= sign <= "\udfff" for sign in question):
        raise GivenError(f"question is {shown(question)}, which holds half of a surrogate pair: "
                         "give it in whole characters")
    check_number(int, 1, MOST + 1, samples=samples, max_new_tokens=max_new_tokens)
    check_number(int, 0, SEEDS, seed=seed)
    if language not in (None, *SENTENCES):
        raise GivenError(f"language is {language!r}; give {' or '.join(SENTENCES)}, or None for "
                         "that of the question")
    rows = [{"problem_id": "question", "sample": sample, "setting": "natural",
             "question": question.strip(), "text": ""} for sample in range(samples)]
    if base is None:
        model, tokenizer, params = load_writer(run)
    else:
        quantisation = "none" if choose_device().type == "cpu" else "nf4"
        (model, tokenizer), params = load_base(base, quantisation), None

    def write(rows: Iterable[dict], label: str = "solve") -> Iterator[dict]:
        rows, most = list(rows), model.config.max_position_embeddings
        tokens = len(prompt_ids(tokenizer, rows[0]["question"]))
        if tokens >= most:
            raise GivenError(f"question is {tokens} tokens long as it is asked, and the base reads "
                             f"{most} with its answer: give a shorter one")
        return generate_traces(model, tokenizer, rows, max_new_tokens, BATCH_TOKENS,
                               TEMPERATURE if samples > 1 else 0.0, seed, label)

    done = write(rows) if base is None else complete(write, rows, candidates()[prompt_of(base)])
    gate = threshold(run) if base is None else None
    return _chosen([judge(row, params, gate, language)
                    for row in sorted(done, key=lambda row: row["sample"])])


def prompt_of(base: str) -> str:
    """The prompt that a run `…-prompted` has chosen on dev for this base, else PROMPT."""
    chosen = (find_run(name).read_params() for name in list_runs(beside=True)
              if name.endswith("-prompted"))
    return next((params["prompt"] for params in chosen if params.get("base") == base
                 and params.get("prompt") in candidates()), PROMPT)


def threshold(run: str) -> float | None:
    """The threshold of the run's gate (`<run>-gate`, chosen on dev for what VERIFY gains), a
    log-probability of EXECUTE's least likely token.

    None for a run of whose adapters no gate has been chosen.
    """
    gate = find_gate(find_run(run), compared=False)
    if gate is None or not gate.has("gate.json"):  # its rows alone are there, as after a stop
        return None
    return gate.read_mapping("gate.json")["gates"]["gate"]["threshold"]


def judge(row: Mapping, params: Mapping | None = None, gate: float | None = None,
          language: str | None = None) -> Solution:
    """What a row with its text and `logprobs` comes to; params: of the run that wrote it, None
    of a base alone; gate: its `threshold`. Low confidence, below both it and DOUBT, is a
    warning."""
    spoken = language or language_of(row["question"])
    sure = row["logprobs"]["execute_min"]
    trace, against, notes = doubts.of_text(row["text"], row["question"], params)
    asks = "|".join(SENTENCES[known]["asks"] for known in SENTENCES)
    foreign = list(doubts.of_question(row["question"], asks, params))
    measured = None not in (sure, gate)
    if measured and sure >= gate and not foreign:
        against = [("unheeded" if key == "objection" else key, values) for key, values in against]
    # What EXECUTE was unsure of no longer counts where VERIFY has found and mended it.
    if measured and sure < min(gate, DOUBT) and "repaired" not in dict(notes):
        against.append(("unsure", {"p": _rounded(math.exp(sure)),
                                   "least": _rounded(math.exp(min(gate, DOUBT)))}))
    failed = isinstance(trace, TraceError)
    return Solution(
        row["question"], row["text"], None if failed else trace, str(trace) if failed else None,
        (*foreign, *against), tuple(notes), None if sure is None else math.exp(sure),
        language=spoken)


def _chosen(solutions: list[Solution]) -> Solution:
    """The first solution with the answer that most have."""
    answers = [read_answer(one.answer) or one.answer for one in solutions]
    counts = Counter(answer for answer in answers if answer is not None)
    most = counts.most_common(1)[0] if counts else (None, 0)
    one = solutions[answers.index(most[0])]
    votes = most[1], len(solutions)
    split = (("split", dict(zip(("agree", "of"), votes))),) * (
        len(solutions) > 1 and 2 * votes[0] <= votes[1])
    return replace(one, votes=votes, against=one.against + split)


def _rounded(probability: float) -> str:
    """Two digits; what would round up to 1 is no certainty, and not called one."""
    digits = f"{probability:.2g}"
    return "> 0.99" if digits == "1" else digits
