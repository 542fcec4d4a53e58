"""What speaks against an answer, without knowing the right one.

Of the question: whether it asks anything, and whether its numbers, words, sentences and
language are of what was learned. A base that has read nothing but the project's own problems
knows no other words, and of those words no other sentences: a sentence counts as learned if
each two neighbouring words of it stand so in a sentence that the problems may hold. Unknown
words with a capital letter are taken for names.

Of the text: whether it is a trace, and whether EXECUTE, with its repair put in, is sound: true
sums, the steps of PLAN, each number from somewhere, all that UNDERSTAND gives used. An objection
of VERIFY speaks against the answer unless arithmetic settles it: the step that is blamed is
false and its repair true, or all is true and the answer stays. Of VERIFY's other lines each
must hold in all that it states, sums, digits, flags and word; a line that agrees but is about
other numbers than its step's is only said. Nothing here judges what a question means, so a sound
solution of another problem passes.

Each finding is (key, values) of `assets/solution.yaml`, which has the sentences.
"""
from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

from nanoreason.arithmetic.answers import read_answer
from nanoreason.arithmetic.equations import read_equations
from nanoreason.arithmetic.expression import language_of, value_or_none
from nanoreason.data.filters import consistency
from nanoreason.data.problem import Problem
from nanoreason.data.procedural import SCALE, TRAIN_STEPS
from nanoreason.data.stories import load_words, sentences
from nanoreason.data.verify_lines import CorruptionError, repaired, stated
from nanoreason.evaluation.ledger import read_lines
from nanoreason.evaluation.rows import ScoredRow
from nanoreason.graph.builder import dead_steps, execute_graph
from nanoreason.graph.quantities import quantities
from nanoreason.trace import Trace, TraceError, parse_trace

Finding = tuple[str, dict]
SHOWN = 4  # words, numbers or lines that one sentence names
_ENDS = re.compile(r"(?<=[.?!])\s+")
_TOKENS = re.compile(r"#|[^\W_]+|[^\s\w]")
_NUMBER = re.compile(r"[0-9]+(?:[.,][0-9]+)*")
_SIGNS = re.compile(r"[-+*/]")
START, NAME = "^", "NAME"


def _tokens(sentence: str, language: str, known: frozenset[str] | None = None) -> list[str]:
    """The words and signs of a sentence, numbers as #; names too, where the known words are
    given."""
    words = load_words(language)
    names, numbers = {*words.names.base, *words.names.train, *words.names.test}, \
        {*words.number_words.values()}
    found = [START]
    for token in _TOKENS.findall(_NUMBER.sub("#", sentence)):
        low = token.lower()
        capital = known is not None and token[0].isupper() and token[1:].islower()
        found.append("#" if low in numbers else NAME if token in names or (
            capital and low not in known) else low)
    return found


@lru_cache
def learned(language: str) -> tuple[frozenset[str], frozenset[tuple[str, str]]]:
    """The words of a language's problems, and which stand beside each other."""
    read = [_tokens(sentence, language) for sentence in sentences(load_words(language))]
    return (frozenset(token for tokens in read for token in tokens),
            frozenset(pair for tokens in read for pair in pairwise(tokens)))


def of_own_problems(params: Mapping | None) -> bool:
    """Whether base and tuning have read the project's own problems alone, which are known."""
    return bool(params) and (params["base"], params["data"]) == ("nano", "procedural")


def of_question(question: str, asks: str, params: Mapping | None) -> Iterator[Finding]:
    """What speaks against answering a question at all.

    asks: a pattern of the words that ask. params: of the run that answers; without
    `of_own_problems` nothing is known of what was learned.
    """
    language = language_of(question)
    if "?" not in question and not re.search(asks, question, re.IGNORECASE):
        yield "no_question", {}
    if not quantities(question):
        yield "no_number", {}
    if not of_own_problems(params):
        return
    languages = params.get("language", "en").split("+")
    if language not in languages:
        yield "language", {"what": ", ".join(languages)}
        return
    words, (known, pairs) = load_words(language), learned(language)
    units = [Fraction(unit) for unit in words.prices]
    most = max(SCALE.largest, *(9 * unit for unit in units))
    odd = [number for number in _NUMBER.findall(question)
           if (value := value_or_none(number.replace(words.thousands, "").replace(
               words.decimal, "."))) is None or value > most
           or value.denominator > max(unit.denominator for unit in units)]
    if odd:
        yield "numbers", {"what": ", ".join(odd[:SHOWN])}
    read = {text: _tokens(text, language, known) for text in _ENDS.split(question.strip())}
    new = [token for tokens in read.values() for token in tokens
           if token not in known | {NAME, START, "#"}]
    if new:
        yield "words", {"what": ", ".join(list(dict.fromkeys(new))[:SHOWN])}
        return
    other = next((text for text, tokens in read.items() if set(pairwise(tokens)) - pairs), None)
    if other:
        yield "sentence", {"what": other}


def of_text(text: str, question: str, params: Mapping | None = None
            ) -> tuple[Trace | TraceError, list[Finding], list[Finding]]:
    """The trace, or why it is none, what speaks against its answer, and what is only to be said."""
    try:
        trace = parse_trace(text)
    except TraceError as error:
        return error, [("no_trace", {"what": str(error)})], []
    try:
        against, notes = list(_unsound(trace, question)), []
    except CorruptionError:  # the repairs go on behind PLAN
        against, notes = [("steps_off_plan", {})], []
    changed = read_answer(trace.answer) != read_answer(trace.result) or (
        read_answer(trace.answer) is None and trace.answer != trace.result)
    if of_own_problems(params) and len(trace.plan) > max(TRAIN_STEPS):
        against.append(("long", {"n": len(trace.plan), "most": max(TRAIN_STEPS)}))
    if trace.verdict is None and changed:
        against.append(("changed", {}))
    if trace.verdict is not None:
        line = trace.execute[trace.verdict - 1:trace.verdict]
        settled = not against and bool(line) and changed == bool(_false(line)) and (
            _left(line[0]) == _left(repaired(trace).execute[trace.verdict - 1]))
        said = notes if settled else against
        said.append((("repaired" if changed else "kept") if settled else "objection",
                     {"step": trace.verdict}))
    lines = read_lines(ScoredRow({"problem_id": "question", "setting": "natural", "gold": "",
                                  "question": question, "text": text}))
    for said, key, faulty in (
            (against, "checks", [stated(check)[0] is False for check in trace.checks]),
            (notes, "other_checks", [line.due and line.sides and not (
                line.operands or line.objects) for line in lines])):
        steps = [str(step) for step, is_faulty in enumerate(faulty, 1)
                 if is_faulty and step != trace.verdict]
        if steps:
            said.append((key, {"what": ", ".join(steps)}))
    return trace, against, notes


def _unsound(trace: Trace, question: str) -> Iterator[Finding]:
    """The faults of EXECUTE with its repair put in."""
    whole, blamed = repaired(trace), trace.verdict or len(trace.execute) + 1
    for key, lines in (("sums", whole.execute[:blamed - 1]),
                       ("repaired_sums", trace.repairs)):
        if false := _false(lines):
            yield key, {"what": "; ".join(false[:SHOWN])}
    asked = Problem("question", "procedural", "test", language_of(question), question,
                    trace.answer)
    codes, signs = [code.partition("/")[2] for code, _, _ in consistency(asked, trace)], {}
    for words, line in zip(whole.plan, whole.execute):  # the same words, but not the same sum
        sign = _SIGNS.findall(_left(line) or "")
        codes += ["operation_off_plan"] * (signs.setdefault(words, sign) != sign)
    yield from ((code, {}) for code in dict.fromkeys(codes))
    graph = execute_graph(whole.execute, question, whole.result, whole.plan)
    if graph.graph["unreadable"]:
        return
    if dead := dead_steps(graph):
        yield "dead", {"what": ", ".join(map(str, dead))}
    used = {value for node, kind in graph.nodes(data="kind") if kind == "step"
            for value, _ in graph.nodes[node]["operands"]}
    given = quantities("\n".join(line for line in trace.understand
                                 if line.startswith("Given:")))
    left = [quantity.values for quantity in quantities(question)]
    foreign = [quantity.text for quantity in given
               if quantity.values not in left or left.remove(quantity.values)]
    if foreign:
        yield "misread", {"what": ", ".join(foreign[:SHOWN])}
    unused = [quantity.text for quantity in given if not used & set(quantity.values)]
    if unused:
        yield "unused", {"what": ", ".join(unused[:SHOWN])}


def _false(lines: tuple[str, ...]) -> list[str]:
    """The equations of lines that are not true."""
    return [equation.text for line in lines for equation in read_equations(line)
            if equation.holds is False]


def _left(line: str) -> str | None:
    return next((equation.left for equation in read_equations(line)), None)
