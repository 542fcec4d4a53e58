"""The speed benchmarks do what they say, on the nano base: equal work, right sums."""
from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch

from nanoreason import paths
from nanoreason.data.prepare import prepare
from nanoreason.model.base import load_tokenizer
from nanoreason.params import TrainParams
from nanoreason.model.tokens import encode, prompt_ids
from nanoreason.trace import parse_trace
from nanoreason.training.train import encode_records


pytestmark = pytest.mark.usefixtures("benchmark_scripts")


@pytest.fixture(scope="module")
def records():
    return prepare("procedural", total=6, seed=3)


@pytest.fixture(scope="module")
def job(records):
    """What both scripts give their measurements, small, and of procedural traces."""
    tokenizer = load_tokenizer("nano")
    rows, _ = encode_records(tokenizer, records, 1024)
    texts = []
    for record in records:
        row = encode(tokenizer, record["question"], parse_trace(record["trace"]), 1024)
        texts.append({"id": record["id"], "question": record["question"],
                      "prompt": row.input_ids[:row.prompt_length],
                      "tokens": row.input_ids[-12 - 5 * (len(texts) % 3):-1]})
    return {"base": "nano", "device": "cpu", "seed": 0, "batch_size": 4, "micro_batch_size": 2,
            "micro_batch_tokens": 400, "trl_rows": 2, "padded_traces": 2, "padded_warm": 1,
            "longest": max(map(len, rows)), "warm": [vars(row) for row in rows[:1]],
            "rows": [vars(row) for row in rows[1:]], "batch": texts[:3], "questions": texts,
            "small": 4, "wide": 5, "max_new_tokens": 300, "batch_tokens": 2000}


# -- training

@pytest.mark.parametrize("variant, traces", [
    ("ours", 5), ("original", 2), ("original_longest", 5), ("original_unpadded", 5)])
def test_a_training_measurement_counts_what_it_trained_on(job, variant, traces):
    from training_speed import measure

    result = measure(variant, job)
    rows = job["rows"][:traces]
    assert result["samples"] == traces and result["seconds"] > 0
    assert result["tokens"] == sum(len(row["input_ids"]) for row in rows)
    assert result["supervised_tokens"] == sum(g != -1 for row in rows for g in row["groups"])
    assert result["samples_per_second"] == traces / result["seconds"]
    assert result["peak_bytes_above_model"] > 0


def test_ours_is_trained_with_the_recipe_of_the_comparison(job):
    from training_loops import our_params

    params = our_params(job)
    assert isinstance(params, TrainParams)
    assert (params.rank, params.alpha, params.dropout) == (16, 32, 0.05)
    assert (params.batch_size, params.micro_batch_size) == (4, 2)
    assert params.quantisation == "none" and not params.gradient_checkpointing
    assert params.unpack and not our_params(job | {"profile": "gpu-bf16"}).unpack


def test_the_original_loss_is_its_four_weighted_means_and_padding_changes_nothing(job):
    from training_loops import SMOOTHING, STAGE_WEIGHTS, original_loss

    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(9, (1, 12), generator=generator)
    groups = torch.tensor([[-1, -1, 0, 0, 1, 1, 1, 4, 2, 2, 3, 3]])
    logits = torch.randn(1, 12, 9, generator=generator)
    found = original_loss(logits, ids, torch.ones_like(ids), groups)
    logp, means = logits.log_softmax(-1)[0, :-1], []
    for stage in range(4):
        places = [t for t in range(11) if groups[0, t + 1] == stage]
        nats = [-(1 - SMOOTHING) * logp[t, ids[0, t + 1]] - SMOOTHING * logp[t].mean()
                for t in places]
        means.append(sum(nats) / len(places))
    assert found.item() == pytest.approx(
        sum(w * mean.item() for w, mean in zip(STAGE_WEIGHTS, means)), rel=1e-5)

    def pad(x, value):
        return torch.nn.functional.pad(x, (0, 5), value=value)

    wide = torch.cat([logits, torch.randn(1, 5, 9, generator=generator)], 1)
    padded = original_loss(wide, pad(ids, 0), pad(torch.ones_like(ids), 0), pad(groups, -1))
    assert padded.item() == pytest.approx(found.item(), rel=1e-6)


# -- decoding

@pytest.mark.parametrize("variant", ["dual", "single", "ours", "plain_4", "plain_wide"])
def test_every_way_of_decoding_writes_the_same_tokens(job, variant):
    from decoding_speed import measure

    rows = {"dual": job["batch"], "single": job["batch"], "plain_4": job["questions"][:4]}
    wanted = rows.get(variant, job["questions"])  # of three lengths
    result = measure(variant, job)
    assert result["texts"] == len(wanted)
    assert result["tokens"] == sum(len(row["tokens"]) for row in wanted)
    longest = max(len(row["tokens"]) for row in wanted)
    assert result["steps"] >= longest


def test_a_script_is_written_word_for_word_by_both_ways(records):
    from decoding_speed import plain_generate
    from scripted import Script
    from speed import load
    from training_loops import plain_adapter

    from nanoreason.evaluation import generate_traces
    from nanoreason.training import attach_adapters

    told = {record["question"]: f"[EXECUTE]\n1. {place} + 1 = 3\n[VERIFY]\n{'1. ok. ' * place}"
            for place, record in enumerate(records)}
    for routed in (True, False):
        model, tokenizer = load("nano", "cpu")
        model = (attach_adapters(model) if routed else plain_adapter(model)).eval()
        prompts = {q: prompt_ids(tokenizer, q) for q in told}
        Script(model, {tuple(prompts[q]): tokenizer(text).input_ids for q, text in told.items()},
               tokenizer.eos_token_id, tokenizer.pad_token_id)
        if routed:
            rows = [{"problem_id": q, "sample": 0, "question": q, "text": ""} for q in told]
            made = {row["question"]: row["text"]
                    for row in generate_traces(model, tokenizer, rows, 99, 1000)}
        else:
            made = dict(zip(told, plain_generate(model, tokenizer, list(prompts.values()), 99)))
        assert {q: text.rstrip("\n") for q, text in made.items()} == \
            {q: text.rstrip("\n") for q, text in told.items()}


def test_a_script_notices_rows_that_were_moved(job):
    from scripted import Script
    from speed import load

    model, _ = load("nano", "cpu")
    Script(model, {(5, 6): [7, 8], (9, 6): [10, 11]}, 0, 1)
    output = model(input_ids=torch.tensor([[5, 6], [9, 6]]))
    assert output.logits[:, -1].argmax(-1).tolist() == [7, 10]
    with pytest.raises(RuntimeError, match="moved"):
        model(input_ids=torch.tensor([[10], [7]]))


# -- sums and processes

def test_a_ratio_is_taken_within_a_round():
    from speed import judged, ratio

    rounds = {"ours": [{"x": 2.0}, {"x": 8.0}, {"x": 3.0}],
              "other": [{"x": 1.0}, {"x": 2.0}, {"x": 2.0}]}
    found = ratio(rounds, "ours", "other", "x")
    assert found == {"median": 2.0, "rounds": [2.0, 4.0, 1.5]}
    assert judged(found, 2.0)["met"] and not judged(found, 2.1)["met"]
    assert judged(found, 2.0, at_most=True)["met"] and not judged(found, 1.9, at_most=True)["met"]


MEASURED = """
import sys
import torch
sys.path.insert(0, sys.argv[1])
from speed import PeakMemory
with PeakMemory(torch.device("cpu")) as memory:
    held = torch.ones(int(sys.argv[2]) // 4)
    torch.ones(1000)[0].item()
    for _ in range(20):
        held.add_(1)
    del held
print(memory.above)
"""


def test_peak_memory_sees_what_is_held_and_given_back():
    # In a process of its own, as it is used: what one has let go of may still be resident.
    size = 200 * 2**20
    found = subprocess.run([sys.executable, "-c", MEASURED, paths.ROOT / "benchmarks", str(size)],
                           capture_output=True, text=True, check=True)
    assert 0.9 * size < int(found.stdout) < 1.5 * size


def test_variants_take_turns_and_a_failure_says_why(tmp_path):
    from speed import run_rounds

    script = tmp_path / "script.py"
    script.write_text("import json, sys\nname = sys.argv[3]\n"
                      "if name == 'bad':\n    sys.exit('no luck')\n"
                      f"open({str(tmp_path / 'log')!r}, 'a').write(name)\n"
                      "json.dump({'seconds': 1.0, 'job': json.load(open(sys.argv[1]))}, "
                      "open(sys.argv[5], 'w'))\n")
    rounds = run_rounds(script, ("a", "b", "c"), {"size": 3}, 3)
    assert (tmp_path / "log").read_text() == "abcbcacab"
    assert all(result["job"] == {"size": 3} for name in "abc" for result in rounds[name])
    with pytest.raises(RuntimeError, match="bad failed in round 1:\nno luck"):
        run_rounds(script, ("bad",), {}, 1)


# -- results and figure

@pytest.fixture(scope="module")
def results():
    """Both result files of an invented measurement."""
    import decoding_speed
    import training_speed

    facts = {"commit": "0123456789abcdef", "threads": 2, "hardware": {"cpu": "X", "gpus": []}}
    training = {name: [{"samples_per_second": (9 - place) * (1 + round_ / 10),
                        "supervised_tokens_per_second": 50.0 + place,
                        "peak_bytes_above_model": 2.0**30 * (place + 1)} for round_ in range(3)]
                for place, name in enumerate(training_speed.VARIANTS)}
    decoding = {name: [{"tokens_per_second": 100.0 / (place + 1) + round_, "seconds": 9.0,
                        "tokens": 900 + round_, "steps": 50 + 10 * round_,
                        "peak_bytes_above_model": 1.0} for round_ in range(3)]
                for place, name in enumerate(
                    decoding_speed.DECODING + decoding_speed.EVALUATION)}
    shared = {"base": "a-model", "device": "cpu", "environment": facts}
    return (shared | {"rounds": training} | training_speed.summarise(training),
            shared | {"rounds": decoding} | decoding_speed.summarise(
                decoding, decoding_speed.whole_work([10, 20, 30, 40, 5], 2)))


def test_a_whole_evaluation_is_taken_from_tokens_and_from_forward_passes(results):
    """Five traces stand for 1,319: batches of 4 take 41 + 6 passes, of 2 take 21 + 41 + 6."""
    whole, scale = results[1]["whole_evaluation_seconds"], 1319 / 5
    assert whole["ours"]["rounds"] == pytest.approx(
        [scale * 105 * 9.0 / tokens for tokens in (900, 901, 902)])
    for name, passes in (("plain_4", 47), ("plain_wide", 68)):
        assert whole[name]["rounds"] == pytest.approx(
            [scale * passes * 9.0 / steps for steps in (50, 60, 70)])
    found = results[1]["ours_to_other"]["evaluation_plain_4"]["rounds"]
    assert found == pytest.approx([other / own for own, other in zip(
        whole["ours"]["rounds"], whole["plain_4"]["rounds"])])


def test_the_bars_stand_beside_the_ratios_that_they_judge(results):
    training, decoding = (result["ours_to_other"] for result in results)
    assert training["original"]["samples_per_second"]["bar"] == 4.0
    assert training["original"]["peak_bytes_above_model"]["at_most"]
    assert training["trl"]["samples_per_second"]["bar"] == 1.0
    assert decoding["decoding"]["bar"] == 0.95 and decoding["evaluation_plain_4"]["bar"] == 5.0


def test_the_table_says_ratio_spread_and_bar(results):
    from speed_table import speed_table

    table = speed_table(*results)
    assert ("| the original's loop, padded to 1,024: traces per second | ↑ | 1.12 × | "
            "1.12–1.12, n=3 | ≥ 4, missed |") in table
    assert "| TRL's SFTTrainer, one adapter: peak memory above the model | ↓ | 0.20 × |" in table
    assert len(table.splitlines()) == 2 + 2 * 4 + 3


def test_the_figure_is_drawn_from_the_files_alone(results, tmp_path):
    import speed_figure

    files = [tmp_path / "training.json", tmp_path / "decoding.json"]
    for file, result in zip(files, results):
        file.write_text(json.dumps(result))
    speed_figure.main(*files, folder=tmp_path / "figures")
    assert (tmp_path / "figures" / "speed.png").stat().st_size > 10_000
    assert "a-model on 2 threads of X" in (tmp_path / "figures/captions.json").read_text()
    speed_figure.main(files[0], folder=tmp_path / "alone")  # decoding was not measured
    assert "decoding" not in (tmp_path / "alone/captions.json").read_text()
    assert len(speed_figure.speed_figure(results[0]).axes) == 2
    figure = speed_figure.speed_figure(*results)
    widths = [bar.get_width() for bar in figure.axes[0].patches]
    assert widths == [r["samples_per_second"]["median"] for r in results[0]["medians"].values()]
