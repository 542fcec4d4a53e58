#!/usr/bin/env bash
# huggingface_hub's InferenceClient and an endpoint that redirects, or that is slow.
#
# Versions: Python 3.11, huggingface_hub 2.4.0 (with httpx2 2.16.2).
# Expected of a client for one endpoint: a redirect of POST to another host is not followed,
#   and `timeout=1` ends a call after about a second.
# Seen: a 307 to another origin is followed and the whole prompt is sent there (the token is
#   not); `timeout` holds for each piece of the answer, so a body that drips takes as long as
#   it likes. Neither can be set on a client: the session is one for the whole process.
# Exits 0 while this is so, with another status where it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet huggingface_hub==2.4.0 httpx2==2.16.2
"$folder/env/bin/python" - <<'PYTHON'
import json, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from huggingface_hub import InferenceClient

ANSWER = json.dumps({"id": "1", "object": "chat.completion", "created": 1, "model": "m",
                     "choices": [{"index": 0, "finish_reason": "stop",
                                  "message": {"role": "assistant", "content": "yes"}}],
                     "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}})
arrived = []

class Other(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        arrived.append((self.headers.get("Authorization"), json.loads(body)))
        self.answer(ANSWER.encode())
    def answer(self, body, drip=0.0):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        for start in range(0, len(body), 50 if drip else len(body)):
            self.wfile.write(body[start:start + (50 if drip else len(body))])
            time.sleep(drip)
    def log_message(self, *arguments):
        pass

class First(Other):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.startswith("/slow"):
            return self.answer(ANSWER.encode(), drip=0.6)
        self.send_response(307)
        self.send_header("Location", f"http://127.0.0.1:{other.server_address[1]}/v1")
        self.send_header("Content-Length", "0")
        self.end_headers()

first, other = (ThreadingHTTPServer(("127.0.0.1", 0), kind) for kind in (First, Other))
for server in (first, other):
    threading.Thread(target=server.serve_forever, daemon=True).start()
address = f"http://127.0.0.1:{first.server_address[1]}"
ask = lambda path: InferenceClient(base_url=address + path, token="secret", timeout=1).chat_completion(
    [{"role": "user", "content": "the prompt"}], model="m").choices[0].message.content

assert ask("/v1") == "yes"
token, body = arrived[0]
print("redirected: the other host got", body["messages"], "and the token", token)
start = time.monotonic()
assert ask("/slow") == "yes"
seconds = time.monotonic() - start
print(f"slow: timeout=1, answered after {seconds:.1f} s")
assert body["messages"][0]["content"] == "the prompt" and token is None and seconds > 2
PYTHON
