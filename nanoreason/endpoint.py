"""Requests to a model behind an endpoint, such that no answer can stop a long run.

A try is bounded in time and size whatever the server does; an answer that is none is asked
for again, with waits; everything that came is kept on disk as it came. An answer lies under
the hash of its request, so a run that was stopped goes on where it was and the same request
is never sent twice. Chat and plain completions are read alike, so that teachers and the
generation of rows can share this.

Not `huggingface_hub.InferenceClient`: its time limit holds for each piece of an answer, not
for the whole, it reads bodies of any length, and it follows a redirect to another host and
sends the prompt there.
"""
from __future__ import annotations

import asyncio
import hashlib
import json
import math
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from threading import Event, Lock

from nanoreason import paths
from nanoreason.files import write_text
from nanoreason.host import GivenError, Told, check_number

HUB = "https://router.huggingface.co/v1"  # the hub's providers, in OpenAI's form
SECONDS = 300.0  # of a try, from the connection to the last byte
MAX_BYTES = 4 * 2**20  # of an answer's body
LONGEST_WAIT = 60.0  # seconds between two tries
GIVE_UP_AFTER = 8  # requests in a row that got no answer
TRY_AGAIN = {408, 409, 425, 429, *range(500, 600)}  # of statuses
REFUSED_FOR_ALL = {401, 403, 404, 405, *range(300, 400)}
FAILED = "failed.jsonl"  # in the folder of kept answers: what came and was no answer


class EndpointError(Told, RuntimeError):
    """The model cannot be asked at all; the message says why and that nothing is lost."""


class Unavailable(Exception):
    """One try has failed and another may succeed.

    seconds: how long the server asks to wait. body: what came, as it came.
    """

    def __init__(self, reason: str, body: str = "", seconds: float | None = None):
        super().__init__(reason)
        self.body, self.seconds = body, seconds


class Refused(ValueError):
    """The server refuses this very request. for_all: it may well refuse all others too."""

    def __init__(self, reason: str, body: str = "", for_all: bool = False):
        super().__init__(reason)
        self.body, self.for_all = body, for_all


@dataclass
class Client:
    """Asks a model, several requests at one time, and keeps what it answers.

    name: of the model, for messages. complete: sends one request (a mapping that JSON can
    hold) and returns the body of the answer; raises `Unavailable` or `Refused` (or another
    ValueError). cache: folder of the kept answers. parallel: requests under way at one time.
    retries: tries of one request after the first, with waits that double from `wait` seconds,
    at random by a quarter. sleep: how it waits; None: until the wait is over or `map` ends.
    """

    name: str
    complete: Callable[[dict], str]
    cache: Path
    parallel: int = 4
    retries: int = 5
    wait: float = 1.0
    sleep: Callable[[float], None] | None = None
    asked: int = field(default=0, init=False)  # answers that were not in the cache
    _failed: int = field(default=0, init=False)
    _lock: Lock = field(default_factory=Lock, init=False, repr=False)
    _ended: Event = field(default_factory=Event, init=False, repr=False)

    def __post_init__(self):
        check_number(int, 1, parallel=self.parallel)
        check_number(int, 0, retries=self.retries)
        check_number(float, 0, wait=self.wait)

    def map(self, work: Callable, items: Iterable) -> Iterator:
        """`work` of each item, which may `ask`, in order; twice `parallel` are read ahead.

        Where it is left early, requests under way are still answered and kept, no more.
        """
        items, waiting = iter(items), deque()
        pool = ThreadPoolExecutor(self.parallel)
        try:
            while True:
                waiting += [pool.submit(work, item)
                            for item in islice(items, 2 * self.parallel - len(waiting))]
                if not waiting:
                    return
                yield waiting.popleft().result()
        finally:
            self._ended.set()
            pool.shutdown(cancel_futures=True)
            self._ended.clear()

    def ask(self, request: dict) -> dict:
        """The answer, from the cache or else from the model, such that `text_of` can read it.

        Raises `Unavailable` after the last try, `Refused`, and `EndpointError` where the very
        first answer refuses all requests or GIVE_UP_AFTER in a row got none.
        """
        key = request_sha256(request)
        path = self.cache / key[:2] / f"{key}.json"
        try:
            return _read(json.loads(path.read_text(encoding="utf-8"))["answer"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError, Unavailable):
            pass  # not there, or damaged: ask (again)
        for tried in range(self.retries + 1):
            if self._failed >= GIVE_UP_AFTER or self._ended.is_set():
                raise EndpointError(
                    f"{self.name}: {self._failed} requests in a row got no answer; what was "
                    f"answered is kept in {paths.relative(self.cache)}, so start again to go on")
            try:
                body = self.complete(request)
                answer = _read(body)
            except (Unavailable, Refused) as error:
                self._keep_failed(key, error)
                last = tried == self.retries or isinstance(error, Refused)
                with self._lock:
                    self._failed += last and getattr(error, "for_all", True)
                    if not self.asked and getattr(error, "for_all", False):
                        raise EndpointError(str(error)) from error
                if last:
                    raise
                pause = min(max(error.seconds or 0.0, self.wait * 2**tried), LONGEST_WAIT)
                (self.sleep or self._ended.wait)(pause * random.uniform(0.75, 1.25))
            else:
                write_text(path, json.dumps({"request": request, "answer": body,
                                             "received": _now()}, indent=2) + "\n")
                with self._lock:
                    self.asked, self._failed = self.asked + 1, 0
                return answer

    def _keep_failed(self, key: str, error: Unavailable | Refused) -> None:
        line = {"request_sha256": key, "reason": str(error), "body": error.body,
                "received": _now()}
        with self._lock:
            self.cache.mkdir(parents=True, exist_ok=True)
            with (self.cache / FAILED).open("ab") as file:
                file.write(_json(line) + b"\n")


def request_sha256(request: dict) -> str:
    """Hexadecimal sha256 of a request, whatever the order of its fields: its file's name."""
    return hashlib.sha256(_json(request)).hexdigest()


def text_of(answer: dict) -> str:
    """The text of a completion or chat completion; one without content has the text "".

    Content in parts is joined. Half of a surrogate pair, which no file can hold, becomes "?".
    Raises KeyError, IndexError, TypeError or AttributeError for anything else.
    """
    choice = answer["choices"][0]
    text = choice["message"].get("content") if "message" in choice else choice["text"]
    parts = text if isinstance(text, list) else [{"type": "text", "text": text or ""}]
    text = "".join(part["text"] for part in parts if part["type"] in ("text", "output_text"))
    return text.encode("utf-8", "replace").decode("utf-8")


def endpoint(url: str | None, token: str | None = None, seconds: float = SECONDS,
             max_bytes: int = MAX_BYTES, path: str = "chat/completions"
             ) -> Callable[[dict], str]:
    """What `Client` calls `complete`: one POST to an OpenAI-compatible endpoint.

    url: up to and without `path`; None: the hub's providers. token: of the endpoint; without
    one, none is sent: the hub's own token goes to the hub alone. seconds, max_bytes: of a
    try and of its answer, in all. Redirects are not followed. Raises `ValueError` for an
    address that is none, `EndpointError` for the hub where it is offline or not logged in.
    """
    import httpx2
    from huggingface_hub import constants, get_token

    if url is None:
        token = token or get_token()
        if constants.HF_HUB_OFFLINE or not token:
            raise EndpointError("the hub's providers need a network and a token, but "
                                + ("HF_HUB_OFFLINE is set" if token else "HF_TOKEN is not set")
                                + "; an endpoint of your own needs teacher_url")
    address = f"{(url or HUB).rstrip('/')}/{path}"
    if not address.startswith(("http://", "https://")):
        raise GivenError(f"the address {url!r} is refused: it must begin with http:// or "
                         "https://, for example http://127.0.0.1:8000/v1")
    headers = {"Authorization": f"Bearer {(token or 'none').strip()}",
               "Content-Type": "application/json", "Accept-Encoding": "identity"}
    tls = httpx2.create_ssl_context()

    async def post(content: bytes):
        body = bytearray()
        async with (asyncio.timeout(seconds), httpx2.AsyncClient(verify=tls, timeout=seconds)
                    as client, client.stream("POST", address, content=content, headers=headers)
                    as response):
            async for piece in response.aiter_raw():  # as sent, so that nothing can swell here
                body += piece
                if len(body) > max_bytes:
                    text = body[:max_bytes].decode("utf-8-sig", "backslashreplace")
                    raise Unavailable(f"the answer has more than {max_bytes} bytes", text)
        return response, body.decode("utf-8-sig", "backslashreplace")

    def complete(request: dict) -> str:
        try:
            response, body = asyncio.run(post(_json(request)))
        except Unavailable:
            raise
        except TimeoutError as error:
            raise Unavailable(f"no whole answer within {seconds:g} seconds") from error
        except Exception as error:  # broken connections, what is not HTTP: a library's affair
            raise Unavailable(f"{type(error).__name__}: {error}") from error
        status, asks = response.status_code, response.headers.get("retry-after")
        if status in TRY_AGAIN:
            raise Unavailable(f"status {status}", body, _seconds(asks))
        if status in REFUSED_FOR_ALL:
            place = f" to {response.headers['location']!r}" if "location" in response.headers \
                else ""
            raise Refused(f"{address} answers {status}{place} to model {request['model']!r}: "
                          f"{body[:200]}; check address, token and the model's name", body, True)
        if status != 200:
            raise Refused(f"status {status}: {body[:200]}", body)
        return body
    return complete


def _read(body: str) -> dict:
    """The mapping that a body holds; `Unavailable` where it is no completion."""
    try:
        answer = json.loads(body)
        text_of(answer)
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        raise Unavailable(f"the answer is no completion: {body[:120]!r}", body) from error
    return answer


def _json(value: dict) -> bytes:
    """One form of a request, in ASCII: half of a surrogate pair has an escape there."""
    return json.dumps(value, sort_keys=True).encode("ascii")


def _seconds(header: str | None) -> float | None:
    """What `Retry-After` asks for; None for none, a date, or what is no length of time."""
    try:
        seconds = float(header)
    except (TypeError, ValueError):
        return None
    return seconds if 0 <= seconds < math.inf else None


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
