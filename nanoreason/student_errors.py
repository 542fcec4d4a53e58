"""A student's own EXECUTE, judged by the rules; a wrong one gets the VERIFY that finds it.

The trained reasoning adapter (the student) writes UNDERSTAND, PLAN and EXECUTE of a train
problem. Its EXECUTE is wrong where its Result is not the gold answer, and the step to blame
is the first wrong one by the known graph (`alignment.first_wrong_step`). The rules can
write VERIFY where everything before that step is the teacher's, step by step: then the
teacher's checks lead to the blamed step and the teacher's steps from there on repair it.
The kind of each check is the one that the problem's right trace has, drawn before anybody
knew whether the step is wrong.

Left out on purpose: students that solve a problem in another order or in another number of
steps. The rules know no check and no repair for them; they are counted with the reason.
"""
from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, replace

from nanoreason.alignment import align, first_wrong_step
from nanoreason.arithmetic import read_equations
from nanoreason.checks import check_line, check_lines, draw_kinds
from nanoreason.errors import check_kinds, read_steps
from nanoreason.filters import examine, repaired
from nanoreason.graph import execute_graph
from nanoreason.problem import Problem
from nanoreason.rows import same_answer
from nanoreason.trace import Stage, Trace, TraceError, parse_trace

OUTCOMES = ("unreadable", "right", "not_repairable", "repairable")
_NO_VERIFY = f"\n{Stage.VERIFY.tag}\n1. 1 = 1\nVerdict: correct\nAnswer: 0"


@dataclass(frozen=True)
class Judgement:
    """What a sampled text is worth.

    outcome: one of `OUTCOMES`. reason: why it is unreadable or not repairable, else None.
    trace, kind: of a repairable one, the whole trace, and "false_equation" (the blamed line
    does not add up) or "wrong_value" (it does, but the step comes to something else).
    """

    outcome: str
    reason: str | None = None
    trace: Trace | None = None
    kind: str | None = None


def right_trace(record: Mapping) -> Trace:
    """The right trace behind a record with a planted error, its checks included.

    Raises `CorruptionError` where a line of it is no plain step of two operands.
    """
    trace = repaired(parse_trace(record["trace"]))
    steps = read_steps(trace)
    if record["source"] == "procedural":
        kinds = draw_kinds(len(steps), random.Random(f"checks/{record['id']}"))
        checks = tuple(check_line(kind, step, step.value) for kind, step in zip(kinds, steps))
    else:
        checks = check_lines(record["id"], steps, trace.execute)
    return replace(trace, checks=checks)


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
