"""What README and docs show of the committed results, written anew between their markers.

    make readme

`<!-- name:begin -->` and `<!-- name:end -->` frame what `SECTIONS` makes from the files of
results/ and params/; other markers are left alone. Numbers of the prose are not written here:
tests/test_readme.py works each of them out again and names those that have moved.
"""
from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import yaml

import pipeline_figure
from nanoreason import paths
from nanoreason.ablations.hypotheses import ANSWER_COLUMNS
from nanoreason.evaluation import accuracy
from nanoreason.evaluation.report import wilson
from nanoreason.figures.tables import NAMES, Table, arrow, make_tables, results_table, show
from nanoreason.files import read_text, write_text
from nanoreason.params import BaseParams, DataParams, EvaluateParams, TrainParams
from nanoreason.runs import Run
from study import cost_sentence, cost_table

sys.path.append(str(paths.ROOT / "benchmarks"))
import comparison_table  # noqa: E402
import cost_model  # noqa: E402
import digits_table  # noqa: E402
import equal_tokens  # noqa: E402
import gpu_table  # noqa: E402
import teacher_gsm8k  # noqa: E402
import training_threads  # noqa: E402
from speed_table import speed_table  # noqa: E402

REFERENCE = Run(paths.RESULTS / "nano-reference")
PARAMETER_SETS = (BaseParams, DataParams, TrainParams, EvaluateParams)
PROFILES = ("nano", "nano-switch", "smollm2", "t4", "kaggle-2xt4", "gpu-bf16")
SIGNAL_NAMES = {"execute": "EXECUTE's least likely token", "decision": "least p(correct) in VERIFY",
                "answer": "likelihood of the answer", "verdict": "the verdict"}
TIMES = ("before", "after")  # of the reading of foreign files
FOREIGN = {"SVAMP": "SVAMP.json", "ASDiv": "ASDiv.jsonl", "GSM-Plus, testmini":
           "gsmplus_testmini.jsonl", "GSM-symbolic P2": "GSM_p2.jsonl",
           "TabMWP, test1k": "tabmwp_test1k.json", "OlympiadBench, maths in text":
           "olympiad_oe_to.json"}
# What the names of their files begin with.
READ = {"MAWPS, six files in four forms": "mawps", "MATH-500": "math500", "Minerva": "minerva",
        "GSM-IC, the problems it was made of": "gsmic"}
GSM8K_RUNS = ("nano-gsm8k", "smollm2-gsm8k")
_FRAMED = re.compile(r"(<!-- (?P<name>[\w-]+):begin -->\n).*?(<!-- (?P=name):end -->)", re.DOTALL)


def read_json(name: str) -> dict:
    """A JSON file of results/, stored plain or gzipped."""
    return json.loads(read_text(paths.RESULTS / name))


def ablation_rows(name: str) -> list[dict[str, str]]:
    """The lines of a committed table of the ablations: claims, answers or conditions."""
    with (paths.RESULTS / "ablations" / "tables" / f"{name}.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def trace() -> str:
    """The question and the text of the row that the picture shows, too."""
    row = pipeline_figure.example_row()
    return f"> {row['question']}\n\n```\n{row['text'].strip()}\n```"


def results() -> str:
    """The scores of the run of reference, by split."""
    return results_table(REFERENCE.read_summary()).markdown()


def claims() -> str:
    """Each claim of the original card, as published and in the design that works."""
    published = {row["claim"]: row for row in ablation_rows("claims")}
    rows = []
    for answer in digits_table.claims(read_json("verify-digits.json")):
        here, other = dict(zip(ANSWER_COLUMNS, answer.cells())), answer.hypothesis.second
        old = published.pop(here["claim"], {})  # a claim's first comparison decides it
        rows.append((here["claim"], here["score"].removesuffix(", natural"),
                     old.get("difference", ""), old.get("word", ""),
                     f"{other}: {here['difference']}" if other else here["difference"],
                     here["seeds x problems"], here["word"]))
    return Table("", ("claim", "score", "as published", "word", "in the design that works, against",
                      "seeds x problems", "word"), rows).markdown(False)


def attempts(part: str) -> str:
    """Recall and specificity of VERIFY in the forms that were tried."""
    tried = read_json("verify-attempts.json")[part]
    columns = [name for name in tried[0] if name not in ("recall", "specificity")]
    rows = [(*(str(each[name]) for name in columns),
             *(f"{100 * right / asked:.1f} % ({right}/{asked})"
               for right, asked in (each["recall"], each["specificity"]))) for each in tried]
    return Table("", (*(name.replace("_", " ") for name in columns), "recall ↑", "specificity ↑"),
                 tuple(rows)).markdown(False)


def ledger(name: str) -> str:
    """A table of the ledger of the run of reference."""
    return make_tables(REFERENCE.read_summary())[name].markdown()


def digits(make: Callable[[Mapping], Table]) -> Callable[[], str]:
    """A table of VERIFY by digits, over seeds and conditions."""
    return lambda: make(read_json("verify-digits.json")).markdown(False)


def gate() -> str:
    """What the verdict is worth alone and behind each gate; gates are chosen on dev."""
    found = read_json("nano-reference-gate/gate.json")
    columns = ("delta", "i_to_c", "c_to_i", "recall", "specificity", "svr")
    gates = {"no gate": found["no gate"]} | found["gates"]
    rows = [(label, f"{each['threshold']:.2f}" if each.get("threshold") else "",
             str(each.get("agree") or ""), show("delta", each["dev"]["delta"]),
             *(show(name, each["test"][name]) for name in columns))
            for label, each in gates.items()]
    return Table("", ("VERIFY is heeded", "below log p", "agreeing", "gain on dev ↑", *(
        f"{NAMES[name]} {arrow(name)}" for name in columns)), tuple(rows)).markdown(False)


def sureness() -> str:
    """How well each signal tells right results from wrong ones, on test."""
    found = read_json("nano-reference-gate/gate.json")
    scores, tenths = found["confidence"]["test"], ("0.5", "0.6", "0.8", "1.0")
    rows = [(name, *(f"{scores[f'{kind}_{signal}']['value']:.3f} [{low:.3f}–{high:.3f}]"
                     for kind in ("auc", "aurc")
                     for low, high in [scores[f"{kind}_{signal}"]["interval"]]),
             *(f"{100 * found['coverage'][signal][tenth]:.1f} %" for tenth in tenths))
            for signal, name in SIGNAL_NAMES.items()]
    return Table("", ("signal", "AUC ↑", "AURC ↓", *(
        f"a1 right among the surest {100 * float(tenth):.0f} % ↑" for tenth in tenths)),
        tuple(rows)).markdown(False)


def solving() -> str:
    """How many right and wrong answers of `solve` carry a warning, by what was asked."""
    found = read_json("solving.json")
    rows = [(f"`{part}`", str(found[part]["n"]), *(
        "{}/{}".format(*found[part][kind]["counts"]) for kind in ("wrong", "right")), ", ".join(
        f"{key} {count}" for key, count in list(found[part]["wrong"]["kinds"].items())[:5]))
        for part in ("test", "test_999", "test_template", "test_ood", "gsm8k")]
    return Table("", ("questions", "n", "wrong with a warning ↑", "right with a warning ↓",
                      "warnings of wrong answers, how many"), tuple(rows)).markdown(False)


def alone() -> str:
    """The notebooks that ran alone in a folder, installed by their own first cell."""
    rows = [(f"`{run['notebook']}`", run["python"], run["torch"], run["parameters"], *(
        str(run[name]) for name in ("seconds", "installation_seconds", "installed_megabytes")))
            for run in read_json("alone.json")["runs"] if run["status"] == 0]
    return Table("", ("notebook", "Python", "torch that was there", "parameters", "seconds",
                      "of them installation", "MB installed"), tuple(rows)).markdown(False)


def speed(suffix: str = "") -> str:
    """Ratios of this training and decoding to other ways."""
    return speed_table(*(read_json(f"{name}-speed{suffix}.json")
                         for name in ("training", "decoding")))


def original() -> str:
    """The accuracy that the original study's notebooks print, with intervals."""
    rows = []
    for row in read_json("original-study.json")["rows"]:
        low, high = (100 * limit for limit in wilson(row["correct"], row["asked"]))
        rows.append((row["model"], f"{100 * row['correct'] / row['asked']:.2f} % "
                     f"({row['correct']}/{row['asked']}) [{low:.1f}–{high:.1f}]",
                     f"{row['minutes']}"))
    return Table("", ("model", "right answers ↑", "minutes"), tuple(rows)).markdown(False)


def gsm8k_runs() -> str:
    """What two bases learn from a few hundred rule-made traces of GSM8K."""
    rows = []
    for name in GSM8K_RUNS:
        run = Run(paths.RESULTS / name)
        facts, found = run.read_environment(), run.read_generations()
        counts, training = accuracy(found).counts, facts["training"]
        reached = sum(bool(row["scores"]["reached_verify"]) for row in found)
        shares = (f"{right}/{asked}" for right, asked in
                  (counts["strict"], counts["lenient"], (reached, len(found))))
        rows.append((f"`{name}`", str(training["traces"] - training["too_long"]),
                     str(training["optimiser_steps"]), f"{facts['seconds'] / 60:.0f}", *shares))
    return Table("", ("run", "traces", "steps", "minutes", "strict ↑", "lenient ↑",
                      "reach VERIFY ↑"), tuple(rows)).markdown(False)


def foreign() -> str:
    """What is made of the files of others, before and after they were read as they are."""
    found = read_json("reading-foreign.json")
    rows = [(f"{name}: the rules teach", *(_share(found[time]["files"][file]) for time in TIMES))
            for name, file in FOREIGN.items()]
    cells = found[TIMES[1]]["files"].items()
    rows += [(f"{name}: read as problems", "not run", "/".join(
        str(sum(cell[key] for file, cell in cells if file.startswith(start)))
        for key in ("problems", "of"))) for name, start in READ.items()]
    rows += [(f"GSM-symbolic P2, {told}: the rules teach",
              *(_share(found[time]["currencies"][sign]) for time in TIMES))
             for sign, told in (("dollar", "in dollars"), ("other", "in other money"))]
    rows.append(("VNHSGE: questions kept", *(
        f"{found[time]['exams']['kept']}/{found[time]['exams']['read']}" for time in TIMES)))
    rows.append(("MATH: traces that take an error",
                 *(_share(found[time]["prose_errors"]) for time in TIMES)))
    errors = [found[time]["prose_errors"] for time in TIMES]
    rows.append(("MATH: errors in the last step "
                 f"({errors[-1]['last_if_alike']} if steps were alike)",
                 *(f"{cell['in_the_last_step']}/{cell['count']}" for cell in errors)))
    rows.append(("MATH's solutions: equations called true, false, rounded", *(
        ", ".join(str(found[time]["equations"]["math"][name])
                  for name in ("true", "false", "rounded")) for time in TIMES)))
    rows += [(told, *(_share(cell(found[time])) for time in TIMES)) for told, cell in (
        ("right solutions of GSM8K with a line called false",
         lambda now: now["right_solutions"]["all"]),
        ("wrong ones: the first such line is the first wrong step", lambda now: now["first_error"]),
        ("MATH's official solutions marked wrong", lambda now: now["answers"]["math"]))]
    golds, missed = (found[TIMES[1]][part] for part in ("golds", "near_misses"))
    spelled = [cell for name, cell in golds.items() if name != "themselves"]
    rows += [("MATH's answers marked wrong, as they are and in ten other spellings", "not run",
              f"{golds['themselves']['count']}/{golds['themselves']['of']}, "
              f"{sum(c['wrong'] for c in spelled)}/{sum(c['changed'] for c in spelled)}"),
             ("near misses of them marked right", "not run",
              f"{missed['all']['passed']}/{missed['all']['tried']}"),
             ("characters that `read_equations` reads in a second of one core", "not run",
              f"{found[TIMES[1]]['speed']['characters_per_second']:,.0f}")]
    for part, told in (("same_expression", "the same expression"),
                       ("of_these_other_lines", "the same in other lines"), ("others", "others")):
        cells = [found[time]["alternatives"][part] for time in TIMES]
        rows.append((f"right solutions of GSM8K, {told}: edge F1", *(
            f"{cell['edge_f1']:.3f} (n={cell['n']}), null {cell['edge_f1_null']:.3f}"
            for cell in cells)))
    return Table("", ("", *TIMES), tuple(rows)).markdown(False)


def _share(cell: Mapping) -> str:
    return f"{cell['per_cent']:.1f} % ({cell['count']}/{cell['of']})"


def profiles() -> str:
    """What each profile sets, beside the package's default; the base stands in the prose."""
    values = {name: yaml.safe_load((paths.PARAMS / f"{name}.yaml").read_text(encoding="utf-8"))
              for name in PROFILES}
    fields = [field for each in PARAMETER_SETS for field in each.model_fields]
    wanted = dict.fromkeys(field for field in fields if field not in ("profile", "base")
                           and any(field in each for each in values.values()))
    rows = [(f"`{field}`", _default(field),
             *(str(each.get(field, "")) for each in values.values())) for field in wanted]
    return Table("", ("parameter", "default", *PROFILES), tuple(rows)).markdown(False)


def _default(field: str) -> str:
    found = {str(each.model_fields[field].default) for each in PARAMETER_SETS
             if field in each.model_fields}
    return ", ".join(sorted(found))


SECTIONS: Mapping[str, Callable[[], str]] = {
    "trace": trace, "results": results, "claims": claims, "attempts": lambda: attempts("attempts"),
    "screened": lambda: attempts("screened"), "speed": speed, "speed-nano": lambda: speed("-nano"),
    "cost": lambda: cost_table(read_json("costs.json")),
    "cost-model": cost_model.table,
    "time": lambda: cost_sentence(read_json("costs.json")),
    "gsm8k": lambda: teacher_gsm8k.table(read_json("teacher-gsm8k.json"),
                                         read_json("teacher-gsm8k-readings.json")),
    "gpu-size": lambda: gpu_table.size_table(read_json("gpu.json")),
    "gpu-speed": lambda: gpu_table.speed_table(read_json("gpu.json")),
    "gpu-checks": lambda: gpu_table.check_table(read_json("gpu.json")),
    "base-claims": lambda: comparison_table.base_table(read_json("base-claims.json")),
    "comparison-forms": lambda: comparison_table.form_table(read_json("comparison-forms.json")),
    "verify-flags": lambda: comparison_table.flags_table(read_json("verify-flags.json")),
    "ledger": lambda: ledger("ledger"), "ledger-given": lambda: ledger("ledger_given"),
    "ledger-beside": lambda: ledger("ledger_beside"), "equations": lambda: ledger("equations"),
    "verify-digits": digits(digits_table.table), "parts": digits(digits_table.parts_table),
    "ways": digits(digits_table.ways_table), "claims-nano": digits(digits_table.claims_table),
    "equal-tokens": lambda: equal_tokens.table(read_json("equal-tokens.json")).markdown(False),
    "threads": lambda: training_threads.table(read_json("training-threads.json")).markdown(False),
    "gate": gate, "sureness": sureness, "solving": solving, "alone": alone,
    "original": original, "gsm8k-runs": gsm8k_runs, "foreign": foreign, "profiles": profiles,
}


def pages() -> list[Path]:
    """README and the pages of docs/."""
    return [paths.ROOT / "README.md", *sorted((paths.ROOT / "docs").glob("*.md"))]


def rewrite(text: str) -> str:
    """A page with all that stands between markers of `SECTIONS` made anew."""
    def fresh(match: re.Match) -> str:
        make = SECTIONS.get(match["name"])
        return match[0] if make is None else f"{match[1]}{make()}\n{match[3]}"

    return _FRAMED.sub(fresh, text)


def main() -> int:
    """Draw the picture and rewrite every page; prints what has changed."""
    pipeline_figure.main()
    for page in pages():
        old = page.read_text(encoding="utf-8")
        new = rewrite(old)
        if new != old:
            write_text(page, new)
            print(paths.relative(page))
    return 0


if __name__ == "__main__":
    sys.exit(main())
