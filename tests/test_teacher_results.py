"""The committed measurement of the GSM8K teacher: its counts add up and reproduce."""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nanoreason import paths
from nanoreason.data.gsm8k.teacher import known_sources
from nanoreason.evaluation.report import wilson

GSM8K = Path(os.environ.get("NANOREASON_GSM8K")
             or Path(__file__).resolve().parents[2] / "shared" / "data" / "gsm8k")


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


@pytest.mark.slow
@pytest.mark.skipif(not GSM8K.is_dir(), reason="needs the local copy of GSM8K")
def test_the_measurement_is_made_again(result, tmp_path):
    environment = os.environ | {"NANOREASON_HOME": str(tmp_path)}
    subprocess.run([sys.executable, paths.ROOT / "benchmarks" / "teacher_gsm8k.py", GSM8K],
                   check=True, env=environment)
    fresh = json.loads((tmp_path / "results" / "teacher-gsm8k.json").read_text())
    for name in result.keys() - {"seconds", "peak_memory_bytes", "environment"}:
        assert fresh[name] == result[name], name
