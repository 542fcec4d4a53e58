"""A run without a model: real problems, traces and injected errors, outcomes drawn by seed.

The figures and tables need every case (caught and missed errors, false alarms, broken
texts, interventions that are followed and that are not); a trained model gives them only
as it likes.
"""
import math
import random
from dataclasses import replace

from nanoreason.data.problem import compute, write_number
from nanoreason.data.verify_lines import equation
from nanoreason.data.errors import KINDS, CorruptionError, read_steps
from nanoreason.data import corrupt
from nanoreason.evaluation.generate import given_rows, interventions, natural_rows
from nanoreason.evaluation.self_verification import before_verify
from nanoreason.data.procedural import problems
from nanoreason import paths
from nanoreason.runs import Run
from nanoreason.stages import GROUPS, SPLITS
from nanoreason.data.verify_lines import procedural_trace
from nanoreason.trace import parse_trace, render_trace

QUESTION = "Ann has 12 apples. She buys 9 more and gives 5 away. How many has she now?"
TEACHER = """[UNDERSTAND]
Given: 12 apples at first; 9 apples bought; 5 apples given away
Find: apples now
[PLAN]
1. Add the apples bought.
2. Subtract the apples given away.
[EXECUTE]
1. 12 + 9 = 21
2. 21 - 5 = 16
Result: 16
[VERIFY]
1. 21 - 9 = 12
2. 16 + 5 = 21
Verdict: correct
Answer: 16"""


def row(a1="16", verdict="correct", a2="16", setting="natural", problem="p", sample=0,
        execute="1. 12 + 9 = 21\n2. 21 - 5 = 16", checks="1. 21 - 9 = 12", **more):
    """One row of QUESTION, written by hand."""
    head = TEACHER.split("[EXECUTE]")[0]
    text = f"{head}[EXECUTE]\n{execute}\nResult: {a1}\n[VERIFY]\n{checks}\n"
    text += f"Verdict: {verdict}\nAnswer: {a2}"
    return {"problem_id": problem, "sample": sample, "setting": setting, "question": QUESTION,
            "gold": "16", "teachers": [TEACHER], "text": text, "planted": None,
            "intervention": None} | more


def unasked(row):
    """The row as it is written where EXECUTE was sure: without its VERIFY."""
    return row | {"text": before_verify(row["text"]).rstrip("\n"), "sure": True}


def spoiled(trace, rng):
    """The trace with some injected error, or None where none fits."""
    for kind in rng.sample(KINDS, len(KINDS)):
        try:
            return corrupt(trace, kind, rng)
        except CorruptionError:
            continue
    return None


def agree(trace):
    """The trace with a VERIFY that finds nothing."""
    return replace(trace, verdict=None, repairs=(), answer=trace.result)


def object_to(trace, rng):
    """The right trace with a false alarm and a wrong repair."""
    step = rng.randint(1, len(trace.plan))
    return replace(trace, verdict=step, checks=trace.checks[:step],
                   repairs=("1 + 1 = 2",), answer="2")


def natural_text(trace, rng):
    draw, wrong = rng.random(), spoiled(trace, rng)
    if draw < 0.08:
        return "[UNDERSTAND]\nGiven: <b>nothing</b> & more\n[PLAN]\n1. Guess.\n[EXECUTE]\n1. 2 +"
    if draw < 0.40 and wrong:
        return render_trace(wrong if rng.random() < 0.6 else agree(wrong))
    return render_trace(object_to(trace, rng) if draw > 0.95 else trace)


def given_text(row, trace, rng):
    if row["setting"] == "clean":
        return render_trace(object_to(trace, rng) if rng.random() < 0.1 else trace)
    wrong = parse_trace(row["text"] + "\n".join(
        f"{k}. 1 + 1 = 2" for k in range(1, row["planted"]["step"] + 1))
        + f"\nVerdict: step {row['planted']['step']} is wrong\n"
        + f"{row['planted']['step']}. {trace.execute[row['planted']['step'] - 1]}\n"
        + f"Answer: {trace.answer}")
    return render_trace(wrong if rng.random() < 0.7 else agree(wrong))


def continued(row, parent, rng):
    """An intervened row with what follows: carried through (mostly), or as it was."""
    trace = parse_trace(parent["text"])
    change, lines, found = row["intervention"], [], {}
    carry = rng.random() < 0.75
    for number, step in enumerate(read_steps(replace(
            trace, plan=trace.plan[:len(trace.execute)], verdict=None, repairs=(),
            checks=trace.checks)), 1):
        sides = [replace(o, value=found[o.index], text=write_number(found[o.index]))
                 if o.kind == "step" and carry else o for o in (step.left, step.right)]
        value = compute(step.operator, sides[0].value, sides[1].value)
        found[number] = int(change["new"]) if number == change["step"] else value
        lines.append(f"{number}. {equation(step.operator, *sides, found[number])}")
    later = "\n".join(lines[change["step"]:])
    return row | {"text": f"{row['text']}{later}\nResult: {write_number(found[number])}"}


def make_rows(n, seed=0, splits=SPLITS, base=False):
    rows = []
    for split in splits:
        rng = random.Random(f"synthetic/{split}/{seed}")
        chosen = list(problems(split, n, 7))
        pairs = [(p, procedural_trace(p)) for p in chosen]
        traces = {p.id: t for p, t in pairs}
        natural = [row | {"text": "no stages at all, 42" if base and rng.random() < 0.9
                          else natural_text(traces[row["problem_id"]], rng)}
                   for row in natural_rows(chosen)]
        rows += natural
        if split == "test" and not base:
            rows += [row | {"text": given_text(row, traces[row["problem_id"]], rng)}
                     for row in given_rows(pairs, seed)]
            parents = {row["problem_id"]: row for row in natural
                       if row["text"] == render_trace(traces[row["problem_id"]])}
            rows += [continued(row, parents[row["problem_id"]], rng)
                     for row in interventions(parents.values(), seed)]
    return rows


def make_metrics(steps=120):
    for step in range(1, steps + 1):
        noise = random.Random(step)
        row = {"step": step, "total": None, "learning_rate": 2e-3, "gradient_norm": 0.5}
        for k, group in enumerate(GROUPS):
            loss = (1.2 + 0.3 * k) * math.exp(-step / (15 + 10 * k)) + 0.05 * noise.random()
            row |= {f"{group}_loss": loss, f"{group}_tokens": 400,
                    f"{group}_accuracy": math.exp(-loss), f"{group}_weight": 1.0}
        row["total"] = sum(row[f"{g}_loss"] for g in GROUPS) / len(GROUPS)
        yield row | {"reasoning_update_norm": 0.1, "verification_update_norm": 0.1}


def new_run(name, parent=None):
    """A run's folder, made where it is not there: a scratch run, or one of another folder."""
    run = Run((parent or paths.RUNS) / name)
    run.folder.mkdir(parents=True, exist_ok=True)
    return run


def make_run(name="synthetic", n=60, seed=0, base=False):
    """Write the run (or, `base`, the rows of an untouched base) through the real Run."""
    run = new_run(name)
    run.append_generations(make_rows(n, seed, base=base))
    run.write_params({"profile": "nano", "base": "nano", "run": name})
    if not base:
        run.write_metrics(make_metrics())
        run.write_environment({"commit": None, "seconds": 1.0})
    return run
