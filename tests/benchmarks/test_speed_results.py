"""The committed measurements of speed: worked out again from their rounds, and quoted right."""
from __future__ import annotations

import json

import pytest

from nanoreason import paths

FILES = [paths.RESULTS / f"{name}-speed.json" for name in ("training", "decoding")]


pytestmark = pytest.mark.usefixtures("benchmark_scripts")


@pytest.fixture(scope="module")
def results():
    """Of training, and of decoding where it was measured."""
    return [json.loads(file.read_text()) for file in FILES if file.exists()]


@pytest.fixture(scope="module")
def decoding(results):
    if len(results) < 2:
        pytest.skip("no committed measurement: results/ has no decoding-speed.json")
    return results[1]


def assert_worked_out(results):
    """That the medians and ratios of (training, decoding) are those of their rounds."""
    import decoding_speed
    import training_speed

    fresh = [training_speed.summarise(results[0]["rounds"])]
    fresh += [decoding_speed.summarise(found["rounds"], found["whole_work"])
              for found in results[1:]]
    for result, values in zip(results, fresh):
        for name, value in values.items():
            assert result[name] == json.loads(json.dumps(value)), name


def test_medians_and_ratios_are_those_of_the_rounds(results):
    assert_worked_out(results)


def test_those_of_the_embedded_base_are_worked_out_again():
    nano = [json.loads((paths.RESULTS / f"{name}-speed-nano.json").read_text())
            for name in ("training", "decoding")]
    assert_worked_out(nano)
    for found in nano:
        assert not found["environment"]["dirty"] and found["base"] == "nano"


def test_every_training_round_did_the_whole_work(results):
    training = results[0]
    for name, rounds in training["rounds"].items():
        wanted = training["settings"]["padded_traces"] if name == "original" else \
            training["data"]["traces"]
        for found in rounds:
            assert found["samples"] == wanted
            assert found["samples_per_second"] == found["samples"] / found["seconds"]
            if name != "original":
                assert found["supervised_tokens"] == training["data"]["supervised_tokens"]


def test_every_decoding_round_did_the_whole_work(decoding):
    for rounds in decoding["rounds"].values():
        assert len({(found["texts"], found["tokens"]) for found in rounds}) == 1
    same = [decoding["rounds"][name][0]["tokens"] for name in ("dual", "single")]
    assert same == [decoding["settings"]["rows"] * decoding["settings"]["new_tokens"]] * 2


def test_they_are_of_smollm2_in_three_rounds_of_a_clean_tree(results):
    for result in results:
        assert result["base"] == "SmolLM2-135M-Instruct"
        assert not result["environment"]["dirty"]
        assert all(len(rounds) >= 3 for name, rounds in result["rounds"].items()
                   if name != "plain_wide")
    assert "trl" in results[0]["environment"]["packages"]


def test_the_figure_is_theirs(results):
    import speed_figure

    captions = json.loads((paths.FIGURES / "speed" / "captions.json").read_text())
    assert captions["speed"] == " ".join(speed_figure.caption(*results).split())
    assert (paths.FIGURES / "speed" / "speed.png").exists()
