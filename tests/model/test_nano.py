"""The shipped base: its hash, its recipe, and the tokens that its text never held."""
from __future__ import annotations

from itertools import islice

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import normalize

from nanoreason.model.nano import (NANO, RECIPE, RESERVED, build_tokenizer, make_base, pretrain,
                                   read_recipe, settle_embeddings, unread_tokens, weights_sha256,
                                   with_seed)
from nanoreason.model.base import load_base, load_tokenizer
from nanoreason.model.base_text import column_documents


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
    """`unread_tokens` of the shipped base, by the last text that it read."""
    then = read_recipe()["recipe"]["then"]
    return unread_tokens(load_tokenizer("nano"), islice(
        column_documents(then["seed"] + 1), then["tokenizer_documents"]))


@pytest.mark.slow
def test_the_recipe_makes_the_shipped_tokenizer():
    recipe = read_recipe()["recipe"]
    built = build_tokenizer(recipe["vocabulary"], recipe["tokenizer_documents"], recipe["seed"])
    assert built.get_vocab() == load_tokenizer("nano").get_vocab()


def test_no_two_tokens_share_an_embedding(unread):
    tokenizer = load_tokenizer("nano")
    weight = load_file(NANO / "model.safetensors")["model.embed_tokens.weight"]
    assert tokenizer.convert_tokens_to_ids("<") in unread
    assert not set(unread) & set(tokenizer.convert_tokens_to_ids(list(RESERVED)))
    assert not set(unread) & set(tokenizer("Question: Tom has 12 apples.").input_ids)
    assert _closest(weight[torch.tensor(unread)]) < 0.6


def test_settling_again_changes_nothing_that_was_read(unread):
    """The rows that are drawn anew do not depend on what stood there before."""
    model, tokenizer = load_base("nano", "none")
    weight = model.get_input_embeddings().weight
    before = weight.detach().clone()
    with torch.no_grad():
        weight[tokenizer.convert_tokens_to_ids("<")] = 0
    settle_embeddings(model, tokenizer, unread, read_recipe()["recipe"]["then"]["seed"])
    assert torch.equal(weight, before)


def test_the_base_reads_on_where_it_stopped():
    """`make_base` of a few steps: both texts are read, in one log, by the seeds of the recipe."""
    small = {"steps": 2, "documents_per_step": 4, "tokenizer_documents": 40}
    recipe = RECIPE | small | {"then": RECIPE["then"] | small | {"steps": 3}}
    tokenizer = load_tokenizer("nano")
    first, _, of_first = pretrain(recipe, tokenizer)
    model, _, log = make_base(recipe, tokenizer)
    assert [step for step, _ in log["loss"]] == [2, 5]
    assert log["loss"][0] == of_first["loss"][0] and log["tokens"] > of_first["tokens"]
    moved = {name for name, weight in model.named_parameters()
             if not torch.equal(weight, dict(first.named_parameters())[name])}
    assert any("mlp" in name for name in moved)
    other = make_base(with_seed(recipe, 7), tokenizer)[2]
    assert all(a != b for (_, a), (_, b) in zip(log["loss"], other["loss"]))
