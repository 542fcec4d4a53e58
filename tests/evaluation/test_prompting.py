"""The base under a four-stage prompt: chosen on dev, recorded, and cut after its answer."""
import pytest
from synthetic import new_run

from nanoreason.evaluation import generate as evaluation, prompting
from nanoreason.evaluation.generate import natural_rows
from nanoreason.params import EvaluateParams
from nanoreason.data.procedural import problems
from nanoreason.evaluation.prompting import (CRITERION, candidates, choose_prompt, complete,
                                             dev_problems, evaluate_prompted, until_answer)
from nanoreason.evaluation.rows import read_row
from nanoreason.runs import RunError
from nanoreason.data.verify_lines import procedural_trace
from nanoreason.trace import parse_trace, render_trace

DEV = list(problems("dev", 6, 1))
TRACES = {p.question: render_trace(procedural_trace(p)) for p in DEV}


def scripted(answer):
    """A stand-in for generation: `answer(prompt, question)` is what the base writes."""
    def write(rows, label):
        for row in reversed(list(rows)):
            text = answer(row["question"], row["question"].split("Problem: ")[-1])
            yield row | {"text": text, "cut": True}  # a base goes on to the last token
    return write


def shots(prompt):
    return prompt.count("[UNDERSTAND]\nGiven:")


def test_the_examples_are_whole_traces_and_one_repairs_an_error():
    prompt = candidates()["told, two examples"]("How many?")
    assert prompt.endswith("Problem: How many?") and prompt.startswith(prompting.FORM)
    parts = [part.split("\n", 1)[1].strip() for part in prompt.split("Problem: ")[1:3]]
    right, wrong = map(parse_trace, parts)
    assert right.verdict is None and wrong.verdict is not None
    assert len(wrong.execute) == len(wrong.plan) and wrong.repairs[-1].endswith(f"= {wrong.answer}")
    assert [shots(ask("x")) for ask in candidates().values()] == [0, 1, 2, 2]


@pytest.mark.parametrize("answer, chosen", [
    # More right answers win, then more whole traces, then the earlier candidate.
    (lambda prompt, q: TRACES[q] if shots(prompt) == 1 else "no", "told, one example"),
    (lambda prompt, q: TRACES[q].replace("Answer: ", "Answer: 9") if shots(prompt) == 2
     else "Answer: 1", "told, two examples"),
    (lambda prompt, q: "nothing", "the form, told"),
])
def test_the_prompt_is_chosen_by_the_criterion(answer, chosen):
    name, tried = choose_prompt(scripted(answer), DEV)
    assert name == chosen and set(tried) == set(candidates())
    assert all(counts["n"] == len(DEV) for counts in tried.values())
    with pytest.raises(ValueError, match="no dev problems"):
        choose_prompt(scripted(answer), [])


def test_rows_keep_their_question_and_end_with_their_answer():
    more = "\nQuestion: another one\n[VERIFY]\nAnswer: 7919"
    write = scripted(lambda _, question: TRACES[question] + more)
    rows = list(complete(write, natural_rows(DEV), candidates()["the form, told"]))
    assert {row["question"] for row in rows} == set(TRACES)
    assert all(row["text"] == TRACES[row["question"]] and "asked" not in row for row in rows)
    assert all(read_row(row).second and read_row(row).lenient for row in rows)
    # Nothing of an answer is lacking where the text behind it was cut; else all of it may be.
    assert not any(row["cut"] for row in rows)
    assert all(row["cut"] for row in complete(
        scripted(lambda *_: "[VERIFY]\n1."), natural_rows(DEV), candidates()["the form, told"]))


@pytest.mark.parametrize("text, kept", [
    ("Answer: 1\n[VERIFY]\nAnswer: 2\nAnswer: 3", "Answer: 1\n[VERIFY]\nAnswer: 2"),
    ("Answer: 1\nmore", "Answer: 1\nmore"), ("[VERIFY]\nno answer", "[VERIFY]\nno answer"),
])
def test_what_follows_the_answer_is_cut(text, kept):
    assert until_answer(text) == kept


def test_the_choice_is_recorded_and_a_stopped_run_goes_on_with_it(workspace):
    rows, run = natural_rows(DEV), new_run("r-prompted")
    write = scripted(lambda prompt, q: TRACES[q] if shots(prompt) == 1 else "no")
    evaluate_prompted(run, write, rows[:4], DEV, base="nano")
    found = run.read_params()
    assert found["prompt"] == "told, one example" and found["criterion"] == CRITERION
    assert found["dev"]["told, one example"] == {"right": 6, "whole": 6, "n": 6}
    assert found["prompt_text"].endswith("Problem: {question}") and found["base"] == "nano"
    # What is left is written under the same prompt, though another would now be chosen.
    write = scripted(lambda prompt, q: TRACES[q] if shots(prompt) == 2 else f"{shots(prompt)}")
    evaluate_prompted(run, write, rows, DEV, base="other")
    texts = [row["text"] for row in run.read_generations()]
    assert len(texts) == 6 and texts[4:] == ["1", "1"]
    assert run.read_params() == found
    for other in ({"prompt": "an older one"}, {"prompt": "told, two examples"}):
        run.write_params(found | other)
        with pytest.raises(RunError, match="rows of run r-prompted were written under a prompt "
                                           f"'{other['prompt']}' of other words: rename"):
            evaluate_prompted(run, write, natural_rows(DEV) + rows, DEV, base="other")
    assert len(run.read_generations()) == 6


def test_dev_problems_are_of_dev_and_drawn_by_seed():
    found = dev_problems(EvaluateParams(profile="nano", run="r"))
    assert len(found) == prompting.DEV_PROBLEMS and {p.split for p in found} == {"dev"}
    assert found == dev_problems(EvaluateParams(profile="nano", run="r"))
    assert found != dev_problems(EvaluateParams(profile="nano", run="r", seed=1))


def test_asking_for_the_prompted_base_drops_no_rows(workspace):
    run = new_run("r")
    for prompted in (False, True):
        evaluation.begin(run, EvaluateParams(profile="nano", run="r", prompted=prompted))
        run.path("generations.jsonl").touch()
    assert run.path("generations.jsonl").exists()
    before = run.path("evaluate.yaml").read_text()
    evaluation.begin(run, EvaluateParams(profile="nano", run="r", n=7))
    assert run.path("evaluate.yaml").read_text() != before
    assert run.path("generations.jsonl").exists()  # more of the same
    evaluation.begin(run, EvaluateParams(profile="nano", run="r", seed=7))
    assert not run.path("generations.jsonl").exists()
