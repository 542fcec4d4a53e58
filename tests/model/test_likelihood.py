"""Log-probabilities of what a text hangs on, against one full forward of each text alone."""
import copy
import random

import pytest
import torch

from nanoreason.data import corrupt
from nanoreason.data.procedural import problems
from nanoreason.data.verify_lines import procedural_trace
from nanoreason.model.base import load_base
from nanoreason.model.likelihood import likelihoods
from nanoreason.model.tokens import EXECUTE, encode, tag_end, tag_ids
from nanoreason.trace import render_trace
from nanoreason.training import attach_adapters, route


@pytest.fixture(scope="module")
def setup():
    """The base with adapters that do something (B is not zero)."""
    model, tokenizer = load_base("nano", "none")
    model = attach_adapters(model, rank=4, alpha=8, seed=0, routing="switch")
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.1
    return model.eval(), tokenizer


@pytest.fixture(scope="module")
def traces():
    """(question, trace) of problems of several lengths, every second one with an error."""
    made = []
    for number, problem in enumerate(problems("train", 6, 3)):
        trace = procedural_trace(problem)
        if number % 2:
            trace = corrupt(trace, "arithmetic_slip", random.Random(number), problem.question)
        made.append((problem.question, trace))
    return made


def alone(model, tokenizer, question, trace):
    """(encoded, the log-probability of each of its tokens but the first)."""
    encoded = encode(tokenizer, question, trace, 10**6)
    ids = torch.tensor([encoded.input_ids])
    mask = route(ids, None, encoded.prompt_length, tag_ids(tokenizer))
    with torch.no_grad(), model.router.full(mask):
        logits = model(input_ids=ids).logits[0]
    return encoded, logits[:-1].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]


@pytest.mark.parametrize("batch_tokens", [1, 500, 10**6])
def test_each_is_that_of_the_text_alone_whatever_it_is_read_with(setup, traces, batch_tokens):
    model, tokenizer = setup
    rows = [{"question": question, "text": render_trace(trace)} for question, trace in traces]
    for (question, trace), found in zip(traces, likelihoods(*setup, rows, batch_tokens)):
        encoded, values = alone(*setup, question, trace)
        groups = torch.tensor(encoded.groups[1:])
        # The line break after `Result: …` stands in EXECUTE's group as it does here.
        least = values[groups == EXECUTE].min().item()
        assert found["execute_min"] == pytest.approx(least, abs=1e-4)
        words = [word for word, _ in found["decisions"]]
        assert words == ["correct"] * (len(trace.checks) - bool(trace.verdict)) + (
            ["wrong"] * 2 if trace.verdict else ["correct"])
        assert all(value < 0 for _, value in found["decisions"])
        # The answer's tokens are the last but the line break and the end of the sequence.
        size = len(tokenizer(f" {trace.answer}", add_special_tokens=False).input_ids)
        assert found["answer"] == pytest.approx(values[-2 - size:-2].sum().item(), abs=1e-4)


def test_a_decision_is_the_token_that_says_it(setup, traces):
    model, tokenizer = setup
    question, trace = traces[1]
    found, = likelihoods(model, tokenizer, [{"question": question, "text": render_trace(trace)}])
    encoded, values = alone(model, tokenizer, question, trace)
    pieces = [tokenizer.decode([token]).strip() for token in encoded.input_ids[1:]]
    said = [value.item() for piece, value in zip(pieces, values) if piece in ("correct", "wrong")]
    assert [value for _, value in found["decisions"]] == pytest.approx(said, abs=1e-4)


def test_what_a_text_lacks_is_none_and_a_base_without_adapters_is_read_too(traces):
    model, tokenizer = load_base("nano", "none")
    question, trace = traces[0]
    texts = ["", "no trace at all", "[EXECUTE]\n1. 2 + 2 = 4\n", render_trace(trace)]
    found = list(likelihoods(model, tokenizer, [{"question": question, "text": text}
                                                for text in texts]))
    nothing = {"execute_min": None, "decisions": [], "answer": None}
    assert found[:2] == [nothing, nothing]
    assert found[2]["execute_min"] < 0 and found[2]["answer"] is None
    assert None not in found[3].values()


def test_under_reread_verify_is_judged_by_its_own_reading(setup, traces):
    model, tokenizer = setup
    again = copy.deepcopy(model)
    again.router.routing = "reread"
    question, trace = traces[1]
    row = {"question": question, "text": render_trace(trace)}
    (found,), (switched,) = (list(likelihoods(m, tokenizer, [row])) for m in (again, model))
    encoded = encode(tokenizer, question, trace, 10**6)
    ids, end = torch.tensor([encoded.input_ids]), tag_end(encoded, tag_ids(tokenizer))
    with torch.no_grad(), model.router.only("verification"):
        values = model(input_ids=ids).logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])
    words = [i for i in range(end, len(encoded)) if tokenizer.decode(ids[0, i]).strip() in (
        "correct", "wrong")]
    assert [value for _, value in found["decisions"]] == pytest.approx(
        [values[i - 1].item() for i in words], abs=1e-4)
    assert found["execute_min"] == pytest.approx(switched["execute_min"], abs=1e-4)
    assert found["answer"] != pytest.approx(switched["answer"], abs=1e-2)
