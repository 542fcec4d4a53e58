"""UNDERSTAND and PLAN of a trace that rules make of a worked solution.

PLAN has a line a step: the sub-question that it answers, as an order, else its operation in
words. Where the solution means another source than the graph would find by EXECUTE's numbers,
the line names its sources (see `naming`).
"""
from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

import networkx as nx

from nanoreason.arithmetic.expression import ArithmeticTextError, evaluate
from nanoreason.data.gsm8k.readings import RIGHT, WRONG, as_read, verdict_on
from nanoreason.data.gsm8k.solutions import READINGS, Draft, Unteachable, read_steps
from nanoreason.data.gsm8k.witness import NONE, meant
from nanoreason.data.gsm8k.wording import asking_part, given_labels, imperative
from nanoreason.data.problem import Operand, Problem, Rejection, Step
from nanoreason.data.verify_lines import check_lines, equation, write_number
from nanoreason.graph.builder import execute_graph, sources_of
from nanoreason.graph.provenance import constants_of, name_of, using
from nanoreason.graph.quantities import quantities
from nanoreason.stages import TraceError
from nanoreason.trace import Trace

_VERBS = {"+": "Add {left} and {right}.", "-": "Subtract {right} from {left}.",
          "*": "Multiply {left} by {right}.", "/": "Divide {left} by {right}."}


def written_lines(drafts: Sequence[Draft]) -> tuple[str, ...]:
    """EXECUTE's lines."""
    return tuple(equation(s.operator, s.left, s.right, s.value)
                 for s in (draft.step for draft in drafts))


def understand(question: str) -> tuple[str, str]:
    """The two lines of UNDERSTAND."""
    labels = given_labels(question, quantities(question))
    return f"Given: {'; '.join(labels)}", f"Find: {asking_part(question)}"


def plan_that_tells(drafts: Sequence[Draft], sources: Sequence[Sequence[tuple]], question: str
                    ) -> tuple[str, ...]:
    """PLAN, which names the sources of a line where the graph would find others without that."""
    named: set[int] = set()
    while True:
        plan = _plan(drafts, sources, named)
        graph = execute_graph(written_lines(drafts), question, plan=plan)
        other = {k for k, draft in enumerate(drafts)
                 if not _same_sources(draft.step.operator, sources[k],
                                      graph.nodes["step", k + 1]["operands"])}
        if not other:
            return plan
        if other <= named:
            raise Unteachable("operand_in_doubt", f"EXECUTE line {min(other) + 1}",
                              "its sources cannot be named")
        named |= other


def _same_sources(operator: str, meant: Sequence[tuple], operands) -> bool:
    found = [node for _, node in operands]
    return found == list(meant) or operator in "+*" and sorted(found, key=str) == sorted(
        meant, key=str)


def _plan(drafts: Sequence[Draft], sources: Sequence[Sequence[tuple]], named: set[int]
          ) -> tuple[str, ...]:
    """A line a step: its sub-question as an order, else its operation in words.

    Where several steps share a sub-question, only the last of them answers it. named: the
    lines (from 0) that name their sources.
    """
    # Some sub-questions end in a generator's control tokens: those are no words.
    told = [imperative(draft.asked) if draft.asked and not set(draft.asked) & set("<|>")
            else None for draft in drafts]
    lines = []
    for position, (draft, nodes) in enumerate(zip(drafts, sources)):
        line = told[position]
        if line is None or line in told[position + 1:]:
            line = _operation(draft.step, nodes)
        if position in named:
            line = using(line, nodes)
        lines.append(line)
    return tuple(lines)


def _operation(step: Step, nodes: Sequence[tuple]) -> str:
    if len(nodes) != 2:  # `1 / 4 = 0.25` of a quarter: the graph sees one quantity there
        nodes = [("given",)] * 2
    left, right = (
        # No computed value stands in PLAN: it comes before EXECUTE.
        name_of(node) if node[0] == "step" else operand.text
        for operand, node in zip((step.left, step.right), nodes))
    return _VERBS[step.operator].format(left=left, right=right)


FINAL = re.compile(r"^####\s*(.*?)\s*$", re.MULTILINE)
HUNDRED = Fraction(100)
SURE = 0.8  # a source that is less likely is not taught, unless a reader found it right


def read_problem(record: dict, problem_id: str, source: str, split: str, place: str
                 ) -> Problem | Rejection:
    """A record with `question` and `answer` as a `Problem`, or why it is none.

    `details["solution"]` holds the (sub-question or "", step) pairs of the answer; it is
    empty where the answer is a bare value. `answer` becomes the text after `####`, without
    currency, thousands commas and a full stop.
    """
    question, answer = record.get("question"), record.get("answer")
    if not isinstance(question, str) or not question.strip():
        return Rejection(problem_id, "no_question", place,
                         f"field `question` must be text, not {question!r:.80}")
    if isinstance(answer, (int, float)) and not isinstance(answer, bool):
        answer = str(answer)
    if not isinstance(answer, str) or not answer.strip():
        return Rejection(problem_id, "no_answer", place,
                         f"field `answer` must be text or a number, not {answer!r:.80}")
    final = FINAL.search(answer)
    if final is None and source == "gsm8k" or final and not final[1]:
        return Rejection(problem_id, "no_final_answer", place,
                         f"no `#### value` line in the answer {answer[-60:]!r}")
    gold, steps = (final[1], answer[:final.start()]) if final else (answer.strip(), "")
    return Problem(problem_id, source, split, record.get("language", "en"), question,
                   plain_number(gold), details={"solution": _solution(steps)})


def plain_number(answer: str) -> str:
    """An answer without currency, thousands commas and full stop, if that is a number."""
    bare = answer.strip().lstrip("$€£").rstrip(".").replace(",", "").strip()
    return bare if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?%?", bare) else answer.strip()


def _solution(text: str) -> tuple[tuple[str, str], ...]:
    pairs = []
    for line in filter(None, map(str.strip, text.split("\n"))):
        asked, stars, step = line.partition(" ** ")
        pairs.append((asked.strip(), step.strip()) if stars else ("", line))
    return tuple(pairs)


def gsm8k_trace(problem: Problem, by_readings: bool = True) -> Trace:
    """The right four-stage trace of a GSM8K problem; deterministic.

    The annotations are enough for most; where they are not, the equations in plain text
    between them are read too, and then those in an unknown (see `unknowns`). by_readings:
    whether the verdicts of `readings` count, or the rules alone.

    Raises `Unteachable` with a reason code: `no_steps`, `unreadable_expression`,
    `no_binary_steps`, `false_equation`, `answer_not_a_number`, `answer_not_reached`,
    `operand_without_source`, `operand_in_doubt`, `read_and_wrong` (see `readings`),
    `steps_after_answer`, `not_a_trace`.
    """
    first, doubted = None, False
    for reading in READINGS:
        try:
            return _trace(problem, reading, by_readings, doubted)
        except Unteachable as error:
            first = first or error
            doubted = doubted or error.reason in ("operand_in_doubt", "read_and_wrong")
    raise first


def traced_drafts(problem: Problem, reading: str) -> tuple[list[Draft], nx.DiGraph]:
    """The steps of a solution as far as its answer, and the graph of their EXECUTE.

    reading: one of `READINGS`. Every operand has a source by the rule of `provenance`. Raises
    `Unteachable`.
    """
    drafts, failure = read_steps(problem, reading)
    if not drafts:
        raise failure or Unteachable("no_steps", "solution",
                                     "the answer shows no arithmetic to learn from")
    drafts = _to_the_answer(problem, drafts, failure)
    lines = written_lines(drafts)
    graph = execute_graph(lines, problem.question)
    if graph.graph["unreadable"]:
        raise Unteachable("unreadable_expression", "EXECUTE", graph.graph["unreadable"])
    for number, line in enumerate(lines, 1):
        for value, node in graph.nodes["step", number]["operands"]:
            if node[0] == "unknown":
                raise failure or Unteachable(
                    "operand_without_source", f"EXECUTE line {number}",
                    f"{write_number(value)} in `{line}` is neither in the question nor "
                    "computed before")
    return drafts, graph


def readable_drafts(problem: Problem) -> tuple[list[Draft], nx.DiGraph]:
    """`traced_drafts` of the first reading that has some. Raises `Unteachable`."""
    first = None
    for reading in READINGS:
        try:
            return traced_drafts(problem, reading)
        except Unteachable as error:
            first = first or error
    raise first


def _trace(problem: Problem, reading: str, by_readings: bool, doubted: bool) -> Trace:
    """doubted: whether another reading was refused for its sources; this one may write the same
    steps in another form, so it has to be found right."""
    drafts, graph = traced_drafts(problem, reading)
    steps = [draft.step for draft in drafts]
    lines = written_lines(drafts)
    sources = _sources(drafts, graph, problem.question, by_readings)
    if doubted and not (by_readings
                        and verdict_on(problem.question, lines, sources) == RIGHT):
        raise Unteachable("operand_in_doubt", "EXECUTE", "another reading of it is refused")
    try:
        return Trace(
            understand=understand(problem.question),
            plan=plan_that_tells(drafts, sources, problem.question),
            execute=lines, result=problem.answer, checks=check_lines(problem.id, steps, lines),
            verdict=None, repairs=(), answer=problem.answer)
    except TraceError as error:
        raise Unteachable("not_a_trace", error.stage.value, error.reason) from error


def _sources(drafts: Sequence[Draft], graph: nx.DiGraph, question: str, by_readings: bool
             ) -> list[list[tuple]]:
    """Where the solution takes the operands of each line from. Raises `Unteachable`.

    What readers found decides, of the graph's own sources and of the likeliest; where nobody
    has read these, how likely they are.
    """
    lines, ruled = written_lines(drafts), sources_of(graph)
    values = [[value for value, _ in graph.nodes["step", line]["operands"]]
              for line in range(1, len(lines) + 1)]
    by_rule, mended = as_read(question, lines, ruled, values) if by_readings else (None, ruled)
    if by_rule == RIGHT:
        return mended
    found = meant(drafts, graph, question)
    likeliest = [[operand.source for operand in line] for line in found]
    if by_readings:
        verdict, read = as_read(question, lines, likeliest, values)
        if verdict == RIGHT:
            return read
        # A reader who has seen the rule's sources speaks for some of these and against others.
        spoken = [(one, other) for line in zip(ruled, mended, likeliest)
                  for before, one, other in zip(*line) if before != one]
        if (WRONG in (verdict, by_rule) or read != likeliest
                or any(one != other for one, other in spoken)):
            raise Unteachable("read_and_wrong", "EXECUTE",
                              "a reader found that an operand has another source")
    for number, line in enumerate(found, 1):
        for place, operand in enumerate(line, 1):
            if operand.source == NONE or operand.probability < SURE:
                raise Unteachable("operand_in_doubt", f"EXECUTE line {number} operand {place}",
                                  "the solution's words do not tell which number of this value "
                                  f"is meant (at best {operand.probability:.0%} likely)")
    return likeliest


def _to_the_answer(problem: Problem, drafts: list[Draft], failure: Unteachable | None
                   ) -> list[Draft]:
    """The steps as far as the answer; what follows it may restate or test it, no more."""
    try:
        gold = evaluate(problem.answer)
    except ArithmeticTextError as error:
        raise Unteachable("answer_not_a_number", "answer", str(error)) from error
    values = [draft.step.value for draft in drafts]
    if (gold not in values and gold == HUNDRED * values[-1]
            and HUNDRED in constants_of(problem.question)):
        # `0.25` of a dollar is asked for in cents, or a share in per cent.
        last = Operand("step", len(drafts), values[-1], write_number(values[-1]))
        whole = Operand("constant", 0, HUNDRED, write_number(HUNDRED))
        return [*drafts, Draft(Step("*", last, whole, gold, ""), "", "")]
    reached = [k for k, value in enumerate(values, 1) if value == gold]
    if not reached:
        raise failure or Unteachable(
            "answer_not_reached", "answer",
            f"no step comes to {problem.answer}; the last comes to {write_number(values[-1])}")
    steps, after = drafts[:reached[-1]], drafts[reached[-1]:]
    known = {value for quantity in quantities(problem.question) for value in quantity.values}
    known.update(draft.step.value for draft in steps)
    new = next((draft.step for draft in after if draft.step.value not in known), None)
    if new is not None:  # the answer is that value by chance, or one of several compared
        raise Unteachable("steps_after_answer", "solution",
                          f"after {problem.answer} it works out {write_number(new.value)}")
    return steps
