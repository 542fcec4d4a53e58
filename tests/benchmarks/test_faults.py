"""Kills, pairs of processes, full disks and damaged bytes: a short form."""
from __future__ import annotations

import shutil
import sys

import pytest

from nanoreason import paths


@pytest.fixture(scope="module")
def faults():
    # Its sessions are new processes: they must be able to import it by its name.
    sys.path.insert(0, str(paths.CHECKOUT / "benchmarks"))
    import faults
    yield faults
    sys.path.remove(str(paths.CHECKOUT / "benchmarks"))


@pytest.fixture(scope="module")
def place(faults):
    folder = faults.workplace()
    yield folder
    shutil.rmtree(folder)
    shutil.rmtree(folder.with_name(f"{folder.name}.logs"))


def survived(result, kills):
    assert len(result["kills"]) == kills == sum(run["kills"] for run in result["runs"])
    assert result["aimed"] == kills // 2
    assert result["unequal"] == 0 and all(run["equal"] for run in result["runs"])


@pytest.mark.parametrize("what", ["training", "evaluation", "metrics"])  # metrics: notebook 04
def test_killed_it_ends_like_the_unbroken(faults, place, what):
    survived(faults.kill(what, 2, place, seed=1), 2)


def test_of_two_at_once_one_waits_or_is_refused(faults, place):
    result = faults.pairs(2, place)
    assert result["both_ended"] + result["refused"] == 2
    assert result["unsaid"] == result["unequal"] == 0


def test_a_full_disk_stops_with_one_sentence_and_costs_nothing(faults, place):
    result = faults.full(2, place)
    if result is None:
        pytest.skip("mounting a disk takes root")
    assert result["stopped"] == 2 and result["unsaid"] == result["unequal"] == 0


def test_damaged_bytes_are_read_or_refused(faults, place):
    result = faults.mutations(600, place)
    assert result["read"] and result["refused"] and result["uncaught"] == {}
    assert result["slow"] == result["long"] == result["lost_rows"] == 0
