"""The committed measurement of the GSM8K teacher: its counts add up and reproduce."""
import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nanoreason import paths
from nanoreason.evaluation.report import wilson

MEASURED = paths.RESULTS / "teacher-gsm8k.json"
HAND_CHECK = paths.RESULTS / "teacher-gsm8k-hand-check.csv"
READ_TWICE = paths.RESULTS / "teacher-gsm8k-read-twice.csv"
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


def test_the_hand_check_holds_fifty_verdicts_and_no_text():
    rows = list(csv.DictReader(HAND_CHECK.open()))
    assert len(rows) == len({row["row"] for row in rows}) == 50
    for row in rows:
        assert 1 <= int(row["row"]) <= 7473 and int(row["operands"]) > 0
        assert (row["verdict"], bool(row["kind_of_fault"])) in (("right", False), ("wrong", True))
    right = sum(row["verdict"] == "right" for row in rows)
    assert right >= 47
    unsure = sum("unsure" in (row["second"], row["third"]) for row in rows)
    assert unsure == 1 and all({row["second"], row["third"]} <= {"right", "unsure"}
                               for row in rows if row["verdict"] == "right")


def test_the_control_of_what_nobody_had_read():
    rows = list(csv.DictReader((paths.RESULTS / "teacher-gsm8k-unread-check.csv").open()))
    checked = {row["row"] for row in csv.DictReader(HAND_CHECK.open())}
    assert len({row["row"] for row in rows}) == len(rows) == 100
    for row in rows:
        assert (row["verdict"], bool(row["kind_of_fault"])) in (("right", False), ("wrong", True))
    wrong = {row["row"] for row in rows if row["verdict"] == "wrong"}
    assert not wrong & checked  # the hand check's traces are made as they were


def test_the_control_of_corrected_traces():
    rows = list(csv.DictReader((paths.RESULTS / "teacher-gsm8k-mended-check.csv").open()))
    assert len({row["row"] for row in rows}) == len(rows)


def test_the_readings_are_those_that_were_taught(result):
    rows = list(csv.DictReader((paths.ROOT / "nanoreason/assets/readings.csv").open()))
    twice = list(csv.DictReader(READ_TWICE.open()))
    known = {row["trace"] for row in rows}
    assert all(pair["trace"] in known or "unsure" in pair.values() for pair in twice)
    assert sum(pair["first"] == pair["second"] == "unsure" for pair in twice) == 1
    kept, alone = result["readings"], result["rules_alone"]
    found = alone["readings"]
    assert kept["wrong"] == 0 and sum(kept.values()) == result["kept"]
    assert sum(found.values()) == alone["coverage"]["counts"][0]


@pytest.mark.slow
@pytest.mark.skipif(not GSM8K.is_dir(), reason="needs the local copy of GSM8K")
def test_the_measurement_is_made_again(result, tmp_path):
    environment = os.environ | {"NANOREASON_HOME": str(tmp_path)}
    subprocess.run([sys.executable, paths.ROOT / "benchmarks" / "teacher_gsm8k.py",
                    GSM8K / "train_socratic.jsonl.gz"], check=True, env=environment)
    fresh = json.loads((tmp_path / "results" / "teacher-gsm8k.json").read_text())
    for name in ("read", "kept", "rejected", "coverage", "readings", "rules_alone",
                 "plan_names_sources", "sources", "ambiguous", "null"):
        assert fresh[name] == result[name], name
