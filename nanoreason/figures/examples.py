"""A page of example traces: of every case what there is, right and wrong alike.

What a trace comes to has eight cases: whether EXECUTE's result (a1) is right, what VERIFY
says of it, whether the final answer (a2) is right. For each of them the page counts the
rows, and shows some that a seed draws, with the program's marks on each line and the
dependency graph of EXECUTE. One static HTML file: inline style, inline SVG, every character
of a row escaped, and a policy in its head that lets nothing be loaded or run.

Left out on purpose: chosen examples. Whoever wants a certain trace finds it by its id in
generations.jsonl.
"""
from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from nanoreason.evaluation.rows import name_of, read_row, read_rows
from nanoreason.evaluation.report import SEED
from nanoreason.evaluation.summary import SMOKE_BELOW
from nanoreason.figures.graph_plot import graph_svg
from nanoreason.figures.trace_view import TraceView, safe
from nanoreason.files import write_text
from nanoreason.runs import Run
from nanoreason.stages import SPLITS

PAGE = "examples.html"
WHAT = {"natural": "the model's own traces", "injected": "EXECUTE given, injected errors and clean",
        "clean": "EXECUTE given, injected errors and clean"}  # by setting
CASES = {  # (a1 right, verdict an error, a2 right)
    (False, True, True): "found and repaired", (False, True, False): "found, not repaired",
    (False, False, True): "missed, yet right in the end", (False, False, False): "missed",
    (True, True, True): "false alarm, no harm done", (True, True, False): "spoiled",
    (True, False, True): "confirmed and kept", (True, False, False): "confirmed, then lost"}
NAMED = 5  # rows left out that are named, of each reason
HEAD = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" \
content="default-src &#x27;none&#x27;; style-src &#x27;unsafe-inline&#x27;">\
<title>Example traces of {run}</title></head>
<body style="font:14px/1.5 sans-serif;color:#222222;background:#ffffff;max-width:72em;\
margin:1em auto;padding:0 1em">
<h1>Example traces of the run {run}</h1>"""
HOW_TO_READ = (
    "<p>Each case of a1 (EXECUTE's result), verdict and a2 (the final answer), with {each} of its "
    "traces drawn by seed {seed}. ✓ and ✗ are the program's marks, not the model's: whether a "
    "line's equations are true, a result or an answer equals the right one, a verdict is the "
    "right one. In the graphs squares are quantities of the question and circles values of "
    "EXECUTE; red is wrong, a dashed rim marks a step that the result does not use.</p>")


def write_examples(run: Run, seed: int = SEED, each: int = 1) -> Path:
    """Write examples.html into a run's folder from its generations.jsonl; its path.

    each: traces shown of every case. Bad lines of the file are counted and named on the page.
    """
    rows, faults = run.scan_generations()
    write_text(run.path(PAGE), examples_page(rows, run.name, faults, seed, each))
    return run.path(PAGE)


def examples_page(rows: Iterable[Mapping], run: str, faults: Sequence[str] = (),
                  seed: int = SEED, each: int = 1) -> str:
    """The page as HTML. faults: "line k: why" of lines that are no rows at all."""
    table = read_rows(rows)
    parts: dict[tuple[str, str], list[Mapping]] = {}
    for row in (scored.row for scored in table):
        if row["setting"] in WHAT:
            part = str(row.get("split") or "test"), WHAT[row["setting"]]
            parts.setdefault(part, []).append(row)
    body = [HEAD.format(run=safe(run))]
    own = [len(found) for (_, what), found in parts.items() if what == WHAT["natural"]]
    if max(own, default=0) < SMOKE_BELOW:
        body.append("<p><b>SMOKE run, too few traces for a result.</b></p>")
    body.append(HOW_TO_READ.format(each=each, seed=seed))
    reasons = {f"{len(faults)} lines that are no rows": faults} if faults else {}
    reasons |= {f"{len(names)} rows, {reason}": names for reason, names in table.left_out.items()}
    body.append("<p>Left out:</p>" if reasons else
                "<p>Every line of the file is a row that can be read.</p>")
    body += [f"<p>{safe(reason)}: {safe('; '.join(names[:NAMED]))}"
             f"{'; ...' * (len(names) > NAMED)}</p>" for reason, names in reasons.items()]
    for split, what in sorted(parts, key=lambda part: (
            SPLITS.index(part[0]) if part[0] in SPLITS else len(SPLITS), part[0],
            part[1] != WHAT["natural"])):
        found = parts[split, what]
        body.append(f"<h2>{safe(split)}: {what} (n={len(found)})</h2>")
        members: dict[tuple, list[Mapping]] = {case: [] for case in CASES}
        for row in found:
            reading = read_row(row)
            members[reading.first, reading.error, reading.second].append(row)
        for case, own in members.items():
            body.append(f"<h3>{describe(*case)}: {len(own)} of {len(found)}</h3>")
            body += _drawn(own, seed, each)
    return "\n".join(body) + "\n</body></html>\n"


def describe(first: bool, error: bool, second: bool) -> str:
    """A case in words: `a1 wrong, verdict error, a2 right (found and repaired)`."""
    return (f"a1 {'right' if first else 'wrong'}, verdict {'error' if error else 'correct'}, "
            f"a2 {'right' if second else 'wrong'} ({CASES[first, error, second]})")


def _drawn(members: Sequence[Mapping], seed: int, each: int) -> Iterable[str]:
    """Some rows of one case, whichever the seed draws, in the order of their names."""
    shown = sorted((row for row in members if isinstance(row.get("text"), str)
                    and isinstance(row.get("question"), str)), key=name_of)
    if len(shown) < len(members):
        yield (f"<p>{len(members) - len(shown)} of them hold no text (their source keeps the "
               "rights to it), so there is nothing to show.</p>")
    for row in random.Random(seed).sample(shown, min(each, len(shown))):
        view, planted = TraceView.of_row(row), row.get("planted") or {}
        note = (f"<div>injected: {safe(planted.get('kind'))} in step "
                f"{safe(planted.get('step'))}</div>") * bool(planted)
        graph = graph_svg(read_row(row).graph, view.wrong_step)
        yield ('<div style="display:flex;flex-wrap:wrap;gap:1em;border-top:1px solid #cccccc;'
               f'padding:6px 0"><div style="flex:1 1 30em">{note}{view.html()}</div>'
               f'<div style="flex:0 0 auto">{graph}</div></div>')
