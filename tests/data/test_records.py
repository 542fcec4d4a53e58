"""Splits and prepared records: what is read is used or named, and twice the same."""
from __future__ import annotations

import gzip
import json

import pytest

from nanoreason.data import load_problems, teach
from nanoreason.data.errors import KINDS
from nanoreason.data.prepare import prepare
from nanoreason.data.problem import (Problem, RecordError, Rejection, read_traces,
                                     write_rejected, write_traces)
from nanoreason.data.procedural import hash_split
from nanoreason.figures.data_card import ambiguous_operands, clean_graphs
from nanoreason.trace import Trace, parse_trace


def record(number):
    """An invented record in GSM8K's socratic layout."""
    a, b, c = number + 20, number + 3, 4
    question = (f"A farm has {a} brown hens and {b} white hens. Each hen lays {c} eggs. "
                "How many eggs are there?")
    answer = (f"How many hens are there? ** There are {a}+{b}=<<{a}+{b}={a + b}>>{a + b} hens.\n"
              f"How many eggs are there? ** <<{a + b}*{c}={(a + b) * c}>>eggs\n"
              f"#### {(a + b) * c:,}")
    return {"question": question, "answer": answer}


def lines(numbers):
    return "".join(json.dumps(record(n)) + "\n" for n in numbers).encode()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "hens.jsonl"
    path.write_bytes(lines(range(60)))
    return path


def kinds(results):
    return [r.reason if isinstance(r, Rejection) else type(r) for r in results]


def test_a_file_is_read_the_same_gzipped_or_not_whatever_its_name(file, tmp_path):
    zipped = tmp_path / "train_socratic.jsonl"
    zipped.write_bytes(gzip.compress(file.read_bytes()))
    plain, packed = (list(load_problems("gsm8k", p, "train+dev")) for p in (file, zipped))
    assert plain == packed and len(plain) == 60
    assert plain == list(load_problems("gsm8k", tmp_path, "train+dev"))  # found in the folder
    assert [p.id for p in plain][:2] == ["gsm8k-train-1", "gsm8k-train-2"]
    assert all(p.source == "gsm8k" and p.language == "en" for p in plain)


def test_nothing_is_lost_when_lines_are_broken(tmp_path):
    path = tmp_path / "broken.jsonl"
    good = lines([1]).strip()
    path.write_bytes(b"\n".join([
        b"\xef\xbb\xbf" + good, b"{not json", b"[1, 2]", b'"text"', b"", b"\xff\xfe{}",
        b'{"answer": "#### 1"}', b'{"question": "How many?"}',
        b'{"question": "\\ud800?", "answer": "#### 1"}', b"[" * 100_000, b"1" * 5000, good]))
    found = list(load_problems("gsm8k", path, "test"))
    assert kinds(found) == [
        Problem, "not_json", "not_an_object", "not_an_object", "not_utf8", "no_question",
        "no_answer", "not_utf8", "not_json", "not_json", Problem]
    assert found[1].place == "broken.jsonl line 2" and "{not json" in found[1].detail
    results = list(teach(found))
    assert len(results) == len(found) and results[1] is found[1]
    assert isinstance(results[0], Trace)


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.95])
def test_a_gzip_file_that_breaks_off_gives_its_whole_lines_and_one_rejection(tmp_path, cut):
    path, text = tmp_path / "cut.jsonl.gz", lines(range(2000))
    packed = gzip.compress(text)
    path.write_bytes(packed[:int(len(packed) * cut)])
    found = list(load_problems("gsm8k", path, "test"))
    assert set(kinds(found[:-1])) == {Problem} and len(found) > 2000 * cut * 0.5
    assert found[-1].reason == "damaged_gzip" and "line" in found[-1].place


def test_a_gzip_file_with_a_flipped_byte_is_named_too(tmp_path):
    path, packed = tmp_path / "flip.jsonl.gz", bytearray(gzip.compress(lines(range(50))))
    packed[-6] ^= 255
    path.write_bytes(packed)
    found = list(load_problems("gsm8k", path, "test"))
    assert len(found) == 51 and found[-1].reason == "damaged_gzip"


def test_dev_is_one_in_twenty_of_train_whatever_the_spelling(tmp_path):
    path = tmp_path / "hens.jsonl"
    path.write_bytes(lines(range(1000)))
    parts = {s: list(load_problems("gsm8k", path, s)) for s in ("train", "dev", "train+dev")}
    ids = {split: {p.id for p in problems} for split, problems in parts.items()}
    assert ids["train"] | ids["dev"] == ids["train+dev"] and not ids["train"] & ids["dev"]
    assert 30 <= len(ids["dev"]) <= 75
    assert {p.split for p in parts["train"]} == {"train"}
    assert {p.split for p in parts["train+dev"]} == {"train", "dev"}
    for problem in parts["dev"]:
        spelling = "  " + problem.question.upper().replace(" ", "  ")
        assert hash_split(spelling) == "dev"
    assert len(list(load_problems("gsm8k", path, "test"))) == 1000


def test_any_file_of_questions_and_answers_is_a_source(tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps(record(1)) + '\n{"question": "2 + 2?", "answer": 4, "id": "q"}\n')
    first, second = load_problems(str(path), split="test")
    assert (first.source, first.id, second.id, second.answer) == ("mine", "mine-test-1", "q", "4")
    trace, none = teach([first, second])
    assert isinstance(trace, Trace) and none == Rejection("q", "no_steps", "solution", none.detail)


@pytest.mark.parametrize("call, error, words", [
    (dict(source="maths"), ValueError, "'maths' is unknown"),
    (dict(source="math", path="nowhere"), FileNotFoundError, "nowhere"),
    (dict(source="vnhsge", path="nowhere"), FileNotFoundError, "nowhere"),
    (dict(source="gsm8k", split="validation"), ValueError, "train"),
    (dict(source="procedural", split="train+dev"), ValueError, "test_ood"),
    (dict(source="procedural", path="x.jsonl"), ValueError, "x.jsonl"),
    (dict(source="gsm8k", path="nowhere.jsonl"), FileNotFoundError, "nowhere.jsonl"),
])
def test_what_cannot_be_read_is_refused_at_once(call, error, words):
    with pytest.raises(error, match=words):
        load_problems(**call)


def test_a_folder_without_the_files_and_an_unreachable_hub_say_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="train_socratic.jsonl.gz"):
        load_problems("gsm8k", tmp_path)
    with pytest.raises(FileNotFoundError, match="path="):  # the tests are offline, see conftest
        load_problems("gsm8k")


def test_only_known_teachers_teach():
    with pytest.raises(ValueError, match="'llm'"):
        teach([], "llm")


def test_procedural_problems_are_taught_in_order():
    found = list(load_problems("procedural", count=5, seed=3))
    assert [t.answer for t in teach(found)] == [p.answer for p in found]


def test_prepared_records_survive_the_file(tmp_path):
    records = prepare("procedural", total=12, seed=2)
    path = tmp_path / "deep" / "train.jsonl"
    assert write_traces(path, records) == write_traces(path, records) == 12
    assert write_traces(path, records[:1]) == 1
    assert [file.name for file in sorted(path.parent.glob(f"{path.name}*"))] == [
        path.name, f"{path.name}.1"]  # other traces are kept, the same ones are not kept twice
    path.with_name(f"{path.name}.1").replace(path)
    assert read_traces(path) == records
    again = prepare(str(path), total=5, seed=1)
    assert len(again) == 5 and all(r in records for r in again)


def test_half_of_the_records_hold_an_error_that_is_injected_and_named(file):
    report = {}
    records = prepare(str(file), error_share=0.5, seed=7, report=report)
    planted = [r for r in records if r["planted"]]
    assert report["kept"] == len(records) and report["read"] == report["kept"]
    assert len(planted) + report["no_kind_fits"] == round(len(records) / 2)
    assert report["no_kind_fits"] == 0 and sum(report["planted"].values()) == len(planted)
    assert set(report["planted"]) <= set(KINDS) and len(report["planted"]) >= 3
    for row in records:
        trace = parse_trace(row["trace"])
        assert trace.answer == row["answer"]
        assert trace.verdict == (row["planted"]["step"] if row["planted"] else None)
    assert prepare(str(file), error_share=0, seed=7)[0]["planted"] is None


def test_the_same_seed_gives_the_same_records_and_another_gives_others(file):
    for data in ("procedural", str(file)):
        one, two, other = (prepare(data, total=20, seed=s) for s in (1, 1, 2))
        assert one == two and one != other


def test_rejections_reach_the_report_and_rejected_jsonl(file, tmp_path):
    with file.open("ab") as out:
        out.write(b"{broken\n" + json.dumps(
            {"question": "How many of 3?", "answer": "Seven.\n#### 7"}).encode())
    report = {}
    records = prepare(str(file), split="train+dev", report=report)
    assert report["read"] == 62 and report["kept"] == len(records) == 60
    assert report["reasons"] == {"not_json": 1, "no_steps": 1}
    assert write_rejected(tmp_path / "rejected.jsonl", report["rejected"]) == 2
    rows = [json.loads(line) for line in (tmp_path / "rejected.jsonl").open()]
    assert {"id", "reason", "place", "detail"} == set(rows[0])


def test_traces_with_an_ambiguous_operand_are_counted_and_left_out_where_asked(file):
    """On one farm there are as many white hens as a hen lays eggs."""
    records = prepare(str(file), error_share=0, split="train+dev")
    assert ambiguous_operands(clean_graphs(records)) == {
        "operands": 2, "of": 240, "traces": 1, "of_traces": 60}
    for data, path in ((str(file), None), ("gsm8k", file)):  # alone, and as part of a mixture
        report = {}
        left = prepare(data, error_share=0, split="train+dev", path=path, total=60,
                       allow_fewer=True, drop_ambiguous=True, report=report)
        assert len(left) == 59 and report["reasons"] == {"consistency/ambiguous_operand": 1}
        assert ambiguous_operands(clean_graphs(left))["operands"] == 0


@pytest.mark.parametrize("change, words", [
    (lambda r: r.pop("answer"), "no field 'answer'"),
    (lambda r: r.update(trace="[PLAN]"), "UNDERSTAND: the stage is missing"),
    (lambda r: r.update(answer=7), "answer must be text, not 7"),
    (lambda r: r.update(planted={"step": 1}), "planted must be null"),
    (lambda r: r.update(planted={"step": 3, "kind": "x", "origin": "planted"}), "blames None"),
])
def test_a_broken_prepared_file_names_file_line_and_reason(tmp_path, change, words):
    records = prepare("procedural", total=2, error_share=0)
    change(records[1])
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in records))
    with pytest.raises(RecordError, match=f"train.jsonl line 2.*{words}"):
        read_traces(path)


def test_a_prepared_file_that_is_cut_off_is_not_read_in_part(tmp_path):
    path = tmp_path / "train.jsonl"
    write_traces(path, prepare("procedural", total=3))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RecordError, match="train.jsonl line 3"):
        read_traces(path)


@pytest.mark.parametrize("call", [
    dict(error_share=1.5), dict(error_share=-0.1), dict(total=0), dict(teacher="llm")])
def test_prepare_refuses_values_outside_their_range(call):
    with pytest.raises(ValueError, match=str(next(iter(call.values())))):
        prepare("procedural", **call)


def test_a_source_without_a_usable_record_is_an_error(tmp_path):
    path = tmp_path / "bare.jsonl"
    path.write_text('{"question": "2 + 2?", "answer": "4"}\n')
    with pytest.raises(ValueError, match="no_steps"):
        prepare(str(path), split="train+dev")
