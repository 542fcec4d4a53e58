"""The teachers that are no rules: a model behind a server that misbehaves, and a file."""
from __future__ import annotations

import http.server
import json
import threading
import time
from collections import Counter
from dataclasses import replace

import faulty_server
import pytest
from huggingface_hub import constants

from nanoreason import paths
from nanoreason.arithmetic import read_equations
from nanoreason.data import filter_traces, teach
from nanoreason.data.problem import Problem, Rejection, make_record, write_traces
from nanoreason.data.procedural import problems
from nanoreason.data.teachers import LlmTeacher, RecordedTeacher, choose_teacher
from nanoreason.data.verify_lines import procedural_trace, with_rule_checks
from nanoreason.endpoint import FAILED, GIVE_UP_AFTER, Client, EndpointError, Unavailable, endpoint
from nanoreason.model.base import chat
from nanoreason.trace import Trace, render_trace

PROBLEMS = [replace(p, id=f"p{i}") for i, p in enumerate(problems("train", 12, 3))]
TEXT = {p.question: render_trace(procedural_trace(p)) for p in PROBLEMS}


def completion(text):
    return {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}


class Server(http.server.ThreadingHTTPServer):
    """Answers with the right trace, once `faults[problem's number]` are used up."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.faults, self.seen, self.running, self.most = {}, Counter(), 0, 0
        self.lock, self.tokens = threading.Lock(), set()
        self.delay, self.retry_after = 0.0, "0"
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = body["messages"][-1]["content"]
        question = next(q for q in TEXT if q in asked)
        number = next(i for i, p in enumerate(PROBLEMS) if p.question == question)
        server = self.server
        server.tokens.add(self.headers["Authorization"])
        with server.lock:
            server.seen[number] += 1
            server.running += 1
            server.most = max(server.most, server.running)
            fault = server.faults.get(number, [])
            fault = fault.pop(0) if fault else "right"
        time.sleep(server.delay)
        try:
            self.answer(fault, TEXT[question])
        except (BrokenPipeError, ConnectionResetError):
            pass  # the client has given up
        finally:
            with server.lock:
                server.running -= 1

    def answer(self, fault, text):
        if isinstance(fault, int):
            self.send(fault, b'{"error": "no"}',
                      **{"Retry-After": self.server.retry_after} if fault == 429 else {})
        elif fault == "slow":
            time.sleep(2)
            self.send(200, json.dumps(completion(text)).encode())
        elif fault == "cut off":
            whole = json.dumps(completion(text)).encode()
            self.send(200, whole[:len(whole) // 2], **{"Content-Length": str(len(whole))})
            self.close_connection = True
        elif fault in ("no json", "no completion"):
            self.send(200, b"<html>" if fault == "no json" else b'{"choices": []}')
        else:
            texts = {"right": text, "fenced": f"```text\n{text}\n```", "empty": "",
                     "wrong tags": text.replace("[PLAN]", "[PLANNING]"),
                     "wrong answer": text.rsplit(" ", 1)[0] + " 1234567",
                     "null": None}
            self.send(200, json.dumps(completion(texts[fault])).encode())

    def send(self, status, body, **headers):
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json",
                             "Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def server():
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def teacher(server, folder, max_tokens=2048, **changes):
    client = Client("m", endpoint(server.url, token="x", seconds=1.0), folder / "cache",
                    **{"wait": 0.01, "retries": 4, **changes})
    return LlmTeacher(client, max_tokens=max_tokens)


def fixed(body, folder, **changes):
    """A teacher that gets one answer for everything."""
    return LlmTeacher(Client("m", lambda request: body, folder), **changes)


def test_no_answer_stops_the_teacher_and_all_that_came_is_kept():
    """Each mode of failure of benchmarks/faulty_server.py, for one problem of three."""
    found = faulty_server.ask_all()
    # One that ran out of seconds because other processes had the machine is asked alone.
    found |= faulty_server.ask_all([mode for mode, row in found.items()
                                    if row["outcome"] != row["expected"]], workers=1)
    committed = json.loads((paths.CHECKOUT / "results/faulty-server.json").read_text())["modes"]
    assert list(committed) == list(found)
    assert f" {len(found)} ways " in (paths.CHECKOUT / "docs/data.md").read_text()
    for mode, row in found.items():
        assert row["outcome"] == row["expected"] and row["others_answered"], (mode, row)
        assert row["all_kept"], (mode, row)
        assert row["seconds"] < 60, (mode, row)  # without bounds: for ever


def codes(found):
    return [r.reason if isinstance(r, Rejection) else "trace" for r in found]


def test_a_server_that_misbehaves_loses_nothing_and_keeps_the_order(server, tmp_path):
    server.faults = {0: [429, 500, 503], 1: ["slow"], 2: ["cut off", "cut off"], 3: ["no json"],
                     4: ["wrong tags", "wrong tags"], 5: ["empty", "right"], 6: ["fenced"],
                     7: [400], 8: [500] * 50, 9: ["no completion"], 10: ["null", "null"],
                     11: ["wrong answer"]}
    broken = Rejection("", "not_json", "line 3", "{")
    asked = [*PROBLEMS[:6], broken, *PROBLEMS[6:]]
    found = list(teach(asked, teacher(server, tmp_path)))
    assert found[6] is broken and len(found) == 13
    del found[6]
    assert codes(found) == ["trace"] * 4 + ["llm/not_a_trace"] + ["trace"] * 2 + [
        "llm/refused", "llm/no_answer", "trace", "llm/empty", "trace"]
    for number in (0, 1, 2, 3, 5, 6, 9):
        assert found[number] == procedural_trace(PROBLEMS[number])
    assert [r.problem_id for r in found if isinstance(r, Rejection)] == ["p4", "p7", "p8", "p10"]
    assert "PLAN" in found[4].detail and "400" in found[7].detail and "500" in found[8].detail
    assert server.seen[0] == 4 and server.seen[8] == 5 and server.seen[5] == 2
    kept, rejected = filter_traces(zip(PROBLEMS, found))  # what it writes is not believed
    assert len(kept) == 7 and rejected[-1].reason == "mathematics/wrong_answer"


def test_a_stopped_run_goes_on_and_raw_answers_are_kept(server, tmp_path):
    first = teacher(server, tmp_path, parallel=1)
    some = first.teach(PROBLEMS)
    assert [next(some) for _ in range(3)] == [procedural_trace(p) for p in PROBLEMS[:3]]
    some.close()  # as where the notebook is interrupted
    asked = sum(server.seen.values())
    assert 3 <= asked <= 6 and first.client.asked == asked
    again = teacher(server, tmp_path)
    assert codes(again.teach(PROBLEMS)) == ["trace"] * 12
    assert sum(server.seen.values()) == 12 and again.client.asked == 12 - asked
    files = sorted((tmp_path / "cache").rglob("*.json"))
    content = json.loads(files[0].read_text())
    assert len(files) == 12 and set(content) == {"request", "answer", "received"}
    assert content["answer"] in {json.dumps(completion(text)) for text in TEXT.values()}
    files[0].write_text("{half")  # a damaged answer is asked for again
    files[1].write_text(json.dumps({"answer": '{"choices": []}'}))
    assert codes(teacher(server, tmp_path).teach(PROBLEMS)) == ["trace"] * 12
    assert sum(server.seen.values()) == 14
    other = teacher(server, tmp_path, max_tokens=99)  # another request, another answer
    assert codes(other.teach(PROBLEMS[:2])) == ["trace"] * 2 and other.client.asked == 2


def test_no_more_requests_than_allowed_run_at_one_time(server, tmp_path):
    server.delay, read = 0.5, []
    patient = teacher(server, tmp_path, parallel=3)
    found = patient.teach(read.append(p) or p for p in PROBLEMS)
    next(found)
    assert len(read) == 6  # a long source is not read ahead of what is asked
    assert codes(found) == ["trace"] * 11 and server.most == 3


def test_an_endpoint_that_refuses_or_fails_all_stops_the_run(server, tmp_path, monkeypatch):
    server.faults = {i: [401] * 9 for i in range(12)}
    with pytest.raises(EndpointError, match="401.*'m'"):
        list(teacher(server, tmp_path).teach(PROBLEMS))
    server.faults = {i: [500] * 99 for i in range(12)}
    with pytest.raises(EndpointError, match=f"{GIVE_UP_AFTER} requests in a row"):
        list(teacher(server, tmp_path, retries=1, parallel=1).teach(PROBLEMS))
    nobody = Client("m", endpoint("http://127.0.0.1:9/v1"), tmp_path, retries=0, wait=0.01)
    with pytest.raises(EndpointError, match="start again to go on"):
        list(LlmTeacher(nobody).teach(PROBLEMS))
    with pytest.raises(ValueError, match="'localhost:8000'.*must begin with http"):
        endpoint("localhost:8000")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # of the hub alone
    with pytest.raises(EndpointError, match="HF_HUB_OFFLINE"):
        endpoint(None, "hf_x")
    server.faults = {}
    assert codes(teacher(server, tmp_path).teach(PROBLEMS[:1])) == ["trace"]


def test_a_refusal_of_all_in_the_middle_is_one_problem_of_several(server, tmp_path):
    server.faults = {i: [401] for i in range(1, 12)}
    found = teacher(server, tmp_path, parallel=1).teach(PROBLEMS)
    assert codes(next(found) for _ in range(9)) == ["trace"] + ["llm/refused"] * 8
    with pytest.raises(EndpointError, match="8 requests in a row"):
        next(found)


def test_what_was_no_answer_is_kept_as_it_came(server, tmp_path):
    server.faults = {0: ["no completion", 500], 1: [400]}
    assert codes(teacher(server, tmp_path, parallel=1).teach(PROBLEMS[:2])) == [
        "trace", "llm/refused"]
    failed = [json.loads(line) for line in (tmp_path / "cache" / FAILED).open()]
    assert [line["body"] for line in failed] == ['{"choices": []}'] + ['{"error": "no"}'] * 2
    assert failed[0]["request_sha256"] == failed[1]["request_sha256"]


def test_an_interrupted_run_waits_for_no_further_try(server, tmp_path):
    server.faults = {i: [500] * 99 for i in range(1, 12)}
    found = teacher(server, tmp_path, wait=30.0).teach(PROBLEMS)
    next(found)
    while sum(server.seen.values()) < 4:
        time.sleep(0.01)
    start = time.monotonic()
    found.close()
    assert time.monotonic() - start < 5


def test_the_wait_that_a_server_asks_for_is_kept_and_bounded(tmp_path):
    waits = []

    def busy(request):
        raise Unavailable("busy", seconds=seconds)

    for seconds, expected in ((None, [1, 2, 4]), (7.0, [7, 7, 7]), (10**6, [60, 60, 60])):
        waits.clear()
        client = Client("m", busy, tmp_path, retries=3, sleep=waits.append)
        assert LlmTeacher(client).teach_one(PROBLEMS[0]).reason == "llm/no_answer"
        assert len(waits) == 3
        assert all(0.75 * e <= w <= 1.25 * e for w, e in zip(waits, expected)), waits


def test_the_header_of_a_busy_server_is_read(server, tmp_path):
    waits, server.faults = [], {0: [429, 500]}
    server.retry_after = "40"
    patient = teacher(server, tmp_path, sleep=waits.append)
    assert codes(patient.teach(PROBLEMS[:1])) == ["trace"]
    assert 30 <= waits[0] <= 50 and max(waits[1:]) < 1


def test_the_limits_of_a_notebook_hold_for_each_try(server, workspace):
    """A teacher as notebook 01 makes it: one answer too late, one too long, one in order."""
    for limits, faults, said in (((0.5, 9999), ["slow"], "no whole answer within 0.5 seconds"),
                                 ((9.0, 99), [], "the answer has more than 99 bytes"),
                                 ((9.0, 9999), [], None)):
        server.faults = {0: faults}
        asked = choose_teacher("llm", f"m{limits}", server.url, None, 1, None, *limits)
        asked.other.client.retries = 0
        found, = asked.other.teach(PROBLEMS[:1])
        assert getattr(found, "detail", None) == said


def test_the_hub_token_goes_to_no_other_server(server, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    for token, sent in ((None, "Bearer none"), ("mine", "Bearer mine")):
        server.tokens.clear()
        asked = LlmTeacher(Client("m", endpoint(server.url, token), tmp_path / sent))
        assert codes(asked.teach(PROBLEMS[:1])) == ["trace"] and server.tokens == {sent}


def test_checks_in_a_form_of_their_own_are_written_by_the_rules(tmp_path):
    right = procedural_trace(PROBLEMS[0])
    own = replace(right, checks=tuple(f"I have looked at line {k} twice."
                                      for k in range(1, len(right.plan) + 1)))
    prose = replace(own, execute=("So it follows.", *own.execute[1:]))
    words = replace(own, execute=tuple("So it follows." for _ in own.execute))
    ruled = with_rule_checks(prose, PROBLEMS[0].id)
    assert ruled.checks[0] == "no number to check, correct" and len(ruled.checks) == len(own.plan)
    for text, expected in ((own, right), (prose, ruled), (words, words)):
        asked = fixed(json.dumps(completion(render_trace(text))), tmp_path / expected.checks[0][:6])
        assert asked.teach_one(PROBLEMS[0]) == expected


def test_a_local_model_is_asked_in_the_same_way(tmp_path):
    asked = LlmTeacher(Client("nano", chat("nano"), tmp_path), attempts=2, max_tokens=24)
    found = list(asked.teach(PROBLEMS[:2]))
    # It was never shown the form: what counts is that its words arrive and are refused.
    assert codes(found) == ["llm/not_a_trace"] * 2 or "llm/empty" in codes(found)
    kept = [json.loads(f.read_text()) for f in sorted(tmp_path.rglob("*.json"))]
    assert asked.client.asked == len(kept) == 4 and {k["request"]["seed"] for k in kept} == {0, 1}
    texts = [json.loads(k["answer"])["choices"][0]["message"]["content"] for k in kept]
    assert any(texts)
    again = LlmTeacher(Client("nano", chat("nano"), tmp_path / "again"), 2, max_tokens=24)
    assert list(again.teach(PROBLEMS[:2]))[0].detail == found[0].detail  # greedy


@pytest.mark.parametrize("make", [Client, fixed])
def test_impossible_settings_are_refused(tmp_path, make):
    for name in ("parallel", "retries") if make is Client else ("attempts", "max_tokens"):
        arguments = ("m", dict) if make is Client else ("",)
        with pytest.raises(ValueError, match=name):
            make(*arguments, tmp_path, **{name: -1})


# --- recorded ---------------------------------------------------------------------------

def eight(problem, style="[{}]", **changes):
    """A record as the original study's files have them; all content is invented."""
    text, trace = TEXT[problem.question], procedural_trace(problem)
    for stage in ("UNDERSTAND", "PLAN", "EXECUTE", "VERIFY"):
        text = text.replace(f"[{stage}]", style.format(stage))
    if style.startswith("<"):
        parts = text.split("<")
        text = "<".join([parts[0], *(f"{p.rstrip()}\n</{p.split('>')[0]}>\n" for p in parts[1:])])
    return {"id": problem.id, "question": problem.question, "original_solution": "…",
            "cot_4steps": {"understand": "\n".join(trace.understand),
                           "plan": "\n".join(trace.plan), "execute": "\n".join(trace.execute),
                           "verify": "\n".join(trace.checks)},
            "model_prediction": problem.answer, "ground_truth": problem.answer,
            "is_correct": True, "full_response": text} | changes


def test_the_three_tag_styles_and_our_own_files_are_read(tmp_path):
    path = tmp_path / "old.jsonl"
    styles = ["[{}]", "#### {} ####", "<{}>"]
    path.write_text("\n".join(json.dumps(eight(p, s)) for p, s in zip(PROBLEMS, styles)))
    recorded = RecordedTeacher(path)
    assert recorded.counts["usable"] == 3
    assert list(teach(PROBLEMS[:3], recorded)) == [procedural_trace(p) for p in PROBLEMS[:3]]
    own = tmp_path / "own.jsonl"
    write_traces(own, [make_record(p, procedural_trace(p)) for p in PROBLEMS])
    assert all(isinstance(t, Trace) for t in teach(PROBLEMS, RecordedTeacher(own)))


def test_stages_alone_are_put_together_where_the_answer_was_right(tmp_path):
    path = tmp_path / "old.jsonl"
    records = [eight(PROBLEMS[0], full_response=""), eight(PROBLEMS[1], full_response="So 7."),
               eight(PROBLEMS[2], full_response="", is_correct=False),
               eight(PROBLEMS[3], cot_4steps=None, full_response="nothing"),
               eight(PROBLEMS[4], cot_4steps={"plan": "Think."}, full_response=None),
               eight(PROBLEMS[0]), {"id": "x"}, [1], eight(PROBLEMS[5], question=7)]
    path.write_text("\n".join(map(json.dumps, records)) + "\n{broken")
    recorded = RecordedTeacher(path)
    found = list(recorded.teach([*PROBLEMS[:6], Rejection("", "not_json", "line 1", "")]))
    assert found[:2] == [procedural_trace(p) for p in PROBLEMS[:2]]
    assert codes(found[2:]) == ["recorded/not_a_trace"] * 3 + ["recorded/missing", "not_json"]
    assert found[2].problem_id == "p2" and found[2].place == "old.jsonl line 3"
    counts = recorded.counts
    assert counts["read"] == 10 == sum(counts.values()) - counts["read"]
    assert counts["repeated"] == 1 and counts["recorded/no_question"] == 2


LAYOUTS = {  # PLAN, EXECUTE, VERIFY of `12 * 9 = 108, 108 - 30 = 78`
    "numbers": ("1. All.\n2. Less 30.", "1. 12 * 9 = 108\n2. 108 - 30 = 78", "fine"),
    "Step k": ("Step 1: All.\nStep 2: Less 30.",
               "Step 1: 12 * 9 = 108\nStep 2: 108 - 30 = 78\nResult: 78", "78 + 30 = 108"),
    "bold": ("**Step 1:** All.\n**Step 2:** Less 30.", "**Step 1:** 12 * 9 = 108\n"
             "**Step 2:** 108 - 30 = 78\n**Result:** 78 coins", "Let me verify: ✓\n\\boxed{78}"),
    "Bước k": ("Bước 1: Tính.\nBước 2: Trừ 30.",
               "Bước 1: 12 * 9 = 108\nBước 2: 108 - 30 = 78\nKết quả: 78", "Đúng. Đáp số: 78"),
    "bullets": ("- All.\n- Less 30.", "- 12 * 9 = 108\n- 108 - 30 = 78\n- Result: 78 coins.", "ok"),
    "bullets and Step k": ("- Step 1: All.\n- Step 2: Less 30.",
                           "- Step 1: 12 * 9 = 108 coins.\n- Step 2: 108 - 30 = 78", "* right"),
    "brackets": ("1) All.\n2) Less 30.", "(1) 12 * 9 = 108\n(2) 108 - 30 = 78", "fine"),
    "PLAN on one line": ("Step 1: all. Step 2: less 30.", "1. 12 * 9 = 108\n2. 108 - 30 = 78",
                         "Check: 78 + 30 = 108 ✓. Answer: 78."),
    "steps on one line": ("1. All. 2. Less 30.", "Step 1: 12 * 9 = 108 Step 2: 108 - 30 = 78 "
                          "Result: 78", "Fine. Verdict: correct. Answer: 78"),
    "lines": ("All.\nLess 30.", "12 * 9 = 108\n108 - 30 = 78", "78 + 30 = 108"),
    "steps of two lines": ("Step 1: All.\nStep 2: Less 30.",
                           "Step 1: Multiply.\n12 * 9 = 108\nStep 2: Take.\n108 - 30 = 78", "ok"),
}


def laid_out(name, **changes):
    plan, execute, verify = LAYOUTS[name]
    question = f"Leo saves 12 coins a week for 9 weeks and spends 30, {name}. How many has he?"
    return Problem(name, "own", "train", "en", question, "78"), {
        "id": name, "question": question, "original_solution": "", "cot_4steps": {
            "understand": "- Given: 12 coins, 9 weeks, 30 spent\n- Goal: coins left",
            "plan": plan, "execute": execute, "verify": verify},
        "model_prediction": "78", "ground_truth": "78", "is_correct": True,
        "full_response": ""} | changes


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_layouts_of_the_original_study_are_read(tmp_path, name):
    problem, record = laid_out(name)
    plan, execute, verify = LAYOUTS[name]
    text = (f"#### UNDERSTAND ####\n- Given: 12\n#### PLAN ####\n{plan}\n#### EXECUTE ####\n"
            f"{execute}\n#### VERIFY ####\n{verify}")
    whole = laid_out(name, cot_4steps=None, full_response=text)[1]
    for number, line in enumerate((record, whole)):
        path = tmp_path / f"{number}.jsonl"
        path.write_text(json.dumps(line))
        ((_, trace),), rejected = filter_traces(
            [(problem, *RecordedTeacher(path).teach([problem]))])
        values = [equation.right for step in trace.execute for equation in read_equations(step)]
        assert values == ["108", "78"] and trace.answer == trace.result == "78"
        assert len(trace.plan) == 2 and not any(step[:1] in "-*0123456789" for step in trace.plan)


def test_a_refusal_names_the_layout(tmp_path):
    problem, record = laid_out("Step k")
    record["cot_4steps"]["plan"] = "Multiply, then subtract."
    path = tmp_path / "old.jsonl"
    path.write_text(json.dumps(record))
    (found,) = RecordedTeacher(path).teach([problem])
    assert "UNDERSTAND bullets, PLAN one line, EXECUTE `Step k:` lines" in found.detail
