"""The committed data card of GSM8K: its counts add up."""
import json

import pytest

from nanoreason import paths
from nanoreason.data.errors import KINDS

CARD = paths.RESULTS / "data-gsm8k.json"


@pytest.fixture(scope="module")
def card():
    return json.loads(CARD.read_text())


def test_nothing_is_lost_and_no_problem_gives_more_than_two_traces(card):
    part = card["by_source"]["gsm8k"]
    assert card["read"] == card["kept"] + card["rejected"] == part["read"]
    assert sum(part["reasons"].values()) == card["rejected"]
    assert part["clean"] + sum(part["planted"].values()) == card["traces"] == part["wanted"]
    assert card["planted"] == sum(part["planted"].values()) and set(part["planted"]) == set(KINDS)
    assert part["clean"] == sum(card["steps"].values()) <= card["problems"] <= card["kept"]
    assert part["reasons"]["contaminated"] == card["test_sets"]["gsm8k"]


def test_operands_have_sources_and_a_null(card):
    assert sum(card["operands"].values()) == pytest.approx(1)
    assert sum(card["operands_null"].values()) == pytest.approx(1)
    assert card["operands"]["unknown"] == 0 < card["operands_null"]["unknown"]


def test_it_was_made_by_a_commit_and_holds_no_text(card):
    assert len(card["environment"]["commit"]) == 40 and not card["environment"]["dirty"]
    assert card["parameters"]["seed"] == 0 and len(card["sha256"]) == 64
    assert not any(" " in key for key in card["by_source"]["gsm8k"]["reasons"])
