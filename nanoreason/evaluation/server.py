"""Rows that a server writes: base and adapters under their names, one model a request.

Any server of OpenAI's `/v1/completions` that gives the base and the two adapters as the models
`base`, `reasoning` and `verification` will do (`docs/scale.md` has launch lines). `single` is
one request. `reread` is two: `reasoning` up to the VERIFY tag, then `verification`, whose
prompt is the question and all that was written. `switch` and `stack` are refused: their VERIFY
goes on with keys and values that another adapter made, and a server computes all of a
request's with the one that the request names.

Requests go through `endpoint.Client`: many at one time, tried again, kept on disk.
"""
from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from nanoreason.endpoint import Client, EndpointError, Refused, Unavailable, endpoint, text_of
from nanoreason.host import progress
from nanoreason.model.router import routing_of
from nanoreason.model.tokens import partial_ids, tag_ids
from nanoreason.params.sets import EvaluateParams
from nanoreason.runs import RunError
from nanoreason.stages import Stage

TOKEN = "NANOREASON_SERVER_TOKEN"  # of the environment; without it none is sent
TAG = f"{Stage.VERIFY.tag}\n"
TOGETHER = 32  # texts that are handed on at a time


def open_server(params: EvaluateParams, model, answers: Path) -> Client:
    """What asks the server of these parameters for rows of this model.

    answers: the folder in which they are kept, for these adapters alone. Raises RunError where
    no server can do what the routing asks for, ValueError for an address that is none.
    """
    routing = routing_of(model)
    if routing in ("switch", "stack"):
        raise RunError(
            f"engine='server' is refused for a run of routing={routing!r}: its VERIFY goes on with "
            "keys and values of another adapter, and a server has one adapter a request. Train "
            "with routing=reread (or single), or leave engine out")
    complete = endpoint(params.server_url, os.environ.get(TOKEN), path="completions")
    return Client(params.server_url, complete, answers, params.server_parallel)


def served(client: Client, model, tokenizer, rows: Sequence[Mapping], seeds: Sequence[int],
           max_new_tokens: int, temperature: float, label: str
           ) -> Iterator[list[tuple[int, str, bool]]]:
    """Yield [(index of the row, what goes on behind its text, whether it was cut), ...], in order.

    seeds: one a row, for a temperature above 0. max_new_tokens: of both requests together.
    Raises EndpointError for the first row that gets no answer; those before it are kept.
    """
    routing, tag = routing_of(model), tag_ids(tokenizer)

    def ask(name: str, ids: list[int], most: int, seed: int, **more) -> tuple[str, dict]:
        text = tokenizer.decode(ids)
        if list(tokenizer(text).input_ids) != ids:  # its tokens alone say what is meant
            text = ids
        try:
            answer = client.ask({"model": name, "prompt": text, "max_tokens": most,
                                 "temperature": temperature, "seed": seed, **more})
        except (Unavailable, Refused) as error:
            raise EndpointError(f"{client.name}, model {name!r}: {error}; what was answered is "
                                "kept, so start again to go on") from error
        read = (answer.get("usage") or {}).get("prompt_tokens", len(ids))
        if read != len(ids):
            raise EndpointError(
                f"{client.name}, model {name!r} reads a prompt as {read} tokens that training "
                f"reads as {len(ids)}: it loads another tokenizer than the run's, see "
                "docs/scale.md")
        return text_of(answer), answer["choices"][0]

    def write(index: int) -> tuple[int, str, dict]:
        row, seed, new = rows[index], seeds[index], ""
        begun = partial_ids(tokenizer, row["question"], row["text"])
        if routing != "reread":
            return index, *ask("reasoning" if routing else "base", begun, max_new_tokens, seed)
        if TAG not in row["text"]:
            text, choice = ask("reasoning", begun, max_new_tokens, seed, stop=[TAG])
            new, found, _ = text.partition(TAG)
            if not found and choice.get("finish_reason") == "length":
                return index, new, choice
            if not found and "stop_reason" in choice:  # vLLM takes the tag off and says so
                found = choice["stop_reason"] in (TAG, tag[-1])
            elif not found:  # was it taken off, or has the text come to its end?
                ids = partial_ids(tokenizer, row["question"], row["text"] + new)
                found = ask("reasoning", ids, len(tag), seed, temperature=0.0)[0].startswith(TAG)
            if not found:
                return index, new, choice
            new += TAG
        ids = partial_ids(tokenizer, row["question"], row["text"] + new)
        left = max_new_tokens - (len(ids) - len(begun))
        text, choice = "", {"finish_reason": "length"}  # as a server says that it cut a text
        if left > 0:
            text, choice = ask("verification", ids, left, seed + 1)
        return index, new + text, choice

    made = iter(progress(client.map(write, range(len(rows))), total=len(rows), desc=label,
                         unit="trace"))
    while some := list(islice(made, TOGETHER)):
        yield [(index, new, choice.get("finish_reason") == "length") for index, new, choice in some]
