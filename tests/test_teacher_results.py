"""The committed measurement of the GSM8K teacher: its counts add up and reproduce."""
import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nanoreason import paths
from nanoreason.statistics import wilson

MEASURED = paths.RESULTS / "teacher-gsm8k.json"
HAND_CHECK = paths.RESULTS / "teacher-gsm8k-hand-check.csv"
SECOND_READING = paths.RESULTS / "teacher-gsm8k-second-reading.csv"
GSM8K = Path(os.environ.get("NANOREASON_GSM8K")
             or Path(__file__).resolve().parents[2] / "shared" / "data" / "gsm8k")


@pytest.fixture(scope="module")
def result():
    return json.loads(MEASURED.read_text())


def test_nothing_is_lost(result):
    assert result["kept"] + sum(result["rejected"].values()) == result["read"] == 7473


def test_shares_are_those_of_their_counts(result):
    shares = [result["coverage"], result["ambiguous"], *result["sources"].values(),
              *result["null"].values()]
    for share in shares:
        assert share["value"] == share["counts"][0] / share["counts"][1]
        assert share["interval"] == pytest.approx(wilson(*share["counts"]))
    assert sum(share["counts"][0] for share in result["sources"].values()
               ) == result["ambiguous"]["counts"][1]
    assert "unknown" not in result["sources"]


def test_the_bars_of_coverage_chance_and_speed_are_met(result):
    assert result["coverage"]["value"] >= 0.86
    assert result["null"]["operands"]["value"] <= 0.16
    assert result["null"]["traces"]["value"] <= 0.16
    assert result["seconds"] < 60 and result["peak_memory_bytes"] < 1e9


def test_the_sentence_of_the_readme_is_that_of_the_measurement(result):
    coverage, null = result["coverage"], result["null"]
    readme = (paths.ROOT / "README.md").read_text()
    for sentence in (
            f"of {coverage['counts'][0]:,} of GSM8K's {coverage['counts'][1]:,} train problems "
            f"({100 * coverage['value']:.1f} %)",
            f"{100 * null['operands']['value']:.1f} % of the operands and "
            f"{100 * null['traces']['value']:.1f} % of the whole traces",
            f"{100 * result['ambiguous']['value']:.1f} % of the operands have more than one"):
        assert sentence in readme


def test_the_hand_check_holds_fifty_verdicts_and_no_text():
    rows = list(csv.DictReader(HAND_CHECK.open()))
    assert len(rows) == len({row["row"] for row in rows}) == 50
    for row in rows:
        assert 1 <= int(row["row"]) <= 7473 and int(row["operands"]) > 0
        assert (row["verdict"], bool(row["kind_of_fault"])) in (("right", False), ("wrong", True))
    right = sum(row["verdict"] == "right" for row in rows)
    assert f"{right} of 50 traces checked by hand, drawn after" in (paths.ROOT / "README.md").read_text()


def test_the_second_reading_is_of_other_traces_and_stands_in_the_readme():
    rows = list(csv.DictReader(SECOND_READING.open()))
    first = {row["row"] for row in csv.DictReader(HAND_CHECK.open())}
    assert len({row["row"] for row in rows} - first) == len(rows)
    for row in rows:
        assert (row["verdict"], bool(row["kinds_of_fault"])) in (("right", False), ("wrong", True))
    right = sum(row["verdict"] == "right" for row in rows)
    assert (f"Of the {len(rows)} read before that and made as they were it is so in {right} "
            f"({100 * right / len(rows):.1f} %") in (paths.ROOT / "README.md").read_text()
    faulty = [row["kinds_of_fault"] for row in rows if row["verdict"] == "wrong"]
    assert sum("equal value of another quantity" in kinds for kinds in faulty) * 2 > len(faulty)
    wrong = len(faulty) + sum(row["verdict"] == "wrong" for row in csv.DictReader(HAND_CHECK.open()))
    assert round((len(rows) + 50) / wrong) == 10
    assert f"one trace in ten of the {len(rows) + 50} that were read" in (
        paths.ROOT / "README.md").read_text()


def test_the_learned_weights_are_as_good_as_the_readme_says():
    learned = json.loads((paths.ROOT / "nanoreason/assets/witness.json").read_text())
    alone = learned["alone"]
    assert (f"for {100 * alone['right']:.1f} % of {alone['held_out']:,} operands held "
            f"out, by chance for {100 * alone['chance']:.1f} %"
            ) in (paths.ROOT / "README.md").read_text()


@pytest.mark.slow
@pytest.mark.skipif(not GSM8K.is_dir(), reason="needs the local copy of GSM8K")
def test_the_measurement_is_made_again(result, tmp_path):
    environment = os.environ | {"NANOREASON_HOME": str(tmp_path)}
    subprocess.run([sys.executable, paths.ROOT / "benchmarks" / "teacher_gsm8k.py",
                    GSM8K / "train_socratic.jsonl.gz"], check=True, env=environment)
    fresh = json.loads((tmp_path / "results" / "teacher-gsm8k.json").read_text())
    for name in ("read", "kept", "rejected", "coverage", "sources", "ambiguous", "null"):
        assert fresh[name] == result[name], name
