"""Phase verification: the reasoning adapter of a finished run, frozen, and its own errors."""
from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from nanoreason.host import GivenError
from nanoreason.training import train
from nanoreason.training.train import training_records
from nanoreason import paths
from nanoreason.data.verify_lines import check_line
from nanoreason.data.prepare import prepare
from nanoreason.data.errors import KINDS, read_steps
from nanoreason.data import corrupt
from nanoreason.data.filters import examine
from nanoreason.model.decoding import Decoder, Request
from nanoreason.files import write_manifest
from nanoreason.graph.builder import execute_graph
from nanoreason.graph.matching import first_wrong_step
from nanoreason.model.tokens import IGNORE
from nanoreason.model.base import load_base, load_tokenizer
from nanoreason.params import ParameterError, TrainParams
from nanoreason.data.problem import Problem
from nanoreason.data.procedural import hash_split, problems
from nanoreason.data.problem import make_record, write_number, write_traces
from nanoreason.model.adapters import load_adapters
from nanoreason.runs import Run, RunError, find_run
from nanoreason.training.on_policy import (FILE, add_on_policy, find_reasoning, judge,
                                            reasoning_file, right_trace)
from nanoreason.data.verify_lines import procedural_trace
from nanoreason.model.tokens import encode, given_part, prompt_ids, tag_ids
from nanoreason.stages import Stage
from nanoreason.trace import parse_trace

STUDENT = "nano-reference"  # the committed run: about a quarter of its EXECUTEs are wrong
SMALL = {"profile": "nano", "phase": "verification", "reasoning_run": STUDENT, "run": "second",
         "traces": 48, "larger_share": 0.0, "batch_size": 16, "micro_batch_size": 16, "seed": 5,
         "on_policy_samples": 2, "on_policy_share": 0.5}


@pytest.fixture(scope="module")
def second(tmp_path_factory):
    """A finished run of phase verification, and the parameters that it was trained with."""
    before = paths.RUNS
    paths.RUNS = tmp_path_factory.mktemp("runs")
    params = TrainParams(**SMALL)
    yield train(params), params
    paths.RUNS = before


@pytest.fixture(scope="module")
def exchanged(second):
    """(records before, records after, counts), from the texts that the run has kept."""
    run, params = second
    before = prepare("procedural", total=params.traces, error_share=params.error_share,
                     seed=params.seed)
    after, counts = add_on_policy(before, load_tokenizer("nano"), params, find_run(STUDENT),
                                  run, torch.device("cpu"))
    return before, after, counts


def own(records):
    """The records with an on-policy error; there must be some, or a test would see nothing."""
    found = [r for r in records if r["planted"] and r["planted"]["origin"] == "on_policy"]
    assert found
    return found


def problem_of(record):
    return Problem(record["id"], record["source"], record["split"], "en", record["question"],
                   record["answer"])


# -- the run

def test_the_frozen_adapter_is_the_other_runs_bit_for_bit(second):
    run, _ = second
    before, after = (load_file(reasoning_file(r)) for r in (find_run(STUDENT), run))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    metrics = run.read_metrics()
    assert (metrics["reasoning_update_norm"] == 0).all()
    assert metrics["verification_update_norm"].max() > 0
    assert metrics[["understand_tokens", "plan_tokens", "execute_tokens"]].to_numpy().sum() == 0


def test_what_was_sampled_is_counted_and_kept(second):
    run, params = second
    training = run.read_environment()["training"]
    counts = training["on_policy"]
    assert counts["wanted"] == 12  # half of half of 48
    assert counts["kept"] > 0 and counts["kept"] + counts["filled_with_planted"] == 12
    assert counts["sampled"] == counts["unreadable"] + counts["right"] + counts["wrong"]
    assert counts["wrong"] == counts["not_repairable"] + counts["repairable"]
    assert counts["repairable"] == counts["kept"] + counts["unused"]
    for outcome in ("unreadable", "not_repairable"):
        assert sum(counts["reasons"][outcome].values()) == counts[outcome]
    assert sum(training["data"]["planted"].values()) + counts["kept"] == 24
    assert training["planted"] == 24 and training["reasoning"]["run"] == STUDENT
    first, *rows = map(json.loads, run.path(FILE).read_text().splitlines())
    assert first["settings"]["temperature"] == params.on_policy_temperature
    assert Counter(row["outcome"] for row in rows)["repairable"] == counts["repairable"]
    assert len(rows) == counts["sampled"]


def test_kept_texts_are_taken_up_and_others_are_not(second, exchanged, capsys):
    run, params = second
    before, after, counts = exchanged
    assert counts["taken_up"] == counts["sampled"] > 0
    made = run.read_environment()["training"]["on_policy"]
    assert made | {"taken_up": 0} == counts | {"taken_up": 0}

    other = Run(run.folder.with_name("other"))
    shutil.copytree(run.folder, other.folder)
    warmer = TrainParams(**SMALL | {"on_policy_temperature": 0.5, "on_policy_samples": 1})
    _, counts = add_on_policy(before, load_tokenizer("nano"), warmer, find_run(STUDENT), other,
                              torch.device("cpu"))
    assert counts["taken_up"] == 0 < counts["sampled"] == 24
    assert "sampled anew" in capsys.readouterr().out


# -- the traces

def test_an_on_policy_trace_blames_the_first_wrong_step_and_repairs_it(exchanged):
    before, after, _ = exchanged
    known = {p.id: p for p in problems("train", SMALL["traces"], SMALL["seed"])}
    for record in own(after):
        trace, right = parse_trace(record["trace"]), procedural_trace(known[record["id"]])
        ours, theirs = (execute_graph(t.execute, record["question"]) for t in (trace, right))
        step = first_wrong_step(ours, theirs)
        assert step == trace.verdict == record["planted"]["step"]
        assert trace.result != trace.answer == record["answer"]
        assert trace.repairs == right.execute[step - 1:]
        assert trace.checks[:step - 1] == right.checks[:step - 1]
        assert trace.checks[-1].endswith(", wrong") and trace.checks[-1] != right.checks[step - 1]
        assert examine(problem_of(record), trace)[1] is None
        assert record["planted"]["kind"] in ("false_equation", "wrong_value")


def test_the_form_of_the_check_is_the_one_drawn_for_the_right_trace(exchanged):
    known = {p.id: p for p in problems("train", SMALL["traces"], SMALL["seed"])}
    for record in own(exchanged[1]):
        trace, right = parse_trace(record["trace"]), procedural_trace(known[record["id"]])
        graph = execute_graph(trace.execute, record["question"])
        step = read_steps(right)[trace.verdict - 1]
        value = graph.nodes["step", trace.verdict]["value"]
        kind = next(kind for kind in ("inverse", "recompute")
                    if check_line(kind, step, step.value) == right.checks[trace.verdict - 1])
        assert trace.checks[-1] == check_line(kind, step, value)


def test_only_injected_errors_are_exchanged_each_for_its_own_problem(exchanged):
    before, after, counts = exchanged
    assert len(own(after)) == counts["kept"]
    for old, new in zip(before, after, strict=True):
        if new in own(after):
            assert old["planted"]["origin"] == "planted"
            assert {k: old[k] for k in ("id", "question", "answer", "split")} == {
                k: new[k] for k in ("id", "question", "answer", "split")}
        else:
            assert new is old


def test_execute_and_its_result_carry_no_loss(exchanged):
    tokenizer = load_tokenizer("nano")
    for record in own(exchanged[1])[:3]:
        trace = parse_trace(record["trace"])
        row = encode(tokenizer, record["question"], trace, 1000, wrong_execute=True)
        start = len(prompt_ids(tokenizer, record["question"]))
        execute, verify = (row.input_ids.index(tag_ids(tokenizer, stage)[-1], start) + 1
                           for stage in (Stage.EXECUTE, Stage.VERIFY))
        inside = row.groups[execute:verify - len(tag_ids(tokenizer))]
        assert inside and set(inside) == {IGNORE}
        assert IGNORE not in row.groups[verify:] and IGNORE not in row.groups[start:execute]


def test_all_texts_are_of_train_problems_and_no_other_split_is_sampled(second, exchanged):
    run, params = second
    before, _, _ = exchanged
    questions = {record["id"]: record["question"] for record in before}
    rows = [json.loads(line) for line in run.path(FILE).read_text().splitlines()[1:]]
    assert {hash_split(questions[row["problem_id"]]) for row in rows} == {"train"}
    odd = [before[0], before[1] | {"split": "test"}]
    with pytest.raises(ValueError, match="split 'test': errors are sampled on train"):
        add_on_policy(odd, load_tokenizer("nano"), params, find_run(STUDENT), run, "cpu")


# -- the judge

@pytest.fixture(scope="module")
def made():
    """A problem of four steps, its right trace, and its record."""
    problem = next(p for p in problems("train", 200, 1) if len(p.steps) == 4)
    trace = procedural_trace(problem)
    return problem, trace, make_record(problem, trace)


def test_the_judge_blames_and_repairs_injected_errors_as_they_were_injected():
    kinds = Counter()
    for problem in problems("train", 30, 3):
        trace = procedural_trace(problem)
        for kind in KINDS:
            try:
                wrong = corrupt(trace, kind, random.Random(0))
            except ValueError:
                continue
            record = make_record(problem, wrong)
            assert right_trace(record) == trace
            judgement = judge(record, trace, given_part(wrong))
            assert (judgement.outcome, judgement.trace) == ("repairable", wrong)
            kinds[kind, judgement.kind] += 1
    assert set(kinds) == {(kind, "false_equation" if kind == "arithmetic_slip" else
                           "wrong_value") for kind in KINDS} and sum(kinds.values()) > 120


def test_outcomes_and_reasons(made):
    problem, right, record = made
    value = read_steps(right)[1].value
    slipped = corrupt(right, "arithmetic_slip", random.Random(1))
    last = right.execute[-1].rpartition("= ")[0] + "= "

    def outcome(**changes):
        found = judge(record, right, given_part(replace(right, **changes)))
        return found.outcome, found.reason

    assert outcome() == ("right", None)
    assert judge(record, right, "[UNDERSTAND]\nGiven").reason == "no_verify_tag"
    broken = given_part(right).replace(f"{Stage.PLAN.tag}\n", "")
    assert judge(record, right, broken).outcome == "unreadable"
    assert outcome(execute=(*right.execute[:3], "no sum at all"), result="1") == (
        "unreadable", "line_of_EXECUTE")
    assert outcome(result="999999") == ("not_repairable", "no_wrong_step")
    assert outcome(execute=(*right.execute[:3], f"{last}7777"), result="7777") == (
        "repairable", None)
    assert outcome(plan=(*right.plan, "Add one."), execute=(*right.execute[:3], f"{last}7777"),
                   result="7777") == ("not_repairable", "plan_of_other_length")
    same = f"{write_number(value)} + 1 = {write_number(value)}"
    assert outcome(execute=(right.execute[0], same, right.execute[2], f"{last}7777"),
                   result="7777") == ("not_repairable", "false_equation_with_right_value")
    assert outcome(execute=right.execute[:3], result="7777") == (
        "not_repairable", "wrong_step_has_no_line")
    found = judge(record, right, given_part(slipped))
    assert found.trace == slipped and found.kind == "false_equation"


def test_steps_in_another_order_are_not_repairable():
    """The first two steps need nothing of each other; the student swaps them, then slips."""
    for problem in problems("train", 300, 1):
        right = procedural_trace(problem)
        graph = execute_graph(right.execute, problem.question, plan=right.plan)
        lines, plan = right.execute, right.plan
        if len(lines) >= 3 and not graph.has_edge(("step", 1), ("step", 2)) and \
                len(set(lines[:2])) == 2:
            break
    wrong = lines[-1].rpartition("= ")[0] + "= 77777"
    swapped = replace(right, plan=(plan[1], plan[0], *plan[2:]), result="77777",
                      execute=(lines[1], lines[0], *lines[2:-1], wrong))
    found = judge(make_record(problem, right), right, given_part(swapped))
    assert (found.outcome, found.reason) == ("not_repairable", "steps_before_in_other_order")


# -- what is asked for

def test_a_reasoning_run_must_be_there_finished_and_alike(workspace):
    def asked(**changes):
        return TrainParams(**SMALL | {"reasoning_run": "first"} | changes)

    with pytest.raises(RunError, match="no run 'first'"):
        find_reasoning(asked())
    run = Run(paths.RUNS / "first")
    run.write_params(TrainParams(run="first"))
    with pytest.raises(RunError, match="has no reasoning adapter: finish its training"):
        find_reasoning(asked())
    reasoning_file(run).parent.mkdir(parents=True)
    reasoning_file(run).touch()
    assert find_reasoning(asked()) == run
    for name, value in (("rank", 8), ("alpha", 4.0), ("routing", "stack"), ("base", "other")):
        with pytest.raises(RunError, match=f"{name}=.* there and {value!r} here"):
            find_reasoning(asked(**{name: value}))
    write_manifest(run.path("adapters"), {}, {})
    reasoning_file(run).write_text("of another training")
    with pytest.raises(RunError, match="adapter_model.safetensors has 19 bytes in place of 0; "
                                       "bring"):
        find_reasoning(asked())
    run.path("adapters/manifest.json").unlink()
    run.write_params(TrainParams(run="first", form="free", error_share=0))
    with pytest.raises(RunError, match="form='free' there and 'staged' here"):
        find_reasoning(asked())
    assert find_reasoning(TrainParams()) is None


def test_prepared_traces_by_digits_ask_for_errors_by_digits(tmp_path):
    """Else the form of VERIFY would say which traces hold an on-policy error."""
    write_traces(tmp_path / "a.jsonl", prepare("procedural", total=8, seed=3, checks="digits"))
    params = TrainParams(**SMALL | {"data": str(tmp_path / "a.jsonl"), "checks": "rearranged"})
    with pytest.raises(GivenError, match="is by digits: .* give checks='digits'"):
        training_records(params, find_run(STUDENT), load_tokenizer("nano"), torch.device("cpu"))


@pytest.mark.parametrize("given, sentence", [
    ({"phase": "verification"}, "name in reasoning_run a run"),
    ({"phase": "verification", "run": "a", "reasoning_run": "a"}, "would write over the adapter"),
    ({"phase": "verification", "reasoning_run": "a", "routing": "single"}, "second adapter"),
    ({"reasoning_run": "a"}, "reasoning_run='a' is of phase=verification"),
    ({"phase": "reasoning", "on_policy_share": 0.5}, "on_policy_share=0.5 is of phase"),
    ({"on_policy_temperature": 0.0}, "on_policy_temperature=0.0"),
    ({"on_policy_samples": 0}, "on_policy_samples=0"), ({"on_policy_share": 1.5}, "0 to 1")])
def test_what_does_not_go_together_is_refused(given, sentence):
    with pytest.raises(ParameterError, match=sentence):
        TrainParams(**given)


def test_the_share_of_on_policy_errors_belongs_to_phase_verification():
    assert TrainParams().on_policy_share == 0 == TrainParams(phase="reasoning").on_policy_share
    assert TrainParams(phase="verification", reasoning_run="a").on_policy_share == 0.5


def test_decoding_stops_at_the_tag_with_the_same_text(made):
    base, tokenizer = load_base("nano", "nf4")
    model = load_adapters(base, find_run(STUDENT).path("adapters")).eval()
    ids = [prompt_ids(tokenizer, p.question) for p in problems("train", 2, 2, (1, 2))]
    requests = [Request(row, len(row)) for row in ids]
    tag = tag_ids(tokenizer)

    def written(**options):
        decoder = Decoder(model, tag, tokenizer.eos_token_id, tokenizer.pad_token_id, 180,
                          **options)
        texts = dict(pair for ended in decoder.decode(requests, 10**6) for pair in ended)
        return [texts[index] for index in range(len(requests))]

    whole, cut = written(), written(stop_at_tag=True)
    for long, short in zip(whole, cut, strict=True):
        assert short[-len(tag):] == tag and long[:len(short)] == short and len(long) > len(short)
    with pytest.raises(ValueError, match="second adapter takes over"):
        Decoder(load_base("nano", "nf4")[0], tag, 0, 0, 5, stop_at_tag=True)
