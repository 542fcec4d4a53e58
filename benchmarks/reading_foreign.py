r"""How equations and answers are read in what others wrote.

    python benchmarks/reading_foreign.py NAME --math DIR --vnhsge DIR --gsm-plus DIR --mr-gsm8k DIR
        --sets DIR --gsm8k DIR --only PART

The folders hold the files of brando90/snap-cluster-setup (`data/MATH`), Xdao85/VNHSGE,
qtli/GSM-Plus and dvlab-research/MR-GSM8K, of GSM8K, and the published files of other problem
sets. Writes the counts under NAME (`before`, `after`) into `results/reading-foreign.json`, with
the commit; no text of the data is written. A part whose folders are not given is left as it is.

- equations: how many of a source `read_equations` says to be true, false, rounded, unread.
- speed: processor time of `read_equations` on every sixth of MATH's solutions, best of three,
  and how many times longer eight times as much text takes (3,000 and 24,000 characters of
  them, in one text).
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
- files: of each file of `--sets`, as it is published (ASDiv's XML under the names that it has on
  the hub), the records, those read as problems, those that the rules teach, and why others are not.
- currencies: of GSM-symbolic's P2, those taught with a sign of money by whether it is a dollar's.
- exams: VNHSGE's questions: kept, refused for their figure, and those that have an image but are
  kept, because their words hold all of it.
- same_question: groups of MATH's questions with one hash and different answers.
- contaminated: MATH's train problems taken out for a test question, by how many runs are shared.
- prose_errors: of MATH's official train solutions as recorded traces, a sentence a step, those that
  take an injected error, by kind and by place (`only`: of one step), and how many would have it in
  the last step (the only one included) if all steps were alike.
- alternatives: right solutions of GSM8K's test problems by ALTERNATIVE_MODELS against the trace of
  the rules: the mean edge F1 of those whose result is the same expression of the question's
  quantities, as it is, line by line, and its null (20 draws); the same of those among them whose
  lines differ; and of the other derivations, with their share.
"""
from __future__ import annotations

import argparse
import ast
import json
import random
import re
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from result import write_result

from nanoreason import paths
from nanoreason.arithmetic import read_equations
from nanoreason.arithmetic.answers import boxed_answer, grade, last_answer
from nanoreason.arithmetic.equations import _equations
from nanoreason.data import filter_traces, load_problems, teach
from nanoreason.data.errors import inject
from nanoreason.data.filters import reasons
from nanoreason.data.prepare import TestSets
from nanoreason.data.problem import Problem, question_sha256
from nanoreason.data.verify_lines import with_rule_checks
from nanoreason.environment import git_commit
from nanoreason.graph import dependency_graph, edge_f1
from nanoreason.graph.builder import execute_graph
from nanoreason.graph.matching import rewired_edge_f1, steps_of
from nanoreason.trace import Trace, TraceError

MODELS = ("gpt-3.5-turbo", "gpt4", "abel_7b", "abel_13b", "abel_70b", "metamath_7b",
          "metamath_13b", "metamath_70b")
ALTERNATIVE_MODELS = ("gpt-3.5-turbo", "gpt4", "abel_70b", "metamath_70b")
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


def processor(texts: list[str]) -> float:
    """Seconds of the processor that the reading of texts takes, best of three."""
    spent = []
    for _ in range(3):
        _equations.cache_clear()
        began = time.process_time()
        outcomes(texts)
        spent.append(time.process_time() - began)
    return min(spent)


def speed(texts: list[str]) -> dict:
    """See the module's text."""
    texts = texts[::6]
    seconds, together = processor(texts), "\n".join(texts)
    growth = [processor([together[k:k + 24_000][:size] for k in range(0, 480_000, 24_000)])
              for size in (3_000, 24_000)]
    return {"texts": len(texts), "characters": sum(map(len, texts)), "seconds": round(seconds, 1),
            "characters_per_second": round(sum(map(len, texts)) / seconds, -3),
            "eight_times_the_text": round(growth[1] / growth[0], 1)}


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


def known_files(folder: str) -> Iterator[Path]:
    """The published files, ASDiv's XML as JSON Lines under its names on the hub."""
    for path in sorted(Path(folder).iterdir()):
        if path.suffix == ".xml":
            rows = [{name.lower(): problem.findtext(name)
                     for name in ("Body", "Question", "Answer", "Formula")}
                    for problem in ElementTree.parse(path).getroot().iter("Problem")]
            path = Path(tempfile.mkdtemp()) / f"{path.stem}.jsonl"
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        yield path


def taught(path: Path) -> tuple[dict, list[Problem]]:
    """The counts of a file, and the problems that the rules teach."""
    found = list(load_problems(str(path), split="test"))
    kept, rejected = filter_traces(zip(found, teach(found)))
    problems = sum(isinstance(problem, Problem) for problem in found)
    return share(len(kept), len(found)) | {
        "problems": problems, "reasons": reasons(rejected)}, [problem for problem, _ in kept]


def problem_files(folder: str) -> dict:
    """`files` and `currencies`, see the module's text."""
    counts, money = {}, {}
    for path in known_files(folder):
        counts[path.name], kept = taught(path)
        if path.name == "GSM_p2.jsonl":
            own = {problem.question for problem in kept}
            for row in map(json.loads, path.open(encoding="utf-8")):
                sign = re.search(r"[$€£¥₫¢₹₺₣₩₽฿₱₦₪]", row["question"])
                name = "dollar" if sign and sign[0] == "$" else "other" if sign else "none"
                money.setdefault(name, []).append(row["question"] in own)
    return {"files": counts, "currencies": {name: share(sum(found), len(found))
                                            for name, found in sorted(money.items())}}


def exams(folder: str) -> dict:
    """See the module's text."""
    read = [row for path in sorted(Path(folder).rglob("MET_Math_IE_*.json"))
            for row in load_problems("vnhsge", path, "test")]
    images = {f"vnhsge-{row['ID']}" for rows in files(folder) for row in rows
              if str(row.get("Image_Question") or "").strip()}
    kept = {problem.id for problem in read if isinstance(problem, Problem)}
    refused = Counter(row.reason for row in read if not isinstance(row, Problem))
    return {"read": len(read), "kept": len(kept), "refused": dict(refused),
            "kept_with_an_image": len(kept & images), "with_an_image": len(images)}


def math_problems(folder: str) -> dict:
    """`same_question` and `contaminated`, see the module's text."""
    root = next(Path(folder).rglob("train")).parent
    parts = {split: [p for p in load_problems("math", root, split) if isinstance(p, Problem)]
             for split in ("train+dev", "test")}
    golds = defaultdict(list)
    for problem in chain(*parts.values()):
        golds[question_sha256(problem.question)].append(problem.answer)
    tests = TestSets({"math": parts["test"]})
    out = sum(not isinstance(found, Problem) for found in tests.clean(parts["train+dev"]))
    return {"same_question": sum(any(not grade(a, own[0]).right for a in own[1:])
                                 for own in golds.values()),
            "contaminated": {"problems": out, "runs": dict(getattr(tests, "runs", {}))}}


def sentences(solution: str) -> list[str]:
    """The sentences of a solution in LaTeX, without its drawings; formulas are not cut."""
    text = re.sub(r"\[asy\].*?\[/asy\]", " ", solution, flags=re.DOTALL)
    parts = re.split(r"(\$\$.*?\$\$|\$.*?\$|\\\[.*?\\\])", text, flags=re.DOTALL)
    parts[::2] = (re.sub(r"(?<=[.!?])\s+(?=[A-Z$\\]|$)", "\0", part) for part in parts[::2])
    whole = re.sub(r"(?<=\.\$)\s+(?=[A-Z])|(?<=\.\\\])\s*(?=[A-Z])|\n\n+", "\0", "".join(parts))
    return [" ".join(part.split()) for part in whole.split("\0") if part.strip()]


def prose_errors(folder: str) -> dict:
    """See the module's text."""
    root, pairs = next(Path(folder).rglob("train")).parent, []
    for problem in load_problems("math", root, "train+dev"):
        with suppress(TraceError, AttributeError):
            steps = tuple(sentences(problem.details["worked"]))
            pairs.append((problem, Trace(
                ("Find: what is asked.",), ("Go on.",) * len(steps), steps, problem.answer,
                ("It holds.",), None, (), problem.answer)))
    kept, _ = filter_traces(pairs)
    kinds, places, alike = Counter(), Counter(), 0
    for problem, trace in kept:
        found = inject(problem, with_rule_checks(trace, problem.id), SEED)
        if found:
            kinds[found[1]["kind"]] += 1
            step, steps = found[1]["step"], len(trace.plan)
            places["only" if steps == 1 else {1: "first", steps: "last"}.get(step, "between")] += 1
            alike += 1 / steps
    return share(sum(kinds.values()), len(kept)) | {
        "kinds": dict(kinds), "places": dict(places), "last_if_alike": round(alike),
        "in_the_last_step": places["last"] + places["only"]}


def result_of(graph) -> str | None:
    """The canonical expression of what a graph's result is."""
    alive = [node for node in steps_of(graph) if not graph.nodes[node]["dead"]]
    return graph.nodes[alive[-1]]["canonical"] if alive else None


def alternatives(folder: str, gsm8k: str) -> dict:
    """See the module's text."""
    problems = list(load_problems("gsm8k", Path(gsm8k) / "test.jsonl.gz", "test"))
    known = {question_sha256(problem.question): (problem, dependency_graph(trace, problem.question))
             for problem, trace in zip(problems, teach(problems)) if isinstance(trace, Trace)}
    rng, found, unread = np.random.default_rng(SEED), [], 0
    for model in ALTERNATIVE_MODELS:
        rows = json.loads((Path(folder) / f"results/gsm8k_results/{model}.json").read_text())
        for row in (row for row in rows if row["result"]):
            asked = row.get("question") or re.search(
                r"### Instruction:\n(.*?)\n\n### Response", row["input"], re.DOTALL)[1]
            if question_sha256(asked) not in known:
                continue
            problem, teacher = known[question_sha256(asked)]
            text = re.sub("<<[^<>]*>>", "", row.get("model_prediction") or row["completion"])
            lines = [line for line in text.split("\n")
                     if any(e.has_operator for e in read_equations(line))]
            student = execute_graph(lines, problem.question, problem.answer)
            if student.graph["unreadable"]:
                unread += 1
                continue
            line_by_line = edge_f1(student, teacher, flat=False)
            found.append((result_of(student) == result_of(teacher), line_by_line < 1,
                          edge_f1(student, teacher), line_by_line,
                          rewired_edge_f1(student, teacher, 20, rng).mean()))

    def means(rows: list) -> dict:
        return {"n": len(rows), "edge_f1_is_0": sum(row[2] == 0 for row in rows), **{
            name: round(float(np.mean([row[place] for row in rows])), 4) for place, name in (
                (2, "edge_f1"), (3, "edge_f1_unflattened"), (4, "edge_f1_null"))}}

    return {"same_expression": means([row for row in found if row[0]]),
            "of_these_other_lines": means([row for row in found if row[0] and row[1]]),
            "others": means([row for row in found if not row[0]]), "unreadable": unread}


def compared(folder: str) -> dict:
    """`golds` and `near_misses`, see the module's text."""
    found = sorted({gold for row in files(folder) if (gold := boxed_answer(row["solution"]))})
    return {"golds": golds(found), "near_misses": near_misses(found)}


def equations_and_answers(options: argparse.Namespace) -> dict:
    """What the module's text names before `golds`."""
    math = [row["solution"] for row in files(options.math)]
    boxed = [(text, gold) for text in math if (gold := boxed_answer(text))]
    explained = [row["Explanation"] for rows in files(options.vnhsge) for row in rows
                 if row.get("Explanation")]
    gpt = json.loads((Path(options.gsm_plus) / "results/gsm8k_results/gpt-3.5-turbo.json")
                     .read_text())
    return {
        "equations": {"math": outcomes(math), "vnhsge": outcomes(explained)},
        "speed": speed(math),
        "right_solutions": right_solutions(options.gsm_plus),
        "first_error": first_error(options.mr_gsm8k),
        "answers": {"math": answers(boxed), "gpt-3.5": answers(
            [(row["model_prediction"], row["gold"]) for row in gpt if row["result"]])}}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", choices=("before", "after"))
    for folder in ("--math", "--vnhsge", "--gsm-plus", "--mr-gsm8k", "--sets", "--gsm8k"):
        parser.add_argument(folder)
    parser.add_argument("--only", choices=("files", "exams", "math", "prose_errors", "alternatives",
                                           "reading", "golds"), help="this part alone")
    options = parser.parse_args()
    parts = {"files": (problem_files, options.sets), "exams": (exams, options.vnhsge),
             "math": (math_problems, options.math), "golds": (compared, options.math),
             "prose_errors": (prose_errors, options.math)}
    counts = {}
    for name, (measure, folder) in parts.items():
        if folder and options.only in (None, name):
            found = measure(folder)
            counts |= {name: found} if name in ("exams", "prose_errors") else found
    if options.gsm8k and options.gsm_plus and options.only in (None, "alternatives"):
        counts["alternatives"] = alternatives(options.gsm_plus, options.gsm8k)
    if options.only in (None, "reading"):
        counts |= equations_and_answers(options)
    path = paths.RESULTS / "reading-foreign.json"
    kept = json.loads(path.read_text()) if path.exists() else {}
    counts["commits"] = kept.get(options.name, {}).get("commits", {}) | dict.fromkeys(
        counts, git_commit()[0])
    write_result(path, kept | {options.name: kept.get(options.name, {}) | counts}, recorded=True)


if __name__ == "__main__":
    main()
