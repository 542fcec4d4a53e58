"""Rows that a real server wrote: `transformers serve` on loopback, a folder for each name."""
from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from synthetic import new_run

from nanoreason import paths
from nanoreason.endpoint import Client, EndpointError, endpoint
from nanoreason.evaluation.generate import evaluate, generate_traces, natural_rows
from nanoreason.evaluation.server import TAG
from nanoreason.data import load_problems
from nanoreason.model.base import load_tokenizer, unpacked_base
from nanoreason.params import EvaluateParams, ParameterError
from nanoreason.runs import RunError, row_key
from nanoreason.training.resume import load_run

for needed in ("fastapi", "openai", "uvicorn"):
    pytest.importorskip(needed, reason="the lock has it")

DEAD = "http://127.0.0.1:9/v1"  # nothing listens there
# For model type qwen2 transformers puts another pre-tokenizer in the place of the one that
# tokenizer.json holds (findings/transformers-tokenizer-of-the-architecture.sh); `as_it_is`
# takes that one.
SERVE = """import sys
from transformers.cli.transformers import main
from transformers.models.auto import tokenization_auto
if sys.argv[2] == "as_it_is":
    tokenization_auto.TOKENIZER_MAPPING_NAMES["qwen2"] = "TokenizersBackend"
sys.argv = ["transformers", "serve", "--host", "127.0.0.1", "--port", sys.argv[1]]
main()"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """The base and the two adapters of the run of reference, a folder for each name."""
    place = tmp_path_factory.mktemp("served")
    (place / "home" / "hub").mkdir(parents=True)
    unpacked_base("nano", "nf4").save_pretrained(place / "base")
    load_tokenizer("nano").save_pretrained(place / "base")
    for name in ("reasoning", "verification"):
        shutil.copytree(place / "base", place / name)
        adapter = paths.CHECKOUT / "results" / "nano-reference" / "adapters" / name
        shutil.copy(adapter / "adapter_model.safetensors", place / name)
        config = json.loads((adapter / "adapter_config.json").read_text())
        config |= {"base_model_name_or_path": str(place / "base"), "revision": None}
        (place / name / "adapter_config.json").write_text(json.dumps(config))
    return place


@contextmanager
def serving(place, tokenizer):
    """A server of these folders in a process of its own; its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (place / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(port), tokenizer], cwd=place, stdout=log,
            stderr=log, env=os.environ | {"HF_HOME": str(place / "home"), "HF_HUB_OFFLINE": "1"})
    try:
        while process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.2)
        assert process.poll() is None, (place / "log").read_text()
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def url(folders):
    with serving(folders, "as_it_is") as found:
        yield found


@pytest.fixture
def trained():
    """The run of reference, to be routed as a test likes."""
    model, tokenizer, _ = load_run("nano-reference")
    return model, tokenizer


def rows_of(name, pair, **values):
    run = new_run(name)
    run.write_params({"base": "nano", "quantisation": "nf4"})
    params = EvaluateParams(**{"profile": "nano", "run": name, "n": 3, "splits": ("test",),
                               "interventions": 2, "max_new_tokens": 160, **values})
    return sorted(evaluate(params, *pair).read_generations(), key=row_key)


@pytest.mark.parametrize("routing", ["single", "reread"])
def test_a_server_writes_the_rows_of_the_own_decoder(routing, url, trained, workspace):
    trained[0].router.routing = routing
    base = routing == "single"
    own = rows_of("own", trained, baseline=base)
    asked = {"engine": "server", "server_url": url, "server_parallel": 4, "baseline": base}
    found = rows_of("served", trained, **asked)
    assert {row["setting"] for row in found} == {"natural", "injected", "clean", "intervened"}
    assert base or any("Answer:" in row["text"] for row in found if row["setting"] == "natural")
    for one, two in zip(own, found, strict=True):
        assert one | {"logprobs": None} == two | {"logprobs": None}
        if "logprobs" in one:
            assert one["logprobs"]["execute_min"] == pytest.approx(
                two["logprobs"]["execute_min"], abs=1e-4)
    # What was answered is kept: the same rows once more, and no server is needed for them.
    for folder in workspace.glob("build/runs/served*"):
        (folder / "generations.jsonl").unlink()
    assert rows_of("served", trained, **asked | {"server_url": DEAD}) == found


def leaves_off_the_tag(complete, says):
    """A server's answers as others give them: without the tag; says: why it stopped."""
    def changed(request):
        answer = json.loads(complete(request))
        choice = answer["choices"][0]
        ended = choice["text"].endswith(TAG) and request.get("stop") == [TAG]
        choice["text"] = choice["text"].removesuffix(TAG) if ended else choice["text"]
        return json.dumps(answer | {"choices": [choice | (
            {"stop_reason": TAG if ended else None} if says else {})]})
    return changed


@pytest.mark.parametrize("says", [True, False])
def test_a_tag_that_the_server_takes_off_is_found(says, url, trained, tmp_path):
    model, tokenizer = trained
    model.router.routing = "reread"
    rows = natural_rows(load_problems("procedural", None, "test", count=2, seed=0))
    client = Client("here", leaves_off_the_tag(endpoint(url, path="completions"), says), tmp_path)
    there = list(generate_traces(model, tokenizer, rows, 160, 10**6, client=client))
    own = {row["problem_id"]: row["text"]
           for row in generate_traces(model, tokenizer, rows, 160, 10**6)}
    assert {row["problem_id"]: row["text"] for row in there} == own
    assert all(TAG in text for text in own.values())
    assert client.asked == (4 if says else 6)
    # One token short of the tag: a text that is cut by its length is not gone on with.
    short = list(generate_traces(model, tokenizer, rows[:1], 20, 10**6, client=client))[0]
    assert TAG not in short["text"] and client.asked == (5 if says else 7)


def test_a_server_with_another_tokenizer_is_refused(folders, trained, workspace):
    trained[0].router.routing = "reread"
    with serving(folders, "of qwen2") as other, pytest.raises(
            EndpointError, match="reads a prompt as [0-9]+ tokens that training reads as"):
        rows_of("served", trained, n=1, settings="clean", engine="server", server_url=other,
                baseline=False)


def test_a_routing_that_no_server_can_do_is_refused(trained, workspace):
    trained[0].router.routing = "switch"
    with pytest.raises(RunError, match="routing='switch': its VERIFY goes on with keys and values "
                                       "of another adapter.*Train with routing=reread"):
        rows_of("served", trained, engine="server", server_url=DEAD)


@pytest.mark.parametrize("values", [{"engine": "server"}, {"server_url": DEAD}, {
    "engine": "server", "server_url": DEAD, "prompted": True}])
def test_a_server_needs_an_address_and_an_address_a_server(values):
    with pytest.raises(ParameterError, match="engine='server' needs server_url"):
        EvaluateParams(profile="nano", **values)
