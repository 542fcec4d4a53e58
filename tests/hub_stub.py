"""A stand-in for the hub's API on this machine: it keeps what is pushed and what is validated."""
from __future__ import annotations

import base64
import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@contextmanager
def hub():
    """Yields (its address, {path: content} as pushed, the cards to be validated)."""
    files, stored, cards = {}, {}, []

    class Handler(BaseHTTPRequestHandler):
        def answer(self, value, status=200):
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def body(self):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def do_PUT(self):
            stored[self.path.rsplit("/", 1)[-1]] = self.body()
            self.answer({})

        def do_GET(self):
            self.answer({"id": "me/it", "sha": "0" * 40, "siblings": [], "tags": []})

        def do_POST(self):
            body, address = self.body(), f"http://{self.headers['Host']}"
            if self.path.endswith("/validate-yaml"):
                cards.append(json.loads(body))
                self.answer({"errors": [], "warnings": []})
            elif "/preupload/" in self.path:
                self.answer({"files": [{
                    "path": one["path"], "shouldIgnore": False, "oid": None,
                    "uploadMode": "lfs" if one["path"].endswith(".safetensors") else "regular"}
                    for one in json.loads(body)["files"]]})
            elif self.path.endswith("/objects/batch"):
                self.answer({"transfer": "basic", "objects": [
                    one | {"actions": {"upload": {"href": f"{address}/stored/{one['oid']}"}}}
                    for one in json.loads(body)["objects"]]})
            elif "/commit/" in self.path:
                for line in map(json.loads, body.splitlines()):
                    value = line["value"]
                    if line["key"] == "file":
                        files[value["path"]] = base64.b64decode(value["content"])
                    if line["key"] == "lfsFile":
                        files[value["path"]] = stored[value["oid"]]
                self.answer({"commitUrl": f"{address}/me/it/commit/{'0' * 40}",
                             "commitOid": "0" * 40, "success": True})
            else:
                self.answer({"url": f"{address}/me/it", "id": "me/it", "name": "me/it"})

        def log_message(self, *told):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", files, cards
    finally:
        server.shutdown()
        server.server_close()
