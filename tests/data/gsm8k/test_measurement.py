"""The GSM8K teacher on the data: the committed measurement adds up and comes out again."""
import json
import os
import random
import subprocess
import sys
from hashlib import sha256

import pytest

from nanoreason import paths
from nanoreason.data import filter_traces, load_problems, teach
from nanoreason.data.gsm8k.teacher import known_sources
from nanoreason.data.problem import Problem, Rejection
from nanoreason.evaluation.report import wilson
from nanoreason.trace import render_trace


@pytest.fixture(scope="module")
def result():
    return json.loads((paths.RESULTS / "teacher-gsm8k.json").read_text())


def test_nothing_is_lost(result):
    for part, read in ((result, 7473), (result["test"], 1319)):
        assert part["kept"] + sum(part["rejected"].values()) == part["read"] == read


def test_shares_are_those_of_their_counts(result):
    for part in (result, result["test"]):
        shares = [part["coverage"], part["ambiguous"], part["ambiguous_traces"],
                  *part["sources"].values()]
        for share in shares + list(part.get("null", {}).values()):
            assert share["value"] == share["counts"][0] / share["counts"][1]
            assert share["interval"] == pytest.approx(wilson(*share["counts"]))
        assert sum(share["counts"][0] for share in part["sources"].values()
                   ) == part["ambiguous"]["counts"][1]
        assert "unknown" not in part["sources"]


def test_the_bars_of_coverage_chance_and_speed_are_met(result):
    assert result["coverage"]["value"] >= 0.9
    assert result["null"]["operands"]["value"] <= 0.16
    assert result["null"]["traces"]["value"] <= 0.16
    assert result["seconds"] < 60 and result["peak_memory_bytes"] < 1e9


def test_the_whole_table_is_used_on_train_and_nothing_of_it_on_test(result):
    entries = [entry for found in known_sources().values() for entry in found]
    refused = sum(not entry["operand"] for entry in entries)
    assert result["table"] == {"used": len(known_sources()) - refused, "changed": 0,
                               "operands": len(entries) - refused, "refused": refused}
    assert result["test"]["table"] == {"used": 0, "changed": 0}


def test_the_page_holds_the_table_of_the_measurement(result, benchmark_scripts):
    from teacher_gsm8k import BEGIN, END, table

    readings = json.loads((paths.RESULTS / "teacher-gsm8k-readings.json").read_text())
    page = (paths.ROOT / "docs" / "gsm8k.md").read_text()
    assert page.split(f"{BEGIN}\n")[1].split(f"\n{END}")[0] == table(result, readings)
    assert sum(readings["taught"].values()) == result["kept"]


@pytest.mark.parametrize("split", ["dev", "test"])
def test_every_trace_is_the_committed_one(result, split, gsm8k):
    digests = result["traces_sha256"] | result["test"]["traces_sha256"]
    problems = list(load_problems("gsm8k", gsm8k, split))
    kept, _ = filter_traces(zip(problems, teach(problems)))
    text = "\n".join(render_trace(trace) for _, trace in kept)
    assert sha256(text.encode()).hexdigest() == digests[split]


def test_most_of_a_sample_of_gsm8k_passes_the_filter_and_a_foreign_question_does_not(gsm8k):
    read = list(load_problems("gsm8k", gsm8k, "train+dev"))
    assert len(read) == 7473 and all(isinstance(p, Problem) for p in read)
    sample = random.Random(0).sample(read, 200)
    traces = list(teach(sample))
    kept, rejected = filter_traces(zip(sample, traces))
    assert len(kept) >= 140 and len(kept) + len(rejected) == 200
    # The null beside it: with another problem's question most traces lose a source. Not
    # all do, because small numbers match by chance or are named constants.
    moved = [Problem(p.id, p.source, p.split, "en", sample[k - 1].question, p.answer)
             for k, p in enumerate(sample)]
    assert 3 * len(filter_traces(zip(moved, traces))[0]) < len(kept)


def test_the_plain_and_the_socratic_file_give_the_same_execute(gsm8k):
    files = [gsm8k / f"{name}.jsonl.gz" for name in ("train", "train_socratic")]
    plain, socratic = (list(load_problems("gsm8k", path, "dev"))[:60] for path in files)
    assert [p.id for p in plain] == [p.id for p in socratic]
    for one, other in zip(teach(plain), teach(socratic)):
        assert type(one) is type(other)
        if not isinstance(one, Rejection):
            assert (one.execute, one.checks) == (other.execute, other.checks)


@pytest.mark.slow
def test_the_measurement_is_made_again(result, tmp_path, gsm8k):
    environment = os.environ | {"NANOREASON_HOME": str(tmp_path)}
    subprocess.run([sys.executable, paths.ROOT / "benchmarks" / "teacher_gsm8k.py", gsm8k],
                   check=True, env=environment)
    fresh = json.loads((tmp_path / "results" / "teacher-gsm8k.json").read_text())
    for name in result.keys() - {"seconds", "peak_memory_bytes", "environment"}:
        assert fresh[name] == result[name], name
