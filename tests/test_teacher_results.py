"""The committed measurement of the GSM8K teacher: its counts add up and reproduce."""
import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nanoreason import paths
from nanoreason.data.gsm8k.teacher import SURE
from nanoreason.evaluation.statistics import wilson

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
    assert right >= 47
    unsure = sum("unsure" in (row["second"], row["third"]) for row in rows)
    assert unsure == 1 and all({row["second"], row["third"]} <= {"right", "unsure"}
                               for row in rows if row["verdict"] == "right")
    readme = (paths.ROOT / "README.md").read_text()
    assert f"In {right} of 50 traces drawn from all that the teacher makes" in readme
    assert "of one of them a second reader was not sure" in readme


def test_the_control_of_what_nobody_had_read_is_as_the_readme_says():
    rows = list(csv.DictReader((paths.RESULTS / "teacher-gsm8k-unread-check.csv").open()))
    checked = {row["row"] for row in csv.DictReader(HAND_CHECK.open())}
    assert len({row["row"] for row in rows}) == len(rows) == 100
    for row in rows:
        assert (row["verdict"], bool(row["kind_of_fault"])) in (("right", False), ("wrong", True))
    wrong = {row["row"] for row in rows if row["verdict"] == "wrong"}
    assert not wrong & checked  # the hand check's traces are made as they were
    assert (f"Of 100 more, drawn from those that nobody had read, {100 - len(wrong)} are right"
            ) in (paths.ROOT / "README.md").read_text()


def test_the_control_of_corrected_traces_is_as_the_readme_says():
    rows = list(csv.DictReader((paths.RESULTS / "teacher-gsm8k-mended-check.csv").open()))
    assert len({row["row"] for row in rows}) == len(rows)
    right = sum(row["verdict"] == "right" for row in rows)
    assert (f"of {len(rows)} such traces that were read once more, {right} were right"
            ) in (paths.ROOT / "README.md").read_text()


def test_the_readings_are_as_the_readme_says(result):
    rows = list(csv.DictReader((paths.ROOT / "nanoreason/assets/readings.csv").open()))
    twice = list(csv.DictReader(READ_TWICE.open()))
    known = {row["trace"] for row in rows}
    assert all(pair["trace"] in known or "unsure" in pair.values() for pair in twice)
    assert sum(pair["first"] == pair["second"] == "unsure" for pair in twice) == 1
    same = sum(pair["first"] == pair["second"] for pair in twice)
    kept, alone = result["readings"], result["rules_alone"]
    found = alone["readings"]
    assert kept["wrong"] == 0 and sum(kept.values()) == result["kept"]
    assert sum(found.values()) == alone["coverage"]["counts"][0]
    readme = (paths.ROOT / "README.md").read_text()
    for sentence in (
            f"({len(rows):,} of them, on {len({row['row'] for row in rows}):,} problems, "
            "`nanoreason/assets/readings.csv`",
            f"both verdicts agree in {same} of {len(twice)}, one agreement being",
            f"is taught ({kept['right']:,} of the {result['kept']:,})",
            f"in {100 * result['plan_names_sources']['value']:.1f} % of the traces",
            f"covers {100 * alone['coverage']['value']:.1f} % at the likelihood of "
            f"{100 * SURE:.0f} %",
            f"of these traces {found['right']:,} were read and found right, "
            f"{found['wrong']:,} wrong, and {found['unread']:,} nobody read",
            "that were read, "
            f"{100 * found['wrong'] / (found['wrong'] + found['right']):.0f} % had"):
        assert sentence in readme, sentence


def test_the_learned_weights_are_as_good_as_the_readme_says():
    learned = json.loads((paths.ROOT / "nanoreason/assets/witness.json").read_text())
    alone = learned["alone"]
    readme = (paths.ROOT / "README.md").read_text()
    assert (f"for {100 * alone['right']:.1f} % of {alone['held_out']:,} operands held "
            f"out, by chance for {100 * alone['chance']:.1f} %") in readme
    assert f"then from {learned['read']['traces']:,} traces that were read" in readme


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
