"""An endpoint that misbehaves in every way of the table MODES, for the teacher's client.

    python benchmarks/faulty_server.py [FILE]

Three problems are asked in each mode; the second one's answers misbehave. The others must be
answered, within the bounds of time and size, and everything that came must be kept. Writes
results/faulty-server.json: of each mode what was expected, what came of it, and seconds.
The server stands on loopback and speaks bytes, since no library would send most of these.
"""
from __future__ import annotations

import contextlib
import json
import socketserver
import struct
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from socket import SO_LINGER, SOL_SOCKET

from result import write_result

from nanoreason import paths
from nanoreason.data.teachers import LlmTeacher
from nanoreason.data.problem import Rejection
from nanoreason.data.procedural import problems
from nanoreason.data.verify_lines import procedural_trace
from nanoreason.endpoint import FAILED, Client, endpoint
from nanoreason.trace import render_trace

SECONDS, MAX_BYTES = 3.0, 2**20  # of a try
RETRIES = 1
PROBLEMS = list(problems("train", 3, 3))
TEXTS = [render_trace(procedural_trace(problem)) for problem in PROBLEMS]
JSON = {"Content-Type": "application/json"}


def http(body: bytes | str = b"", status: int | str = 200, headers: dict = JSON,
         length: bool = True) -> bytes:
    """An answer's bytes."""
    body = body.encode() if isinstance(body, str) else body
    headers = headers | ({"Content-Length": len(body)} if length else {"Connection": "close"})
    lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def chat(content, **others) -> str:
    """The body of a chat completion."""
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}],
                       **others})


def chunked(*pieces: bytes) -> bytes:
    """The bytes of an answer in chunks, with its end."""
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (*pieces, b""))
    return http(headers=JSON | {"Transfer-Encoding": "chunked"}, length=False) + body


def dripping(data: bytes, seconds: float, size: int = 1):
    """The bytes one by one (or so many at a time), with a pause before each."""
    for start in range(0, len(data), size):
        time.sleep(seconds)
        yield data[start:start + size]


def endless(start: bytes, piece: bytes, megabytes: int | None = None):
    """`start`, and then pieces without end (or so many megabytes of them)."""
    yield start
    for _ in iter(int, 1) if megabytes is None else range(megabytes * 2**20 // len(piece)):
        yield piece


def with_content(content: str):
    return lambda text: http(chat(content.replace("TEXT", text)))


def body(content: bytes | str, **others):
    return lambda text: http(content, **others)


def status(number: int, **headers: str):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda text: http('{"error": "no"}', number, JSON | names)


REDIRECT = "http://127.0.0.1:1/elsewhere"
LONG = {"Transfer-Encoding": "chunked"} | JSON
MEGABYTE = b"100000\r\n" + b" " * 2**20 + b"\r\n"
# Name: (what answers, as a function of the right text; how often, None for always; outcome).
MODES = {
    # answers in forms of their own
    "plain": (with_content("TEXT"), None, "trace"),
    "parts": (lambda t: http(chat([{"type": "text", "text": t[:9]},
                                   {"type": "text", "text": t[9:]}])), None, "trace"),
    "parts with reasoning": (lambda t: http(chat(
        [{"type": "reasoning", "text": "Hm."}, {"type": "text", "text": t}])), None, "trace"),
    "thinking before": (with_content("<think>\n[PLAN]\nHm.\n</think>\n\nTEXT"), None, "trace"),
    "end of thinking alone": (with_content("Hm.\n</think>TEXT"), None, "trace"),
    "code fence": (with_content("```text\nTEXT\n```"), None, "trace"),
    "plain completion": (lambda t: http(json.dumps({"choices": [{"text": t}]})), None, "trace"),
    "not a number": (lambda t: http(chat(t, score=float("nan"))), None, "trace"),
    "infinity": (lambda t: http(chat(t, score=float("inf"))), None, "trace"),
    "half a surrogate pair": (lambda t: http(chat(t.replace("Given: ", "Given: \ud83d "))),
                              None, "trace"),
    "half a pair elsewhere": (lambda t: http(chat(t, id="\udc00")), None, "trace"),
    "byte order mark": (lambda t: http(b"\xef\xbb\xbf" + chat(t).encode()), None, "trace"),
    "in chunks": (lambda t: chunked(chat(t).encode()[:50], chat(t).encode()[50:]), None, "trace"),
    "no length": (lambda t: http(chat(t), length=False), None, "trace"),
    "information first": (lambda t: b"HTTP/1.1 103 X\r\n\r\n" + http(chat(t)), None, "trace"),
    "header in Latin-1": (lambda t: http(chat(t), headers=JSON | {"X-Name": "Zoë"}),
                          None, "trace"),
    "slow, in time": (lambda t: dripping(http(chat(t)), 0.005, 20), None, "trace"),
    # failures that pass
    "500 once": (status(500), 1, "trace"),
    "529 once": (status(529), 1, "trace"),
    "wait: a word": (status(429, Retry_After="soon"), 1, "trace"),
    "wait: nan": (status(429, Retry_After="nan"), 1, "trace"),
    "wait: inf": (status(429, Retry_After="inf"), 1, "trace"),
    "wait: below 0": (status(503, Retry_After="-5"), 1, "trace"),
    "wait: 1e400": (status(503, Retry_After="1e400"), 1, "trace"),
    "wait: a date": (status(429, Retry_After="Fri, 27 Nov 2026 12:00:00 GMT"), 1, "trace"),
    "cut off once": (lambda t: http(chat(t))[:-40], 1, "trace"),
    "reset once": (lambda t: None, 1, "trace"),
    "silent once": (lambda t: dripping(b".", 2 * SECONDS), 1, "trace"),
    # failures that stay
    "500": (status(500), None, "llm/no_answer"),
    "closed at once": (lambda t: b"", None, "llm/no_answer"),
    "reset": (lambda t: None, None, "llm/no_answer"),
    "silent": (lambda t: dripping(b".", 2 * SECONDS), None, "llm/no_answer"),
    "body drips": (lambda t: dripping(http(chat(t)), 0.01), None, "llm/no_answer"),
    "headers drip": (lambda t: dripping(b"HTTP/1.1 200 OK\r\nX-Name: " + b"a" * 999, 0.01),
                     None, "llm/no_answer"),
    "information for ever": (lambda t: endless(b"", b"HTTP/1.1 103 X\r\n\r\n"), None,
                             "llm/no_answer"),
    "100 MB": (lambda t: endless(http(headers=JSON | {"Content-Length": 100 * 2**20},
                                      length=False), b" " * 2**16, 100), None, "llm/no_answer"),
    "endless body": (lambda t: endless(http(headers=LONG, length=False), MEGABYTE), None,
                     "llm/no_answer"),
    "endless header": (lambda t: endless(b"HTTP/1.1 200 OK\r\nX-Name: ", b"a" * 2**16), None,
                       "llm/no_answer"),
    "many headers": (lambda t: http(chat(t), headers={f"X-{k}": "a" * 99 for k in range(5000)}),
                     None, "llm/no_answer"),
    "compressed unasked": (lambda t: http(b"\x1f\x8b" + bytes(99),
                                          headers=JSON | {"Content-Encoding": "gzip"}),
                           None, "llm/no_answer"),
    "no HTTP": (lambda t: b"SSH-2.0-OpenSSH_9.2\r\n", None, "llm/no_answer"),
    "no status": (lambda t: b"HTTP/1.1 many OK\r\n\r\n", None, "llm/no_answer"),
    "length: a word": (lambda t: http(chat(t), headers={"Content-Length": "long"}, length=False),
                       None, "llm/no_answer"),
    "length too large": (lambda t: http(chat(t), headers={"Content-Length": 9999}, length=False),
                         None, "llm/no_answer"),
    "chunk of no size": (lambda t: http("zz\r\n", headers=LONG, length=False), None,
                         "llm/no_answer"),
    "chunks without end": (lambda t: chunked(chat(t).encode())[:-5], None, "llm/no_answer"),
    "empty body": (body(""), None, "llm/no_answer"),
    "a page": (body("<html>Log in</html>", headers={"Content-Type": "text/html"}), None,
               "llm/no_answer"),
    "null": (body("null"), None, "llm/no_answer"),
    "a list": (body("[1]"), None, "llm/no_answer"),
    "an error in status 200": (body('{"error": {"message": "full"}}'), None, "llm/no_answer"),
    "no choice": (body('{"choices": []}'), None, "llm/no_answer"),
    "choices null": (body('{"choices": null}'), None, "llm/no_answer"),
    "choices by name": (body('{"choices": {"a": 1}}'), None, "llm/no_answer"),
    "message is text": (body('{"choices": [{"message": "hello"}]}'), None, "llm/no_answer"),
    "content is a number": (body(chat(7)), None, "llm/no_answer"),
    "parts without text": (body(chat([{"type": "text"}])), None, "llm/no_answer"),
    "4,301 digits": (lambda t: http(chat(t)[:-1] + ', "created": ' + "9" * 4301 + "}"), None,
                     "llm/no_answer"),
    "deep JSON": (body("[" * 100_000 + "]" * 100_000), None, "llm/no_answer"),
    "no UTF-8": (lambda t: http(chat("\xa0").encode("latin-1") + b"\xff"), None, "llm/no_answer"),
    "UTF-16": (lambda t: http(chat(t).encode("utf-16")), None, "llm/no_answer"),
    "a stream of events": (lambda t: http(f"data: {chat(t)}\n\ndata: [DONE]\n\n"), None,
                           "llm/no_answer"),
    # refusals
    "400": (status(400), None, "llm/refused"),
    "413": (status(413), None, "llm/refused"),
    "422": (status(422), None, "llm/refused"),
    "204": (lambda t: b"HTTP/1.1 204 X\r\n\r\n", None, "llm/refused"),
    "418 without a body": (body("", status=418), None, "llm/refused"),
    "401 in the middle": (status(401), None, "llm/refused"),
    "404 in the middle": (status(404), None, "llm/refused"),
    "redirect of the request": (status(307, Location=REDIRECT), None, "llm/refused"),
    "redirect for good": (status(308, Location=REDIRECT), None, "llm/refused"),
    "redirect to a page": (status(302, Location="/login"), None, "llm/refused"),
    "redirect to nowhere": (status(301), None, "llm/refused"),
    # answers that are no traces
    "no content": (body(chat(None)), None, "llm/empty"),
    "blank": (body(chat(" \n ")), None, "llm/empty"),
    "no parts": (body(chat([])), None, "llm/empty"),
    "a call of a tool": (body('{"choices": [{"message": {"tool_calls": []}}]}'), None,
                         "llm/empty"),
    "thinking that ends the text": (with_content("<think>TEXT</think>"), None, "llm/empty"),
    "thinking without an end": (with_content("<think>TEXT"), None, "llm/not_a_trace"),
    "prose": (body(chat("The answer is 7.")), None, "llm/not_a_trace"),
    "other tags": (lambda t: http(chat(t.replace("[PLAN]", "[PLANNING]"))), None,
                   "llm/not_a_trace"),
    "the text twice": (with_content("TEXT\nTEXT"), None, "llm/not_a_trace"),
    "cut by max_tokens": (lambda t: http(chat(t[:len(t) // 2])), None, "llm/not_a_trace"),
    "a step of 5,000 digits": (lambda t: http(chat(t.replace(
        "Verdict: correct", f"Verdict: step {'9' * 5000} is wrong"))), None, "llm/not_a_trace"),
    "half a megabyte of text": (body(chat("1 + 1 = 2\n" * 50_000)), None, "llm/too_long"),
}


class Server(socketserver.ThreadingTCPServer):
    """Answers `/<number of a mode>/…`; seen counts requests by mode and problem."""

    daemon_threads, allow_reuse_address, request_queue_size = True, True, 128

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: Counter[tuple[str, int]] = Counter()
        self.address = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self, mode: str) -> str:
        return f"{self.address}/{list(MODES).index(mode)}/v1"


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        path = self.rfile.readline().split()[1].decode()
        length = 0
        for line in iter(self.rfile.readline, b"\r\n"):
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        asked = json.loads(self.rfile.read(length))["messages"][-1]["content"]
        number = next(k for k, problem in enumerate(PROBLEMS) if problem.question in asked)
        mode = list(MODES)[int(path.split("/")[1])]
        answer, times, _ = MODES[mode]
        self.server.seen[mode, number] += 1
        faulty = number == 1 and (times is None or self.server.seen[mode, number] <= times)
        data = answer(TEXTS[number]) if faulty else http(chat(TEXTS[number]))
        if data is None:  # the connection is reset
            self.request.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
            return
        with contextlib.suppress(OSError):  # the client has given up
            for piece in [data] if isinstance(data, bytes) else data:
                self.wfile.write(piece)


def ask(server: Server, mode: str, folder: Path) -> dict:
    """What came of the three problems in one mode, and what was kept."""
    client = Client("m", endpoint(server.url(mode), "x", SECONDS, MAX_BYTES), folder,
                    parallel=1, retries=RETRIES, wait=0.01)
    start = time.perf_counter()
    found = list(LlmTeacher(client, attempts=1).teach(PROBLEMS))
    outcomes = [made.reason if isinstance(made, Rejection) else "trace" for made in found]
    failed = folder / FAILED
    kept = [*folder.glob("*/*.json"), *(failed.read_text().splitlines() if failed.exists() else ())]
    requests = sum(server.seen[mode, number] for number in range(len(PROBLEMS)))
    return {"expected": MODES[mode][2], "outcome": outcomes[1],
            "others_answered": outcomes[::2] == ["trace", "trace"],
            "requests": requests, "all_kept": len(kept) == requests,
            "seconds": round(time.perf_counter() - start, 2)}


def ask_all(modes=tuple(MODES), workers: int = 16) -> dict[str, dict]:
    """`ask` in each mode, several at one time; by mode."""
    with tempfile.TemporaryDirectory() as folder, Server() as server, \
            ThreadPoolExecutor(workers) as pool:
        work = {mode: pool.submit(ask, server, mode, Path(folder, str(k)))
                for k, mode in enumerate(modes)}
        found = {mode: made.result() for mode, made in work.items()}
        server.shutdown()
    return found


def main(arguments: list[str]) -> int:
    found = ask_all()
    wrong = [mode for mode, row in found.items() if row["outcome"] != row["expected"]
             or not row["others_answered"] or not row["all_kept"]]
    path = Path(arguments[0]) if arguments else paths.RESULTS / "faulty-server.json"
    path = write_result(path, {"seconds_of_a_try": SECONDS, "max_bytes": MAX_BYTES,
                               "retries": RETRIES, "modes": found})
    print(f"{len(found)} modes, {len(found) - len(wrong)} as expected; longest "
          f"{max(row['seconds'] for row in found.values())} s: {paths.relative(path)}")
    print(*(f"not as expected: {mode}: {found[mode]}" for mode in wrong), sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
