"""The nano base: a Qwen2-architecture model of about a million parameters, made here.

It stands in for Qwen2.5-3B-Instruct where there is no GPU. It reads procedural problems of the
train part with short solutions in prose, sums to work out and claims to judge, first plain ones
(`base_text.documents`), then as many by digits (`column_documents`); never the four-stage form:
the stages, their order and their tags are what tuning adds. It ships with the package;
`make_base` makes it again from nothing by `recipe.json` beside the weights, which says with which
settings and seed, and what loss and compute it came to.

The loss of pretraining is on the solution alone: the words of a question are drawn at
random, and a million parameters are better spent on the sums.
"""
from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from nanoreason.files import set_aside
from nanoreason.host import progress
from nanoreason.model.base import NANO, weights_sha256
from nanoreason.model.base_text import column_documents, documents

END, PAD = "<|endoftext|>", "<|pad|>"
# Tags and closing words are one token each; the base never sees them.
RESERVED = ("[UNDERSTAND]\n", "[PLAN]\n", "[EXECUTE]\n", "[VERIFY]\n", "Given:", "Find:",
            "Result:", "Verdict:", "Answer:")
RESERVED_SPREAD = 3.0
# An operator with its spaces is one token, a digit is one token, a word keeps its space.
PIECES = r" [+\-*/=] |\d|[^\S\n]?\p{L}+|[^\S\n]?[^\s\p{L}\d]|\s"


def build_tokenizer(vocabulary: int, count: int, seed: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE over the base's own text: any text in, the same text out."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary - len(RESERVED) - 2, show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    text = (prompt + solution for prompt, solution in islice(documents(seed), count))
    tokenizer.train_from_iterator(text, trainer)
    tokenizer.add_special_tokens([END, PAD])
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in RESERVED])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=PAD,
                                   clean_up_tokenization_spaces=False)


def new_model(recipe: dict, tokenizer) -> Qwen2ForCausalLM:
    """The untrained model of a recipe, seeded, in float32."""
    torch.manual_seed(recipe["seed"])
    config = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=recipe["hidden_size"],
        num_hidden_layers=recipe["layers"], intermediate_size=recipe["intermediate_size"],
        num_attention_heads=recipe["heads"], num_key_value_heads=recipe["heads"],
        max_position_embeddings=1024, tie_word_embeddings=True, rope_theta=10_000.0,
        initializer_range=recipe.get("initializer_range", 0.05),
        eos_token_id=tokenizer.eos_token_id, bos_token_id=None,
        pad_token_id=tokenizer.pad_token_id)
    return Qwen2ForCausalLM(config)


def pretraining_batches(tokenizer, recipe: dict, text: Iterator[tuple[str, str]] | None = None
                        ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless (input_ids, labels), both (B, T) int64; labels are -100 on prompt and padding.

    text: an endless stream of (prompt, solution), `documents` of the recipe's seed if None.

    Sixteen steps' worth of documents are sorted by length and then dealt out in random
    order, so that a batch holds texts of one length and next to no padding.
    """
    stream, size = text or documents(recipe["seed"]), recipe["documents_per_step"]
    order = torch.Generator().manual_seed(recipe["seed"])
    while True:
        pairs = list(islice(stream, 16 * size))
        prompts = tokenizer([p for p, _ in pairs], add_special_tokens=False).input_ids
        answers = tokenizer([s + END for _, s in pairs], add_special_tokens=False).input_ids
        rows = sorted(zip(prompts, answers), key=lambda row: len(row[0]) + len(row[1]))
        for start in torch.randperm(16, generator=order).tolist():
            part = rows[start * size:(start + 1) * size]
            ids = [torch.tensor(p + s) for p, s in part]
            labels = [torch.tensor([-100] * len(p) + s) for p, s in part]
            yield (pad_sequence(ids, batch_first=True, padding_value=tokenizer.pad_token_id),
                   pad_sequence(labels, batch_first=True, padding_value=-100))


def pretrain(recipe: dict, tokenizer=None, model=None, stop_after: int | None = None,
             on_log=None, text: Iterator[tuple[str, str]] | None = None
             ) -> tuple[Qwen2ForCausalLM, object, dict]:
    """Train on one kind of text; returns model, tokenizer and what it took.

    stop_after: run only so many steps of the recipe (its schedule is kept).
    on_log: called as on_log(step, model, tokens) with every entry of the log; training ends
        early where it returns true.
    tokenizer, model: made from the recipe where None. text: what is read, see
        `pretraining_batches`.
    The log holds (step, nats per supervised token) every 50 steps, and tokens, seconds.
    """
    tokenizer = tokenizer or build_tokenizer(recipe["vocabulary"],
                                             recipe["tokenizer_documents"], recipe["seed"])
    model = model or new_model(recipe, tokenizer)
    optimiser = torch.optim.AdamW(model.parameters(), lr=recipe["learning_rate"],
                                  betas=(0.9, 0.98), weight_decay=recipe["weight_decay"])
    steps, warmup = recipe["steps"], recipe["warmup_steps"]
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: min(
        (step + 1) / warmup, 0.5 * (1 + math.cos(math.pi * step / steps)) + 1e-3))
    log, recent, tokens, began = [], [], 0, time.perf_counter()
    bar = progress(islice(pretraining_batches(tokenizer, recipe, text), stop_after or steps),
                   total=stop_after or steps, desc="base model", unit="step")
    for step, (ids, labels) in enumerate(bar, 1):
        places = (labels[:, 1:] != -100).nonzero(as_tuple=True)
        hidden = model.model(input_ids=ids).last_hidden_state[:, :-1][places]  # (N, D)
        loss = torch.nn.functional.cross_entropy(model.lm_head(hidden), labels[:, 1:][places])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe["clip"])
        optimiser.step()
        schedule.step()
        optimiser.zero_grad(set_to_none=True)
        tokens += int((ids != tokenizer.pad_token_id).sum())
        recent.append(loss.item())
        if step % 50 == 0 or step == (stop_after or steps):
            log.append((step, round(sum(recent) / len(recent), 5)))
            bar.set_postfix(loss=f"{log[-1][1]:.4f}")
            recent = []
            if on_log and on_log(step, model, tokens):
                break
    return model, tokenizer, {"loss": log, "tokens": tokens,
                              "seconds": round(time.perf_counter() - began, 1)}


def make_base(recipe: dict, tokenizer=None) -> tuple[Qwen2ForCausalLM, object, dict]:
    """The whole base of a recipe, see `pretrain`: plain text, and then text by digits too.

    The log's steps, tokens and seconds are of both together.
    """
    model, tokenizer, log = pretrain(recipe, tokenizer)
    _settle(model, tokenizer, recipe, documents(recipe["seed"]))
    then = recipe | recipe["then"]
    model, _, more = pretrain(then, tokenizer, model, text=column_documents(then["seed"]))
    _settle(model, tokenizer, then, column_documents(then["seed"] + 1))
    return model, tokenizer, {
        "loss": log["loss"] + [(recipe["steps"] + step, loss) for step, loss in more["loss"]],
        **{part: log[part] + more[part] for part in ("tokens", "seconds")}}


def _settle(model, tokenizer, recipe: dict, text: Iterator[tuple[str, str]]) -> None:
    unread = unread_tokens(tokenizer, islice(text, recipe["tokenizer_documents"]))
    settle_embeddings(model, tokenizer, unread, recipe["seed"])


def unread_tokens(tokenizer, text: Iterable[tuple[str, str]]) -> list[int]:
    """Ids of the tokens that some documents (prompt, solution) never hold, RESERVED left out.

    Bytes of a byte-level tokenizer and pieces of longer words, for the most part. (Padding
    counts as read: no text holds it and none should.)
    """
    known = set(tokenizer.convert_tokens_to_ids([END, PAD, *RESERVED]))
    for prompt, solution in text:
        known.update(tokenizer(prompt + solution, add_special_tokens=False).input_ids)
    return [token for token in range(len(tokenizer)) if token not in known]


@torch.no_grad()
def settle_embeddings(model, tokenizer, unread: list[int], seed: int) -> None:
    """Give the tokens that the base never read embeddings like those of words it did.

    No loss ever touched them but to push them away, all in the same direction, so they
    ended up the same; tuning does not move embeddings and could not tell `;` from `<`.
    They are drawn anew around the mean of the rows that were read: with the spread of
    those rows, and RESERVED_SPREAD times that for the reserved tokens, which tuning must
    learn to write. With the plain spread the adapters need several times as many steps to
    say those; with 4 times, the untuned base begins to. unread: see `unread_tokens`.
    """
    weight = model.get_input_embeddings().weight  # (vocabulary, hidden), tied to lm_head
    reserved = torch.tensor(tokenizer.convert_tokens_to_ids(list(RESERVED)))
    read = torch.ones(len(weight), dtype=torch.bool)
    read[reserved] = read[unread] = False
    centre, spread = weight[read].mean(0), weight[read].std(0)
    generator = torch.Generator().manual_seed(seed)
    for rows, factor in ((reserved, RESERVED_SPREAD), (unread, 1.0)):
        noise = torch.randn(len(rows), weight.shape[1], generator=generator).to(weight.device)
        weight[rows] = centre + factor * noise * spread


def read_recipe() -> dict:
    """What `recipe.json` records: sha256, recipe, loss [(step, nats)], tokens, seconds, ..."""
    return json.loads((NANO / "recipe.json").read_text())


RECIPE = read_recipe()["recipe"]  # under "then", what differs once it reads on, by digits


def with_seed(recipe: dict, seed: int | None) -> dict:
    """The recipe, with another seed for both of its parts if one is given."""
    if seed is None:
        return recipe
    return recipe | {"seed": seed, "then": recipe["then"] | {"seed": seed}}


def save_base(model, tokenizer, log: dict, recipe: dict, folder: Path = NANO) -> None:
    """Write weights, tokenizer and recipe; the weights as safetensors in float32.

    Another base that lies there, but for the package's own, is kept under a number.
    """
    if folder != NANO and folder.exists():
        print(f"a base is there already: it is kept as {set_aside(folder).name}")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    record = {"sha256": weights_sha256(folder), "recipe": recipe, **log,
              "parameters": sum(p.numel() for p in model.parameters()),
              "torch": torch.__version__, "threads": torch.get_num_threads()}
    (folder / "recipe.json").write_text(json.dumps(record, indent=1) + "\n")
