"""From a parameter set to a run: reproducible, and with the weights that were asked for."""
from __future__ import annotations

import json
import math
import re
import sys
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from peft import PeftModel

from nanoreason import paths, runs
from nanoreason.host import GivenError
from nanoreason.runs import list_runs
from nanoreason.training.batches import StepBatches
from nanoreason.model.base import load_base, load_tokenizer, locate
from nanoreason.params import TrainParams
from nanoreason.data.prepare import prepare
from nanoreason.data.procedural import SCALE, problems
from nanoreason.data.verify_lines import procedural_trace
from nanoreason.model.tokens import (EXECUTE, IGNORE, TRANSITION, encode, tag_end, tag_ids,
                                     until_tag)
from nanoreason.training.trainer import (SKIPS, NonFiniteError, StepAwareTrainer, for_phase,
                                         rebuilt_totals, training_arguments)
from nanoreason.training.resume import load_run
from nanoreason.trace import parse_trace, render_trace
from nanoreason.training import train
from nanoreason.training.train import encode_records, larger_records

SMALL = {"profile": "nano", "traces": 64, "epochs": 1, "batch_size": 16, "micro_batch_size": 16,
         "seed": 5}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """train() with scratch runs below a temporary folder; one result per set of changes."""
    folder, before, made = tmp_path_factory.mktemp("runs"), paths.RUNS, {}
    paths.RUNS = folder

    def run(**changes):
        key = json.dumps(changes, sort_keys=True)
        if key not in made:
            made[key] = train(TrainParams(**(SMALL | {"run": f"r{len(made)}"} | changes)))
        return made[key]
    yield run
    paths.RUNS = before


@contextmanager
def trained_by(kind):
    """Within, `train` takes this subclass of StepAwareTrainer."""
    with pytest.MonkeyPatch.context() as patch:
        # The room hands on a function of the same name as the module.
        patch.setattr(sys.modules["nanoreason.training.train"], "StepAwareTrainer", kind)
        yield


def facts(run):
    return run.read_environment()["training"]


def test_a_run_has_its_files_and_its_losses_fall(trained):
    run = trained()
    assert {"params.yaml", "environment.json", "metrics.csv"} <= {
        path.name for path in run.folder.iterdir()}
    metrics = run.read_metrics()
    assert len(metrics) == 4 == facts(run)["optimiser_steps"]
    assert metrics["total"].iloc[-1] < metrics["total"].iloc[0]


def test_the_words_that_object_are_counted_line_by_line(trained):
    """As many as the traces have lines that end so; the verdict's own word is none of them."""
    metrics = trained().read_metrics()
    records = prepare("procedural", total=SMALL["traces"], error_share=0.5, seed=SMALL["seed"])
    lines = [line for record in records for line in parse_trace(record["trace"]).checks]
    assert metrics["objection_tokens"].sum() == sum(line.endswith(", wrong") for line in lines) > 0
    told = metrics["objection_accuracy"].dropna()
    assert len(told) and told.between(0, 1).all()


def test_the_same_seed_gives_the_same_adapters_bit_for_bit(trained):
    first, second = trained(), trained(run="again")
    assert facts(first)["rows_sha256"] == facts(second)["rows_sha256"]
    assert facts(first)["adapters_sha256"] == facts(second)["adapters_sha256"]
    for name in ("reasoning", "verification"):
        a, b = (run.path("adapters") / name / "adapter_model.safetensors"
                for run in (first, second))
        assert a.read_bytes() == b.read_bytes()


def test_one_changed_weight_changes_the_adapters_and_nothing_of_the_data(trained):
    plain, heavy = trained(), trained(verify_weight=2.0)
    assert facts(plain)["rows_sha256"] == facts(heavy)["rows_sha256"]
    assert facts(plain)["adapters_sha256"] != facts(heavy)["adapters_sha256"]
    assert set(heavy.read_metrics()["verify_weight"]) == {2.0}
    before, after = plain.read_params(), heavy.read_params()
    assert {name for name in before if before[name] != after[name]} == {"verify_weight", "run"}


@pytest.mark.parametrize("changes", [{}, {"normalise": "token"}, {"verify_weight": 2.0}])
def test_the_logged_total_is_rebuilt_from_its_parts(trained, changes):
    run = trained(**changes)
    metrics = run.read_metrics()
    rebuilt = rebuilt_totals(metrics, run.read_params()["normalise"])
    assert (rebuilt - metrics["total"]).abs().max() < 1e-5
    wrong = metrics.assign(verify_weight=metrics["verify_weight"] * 3)
    assert (rebuilt_totals(wrong, run.read_params()["normalise"]) - metrics["total"]
            ).abs().max() > 1e-3


def test_steps_without_a_finite_loss_or_gradient_are_skipped_and_counted(trained):
    """Step 3 has no finite gradient, step 4 no finite loss; step 5 learns again."""
    class Faulty(StepAwareTrainer):
        def compute_loss(self, model, *args, **keywords):
            result = super().compute_loss(model, *args, **keywords)
            extra = 0.0
            if self.state.global_step == 2:  # 0, and its gradient is 0 / 0
                weight = next(p for p in model.parameters() if p.requires_grad)
                extra = (weight - weight.detach()).norm().square().sqrt()
            elif self.state.global_step == 3:
                extra = math.inf
            return replace(result, total=result.total + extra)

    with trained_by(Faulty):
        run = trained(run="skips", traces=24, batch_size=4, micro_batch_size=2)
    metrics = run.read_metrics()
    assert metrics["skipped"].tolist() == [0, 0, 1, 1, 0, 0]
    assert facts(run)["skipped_steps"] == 2
    for name in ("reasoning", "verification"):  # step 1 is the warm-up's: learning rate 0
        assert (metrics[f"{name}_update_norm"] > 0).tolist() == [False, True, False, False,
                                                                 True, True]
    assert metrics["gradient_norm"].isna().tolist() == [i == 2 for i in range(6)]
    assert metrics["total"].isna().tolist() == [i == 3 for i in range(6)]


def test_a_loss_that_stays_infinite_ends_the_run_with_what_was_seen(trained):
    class Faulty(StepAwareTrainer):
        def compute_loss(self, *args, **keywords):
            return replace(super().compute_loss(*args, **keywords),
                           total=torch.tensor(math.nan, requires_grad=True))

    with trained_by(Faulty), pytest.raises(
            NonFiniteError, match=f"{SKIPS} optimiser steps in a row, up to step {SKIPS}, "
                                  ".*loss nan .*verify .*learning_rate"):
        trained(run="stopped", traces=24, batch_size=4, micro_batch_size=4)


def test_the_trainer_is_told_what_the_hardware_can(tmp_path):
    params = TrainParams(profile="t4", optimiser="adamw_8bit", epochs=3)
    cpu = training_arguments(params, tmp_path, torch.device("cpu"), torch.float32)
    assert (cpu.fp16, cpu.bf16, cpu.optim.value) == (False, False, "adamw_8bit")
    assert cpu.gradient_accumulation_steps == 1 and cpu.num_train_epochs == 3
    assert cpu.n_gpu <= 1  # no DataParallel


def test_phases_train_their_adapter_alone(trained):
    for phase, still in (("reasoning", "verification"), ("verification", "reasoning")):
        built_on = {"reasoning_run": "nano-reference", "on_policy_share": 0.0} \
            if phase == "verification" else {}
        metrics = trained(phase=phase, **built_on).read_metrics()
        assert (metrics[f"{still}_update_norm"] == 0).all(), phase
        other = "reasoning" if still == "verification" else "verification"
        assert metrics[f"{other}_update_norm"].max() > 0, phase


def test_phases_split_the_loss_at_the_tag():
    tokenizer = load_tokenizer("nano")
    problem = next(problems("train", 1, 1))
    row = encode(tokenizer, problem.question, procedural_trace(problem), 1000)
    tag = tag_ids(tokenizer)
    switch = row.input_ids.index(tag[0]) + 1
    reasoning, verification = (for_phase(row, p, tag) for p in ("reasoning", "verification"))
    assert reasoning.groups[switch - 1] == TRANSITION
    assert set(reasoning.groups[switch:]) == {IGNORE} == set(verification.groups[:switch])
    for i, group in enumerate(row.groups):
        assert {reasoning.groups[i], verification.groups[i]} == {group, IGNORE}


@pytest.mark.parametrize("checks", ["rearranged", "digits"])
@pytest.mark.parametrize("routing", ["switch", "reread"])
def test_a_right_twin_teaches_execute_and_the_wrong_trace_verify_alone(routing, checks):
    tokenizer, tag = load_tokenizer("nano"), tag_ids(load_tokenizer("nano"))
    records = prepare("procedural", total=4, error_share=0.5, seed=3, checks=checks)
    rows, counts = encode_records(tokenizer, records, 1000, "staged", routing, right_twins=True)
    assert counts["planted"] == 2
    for record, row in zip(records, rows, strict=True):
        trace = parse_trace(record["trace"])
        if routing == "switch" and not record["planted"]:
            assert row.second is None and set(row.groups) == {IGNORE, *range(5)}
            continue
        first, second = row.readings
        text = tokenizer.decode(first.input_ids)
        assert text.endswith("[VERIFY]\n") and f"Result: {record['answer']}\n" in text
        lines = text.partition("[EXECUTE]\n")[2].partition("Result:")[0].splitlines()
        assert lines and all(re.fullmatch(r"\d\. \S+ [-+*/] \S+ = \S+", line) for line in lines)
        assert set(first.groups) == {IGNORE, 0, 1, 2, TRANSITION}
        whole = encode(tokenizer, record["question"], trace, 1000)
        end = tag_end(whole, tag)
        assert second.input_ids == whole.input_ids
        assert second.groups == [IGNORE] * end + whole.groups[end:]
        assert second.prompt_length == (end if routing == "reread" else whole.prompt_length)
        assert [for_phase(row, phase, tag) for phase in ("reasoning", "verification")] == [
            replace(first, second=None), second]


def test_a_trace_in_which_a_teacher_has_mended_itself_is_no_model_of_execute():
    """Whatever `planted` says; repairs that are not PLAN's steps make no twin of it."""
    record = next(r for r in prepare("procedural", total=8, seed=3)
                  if r["planted"]) | {"planted": None}
    trace, tokenizer = parse_trace(record["trace"]), load_tokenizer("nano")
    odd = replace(trace, repairs=(*trace.repairs, "1 + 1 = 2"))
    short = replace(trace, repairs=("1 + 1 = 2",), plan=(*trace.plan, "Add."))
    for one, answers in ((trace, True), (odd, False), (short, False)):
        (row,), counts = encode_records(tokenizer, [record | {"trace": render_trace(one)}], 2000,
                                        "staged", "reread", right_twins=True)
        assert counts["planted"] == 1 and row.second.input_ids[-1] == tokenizer.eos_token_id
        assert (f"Result: {record['answer']}\n" in tokenizer.decode(row.input_ids)) == answers
        assert (EXECUTE in row.groups) == answers


@pytest.mark.parametrize("routing", ["switch", "reread"])
def test_verify_is_learned_from_larger_numbers_and_nothing_else_is(routing):
    tokenizer = load_tokenizer("nano")
    params = TrainParams(profile="nano", traces=12, larger_share=0.25, seed=3)
    records = prepare("procedural", total=12, seed=3, checks="digits")
    larger = larger_records(params)
    rows, counts = encode_records(tokenizer, records, 1000, "staged", routing, True, larger)
    assert len(rows) == 12 and len(larger) == 3 and counts["too_long"] == 0
    questions = [[tokenizer.decode(reading.input_ids).partition("\n")[0]
                  for reading in row.readings] for row in rows]
    assert all(record["question"] in asked[0] for record, asked in zip(records, questions))
    others = [asked[-1] for record, asked in zip(records, questions)
              if record["question"] not in asked[-1]]
    assert len(others) == 3 and all(r["question"] in o for r, o in zip(larger, others))
    for row in rows:
        for reading in row.readings:
            learned = "".join(tokenizer.decode([i]) for i, group in zip(
                reading.input_ids, reading.groups) if group in (0, 1, 2))
            assert max(map(int, re.findall(r"\d+", learned)), default=0) <= 2 * SCALE.largest
    tag = tag_ids(tokenizer)  # what is not VERIFY is learned as without them, and of a trace
    unmended = [record | {"trace": render_trace(replace(trace, plan=(*trace.plan, "Add.")))}
                for record in records for trace in [parse_trace(record["trace"])]]  # without a twin
    for some, twins in ((records, True), (records, False), (unmended, True)):
        plain, mixed = ([until_tag(for_phase(row, "reasoning", tag), tag) for row in encode_records(
            tokenizer, some, 1000, "staged", routing, twins, more)[0]] for more in ((), larger))
        assert plain == mixed
    # A twin that is too long leaves its row out: nothing else of it may be learned.
    short = sorted(len(row.readings[0].input_ids) for row in rows)[-1]
    cut, counts = encode_records(tokenizer, records, short - 1, "staged", routing, True, larger)
    assert counts["too_long"] == 12 - len(cut) > 0


def test_under_reread_neither_adapter_learns_from_what_the_other_reads(trained):
    runs = {weight: trained(routing="reread", right_twins=True, verify_weight=weight,
                            transition_weight=0.0, normalise="token") for weight in (0.0, 1.0)}
    still = runs[0.0].read_metrics()
    assert (still["verification_update_norm"] == 0).all()
    assert (still["reasoning_update_norm"] > 0).any()
    assert (runs[1.0].read_metrics()["verification_update_norm"] > 0).any()
    rebuilt = rebuilt_totals(runs[1.0].read_metrics(), "token")
    assert rebuilt.values == pytest.approx(runs[1.0].read_metrics()["total"].values, abs=1e-5)


def test_each_adapter_loads_with_plain_peft_and_the_pair_with_one_call(trained):
    run = trained()
    base, _ = load_base("nano", "nf4")
    plain = PeftModel.from_pretrained(base, str(run.path("adapters") / "reasoning")).eval()
    model, tokenizer, _ = load_run(run.name)
    ids = torch.tensor([tokenizer("Question: What is 2 + 3?").input_ids])
    with torch.no_grad(), model.eval().router.only("reasoning"):
        pair = model(input_ids=ids).logits
    with torch.no_grad():
        assert torch.allclose(plain(input_ids=ids).logits, pair, atol=1e-5)


def test_what_cannot_be_trained_is_refused():
    with pytest.raises(ValueError, match="batch_size = 2 is less than processes = 3"):
        StepBatches([20] * 60, 2, 1, 4096, 0, processes=3)
    with pytest.raises(runs.RunError, match="no-such-run"):
        load_run("no-such-run")


def test_traces_that_are_left_out_are_said_before_training(trained, capsys):
    short = dict(traces=8, max_length=250, run="short")
    told = (r"(\d) of 8 traces are longer than max_length=250 tokens: "
            r"max_length=(\d+) takes them all")
    with pytest.raises(ValueError,
                       match=told + ", allow_fewer=True trains without them$") as refused:
        trained(**short)  # more than a tenth
    left, longest = map(int, re.match(told, str(refused.value)).groups())
    assert 0 < left < 8
    found = facts(trained(**short, allow_fewer=True))
    assert (found["too_long"], found["longest"]) == (left, longest)
    assert re.search(f"\n{told}; they are left out\n", capsys.readouterr().out)
    assert facts(trained(**short | {"max_length": longest, "run": "whole"}))["too_long"] == 0
    one_less = trained(**short | {"max_length": longest - 1, "run": "near"}, allow_fewer=True)
    assert facts(one_less)["too_long"] == 1


def test_other_weights_under_the_same_name_are_refused(trained):
    run = trained(run="other-base", traces=8)
    made_for = locate("nano").as_dict()
    assert run.read_environment()["base"] == made_for
    run.write_environment({"base": made_for | {"version": "0" * 64}})
    with pytest.raises(runs.RunError, match="bring the same weights"):
        load_run(run.name)


@pytest.mark.parametrize("logger, why", [("nonsense", "nonsense is not supported"),
                                         ("swanlab", "requires swanlab to be installed")])
def test_a_logger_that_is_none_is_refused_before_anything_is_made(workspace, logger, why):
    with pytest.raises(GivenError, match=f"^report_to='{logger}' is refused: .*{why}"):
        train(TrainParams(report_to=logger, traces=8, run="logged"))
    assert "logged" not in list_runs()
