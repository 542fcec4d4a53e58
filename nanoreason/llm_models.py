"""Who answers the language-model teacher: an endpoint, or a model that runs here."""
from __future__ import annotations

import json
from collections.abc import Callable
from threading import Lock

from nanoreason.llm_teacher import Refused, TeacherError, Unavailable

TRY_AGAIN = {408, 409, 425, 429, 500, 502, 503, 504, 529}
REFUSED_FOR_ALL = {401, 403, 404, 405}


def endpoint(url: str | None, token: str | None = None, timeout: float = 120.0
             ) -> Callable[[dict], dict]:
    """Requests go to an OpenAI-compatible endpoint, or to the hub's providers if url is None.

    url: up to and without `/chat/completions`. token: of the endpoint; without one, none is
    sent: the hub's own token goes to the hub alone. timeout: seconds without a byte.
    """
    from huggingface_hub import InferenceClient
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    if token is None and url is not None:
        token = "none"
    client = InferenceClient(base_url=url, token=token, timeout=timeout)

    def complete(request: dict) -> dict:
        try:
            return json.loads(json.dumps(client.chat_completion(**request)))
        except OfflineModeIsEnabled as error:
            raise TeacherError(f"{error} The endpoint is not asked in offline mode") from error
        except HfHubHTTPError as error:
            status = error.response.status_code
            if status in REFUSED_FOR_ALL:
                raise TeacherError(f"{url or 'the hub'} answers {status} to model "
                                   f"{request['model']!r}: {error}; check address, token and "
                                   "the model's name") from error
            if status not in TRY_AGAIN:
                raise Refused(f"status {status}: {error}") from error
            raise Unavailable(f"status {status}", _seconds(error.response)) from error
        except Exception as error:  # time-outs, broken connections, JSON that breaks off
            raise Unavailable(f"{type(error).__name__}: {error}") from error
    return complete


def _seconds(response) -> float | None:
    try:
        return max(float(response.headers.get("retry-after")), 0.0)
    except (TypeError, ValueError):  # none, or a date
        return None


def local(base: str, quantisation: str = "nf4") -> Callable[[dict], dict]:
    """Requests are answered by a transformers model on this machine, one at a time.

    base: "nano", a hub id or a folder. Greedy at temperature 0, else sampled with the
    request's seed.
    """
    import torch

    from nanoreason.models import load_base, load_tokenizer

    model, tokenizer = load_base(base, quantisation)[0], load_tokenizer(base)
    lock = Lock()

    def complete(request: dict) -> dict:
        ids = _prompt(tokenizer, request["messages"]).to(model.device)
        room = model.config.max_position_embeddings - ids.shape[1]
        if room < 1:
            raise Refused(f"the prompt has {ids.shape[1]} tokens, the model takes "
                          f"{model.config.max_position_embeddings}")
        sampled = {"do_sample": True, "temperature": request["temperature"]} \
            if request["temperature"] else {"do_sample": False}
        with lock, torch.inference_mode():
            torch.manual_seed(request["seed"])
            out = model.generate(ids, attention_mask=torch.ones_like(ids), **sampled,
                                 max_new_tokens=min(request["max_tokens"], room),
                                 pad_token_id=tokenizer.pad_token_id,
                                 eos_token_id=tokenizer.eos_token_id)
        text = tokenizer.decode(out[0, ids.shape[1]:], skip_special_tokens=True)
        return {"choices": [{"message": {"role": "assistant", "content": text}}]}
    return complete


def _prompt(tokenizer, messages: list[dict]):
    """(1, T) token ids; without a chat template the messages stand one after another."""
    if tokenizer.chat_template:
        return tokenizer.apply_chat_template(messages, add_generation_prompt=True,
                                             return_tensors="pt", return_dict=True)["input_ids"]
    text = "\n\n".join(message["content"] for message in messages) + "\n\n"
    return tokenizer(text, return_tensors="pt")["input_ids"]
