"""The shipped base: its hash, its recipe, and the tokens that its text never held."""
from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import normalize

from nanoreason.model.nano import (NANO, RESERVED, build_tokenizer, read_recipe,
                                   settle_embeddings, unread_tokens, weights_sha256)
from nanoreason.model.base import load_base, load_tokenizer


def _closest(weight: torch.Tensor) -> float:
    """The largest cosine between two different rows."""
    directions = normalize(weight, dim=1)
    return (directions @ directions.T).fill_diagonal_(-1).max().item()


def test_the_weights_are_those_of_the_recipe():
    recipe = read_recipe()
    assert recipe["sha256"] == weights_sha256()
    weights = load_file(NANO / "model.safetensors")
    assert sum(w.numel() for w in weights.values()) == recipe["parameters"]


@pytest.fixture(scope="module")
def unread():
    """`unread_tokens` of the shipped base, worked out once: it reads 20,000 documents."""
    return unread_tokens(load_tokenizer("nano"), read_recipe()["recipe"])


@pytest.mark.slow
def test_the_recipe_makes_the_shipped_tokenizer():
    recipe = read_recipe()["recipe"]
    built = build_tokenizer(recipe["vocabulary"], recipe["tokenizer_documents"], recipe["seed"])
    assert built.get_vocab() == load_tokenizer("nano").get_vocab()


def test_no_two_tokens_share_an_embedding(unread):
    tokenizer = load_tokenizer("nano")
    weight = load_file(NANO / "model.safetensors")["model.embed_tokens.weight"]
    semicolon = tokenizer.convert_tokens_to_ids(";")
    assert semicolon in unread
    assert not set(unread) & set(tokenizer.convert_tokens_to_ids(list(RESERVED)))
    assert not set(unread) & set(tokenizer("Question: Tom has 12 apples.").input_ids)
    assert _closest(weight[torch.tensor(unread)]) < 0.6


def test_settling_again_changes_nothing_that_was_read(unread):
    """The rows that are drawn anew do not depend on what stood there before."""
    model, tokenizer = load_base("nano", "none")
    weight = model.get_input_embeddings().weight
    before = weight.detach().clone()
    with torch.no_grad():
        weight[tokenizer.convert_tokens_to_ids(";")] = 0
    settle_embeddings(model, tokenizer, unread, read_recipe()["recipe"]["seed"])
    assert torch.equal(weight, before)
