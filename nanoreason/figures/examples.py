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
from itertools import product
from pathlib import Path

from nanoreason.evaluation.rows import graph_of, name_of, read_row, split_faults
from nanoreason.evaluation.statistics import SEED
from nanoreason.evaluation.summary import SMOKE_BELOW
from nanoreason.figures.graph_svg import graph_svg
from nanoreason.figures.trace_view import TraceView, safe, trace_html
from nanoreason.files import write_text
from nanoreason.runs import Run
from nanoreason.stages import SPLITS

PAGE = "examples.html"
NATURAL, GIVEN = ("natural",), ("injected", "clean")
CELLS = tuple(product((False, True), (True, False), (True, False)))  # a1, error, a2
NAMED = 5  # rows left out that are named, of each reason
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def write_examples(run: Run, seed: int = SEED, each: int = 1) -> Path:
    """Write examples.html into a run's folder from its generations.jsonl; its path.

    each: traces shown of every case. Bad lines of the file are counted and named on the page.
    """
    rows, faults = run.scan_generations()
    path = run.path(PAGE)
    write_text(path, examples_page(rows, run.name, faults, seed, each))
    return path


def examples_page(rows: Iterable[Mapping], run: str, faults: Sequence[str] = (),
                  seed: int = SEED, each: int = 1) -> str:
    """The page as HTML. faults: "line k: why" of lines that are no rows at all."""
    good, left_out = split_faults(rows)
    known = [row for row in good if row["setting"] in NATURAL + GIVEN]
    natural = [str(row.get("split") or "test") for row in known if row["setting"] == "natural"]
    body = [f"<h1>Example traces of the run {safe(run)}</h1>"]
    if max(map(natural.count, set(natural)), default=0) < SMOKE_BELOW:
        body.append("<p><b>SMOKE run, too few traces for a result.</b></p>")
    body.append("<p>Each case of a1 (EXECUTE's result), verdict and a2 (the final answer), with "
                f"{each} of its traces drawn by seed {seed}. ✓ and ✗ are the program's marks, not "
                "the model's: whether a line's equations are true, a result or an answer equals "
                "the right one, a verdict is the right one. In the graphs squares are quantities "
                "of the question and circles values of EXECUTE; red is wrong, a dashed rim marks "
                "a step that the result does not use.</p>")
    body += _left_out(faults, left_out)
    body += _sections(known, seed, each)
    return ('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{safe(POLICY)}">'
            f"<title>Example traces of {safe(run)}</title></head>\n"
            '<body style="font:14px/1.5 sans-serif;color:#222222;background:#ffffff;'
            'max-width:72em;margin:1em auto;padding:0 1em">\n'
            + "\n".join(body) + "\n</body></html>\n")


def _left_out(faults: Sequence[str], left_out: Mapping[str, Sequence[str]]) -> list[str]:
    """How many rows are not on the page, and which."""
    reasons = [(f"{len(faults)} lines that are no rows", faults)] if faults else []
    reasons += [(f"{len(names)} rows, {reason}", names) for reason, names in left_out.items()]
    if not reasons:
        return ["<p>Every line of the file is a row that can be read.</p>"]
    items = [f"<li>{safe(head)}: {safe('; '.join(names[:NAMED]))}"
             f"{'; ...' if len(names) > NAMED else ''}</li>" for head, names in reasons]
    return ["<p>Left out:</p>", f"<ul>{''.join(items)}</ul>"]


def _sections(rows: Sequence[Mapping], seed: int, each: int) -> Iterable[str]:
    by_part: dict[tuple, list[Mapping]] = {}
    for row in rows:
        by_part.setdefault((str(row.get("split") or "test"), row["setting"] in NATURAL),
                           []).append(row)
    order = {split: place for place, split in enumerate(SPLITS)}
    for split, natural in sorted(by_part, key=lambda part: (
            order.get(part[0], len(order)), part[0], not part[1])):
        found = by_part[split, natural]
        what = "the model's own traces" if natural else "EXECUTE given, planted errors and clean"
        yield f"<h2>{safe(split)}: {what} (n={len(found)})</h2>"
        cells: dict[tuple, list[Mapping]] = {cell: [] for cell in CELLS}
        for row in found:
            reading = read_row(row)
            cells[reading.first, reading.error, reading.second].append(row)
        yield _overview(cells)
        for cell, members in cells.items():
            yield f"<h3>{describe(*cell)}: {len(members)} of {len(found)}</h3>"
            yield from _drawn(members, seed, each)


def describe(first: bool, error: bool, second: bool) -> str:
    """A case in words: `a1 wrong, verdict error, a2 right (found and repaired)`."""
    meaning = {(False, True, True): "found and repaired", (False, True, False): "found, not repaired",
               (False, False, True): "missed, yet right in the end", (False, False, False): "missed",
               (True, True, True): "false alarm, no harm done", (True, True, False): "spoiled",
               (True, False, True): "confirmed and kept", (True, False, False): "confirmed, then lost"}
    return (f"a1 {'right' if first else 'wrong'}, verdict {'error' if error else 'correct'}, "
            f"a2 {'right' if second else 'wrong'} ({meaning[first, error, second]})")


def _overview(cells: Mapping[tuple, Sequence]) -> str:
    cell = '<td style="border:1px solid #cccccc;padding:2px 8px">{}</td>'
    lines = [cell.format(describe(*key)) + cell.format(len(rows)) for key, rows in cells.items()]
    return ('<table style="border-collapse:collapse">'
            + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>")


def _drawn(members: Sequence[Mapping], seed: int, each: int) -> Iterable[str]:
    """Some rows of one case, whichever the seed draws, in the order of their names."""
    shown = sorted((row for row in members if isinstance(row.get("text"), str)
                    and isinstance(row.get("question"), str)), key=name_of)
    if len(shown) < len(members):
        yield (f"<p>{len(members) - len(shown)} of them hold no text (their source keeps the "
               "rights to it), so there is nothing to show.</p>")
    if not members:
        yield "<p>none</p>"
    for row in random.Random(seed).sample(shown, min(each, len(shown))):
        view = TraceView.of_row(row)
        planted = row.get("planted")
        note = "" if not planted else (f"<div>planted: {safe(planted.get('kind'))} in step "
                                       f"{safe(planted.get('step'))}</div>")
        graph = graph_svg(graph_of(row["text"], row["question"]), view.wrong_step)
        yield ('<div style="display:flex;flex-wrap:wrap;gap:1em;border-top:1px solid #cccccc;'
               f'padding:6px 0"><div style="flex:1 1 30em">{note}{trace_html(view)}</div>'
               f'<div style="flex:0 0 auto">{graph}</div></div>')
