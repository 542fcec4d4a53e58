r"""How equations and answers are read in what others wrote.

    python benchmarks/reading_foreign.py NAME --math DIR --vnhsge DIR --gsm-plus DIR --mr-gsm8k DIR

The folders hold the files of brando90/snap-cluster-setup (`data/MATH`), Xdao85/VNHSGE,
qtli/GSM-Plus and dvlab-research/MR-GSM8K. Writes the counts under NAME (`before`, `after`)
into `results/reading-foreign.json`, with the commit; no text of the data is written.

- equations: how many of a source `read_equations` says to be true, false, rounded, unread.
- right_solutions: of GSM8K solutions that end in the right answer, those with an equation
  called false, by model.
- first_error: of wrong solutions in which a line is called false, those in which the first
  such line is the first wrong step of the human labels (of MR-GSM8K's repository, the files
  below `eval_results/gpt4-grading`, one row a problem).
- answers: answers that are marked wrong, of MATH's official solutions against their own boxed
  answer, and of GPT-3.5's right answers to GSM8K.
- golds: MATH's boxed answers, each once, graded against themselves and ten harmless
  respellings; `changed`: those that a respelling changes, `wrong`: marked wrong.
- near_misses: 1,000 answers that differ from a gold one in a sign, a digit, a bracket, a
  unit or a member; `passed`: marked right.
"""
from __future__ import annotations

import argparse
import ast
import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from nanoreason import paths
from nanoreason.arithmetic import read_equations
from nanoreason.arithmetic.answers import boxed_answer, grade, last_answer
from nanoreason.environment import describe
from nanoreason.files import write_json

MODELS = ("gpt-3.5-turbo", "gpt4", "abel_7b", "abel_13b", "abel_70b", "metamath_7b",
          "metamath_13b", "metamath_70b")
SEED, NEAR_MISSES = 0, 1000
UNITS = ("feet", "inches", "cm", "m", "hours", "minutes", "days", "square feet", "mph")
RESPELLED = {
    "dollars": lambda gold: f"${gold}$",
    "box": lambda gold: rf"\boxed{{{gold}}}",
    "full stop": lambda gold: gold + ".",
    "dfrac": lambda gold: re.sub(r"\\[dt]?frac(?![A-Za-z])", r"\\dfrac", gold),
    "left and right": lambda gold: re.sub(
        r"(?<!\\left)(?<!\\left )([(\[])", r"\\left\1", re.sub(
            r"(?<!\\right)(?<!\\right )([)\]])", r"\\right\1", gold)),
    "blanks": lambda gold: re.sub(r"(?<=[\w)}])([-+=])(?=[\w(\\])", r" \1 ", gold),
    "minus": lambda gold: gold.replace("-", "−"),
    "mbox": lambda gold: gold.replace(r"\text{", r"\mbox{"),
    "unicode": lambda gold: re.sub(r"\\sqrt\{([0-9]+)\}", r"√\1", re.sub(
        r"\\pi(?![A-Za-z])", "π", re.sub(r"\^\{?\\circ\}?", "°", gold))),
    "thousands": lambda gold: re.sub(r"(?<=[0-9])(?:,\\!|\{,\})(?=[0-9]{3})", r"\\,", gold),
}


def files(folder: str) -> Iterator[dict | list]:
    """What the JSON files below a folder hold, in order of their names."""
    for path in sorted(Path(folder).rglob("*.json")):
        yield json.loads(path.read_text(encoding="utf-8-sig"))


def outcome(equation) -> str:
    """true, false, rounded or unread."""
    if getattr(equation, "rounded", False):
        return "rounded"
    return {True: "true", False: "false", None: "unread"}[equation.holds]


def outcomes(texts: Iterable[str]) -> dict[str, int]:
    """How many equations of the texts come to what."""
    found = Counter(outcome(equation) for text in texts for equation in read_equations(text))
    return {name: found[name] for name in ("true", "false", "rounded", "unread")}


def is_false(text: str) -> bool:
    """Whether a text holds an equation that is called false."""
    return any(equation.holds is False for equation in read_equations(text))


def share(part: int, whole: int) -> dict:
    """Two counts and their share in per cent."""
    return {"count": part, "of": whole, "per_cent": round(100 * part / whole, 2)}


def right_solutions(folder: str) -> dict:
    """See the module's text, by model and of all."""
    counts = {}
    for model in MODELS:
        rows = json.loads((Path(folder) / f"results/gsm8k_results/{model}.json").read_text())
        texts = [row.get("model_prediction") or row.get("completion") for row in rows
                 if row["result"]]
        counts[model] = share(sum(map(is_false, texts)), len(texts))
    counts["all"] = share(*(sum(c[key] for c in counts.values()) for key in ("count", "of")))
    return counts


def first_error(folder: str) -> dict:
    """See the module's text."""
    rows = {row["uuid"]: row for rows in files(folder) for row in rows}
    found = hits = 0
    for row in rows.values():
        steps = row["model_output_steps"]
        steps = ast.literal_eval(steps) if isinstance(steps, str) else steps
        first = next((n for n, step in enumerate(steps, 1) if is_false(step)), None)
        found += first is not None
        hits += str(first) == str(row["model_output_solution_first_error_step"]).strip()
    return share(hits, found) | {"solutions": len(rows)}


def answers(solutions: list[tuple[str, str]]) -> dict:
    """How many of (text, right answer) are marked wrong."""
    wrong = sum(not grade(last_answer(text, gold), gold).right for text, gold in solutions)
    return share(wrong, len(solutions))


def golds(found: list[str]) -> dict:
    """How many gold answers are marked wrong, as they are and respelled."""
    counts = {"themselves": share(sum(not grade(g, g).right for g in found), len(found))}
    for name, respell in RESPELLED.items():
        pairs = [(respell(gold), gold) for gold in found if respell(gold) != gold]
        wrong = [pair for pair in pairs if not grade(*pair).right]
        counts[name] = {"changed": len(pairs), "wrong": len(wrong)}
    return counts


def near_miss(gold: str, kind: str, rng: random.Random) -> str | None:
    """A wrong answer close to a gold one; None where it has nothing of the kind."""
    if kind == "digit":
        places = [m.start() for m in re.finditer(r"[1-9]", re.sub(r"\\text\{.*?\}", lambda t: (
            "." * len(t[0])), gold))]
        if not places or "0}" in gold:
            return None
        place = rng.choice(places)
        return gold[:place] + str(int(gold[place]) % 9 + 1) + gold[place + 1:]
    if kind == "sign":
        plain = re.fullmatch(r"-?(?:[1-9][0-9.,]*|\\[dt]?frac\{[0-9]+\}\{[0-9]+\})", gold)
        inner = [m.start() for m in re.finditer(r"(?<=[0-9a-z}] )[-+](?= [0-9\\a-z])", gold)]
        if plain:
            return gold[1:] if gold[0] == "-" else "-" + gold
        if not inner or "=" in gold or "," in gold:
            return None
        place = rng.choice(inner)
        return gold[:place] + "-+"[gold[place] == "-"] + gold[place + 1:]
    if kind == "bracket" and re.fullmatch(r"(?:\\left)? ?[(\[].*,.*(?:\\right)? ?[)\]]", gold):
        place = rng.choice([0, 1])
        edges = [(gold.find("("), gold.find("[")), (gold.rfind(")"), gold.rfind("]"))][place]
        at = max(edges) if -1 in edges else (min, max)[place](edges)
        return gold[:at] + {"(": "[", "[": "(", ")": "]", "]": ")"}[gold[at]] + gold[at + 1:]
    if kind == "unit":
        unit = re.fullmatch(r"(.*\d.*\\(?:text|mbox)\{ ?)([a-z. ]+)(\}.*)", gold)
        other = rng.choice(UNITS)
        if gold.endswith("\\%"):
            return gold[:-2]
        return unit and other[:2] not in unit[2] and unit[1] + other + unit[3] or None
    if kind == "member" and re.fullmatch(r"[^()\[\]]*\d, .*|[(\[][^()\[\]]*,[^()\[\]]*[)\]]", gold):
        parts = re.split(r",(?!\\!)", gold.strip("()[]"))
        cut = ",".join(parts[:-1]) if rng.random() < 0.5 else ",".join([*parts, " 977"])
        return (gold[0] if gold[0] in "([" else "") + cut + (gold[-1] if gold[-1] in ")]" else "")
    return None


def near_misses(found: list[str]) -> dict:
    """How many of NEAR_MISSES wrong answers are marked right, by kind."""
    rng, kinds = random.Random(SEED), ("sign", "digit", "bracket", "unit", "member")
    counts = {kind: {"tried": 0, "passed": 0} for kind in kinds}
    drawn = iter(rng.sample([(gold, kind) for gold in found for kind in kinds], 5 * len(found)))
    per_kind = {kind: sum(near_miss(g, kind, random.Random(0)) is not None for g in found)
                for kind in kinds}
    limit = {kind: min(per_kind[kind], NEAR_MISSES // 5) for kind in kinds}
    for gold, kind in sorted(drawn, key=lambda one: one[1] == "digit"):  # digits fill it up
        full = counts[kind]["tried"] >= limit[kind] if kind != "digit" else (
            sum(c["tried"] for c in counts.values()) >= NEAR_MISSES)
        wrong = None if full else near_miss(gold, kind, rng)
        if wrong is not None:
            counts[kind]["tried"] += 1
            passed = grade(wrong, gold).right
            counts[kind]["passed"] += passed
            if passed:
                print("passed", kind, wrong, "for", gold)
    return counts | {"all": {key: sum(c[key] for c in counts.values())
                             for key in ("tried", "passed")}}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=("before", "after"))
    for folder in ("--math", "--vnhsge", "--gsm-plus", "--mr-gsm8k"):
        parser.add_argument(folder, required=True)
    parser.add_argument("--without-golds", action="store_true",
                        help="leave out what compares thousands of formulas")
    options = parser.parse_args()
    math = [row["solution"] for row in files(options.math)]
    boxed = [(text, gold) for text in math if (gold := boxed_answer(text))]
    explained = [row["Explanation"] for rows in files(options.vnhsge) for row in rows
                 if row.get("Explanation")]
    gpt = json.loads((Path(options.gsm_plus) / "results/gsm8k_results/gpt-3.5-turbo.json")
                     .read_text())
    different = sorted({gold for _, gold in boxed})
    counts = {
        "commit": describe()["commit"],
        "equations": {"math": outcomes(math), "vnhsge": outcomes(explained)},
        "right_solutions": right_solutions(options.gsm_plus),
        "first_error": first_error(options.mr_gsm8k),
        "answers": {"math": answers(boxed), "gpt-3.5": answers(
            [(row["model_prediction"], row["gold"]) for row in gpt if row["result"]])}}
    if not options.without_golds:
        counts |= {"golds": golds(different), "near_misses": near_misses(different)}
    path = paths.RESULTS / "reading-foreign.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    write_json(path, kept | {options.name: counts})


if __name__ == "__main__":
    main()
