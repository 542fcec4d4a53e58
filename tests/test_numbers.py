"""Every public call that takes a number refuses one out of range: name, value and range."""
from math import inf, nan

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from nanoreason import solve
from nanoreason.data import load_problems
from nanoreason.data.prepare import prepare
from nanoreason.data.teachers import LlmTeacher
from nanoreason.endpoint import Client
from nanoreason.evaluation import faithfulness, generate_traces, self_verification
from nanoreason.evaluation.generate import load_writer
from nanoreason.host import GivenError, check_number
from nanoreason.training import attach_adapters, route, step_aware_loss

IDS = torch.arange(8)[None]


def attach(**given):
    small = Qwen2Config(vocab_size=16, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
                        num_attention_heads=1, num_key_value_heads=1)
    return attach_adapters(Qwen2ForCausalLM(small), **given)


def loss(**given):
    return step_aware_loss(torch.zeros(1, 8, 16), IDS, IDS * 0, [1.0] * 5, **given)


def generate(**given):
    model, tokenizer, _ = load_writer("nano-reference")
    row = {"problem_id": "a", "sample": 0, "setting": "clean", "question": "1 + 1?", "text": ""}
    return list(generate_traces(model, tokenizer, [row],
                                **{"max_new_tokens": 4, "batch_tokens": 64} | given))


CALLS = {
    "load_problems": (lambda **given: list(load_problems("procedural", **{"count": 1} | given)),
                      {"count": (-1, 0, 1.5, True, "5", nan), "seed": (-1, 1.5, None, 2**32)}),
    "prepare": (lambda **given: prepare("procedural", **{"total": 1} | given),
                {"total": (-1, 0, 1.5, True), "error_share": (-0.1, 1.1, nan), "seed": (-1, None)}),
    "attach_adapters": (attach, {"rank": (0, 1.5, True), "alpha": (0, -3, nan, inf),
                                 "dropout": (-0.5, 1.0, nan), "seed": (-1, 1.5)}),
    "step_aware_loss": (loss, {"processes": (0, -1, 1.5), "chunk": (-1, 0, 1.5),
                               "counts": (torch.tensor([9]), torch.tensor([9, 0, 0, 0, -1]))}),
    "route": (lambda prompt_lengths=1: route(IDS, None, prompt_lengths, [3]),
              {"prompt_lengths": (-1, 9, 1.5, [9])}),
    "generate_traces": (generate, {"max_new_tokens": (0, -1, 2.5), "batch_tokens": (0, -1),
                                   "temperature": (-1, nan, inf), "seed": (-1, None)}),
    "self_verification": (lambda seed=0: self_verification([], seed), {"seed": (-1, 1.5, None)}),
    "faithfulness": (lambda seed=0: faithfulness([], seed), {"seed": (-1, 1.5, None)}),
    "solve": (lambda **given: given and solve("1 + 1?", **given),
              {"samples": (0, True, 1.0), "max_new_tokens": (0, 5000), "seed": (-1, 2**32)}),
    "Client": (lambda **given: Client("a", str, None, **given),
               {"parallel": (0, 1.5), "retries": (-1,), "wait": (-1.0, nan)}),
    "LlmTeacher": (lambda **given: LlmTeacher(None, **given),
                   {"attempts": (0, 1.5), "max_tokens": (0, True)}),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_number_out_of_range_is_refused_with_its_name_and_the_range(call):
    make, wrong = CALLS[call]
    make()  # what it is given besides is right
    for name, value in ((name, value) for name in wrong for value in wrong[name]):
        with pytest.raises(GivenError) as refused:
            make(**{name: value})
        told = str(refused.value)
        shown = str(value.tolist()) if isinstance(value, torch.Tensor) else repr(value)
        assert name in told and shown.strip("[]") in told and "\n" not in told, (value, told)


def test_none_is_taken_where_the_kind_has_it_and_nowhere_else():
    for kind, good in ((int, 2), (float, 2.5)):
        check_number(kind | None, 1, a=None, b=good)
        check_number(kind, 1, a=good)
        for asked, wrong in ((kind, (None, 0, True, "2", nan)), (kind | None, (0, True, "2", nan))):
            for value in wrong:
                with pytest.raises(GivenError, match=f"^b is {value!r}; give a .*number, "
                                                     "1 or more$"):
                    check_number(asked, 1, a=good, b=value)
    with pytest.raises(GivenError, match="a is 9; give a whole number, 1 to 4"):
        check_number(int | None, 1, 5, a=9)
    with pytest.raises(GivenError, match="a is 9; give a number, 1 to below 5"):
        check_number(float | None, 1, 5, a=9)
