"""Tokens and loss groups of a trace, with the tokenizer that ships with the package."""
from __future__ import annotations

import random
from dataclasses import replace

import pytest

from nanoreason.data import corrupt
from nanoreason.model.tokens import IGNORE
from nanoreason.model.base import load_tokenizer
from nanoreason.data.procedural import problems
from nanoreason.data.verify_lines import procedural_trace
from nanoreason.model.tokens import (EXECUTE, TRANSITION, VERIFY, collate, encode, encode_free,
                                     free_text, given_part, partial_ids, prompt_ids,
                                     tag_ids)
from nanoreason.stages import Stage
from nanoreason.trace import render_trace


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("nano")


@pytest.fixture(scope="module")
def pair():
    problem = next(p for p in problems("train", 50, 1) if len(p.steps) == 3)
    return problem, procedural_trace(problem)


def test_a_text_is_cut_as_its_trace_is_encoded(tokenizer, pair):
    problem, trace = pair
    wrong = corrupt(trace, "arithmetic_slip", random.Random(0))
    for each in (trace, wrong):
        whole = partial_ids(tokenizer, problem.question, f"{render_trace(each)}\n")
        row = encode(tokenizer, problem.question, each, 1000)
        assert row.input_ids == [*whole, tokenizer.eos_token_id]


def test_a_trace_goes_through_the_tokenizer_unchanged(tokenizer, pair):
    problem, trace = pair
    row = encode(tokenizer, problem.question, trace, 1000)
    text = tokenizer.decode(row.input_ids[row.prompt_length:], skip_special_tokens=True)
    assert text == render_trace(trace) + "\n"
    assert row.input_ids[-1] == tokenizer.eos_token_id


def test_tags_are_single_tokens_and_digits_are_single_tokens(tokenizer):
    for stage in Stage:
        assert len(tag_ids(tokenizer, stage)) == 1
    assert len(tokenizer("1234567890", add_special_tokens=False).input_ids) == 10
    # One token an operator: the rule of the file, not the one of the architecture.
    assert tokenizer.tokenize("12 + 9 = 21") == ["1", "2", "Ġ+Ġ", "9", "Ġ=Ġ", "2", "1"]


def test_any_text_survives_the_tokenizer(tokenizer):
    for text in ("Ω ≈ 3,5 – naïve\tx\n\n  ", "giá tiền là 12.000 đồng", "\\frac{1}{2}"):
        assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_text_that_looks_like_a_control_token_stays_text(pair):
    """In questions, traces and beginnings of traces, with a chat template and without."""
    tokenizer, (problem, trace) = load_tokenizer("nano"), pair
    control = set(tokenizer.all_special_ids)
    looks = " ".join(tokenizer.all_special_tokens)
    framed = "{% for m in messages %}<|pad|>{{ m['content'] }}<|endoftext|>\n{% endfor %}"
    odd = replace(trace, understand=(*trace.understand[:-1], f"Find: {looks}"))
    for template, frame in ((None, 0), (framed, 2)):
        tokenizer.chat_template = template
        plain = prompt_ids(tokenizer, problem.question)
        assert len([i for i in plain if i in control]) == frame
        asked = prompt_ids(tokenizer, f"What is {looks}?")
        assert len([i for i in asked if i in control]) == frame
        assert f"What is {looks}?" in tokenizer.decode(asked)
        row = encode(tokenizer, problem.question, odd, 1000)
        completion = row.input_ids[row.prompt_length:-1]
        assert not control & set(completion)
        assert tokenizer.decode(completion) == render_trace(odd) + "\n"
        begun = partial_ids(tokenizer, problem.question, given_part(odd))
        assert not control & set(begun[row.prompt_length:])
        assert row.input_ids[:len(begun)] == begun


def test_groups(tokenizer, pair):
    problem, trace = pair
    row = encode(tokenizer, problem.question, trace, 1000)
    assert set(row.groups[:row.prompt_length]) == {IGNORE}
    assert IGNORE not in row.groups[row.prompt_length:]
    by_group = {g: [i for i, h in zip(row.input_ids, row.groups) if h == g] for g in range(5)}
    decoded = tokenizer.decode(by_group[TRANSITION])
    assert decoded == "".join(f"{stage.tag}\n" for stage in (
        Stage.UNDERSTAND, Stage.PLAN, Stage.EXECUTE)) + "Result:" + "[VERIFY]\n" \
        + "Verdict:Answer:<|endoftext|>"
    execute = "".join(f"{k}. {line}\n" for k, line in enumerate(trace.execute, 1))
    assert tokenizer.decode(by_group[EXECUTE]) == f"{execute} {trace.result}\n"
    assert tokenizer.decode(by_group[VERIFY]).endswith(f" correct\n {trace.answer}\n")


def test_a_wrong_execute_carries_no_loss_after_its_tag_and_the_rest_does(tokenizer, pair):
    problem, trace = pair
    wrong = corrupt(trace, "arithmetic_slip", random.Random(0))
    row = encode(tokenizer, problem.question, wrong, 1000, wrong_execute=True)
    start = row.input_ids.index(tag_ids(tokenizer, Stage.EXECUTE)[0])
    stop = row.input_ids.index(tag_ids(tokenizer)[0])
    assert row.groups[start] == row.groups[stop] == TRANSITION
    assert set(row.groups[start + 1:stop]) == {IGNORE}
    assert IGNORE not in row.groups[row.prompt_length:start] + row.groups[stop:]


def test_a_trace_that_is_too_long_is_left_out_whole(tokenizer, pair):
    problem, trace = pair
    length = len(encode(tokenizer, problem.question, trace, 1000))
    assert len(encode(tokenizer, problem.question, trace, length)) == length
    assert encode(tokenizer, problem.question, trace, length - 1) is None


def test_a_given_beginning_has_the_tokens_of_training(tokenizer, pair):
    problem, trace = pair
    row = encode(tokenizer, problem.question, trace, 1000)
    given = partial_ids(tokenizer, problem.question, given_part(trace))
    assert given == row.input_ids[:len(given)]
    assert given[-1:] == tag_ids(tokenizer)
    assert prompt_ids(tokenizer, problem.question) == given[:row.prompt_length]


def test_collate_pads_on_the_right_without_loss(tokenizer):
    made = list(problems("train", 4, 2))
    rows = [encode(tokenizer, p.question, procedural_trace(p), 1000) for p in made]
    batch = collate(rows, tokenizer.pad_token_id)
    for i, row in enumerate(rows):
        assert batch["input_ids"][i, :len(row)].tolist() == row.input_ids
        assert batch["attention_mask"][i].sum() == len(row)
        assert (batch["groups"][i, len(row):] == IGNORE).all()
    assert batch["prompt_lengths"].tolist() == [row.prompt_length for row in rows]


def test_the_free_form_is_the_solution_alone(tokenizer, pair):
    problem, trace = pair
    text = free_text(trace)
    assert text == (f"{trace.execute[0]}. {trace.execute[1]}. {trace.execute[2]}. "
                    f"The answer is {trace.answer}.")
    row = encode_free(tokenizer, problem.question, trace, 1000)
    prompt = prompt_ids(tokenizer, problem.question)
    assert row.input_ids[:row.prompt_length] == prompt and row.prompt_length == len(prompt)
    written = row.input_ids[row.prompt_length:]
    assert tokenizer.decode(written, skip_special_tokens=True) == text
    assert written[-1] == tokenizer.eos_token_id
    assert not set(tag_ids(tokenizer)) & set(written)  # the second adapter never acts
    assert row.groups == [IGNORE] * len(prompt) + [EXECUTE] * (len(written) - 1) + [TRANSITION]
    assert encode_free(tokenizer, problem.question, trace, len(row) - 1) is None
