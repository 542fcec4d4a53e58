"""Can a PLAN be carried out: does every step have what it needs by the time it comes.

A PLAN is words, so a step is known by the teacher's step of the same wording, and what it
needs by that step's operands in the teacher's graph. A plan with steps in other words
cannot be judged this way; it is counted apart and not as feasible.
"""
from __future__ import annotations

import networkx as nx

from nanoreason.problem import normalise_question
from nanoreason.stages import Stage, cut_sections, read_loose_steps


def plan_lines(text: str) -> tuple[str, ...]:
    """The steps of the first PLAN in a text, without numbers; () if there is none."""
    sections, _ = cut_sections(text)
    for section in sections:
        if section.stage is Stage.PLAN:
            return read_loose_steps(section.lines)
    return ()


def infeasible_step(
    plan: tuple[str, ...], teacher_plan: tuple[str, ...], teacher: nx.DiGraph
) -> int | None:
    """The first plan step that needs what is neither given nor produced before it.

    Returns 0 for a feasible plan, None where it cannot be judged (a step that the teacher
    does not have in these words, or no plan). teacher: the graph of the teacher's EXECUTE,
    whose line k does teacher_plan's step k.
    """
    numbers: dict[str, list[int]] = {}
    for number, step in enumerate(teacher_plan, 1):
        numbers.setdefault(normalise_question(step), []).append(number)
    produced: set[int] = set()
    for position, step in enumerate(plan, 1):
        known = numbers.get(normalise_question(step), [])
        number = next((n for n in known if n not in produced), known[-1] if known else None)
        if number is None:
            return None
        needs = {
            source[1]
            for node in teacher if node[:2] == ("step", number)
            for source in teacher.predecessors(node)
            if source[0] == "step" and source[1] != number
        }
        if not needs <= produced:
            return position
        produced.add(number)
    return 0 if plan else None
