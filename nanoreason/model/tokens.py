"""From a trace to tokens: which token is predicted under which loss group.

A trace is cut into segments, each is tokenised on its own, and the pieces are
concatenated: a tag with its newline therefore always has the same token ids, which is
what the route searches for, and no token belongs to two groups. The question and the
padding carry no loss; tags, closing words and the end of the sequence form the group
TRANSITION. Where EXECUTE is wrong on purpose, nothing of it after its tag is learned.
"""
from __future__ import annotations

import re
from dataclasses import dataclass, replace

import torch

from nanoreason.stages import CLOSINGS, GROUPS, Stage
from nanoreason.trace import Trace, render_trace

PLAIN = {"add_special_tokens": False, "split_special_tokens": True}
IGNORE = -1  # the group of a token that belongs to none (question, padding)
UNDERSTAND, PLAN, EXECUTE, VERIFY, TRANSITION = range(len(GROUPS))
TAGS = {f"{stage.tag}\n": group for group, stage in enumerate(Stage)}  # with the stage's group
_CUTS = re.compile(f"^({'|'.join(map(re.escape, (*TAGS, *CLOSINGS)))})", re.MULTILINE)


@dataclass(frozen=True)
class Encoded:
    """One training row. input_ids, groups: lists of one length.

    groups[t] is the loss group of the token at position t (the one that is predicted from
    what stands before it), or IGNORE; the first `prompt_length` tokens are the question.
    second: what else of the same trace is read in the same step, see `readings`.
    """

    input_ids: list[int]
    groups: list[int]
    prompt_length: int
    second: Encoded | None = None

    def __len__(self) -> int:
        """Tokens of the longer reading."""
        return max(len(reading.input_ids) for reading in self.readings)

    @property
    def readings(self) -> tuple[Encoded, ...]:
        """This one, and the second if there is one."""
        return (self, self.second) if self.second else (self,)


def prompt_text(question: str) -> str:
    """The frame around a question for a tokenizer that has no chat template."""
    return f"Question: {question}\nSolution:\n"


def prompt_ids(tokenizer, question: str) -> list[int]:
    """The question as the model is asked it, in training and in generation alike."""
    if getattr(tokenizer, "chat_template", None):
        return list(tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True,
            return_dict=False, sanitize_control_tokens=True))
    return text_ids(tokenizer, prompt_text(question))


def text_ids(tokenizer, text: str) -> list[int]:
    """Token ids of a text, nothing added; what looks like a control token in it is text."""
    return list(tokenizer(text, **PLAIN).input_ids)


def tag_ids(tokenizer, stage: Stage = Stage.VERIFY) -> list[int]:
    """The ids of a stage's tag with its newline; the route looks for VERIFY's."""
    return text_ids(tokenizer, f"{stage.tag}\n")


def given_part(trace: Trace) -> str:
    """The text of a trace up to and with its VERIFY tag: what the given settings start from."""
    before, tag, _ = render_trace(trace).partition(f"\n{Stage.VERIFY.tag}\n")
    return before + tag


def encode(tokenizer, question: str, trace: Trace, max_length: int, wrong_execute: bool = False
           ) -> Encoded | None:
    """Tokens and groups of one trace; None if it is longer than `max_length` tokens.

    wrong_execute: EXECUTE holds an injected or on-policy error and carries no loss after
    its tag. A trace that is too long is left out (count the Nones), never cut.
    """
    ids = prompt_ids(tokenizer, question)
    groups, prompt_length, stage = [IGNORE] * len(ids), len(ids), IGNORE
    pieces = cut_pieces(f"{render_trace(trace)}\n")
    # Each for itself, all in one call: calls cost more than what they do.
    for text, piece in zip(pieces, tokenizer(pieces, **PLAIN).input_ids):
        stage = TAGS.get(text, stage)
        silent = wrong_execute and stage == EXECUTE and text not in TAGS
        group = TRANSITION if text in TAGS or text in CLOSINGS else stage
        ids += piece
        groups += [IGNORE if silent else group] * len(piece)
    ids.append(tokenizer.eos_token_id)
    groups.append(TRANSITION)
    return Encoded(ids, groups, prompt_length) if len(ids) <= max_length else None


def tag_end(row: Encoded, tag: list[int]) -> int:
    """The position behind a completion's first VERIFY tag, the end where there is none."""
    return _behind(row.input_ids, tag, row.prompt_length) or len(row.input_ids)


def _behind(ids: list[int], tag: list[int], start: int = 0) -> int | None:
    """The position behind the first tag from `start` on."""
    width = len(tag)
    return next((i + width for i in range(start, len(ids) - width + 1)
                 if ids[i:i + width] == tag), None)


def readings(prompt: list[int], completion: list[int], tag: list[int], routing: str | None
             ) -> list[tuple[list[int], list[int]]]:
    """The rows that a text is read in, (prompt, completion) each.

    One, but under `reread` a completion with the tag is two: as far as the tag, and what
    follows behind a prompt that ends with it. Their completions together are the text's.
    """
    end = _behind(completion, tag) if routing == "reread" else None
    if end is None:
        return [(prompt, completion)]
    return [(prompt, completion[:end]), (prompt + completion[:end], completion[end:])]


def until_tag(row: Encoded, tag: list[int]) -> Encoded:
    """A row as far as the end of its VERIFY tag."""
    end = tag_end(row, tag)
    return Encoded(row.input_ids[:end], row.groups[:end], row.prompt_length)


def paired(row: Encoded, tag: list[int], routing: str, twin: Encoded | None = None) -> Encoded:
    """A row as two readings, where the adapters learn from different texts.

    twin: the right trace of the same problem, from which what stands before VERIFY is then
    learned, and VERIFY alone from the row. Under `reread` the second reading is a prompt as
    far as the VERIFY tag and what follows. Else the row as it is.
    """
    if routing != "reread" and twin is None:
        return row
    end = tag_end(row, tag)
    second = Encoded(row.input_ids, [IGNORE] * end + row.groups[end:],
                     end if routing == "reread" else row.prompt_length)
    return replace(until_tag(twin or row, tag), second=second)


def free_text(trace: Trace) -> str:
    """EXECUTE's lines in a row and the answer, without stages, tags, plan or checks.

    The control: what is left of a right trace where only the solution itself is learned, in
    the loose form that the base has read.
    """
    return " ".join(f"{line}." for line in trace.execute) + f" The answer is {trace.answer}."


def encode_free(tokenizer, question: str, trace: Trace, max_length: int) -> Encoded | None:
    """Tokens of a right trace in `free_text`, all in the group EXECUTE; None if too long."""
    prompt = prompt_ids(tokenizer, question)
    solution = text_ids(tokenizer, free_text(trace))
    ids = prompt + solution + [tokenizer.eos_token_id]
    groups = [IGNORE] * len(prompt) + [EXECUTE] * len(solution) + [TRANSITION]
    return Encoded(ids, groups, len(prompt)) if len(ids) <= max_length else None


def cut_pieces(text: str) -> list[str]:
    """The beginning of a trace, or all of it, in the segments that `encode` uses."""
    return [piece for piece in _CUTS.split(text) if piece]


def partial_ids(tokenizer, question: str, text: str) -> list[int]:
    """Question and the beginning of a trace, cut into the segments that `encode` uses."""
    ids = prompt_ids(tokenizer, question)
    for piece in cut_pieces(text):
        ids += text_ids(tokenizer, piece)
    return ids


def collate(rows: list[Encoded], pad_id: int) -> dict[str, torch.Tensor]:
    """Right-padded batch: input_ids, attention_mask, groups (B, T); prompt_lengths (B,)."""
    width = max(len(row.input_ids) for row in rows)

    def padded(lists, filler):
        return torch.tensor([values + [filler] * (width - len(values)) for values in lists])

    return {"input_ids": padded([row.input_ids for row in rows], pad_id),
            "attention_mask": padded([[1] * len(row.input_ids) for row in rows], 0),
            "groups": padded([row.groups for row in rows], IGNORE),
            "prompt_lengths": torch.tensor([row.prompt_length for row in rows])}
