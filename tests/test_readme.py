"""README and docs: what stands between markers is made again, and every number of the prose is
worked out again from results/ or is one of a few named constants. No wording is compared."""
from __future__ import annotations

import json
import re

import pytest
import yaml

import digits_table
import pipeline_figure
import readme
import verify_digits
import verify_flags
from nanoreason import paths
from nanoreason.ablations.conditions import chosen
from nanoreason.ablations.grid import open_grid
from nanoreason.arithmetic import read_equations
from nanoreason.data.procedural import LARGE, SCALE
from nanoreason.evaluation import accuracy, self_verification
from nanoreason.evaluation.confidence import behind_gates
from nanoreason.evaluation.ledger import read_lines
from nanoreason.evaluation.rows import ScoredRow, read_row
from nanoreason.evaluation.summary import (find_gate, find_others, find_prompted,
                                           lacks_verify_loss, summarise)
from nanoreason.figures.tables import show
from nanoreason.model.base import load_tokenizer
from nanoreason.model.nano import RECIPE
from nanoreason.params import AblateParams
from nanoreason.runs import EVALUATED, Run
from nanoreason.stages import Stage
from nanoreason.trace import cut_sections

README = paths.ROOT / "README.md"
PAGES = readme.pages()
REFERENCE = Run(paths.RESULTS / "nano-reference")
BASE = Run(paths.RESULTS / "nano-reference-base")
SMOLLM2 = Run(paths.RESULTS / "smollm2-gsm8k")
ON_OWN, GIVEN = "SVR, natural ↑", "SVR, EXECUTE given ↑"  # columns of the audit
A1_LESS = "a1 less the reference's ↑"

NUMBER = re.compile(r"(?<![\w.,-])[+-]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)(?!\w)")
NO_PROSE = [re.compile(pattern, flags) for pattern, flags in (
    (r"<!-- ([\w-]+):begin -->.*?<!-- \1:end -->", re.DOTALL),  # made again by another test
    (r"^```.*?^```", re.DOTALL | re.MULTILINE), (r"`[^`\n]*`", 0), (r"\]\([^)]*\)", 0),
    (r"https?://\S+", 0), (r"^\d+\. ", re.MULTILINE))]
CONSTANTS = {  # numbers that no result yields; what they are
    "README.md": {"3.11": "Python", "95": "% of an interval", "0": "the score of a constant",
                  "23": "modules to read, see the test of the rooms", "2.0": "Apache"},
    "method.md": {"0": "the score of a constant", "4": "bits", "1000": "permutations of the null",
                  "100": "draws of the null", "2019": "year of a paper"},
    "ledger.md": {"95": "% of an interval"},
    "results.md": {"95": "% of an interval", "1": "the step blamed", "0": "the score of a constant",
                   "5": "seeds"},
    "running.md": {"4": "bits", "24": "GB of a GPU"},
    "data.md": {"4": "bits", "13": "words of an n-gram"},
    "gsm8k.md": {"1": "a line's number", "2": "a line's number"},
    "speed.md": {"4": "problems in a batch"},
    "gpu.md": {"99": "the largest number that a base has read", "199": "the same"},
    "verification.md": {"73": "% of drawn claims, see test_comparison_forms", "84": "the same",
                        "99": "the bar, and the largest number that the base has read"},
    "original-study.md": {  # facts of the study, none of this project
        "2026": "year", "4": "bits", ".15": "weight", ".35": "weight", ".2": "weight",
        ".3": "weight", "100": "% that a constant scores", "15000": "traces claimed",
        "18044": "traces used", "4000": "MATH problems"},
}


def numbers(text: str) -> list[str]:
    """The numbers of a text in order, with sign, without commas between thousands."""
    return [found.replace(",", "") for found in NUMBER.findall(text)]


def sentences(text: str) -> list[str]:
    """The sentences and table lines of a page's prose, without code, links and what is made."""
    for pattern in NO_PROSE:
        text = pattern.sub(" ", text)
    return [part for line in text.split("\n") for part in re.split(r"(?<=[.?!])\s+", line)]


def take(wanted: list[str], there: list[str]) -> list[str] | None:
    """`there` without `wanted`, which must stand in it in this order; None where they do not."""
    rest, places = list(there), iter(range(len(there)))
    found = [next((place for place in places if there[place] == each), None) for each in wanted]
    if None in found:
        return None
    for place in reversed(found):
        del rest[place]
    return rest


@pytest.fixture(scope="module")
def summary():
    return REFERENCE.read_summary()


@pytest.fixture(scope="module")
def grid():
    return open_grid(AblateParams(profile="nano-switch"))


@pytest.fixture(scope="module")
def quotes(summary, grid):
    """Every number of the prose, as the text that yields it: one entry for those of a sentence
    that belong together, in their order."""
    test = summary["splits"]["test"]
    own, given = test["verification"], test["given"]["verification"]
    rules, rules_given = (summary["verifiers"][part]["step checker"]["svr"]
                          for part in ("natural", "given"))
    prompted = summary["verifiers"]["natural"]["base, four-stage prompt"]
    answers = {row["comparison"]: row for row in readme.ablation_rows("answers")}
    conditions = {row["condition"]: row for row in readme.ablation_rows("conditions")}
    tried, checker = (readme.read_json(f"{name}.json") for name in
                      ("verify-attempts", "step-checker"))
    faults, card = (readme.read_json(f"{name}.json") for name in ("faults", "data-gsm8k"))
    memory = readme.read_json("decoding-speed.json")["medians"]
    speed = readme.read_json("training-speed.json")
    with (REFERENCE.folder / "tables" / "audit.csv").open() as file:
        audit = list(readme.csv.DictReader(file))[1:]
    spoiler = next(row for row in audit if row["VERIFY by"] == "spoiler")
    smollm2 = SMOLLM2.read_environment()
    traces = smollm2["training"]["traces"] - smollm2["training"]["too_long"]
    remade = readme.read_json("base-again.json")
    shipped = yaml.safe_load((paths.asset("nano") / "recipe.json").read_text())

    def difference(comparison):
        return answers[comparison]["difference"]

    def svr(comparison):
        return numbers(answers[comparison]["mean against mean"])[0]

    def mean(condition, score):
        return conditions[condition][score].split()[0]

    def percent(share):
        return f"{100 * share['value']:.1f}"

    def counts(name, score):
        return show(name, score).split(" [")[0]

    def shown(delta):
        return digits_table.points(100 * delta["value"], [100 * end for end in delta["interval"]])

    def times(part):
        return (len(part.get("kills", ())) or part.get("pairs") or part.get("stopped")
                or part["count"])

    def otherwise(part):
        return sum(part.get("uncaught", {}).values()) + sum(
            part.get(name, 0) for name in ("unequal", "unsaid", "slow", "long", "lost_rows"))

    shares = [run for run in grid.of("staged").values()]
    a1 = [100 * self_verification(row for row in run.rows() if row["setting"] == "natural"
                                  ).accuracy_a1 for run in shares]
    recipe = shares[0].facts["recipe"]
    found, kept = given["svr"]["counts"]
    errors = ("errors_25", "staged", "errors_75")
    bars = [f"{100 * tried['bar'][score]:.0f}" for score in ("recall", "specificity")]
    forms = len(chosen(AblateParams(profile="nano-switch")))
    seeds, problems = answers["staged against zero"]["seeds x problems"].split(" x ")
    ended = [dict(map(tuple, each["loss"]))[shipped["recipe"]["steps"]]
             for each in (remade, shipped)]
    warned, unwarned = (readme.read_json("solving.json")["test"][kind]["counts"]
                        for kind in ("wrong", "right"))
    return {
        "warnings of solve": [*warned[::-1], *unwarned[::-1]],
        "second adapter": difference("staged against single_wide"),
        "VERIFY corrects": difference("staged against zero"),
        "four stages": difference("errors_0 against free"),
        "step-aware loss": difference("advertised against staged"),
        "its a1": [mean("staged", "a1"), mean("single_wide", "a1")],
        "its a2": [mean("staged", "a2"), mean("single_wide", "a2")],
        "a2 beside its own size": [mean("staged", "a2"), mean("single", "a2")],
        "a weight": [svr("single_verify_4 against single_verify_half"),
                     svr("staged against single_wide")],
        "a1 of the weight": [mean("single_verify_4", "a1"), mean("staged", "a1")],
        "repaired, spoiled": [own["i_to_c"]["counts"][0], own["c_to_i"]["counts"][0],
                              own["i_to_c"]["counts"][1]],
        "repaired of wrong": own["svr"]["counts"][0][:2],
        "gain of VERIFY": shown(own["delta"]),
        "recall": counts("recall", given["recall"]),
        "recall, interval": show("recall", given["recall"]),
        "specificity": counts("specificity", given["specificity"]),
        "specificity, interval": show("specificity", given["specificity"]),
        "first wrong step": counts("first_wrong_step", given["first_wrong_step"]),
        "repaired": f"{100 * found[0] / found[1]:.1f} ({found[0]}/{found[1]})",
        "bars": bars,
        "step checker, natural": [percent(rules), percent(own["svr"])],
        "step checker, given": [percent(rules_given), percent(given["svr"])],
        "other problems": [percent(summary["splits"][split]["accuracy"]["a1"])
                           for split in ("test_template", "test_ood")],
        "arithmetic alone": shown(summary["verifiers"]["natural"]["step checker"]["delta"]),
        "arithmetic and VERIFY": [percent(rules_given), percent(given["svr"])],
        "attacks": [len(audit)],
        "a1, ablations": difference("staged against reasoning"),
        "seeds": [seeds], "problems": [problems], "conditions": [forms],
        "seeds and problems": [seeds, problems],
        "comparisons": [len(answers)], "conditions and comparisons": [forms, len(answers)],
        "a1 over seeds": [f"{min(a1):.1f}", f"{max(a1):.1f}"],
        "traces of the ablations": [recipe["traces"]],
        "SmolLM2's traces": [traces],
        "base again": [f"{remade['seconds'] / 60:.0f}"],
        "base again, steps": ["0.0001", "200", *(f"{loss:.4f}" for loss in ended)],
        "equations read": [percent(checker["read"]), checker["read"]["counts"][1]],
        "equations judged": [percent(checker["judged_true"]),
                             percent(checker["slips_judged_false"])],
        **{f"faults, {part}": [times(faults[part]), otherwise(faults[part])] for part in
           ("training", "evaluation", "metrics", "pairs", "full", "mutations")},
        "prompted base": [prompted["accuracy_a1"]["counts"][0],
                          prompted["accuracy_a1"]["counts"][1],
                          prompted["accuracy_a2"]["counts"][0]],
        "attempts": [tried["attempts"][0]["recall"][1]] * 2,
        "attempts in full": [tried["attempts"][-1]["recall"][1]],
        "attacks on VERIFY": [len(audit) - 1],
        "attacks that score 0": [sum(row[ON_OWN].startswith("0.0 %") for row in audit)],
        "spoiler": [numbers(spoiler[ON_OWN])[0], *numbers(spoiler[A1_LESS])],
        "runs": [forms, seeds, len(grid.runs), recipe["traces"], problems],
        "prose against the whole design": difference("staged against free"),
        "weights": f"0.15 0.35 0.35 0.15 {difference('advertised against staged')} "
                   f"{difference('doubled against staged')} {difference('dwa against staged')} "
                   f"{difference('transition_1 against staged')}",
        "beside its own size": difference("staged against single"),
        "stack": difference("stack against single_wide"),
        "weight within one adapter": difference("single_verify_4 against single_verify_half"),
        "weight between two": difference("verify_4 against verify_half"),
        "phases": difference("phases against staged"),
        "own errors": difference("phases_own against phases"),
        "shares of errors": [*(svr(f"{name} against errors_0") for name in errors),
                             *(mean(name, "a1") for name in errors), mean("errors_0", "a1")],
        "hours": [f"{smollm2['seconds'] / traces * 6000 * 15 / 3600:.0f}"],
        "n of the study": [yaml.safe_load((paths.PARAMS / "nano.yaml").read_text())["n"]],
        "n of the reference": [yaml.safe_load(REFERENCE.path(EVALUATED).read_text())["n"]],
        "contaminated": [card["test_sets"]["gsm8k"], card["read"], card["test_sets"]["questions"]],
        "data card": [card["problems"], card["kept"], card["traces"]],
        "questions": [accuracy(SMOLLM2.read_generations()).counts["strict"][1]],
        "too long": [smollm2["training"]["traces"], smollm2["training"]["too_long"],
                     SMOLLM2.read_params()["max_length"]],
        "new tokens": [yaml.safe_load(SMOLLM2.path(EVALUATED).read_text())["max_new_tokens"]],
        "traces of speed": [speed["data"]["traces"]],
        "ways to misbehave": [len(readme.read_json("faulty-server.json")["modes"])],
        "GSM8K's test problems": [readme.read_json("original-study.json")["rows"][0]["asked"]],
        "memory": [f"{memory[name]['peak_bytes_above_model']['median'] / 2**30:.2f}"
                   for name in ("ours", "plain_4")],
    } | gpu_quotes() | verification_quotes() | gate_quotes() | equal_tokens_quotes() \
        | digits_quotes()


def digits_quotes() -> dict:
    """Of README and the last part of docs/verification.md, from its result file alone."""
    found = readme.read_json("verify-digits.json")
    count = ("no", "one", "two", "three")
    runs, shipped = ([*digits_table.of(found, name).values()]
                     for name in (digits_table.FEWER, digits_table.SHIPPED))
    assert f"Under {count[len(shipped)]} seeds" in README.read_text()
    ways, beyond_known = ({one["way"]: one for one in digits_table.spent(found, name)}
                          for name in ("test", "test_template"))
    gated, shown = digits_table.behind_gate, digits_table.points

    def of(condition):
        return [*digits_table.of(found, condition).values()]

    def gained(runs, name, judged=digits_table.outcomes):
        return shown(*digits_table.gain(runs, name, judged))

    def less(first, second, name="test", judged=digits_table.outcomes, other=None):
        return shown(*digits_table.less(found, first, second, name, judged, other or judged))

    answers = {row["comparison"]: row for row in readme.ablation_rows("answers")}

    def total(name, part):
        return sum(run["settings"][name]["lines"][part] for run in runs)

    def points(way, ways=ways):
        return shown(ways[way]["points"], ways[way]["interval"])

    def percent(values):
        return f"{100 * sum(values) / len(values):.1f}"

    def spoiled(outcomes):
        return [sum(digits_table.changed(each, (1, 0)) for each in outcomes),
                sum(int(each[:, 0].sum()) for each in outcomes)]

    both, doubts = ([judged(run, "test") for run in runs]
                    for judged in (digits_table.outcomes, gated))
    assert all(each[:, 1].sum() > each[:, 0].sum() for each in doubts)  # "in each seed"
    ends = [each[:, 1].mean() for each in both]
    larger, in_place = of(digits_table.MORE), of("larger numbers for VERIFY")
    taught, kept, kept_doubt = ([judged(run, "test") for run in each] for each, judged in (
        (larger, digits_table.outcomes), (shipped, digits_table.outcomes), (shipped, gated)))
    assert all(each[:, 1].sum() > each[:, 0].sum()
               for each in (*taught, *kept_doubt))  # "in each seed", again
    beyond = [digits_table.outcomes(run, "test_999") for run in larger]
    told = re.search(r"Over (\w+) seeds:", (paths.ROOT / "docs/verification.md").read_text())
    assert told[1] == count[len(larger)]
    alone = ways["EXECUTE alone"]["right"]
    far, far_larger = (digits_table.verify_counts(each, ["test_999"]) for each in (runs, larger))
    words = [total("test", key) for key in ("differ_right", "differ", "asked", "lines")]
    tokens = [f"{ways[way]['tokens']:.0f}" for way in ("EXECUTE alone", "VERIFY repairs")]
    return {
        "results and answers": [sum(int(each[:, 0].sum()) for each in kept), sum(map(len, kept)),
                                sum(int(each[:, 1].sum()) for each in kept_doubt)],
        **{f"as shipped, {name}, {judged.__name__}": gained(shipped, name, judged)
           for name in ("test", "test_999", "test_template")
           for judged in (digits_table.outcomes, gated)},
        **{f"as shipped, a1 and a2, {name}": [
            percent([digits_table.outcomes(run, name)[:, k].mean() for run in shipped])
            for k in (0, 1)] for name in ("test", "test_999")},
        "as shipped, in doubt": [
            sum(sure < digits_table.threshold(run) for run in shipped
                for sure in run["settings"]["test"]["surest"]), sum(map(len, kept))],
        "as shipped, spoiled in doubt": spoiled(kept_doubt),
        "as shipped, in doubt less EXECUTE by digits": [
            *numbers(less(digits_table.SHIPPED, verify_digits.BY_DIGITS, "test", gated,
                          digits_table.outcomes)),
            *(f"{ways[way]['tokens']:.0f}"
              for way in (digits_table.IN_DOUBT, verify_digits.BY_DIGITS))],
        "two thresholds": [f"{digits_table.threshold(shipped[0]):.2f}",
                           int(kept_doubt[0][:, 1].sum()),
                           readme.read_json("nano-reference-gate/gate.json")["gates"]["gate"][
                               "test"]["delta"]["counts"][0][0]],
        "as shipped, tokens in doubt": [f"{ways[digits_table.IN_DOUBT]['tokens']:.0f}"],
        "results alone": [percent(alone)],
        "gain behind the gate": points("VERIFY repairs in doubt"),
        "spoiled behind the gate": spoiled(doubts),
        "gain without": points("VERIFY repairs"),
        "the surer of two": points(digits_table.SURER),
        **{way: points(way) for way in verify_digits.CONTROLS},
        **{f"{way}, new situations": points(way, beyond_known)
           for way in (verify_digits.BY_DIGITS, verify_digits.PROSE)},
        **{f"gain, {name}": gained(of(name), "test") for name in (
            "rearranged checks", "switch", "one adapter", "no right twins")},
        "gain, seed 0": gained(runs[:1], "test"),
        "mean over tokens": less("mean over tokens", "reread"),
        "one adapter": less("one adapter", "reread"),
        "seeds apart": [f"{100 * (max(ends) - min(ends)):.1f}"],
        "larger numbers, found": far_larger["recall"],
        "larger numbers, repaired": far_larger["repaired"][:1],
        "larger numbers, spoiled": spoiled(beyond),
        **{f"larger numbers, a{k + 1}": [percent([each[:, k].mean() for each in beyond])]
           for k in (0, 1)},
        "larger numbers, in place of others": gained(in_place, "test"),
        "in place of others, answers": less("larger numbers for VERIFY", "reread"),
        "taught more, new situations, answers": less(digits_table.MORE, "reread", "test_template"),
        **{f"prose less EXECUTE alone, {name}": less(
            verify_digits.PROSE, "EXECUTE without VERIFY", name)
           for name in ("test", "test_template")},
        "in doubt less EXECUTE by digits": less("reread", verify_digits.BY_DIGITS, "test", gated,
                                                digits_table.outcomes),
        **{f"behind the gate, {name}": shown(*digits_table.less_gain(
            found, name, "reread", "test", gated)) for name in (
                "switch", "one adapter", "mean over tokens", "rearranged checks")},
        "published stages": [answers["errors_0 against free"]["difference"].split()[0].lstrip("-")],
        **{f"traces, {condition}": sorted(verify_digits.LARGER[condition], reverse=more)
           for condition, more in ((digits_table.MORE, True),
                                   ("larger numbers for VERIFY", False))},
        "without right twins": [percent([digits_table.outcomes(run, "test")[:, 0].mean()
                                         for run in part])
                                for part in (of("no right twins"), runs[:1])],
        "double rank": [percent([digits_table.outcomes(run, "test")[:, k].mean() for run in
                                 of("one adapter of double rank")]) for k in (0, 1)],
        "larger numbers, gain": gained(larger, "test_999"),
        "larger numbers, gate": gained(larger, "test_999", gated),
        **{f"larger numbers, {name}, {judged.__name__}": gained(larger, name, judged)
           for name in ("test", "test_template") for judged in (digits_table.outcomes, gated)},
        "words of lines that differ": words[:2], "lines about EXECUTE's own": words[2:],
        "found to 999": far["recall"], "repaired to 999": far["repaired"][:1],
        "numbers that are read": [SCALE.largest, LARGE.largest],
        "numbers that are written": [SCALE.largest], "largest numbers": [LARGE.largest],
        "lines of switch": [of("switch")[0]["settings"]["test"]["lines"][key]
                            for key in ("asked", "lines")],
        "traces by digits": [verify_digits.USUAL["traces"]],
        "steps of reading on": [RECIPE["then"]["steps"]],
        "problems of dev": [len(runs[0]["settings"]["dev"]["first"])],
        "tokens by digits": tokens,
    }


def equal_tokens_quotes() -> dict:
    """Of docs/equal-tokens.md, from the result file alone."""
    found = readme.read_json("equal-tokens.json")
    of = {(each["recipe"], each["method"]): each for each in found["methods"]}

    def share(recipe, method):
        right = of[recipe, method]["right"]
        return f"{100 * sum(right) / found['n'] / len(right):.1f}"

    def less(recipe, method):
        value = of[recipe, method]["against"]
        return digits_table.points(100 * value["points"], [100 * v for v in value["interval"]])

    def changed(recipe):
        counts, = found["verdicts"][recipe]  # one seed, as the page says
        return [counts["wrong, objected, right"], counts.get("right, accepted, wrong", 0)
                + counts["right, objected, wrong"]]

    best = max(found["methods"], key=lambda each: sum(each["right"]) / len(each["right"])
               if each["recipe"] in ("reference", "right", "columns") else 0)
    assert (best["recipe"], best["method"]) == ("right", "EXECUTE")  # of those with two seeds
    return {
        "EXECUTE alone": [share("right", "EXECUTE"), share("reference", "EXECUTE")],
        "what right traces gain": less("right", "EXECUTE"),
        "drawn anew": less("reference", "drawn anew, 4 tries"),
        "repair at equal tokens": less("reference", "VERIFY repairs"),
        "VERIFY in phases": [*changed("phases"), found["n"]],
        "VERIFY that rereads": changed("reread"),
        "digits": [found["traces"], share("columns", "EXECUTE")],
    }


def gate_quotes() -> dict:
    """Of docs/ledger.md, from the gates' file alone."""
    found = readme.read_json("nano-reference-gate/gate.json")
    assert found["sampled"]["verifies"] == 5  # it stands there as a word

    def gain(name):
        delta = found["gates"][name]["test"]["delta"]
        return digits_table.points(100 * delta["value"], [100 * v for v in delta["interval"]])

    tokens, doubtful = ({name: f"{value:.0f}" for name, value in found["tokens"].items()}[part]
                        for part in ("in_doubt", "doubtful"))
    return {"the gate": gain("gate"), "the gate and agreement": gain("gate and agreement"),
            "its threshold": [f"{found['gates']['gate']['threshold']:.4f}"],
            "VERIFY in doubt": [doubtful, found["n"]["test"]], "tokens in doubt": [tokens]}


def gpu_quotes() -> dict:
    """Of docs/gpu.md, from the result file alone."""
    found = readme.read_json("gpu.json")
    cells, speed = found["cells"], found["speed"]["speed-none"]
    own = {name: cell["natural"] for name, cell in cells.items()}
    today = [own[f"pair-{size}-99-0"] for size in ("1m", "4m", "16m")]
    parameters = {base["size"]: f"{base['parameters'] / 1e6:.1f}"
                  for base in found["bases"].values()}
    checks = {name: found["checks"][f"check-{name}"] for name in ("none", "nf4")}
    medians = {name: f"{each['samples_per_second']['median']:.1f}"
               for name, each in speed["medians"].items()}
    ratio = speed["ours_to_other"]["trl"]

    def percent(name, score="accuracy_a1"):
        return f"{100 * own[name][score]['value']:.1f}"

    def false(*sizes):
        parts = [today[0]["false"][f"{kind}_{size}_99"]["counts"]
                 for kind in ("sum", "difference") for size in sizes]
        return [sum(part[place] for part in parts) for place in (0, 1)]

    careful = sorted(percent(f"pair-1m-careful-{seed}") for seed in range(3))
    assert cells.keys() & {f"pair-1m-careful-{seed}" for seed in range(4)} == {
        f"pair-1m-careful-{seed}" for seed in range(3)}  # the only ones of three seeds
    assert checks["none"]["passed"] and not checks["nf4"]["passed"]
    assert not ratio["samples_per_second"]["met"]
    return {
        "sizes of bases on the GPU": [parameters[size] for size in ("1m", "4m", "16m")],
        "a size": [parameters["1m"]], "another size": [parameters["16m"]],
        "plan on the GPU": [found["plan"]["steps"], RECIPE["steps"],
                            found["plan"]["traces"], found["plan"]["problems"]],
        "gain by size": ["{:+.1f}".format(100 * each["delta"]["value"]) for each in today],
        "recall by size": [percent(f"pair-{size}-99-0", "recall") for size in ("1m", "16m")],
        "comparisons by size": [f"{100 * each['comparison']['value']:.1f}" for each in today],
        "repaired and spoiled at 16M": [today[-1][score]["counts"][0]
                                        for score in ("i_to_c", "c_to_i")],
        "a1 of bases by what they read": [percent("pair-1m-199-0"), percent("pair-1m-99-0")],
        "false sums above": false("above"), "false sums below": false("to"),
        "columns' comparisons": own["pair-1m-columns-0"]["comparison"]["counts"],
        "columns' cost": [
            f"{float(percent('pair-1m-right-0')) - float(percent('pair-1m-columns-0')):.0f}",
            percent("pair-1m-columns-0"), percent("pair-1m-right-0")],
        "computed carefully": [careful[0], careful[-1]],
        "computed carefully at 16M": [percent("pair-16m-careful-0")],
        "traces of speed on the GPU": [speed["traces"]["count"]],
        "speed on the GPU": [medians[name] for name in
                             ("ours", "trl", "original_unpadded", "original")],
        "against TRL on the GPU": [f"{ratio['samples_per_second']['median']:.2f}",
                                   ratio["samples_per_second"]["bar"],
                                   f"{ratio['peak_bytes_above_model']['median']:.2f}"],
        "largest logit": [f"{checks['none']['largest_logit']:.0f}"],
        "NF4 against a CPU": [f"{checks['nf4']['found']['cpu']:.3f}"],
    }


def mean_tokens(texts: list[str]) -> float:
    """Of the nano base's tokenizer."""
    found = load_tokenizer("nano")(texts, add_special_tokens=False).input_ids
    return sum(map(len, found)) / len(found)


def verification_quotes() -> dict:
    """Of docs/verification.md, from its result files alone."""
    base, forms, flags = (readme.read_json(f"{name}.json") for name in (
        "base-claims", "comparison-forms", "verify-flags"))
    runs = {(run["start"], run["form"]): run for run in forms["runs"]}
    first = {key: (readme.comparison_table.learned(run, forms["bar"]) or {}).get("lines")
             for key, run in runs.items()}
    assert [key for key, lines in first.items() if lines is None] == [
        ("nothing", "plain"), ("adapter", "plain")]
    early = [100 * entry["differ"]["word"] / entry["differ"]["lines"]
             for entry in runs["adapter", "pairs"]["log"] if entry["lines"] <= 16_000]
    plain = runs["nothing", "plain"]["log"][-1]
    rows = flags["rounds"][-1]["rows"]
    natural = [read_row(row) for row in rows if row["setting"] == "natural"]
    last = self_verification(row for row in rows if row["setting"] == "natural")
    asked = verify_flags.asked_by_place(rows)
    sound = [row for row in natural if verify_flags.sound(row.claims)]
    assert len(flags["rounds"]) == 2 and not any(
        row.error for row in sound if row.first)
    return {
        "words of the base": [f"{100 * side['between'] / side['lines']:.0f}" for side in (
            base["claims"]["differ"], base["claims"]["equal"])],
        "forms from nothing": [first["nothing", "flags"], first["nothing", "pairs"]],
        "forms by an adapter": [first["adapter", "flags"], first["adapter", "pairs"]],
        "plain at its end": [f"{100 * plain['differ']['word'] / plain['differ']['lines']:.1f}",
                             plain["lines"]],
        "the short cut": [f"{min(early):.0f}", f"{max(early):.0f}", 16_000],
        "traces of the frozen adapter": [flags["right"]],
        "lines by place": [f"{100 * asked[place]:.0f}" for place in (0, 3)],
        "sound VERIFYs": [sum(row.error for row in sound if not row.first),
                          sum(not row.first for row in sound), sum(row.first for row in sound)],
        "false alarms": [last.counts["specificity"][1] - last.counts["specificity"][0],
                         last.counts["specificity"][1]],
        "its gain": [f"{100 * last.delta:+.1f}"],
        "tokens of a trace": [f"{mean_tokens([row.row['text'] for row in natural]):.0f}"],
    }


def as_numbers(quote: str | list) -> list[str]:
    """A quote's numbers; those of a list are taken as they stand."""
    return numbers(quote) if isinstance(quote, str) else [str(value) for value in quote]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_number_of_the_prose_is_worked_out_again(page, quotes):
    longest_first = sorted(map(as_numbers, quotes.values()), key=len, reverse=True)
    unknown = []
    for sentence in sentences(page.read_text(encoding="utf-8")):
        left = numbers(sentence)
        for quote in longest_first:
            left = take(quote, left) or ([] if take(quote, left) == [] else left)
        left = [number for number in left if number not in CONSTANTS.get(page.name, {})]
        if left:
            unknown.append((left, sentence))
    assert not unknown


def test_every_quote_stands_somewhere(quotes):
    """A number that moved in results/ is named here with its new value."""
    prose = [numbers(sentence) for page in PAGES
             for sentence in sentences(page.read_text(encoding="utf-8"))]
    gone = {name: quote for name, quote in quotes.items()
            if all(take(as_numbers(quote), found) is None for found in prose)}
    assert not gone


@pytest.mark.parametrize("page", readme.pages(), ids=lambda page: page.name)
def test_what_stands_between_markers_is_made_again(page):
    text = page.read_text(encoding="utf-8")
    assert readme.rewrite(text) == text, "run `make readme`"
    begun, ended = (re.findall(rf"<!-- ([\w-]+):{end} -->", text) for end in ("begin", "end"))
    assert begun == ended and len(set(begun)) == len(begun)


def test_what_stands_outside_of_known_markers_is_left_alone():
    time = f"<!-- time:begin -->\n{readme.SECTIONS['time']()}\n<!-- time:end -->"
    other = "<!-- other:begin -->\nkept\n<!-- other:end -->"
    for old in ("", "old\n", "old\n\n"):
        text = f"# Title\n<!-- time:begin -->\n{old}<!-- time:end -->\n{other}\n"
        assert readme.rewrite(text) == f"# Title\n{time}\n{other}\n"


def test_every_section_stands_on_a_page():
    there = "".join(page.read_text(encoding="utf-8") for page in readme.pages())
    assert [name for name in readme.SECTIONS if f"<!-- {name}:begin -->" not in there] == []


def test_the_readme_has_the_length_of_one_sitting():
    assert len(README.read_text(encoding="utf-8").split()) <= 2300


@pytest.mark.parametrize("page", readme.pages(), ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    text = page.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#\s]+)", text)
    files = re.findall(r"`((?:results|scripts|benchmarks|notebooks|params|nanoreason)/[\w./-]+)`",
                       text)
    places = [page.parent / target for target in targets if "://" not in target]
    places += [paths.ROOT / name for name in files]
    assert [str(place) for place in places if not place.exists()] == []


def test_the_python_of_the_readme_prints_what_its_comment_says(capsys):
    code = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)[1]
    exec(code, {})
    expected = re.search(r"# (.*?):", code)[1]
    assert capsys.readouterr().out.strip() == expected


@pytest.mark.parametrize("page", readme.pages(), ids=lambda page: page.name)
def test_every_command_names_targets_and_parameters_that_exist(page):
    blocks = re.findall(r"```\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    targets = re.findall(r"^([a-z-]+):", (paths.ROOT / "Makefile").read_text(), re.MULTILINE)
    for line in "".join(blocks).replace("\\\n", " ").split("\n"):
        if line.startswith("make "):
            assert line.split()[1] in targets, line
        if line.startswith("papermill "):
            book = paths.ROOT / next(word for word in line.split() if word.endswith(".ipynb"))
            cells = json.loads(book.read_text(encoding="utf-8"))["cells"]
            known = next("".join(cell["source"]) for cell in cells
                         if "parameters" in cell["metadata"].get("tags", []))
            for name in re.findall(r"-p (\w+)", line):
                assert re.search(rf"^{name}\b", known, re.MULTILINE), line


def test_the_rooms_are_those_of_the_package_and_their_modules_are_there():
    text = README.read_text(encoding="utf-8").split("## The rooms")[1].split("\n## ")[0]
    lines = [line.split("|")[1:-1] for line in text.split("\n") if line.startswith("|")][2:]
    package = paths.PACKAGE
    rooms = {str(init.parent.relative_to(package)) for init in package.rglob("__init__.py")}
    named = {line[0].strip().strip("`/") for line in lines}
    assert named == rooms - {"."} | {"top"}
    modules = [package / line[0].strip().strip("`").replace("top", ".") / f"{module}.py"
               for line in lines for module in re.findall(r"`(\w+)`", line[-1])]
    assert len(modules) == 23 and all(module.is_file() for module in modules)


def test_the_trace_shown_is_a_real_one_whose_verify_is_right():
    """Its error is the model's own; each check has the numbers of its step, and every sum and
    word of VERIFY is true."""
    row = ScoredRow(pipeline_figure.example_row())
    assert not row.first and row.second and row.blamed == row.wrong_step
    assert all(line.operands and line.sum and line.comparison for line in read_lines(row))
    verify = next(section.lines for section in cut_sections(row.row["text"])[0]
                  if section.stage is Stage.VERIFY)
    assert all(equation.holds for equation in read_equations("\n".join(verify)))


def test_the_picture_is_drawn_alike_each_time(tmp_path):
    row = pipeline_figure.example_row()
    drawn = [pipeline_figure.save_figure(pipeline_figure.draw(row), tmp_path / name, "pipeline",
                                         pipeline_figure.CAPTION)[1].read_bytes()
             for name in ("once", "again")]
    assert drawn[0] == drawn[1]
    committed = paths.FIGURES / "pipeline"
    assert json.loads((committed / "captions.json").read_text())["pipeline"] == \
        pipeline_figure.CAPTION
    assert (committed / "pipeline.png").stat().st_size < 250_000


def test_the_committed_summary_is_worked_out_again_from_the_rows(summary):
    prompted, others = find_prompted(REFERENCE), find_others(REFERENCE)
    gates = behind_gates(find_gate(REFERENCE).read_generations())
    behind = {f"nano-reference, {label}": left for label, (_, left) in gates.items()}
    fresh = summarise(REFERENCE.read_generations(), BASE.read_generations(),
                      others={run.name: run.read_generations() for run in others} | behind,
                      prompted_rows=prompted.read_generations() if prompted else None,
                      no_verify_loss=[run.name for run in others if lacks_verify_loss(run)],
                      run="nano-reference", base_run="nano-reference-base")
    assert fresh == summary


def test_one_changed_row_changes_the_summary():
    rows = [row for row in REFERENCE.read_generations() if row["setting"] == "natural"
            and row["split"] == "test" and f"Answer: {row['gold']}" in row["text"]][:50]
    before = summarise(rows)
    rows[7]["text"] = rows[7]["text"].replace(f"Answer: {rows[7]['gold']}", "Answer: 100000")
    assert summarise(rows) != before


def test_what_the_pages_say_of_verify_in_words_holds(summary):
    """Both bars are met, and by their intervals; an SVR of more than a few results lies above
    its null; the sums and comparisons of checks are hardly ever false, and nearly all false
    alarms come from their numbers."""
    test = summary["splits"]["test"]
    given, ledger = test["given"]["verification"], test["given"]["ledger"]
    for score, bar in readme.read_json("verify-attempts.json")["bar"].items():
        assert given[score]["interval"][0] > bar
    low, high = test["verification"]["delta"]["interval"]
    assert low < 0 < high
    assert min(ledger[part]["value"] for part in ("line_sum", "line_comparison")) > 0.999
    assert ledger["alarm_operands"]["value"] < 0.1
    for section in summary["splits"].values():
        svr = section["verification"]["svr"]
        # Results with one step more, nearly all wrong.
        few = min(whole for _, whole in svr["counts"]) < 10
        assert few or svr["value"] > svr["null"]


def test_what_the_pages_say_of_attempts_and_attacks_in_words_holds():
    """No form that was tried meets both bars; no attack is unseen."""
    tried = readme.read_json("verify-attempts.json")
    for attempt in tried["attempts"] + tried["screened"]:
        assert not all(attempt[score][0] / attempt[score][1] >= bar
                       for score, bar in tried["bar"].items())
    with (REFERENCE.folder / "tables" / "audit.csv").open() as file:
        audit = list(readme.csv.DictReader(file))[1:]
    assert {row["seen through"] for row in audit} == {"yes"}
    coin = next(row for row in audit if row["VERIFY by"] == "re-solver, random verdict")
    for name in (ON_OWN, GIVEN):  # … [low–high], null n: "not told apart from its null"
        low, high, null = map(float, numbers(coin[name])[-3:])
        assert low <= null <= high


def test_what_the_pages_say_of_the_ablations_in_words_holds(grid):
    words = {row["claim"]: row["word"] for row in readme.ablation_rows("claims")}
    assert words == {"four stages help": "does not hold", "the second adapter helps": "holds",
                     "the step-aware loss helps": "not decided",
                     "VERIFY corrects": "does not hold"}
    answers = {row["comparison"]: row["word"] for row in readme.ablation_rows("answers")}
    for comparison, word in (
            ("phases against staged", "does not hold"),
            ("phases_own against phases", "not decided"),
            ("single_verify_4 against single_verify_half", "holds"),
            ("verify_4 against verify_half", "not decided"), ("staged against single", "holds"),
            ("stack against single_wide", "not decided"), ("dwa against staged", "not decided"),
            ("doubled against staged", "not decided"),
            ("staged against reasoning", "not decided"),
            ("transition_1 against staged", "not decided"),
            ("staged against free", "does not hold")):
        assert answers[comparison] == word, comparison
    facts = {name: grid.of(name)[0].facts["training"]
             for name in ("staged", "single_verify_4", "free", "errors_0")}
    assert sum(facts["staged"]["parameters"].values()) == 2 * sum(  # "half the parameters"
        facts["single_verify_4"]["parameters"].values())
    # "fewer than half"
    assert facts["free"]["tokens_seen"] < 0.5 * facts["errors_0"]["tokens_seen"]


def test_what_the_pages_say_of_runs_in_words_holds():
    """Half of the prepared traces are wrong; SmolLM2 ran an epoch of a clean commit."""
    card, facts = readme.read_json("data-gsm8k.json"), SMOLLM2.read_environment()
    assert card["planted"] * 2 == card["traces"]
    assert facts["dirty"] is False and SMOLLM2.read_params()["epochs"] == 1
    asked, minutes = facts["training"]["traces"], round(facts["seconds"] / 60)
    assert f"{asked} traces took {minutes} minutes" in (paths.PARAMS / "smollm2.yaml").read_text()
    nano = readme.read_json("training-speed-nano.json")["ours_to_other"]["original_unpadded"]
    assert nano["samples_per_second"]["median"] < 1  # "a plain loop is faster"
    remade, recipe = readme.read_json("base-again.json"), json.loads(
        (paths.asset("nano") / "recipe.json").read_text())
    shipped = dict(map(tuple, recipe["loss"]))
    assert max(abs(loss - shipped[step]) for step, loss in remade["loss"] if step <= 200) <= 1e-4
    assert remade["sha256"] != recipe["sha256"]
