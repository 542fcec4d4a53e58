"""MATH, VNHSGE and GSM8K in their own layouts, with the oddities that are known of them.

All records are invented; only their shape is that of the data sets.
"""
from __future__ import annotations

import functools
import gzip
import http.server
import json
import os
import subprocess
import sys
import threading

import pytest
from huggingface_hub import close_session, constants

from nanoreason.arithmetic.answers import boxed_answer
from nanoreason.data import load_problems, sources
from nanoreason.data.problem import Problem, Rejection
from timing import grows_linearly


def kinds(found):
    return [r.reason if isinstance(r, Rejection) else type(r) for r in found]


# --- MATH -------------------------------------------------------------------------------

@pytest.mark.parametrize("solution, answer", [
    (r"So it is $\boxed{7}$.", "7"),
    (r"First \boxed{1}, then $\boxed{\frac{1}{2}}$.", r"\frac{1}{2}"),
    (r"\fbox{12}", "12"),
    (r"$\boxed{\left\{ x : \sqrt{x} > \frac{3}{\sqrt{2}} \right\}}$",
     r"\left\{ x : \sqrt{x} > \frac{3}{\sqrt{2}} \right\}"),
    (r"$\boxed{\{1, 2\}}$ in all", r"\{1, 2\}"),
    (r"which gives $\boxed 2$.", "2"),
    (r"which gives $\boxed 25$ marbles", "25"),
    (r"which gives \[\boxed -3.\]", "-3"),
    (r"$\boxed{ 4 }$ \boxed{5", "4"),  # the last one never closes
    (r"$\boxed{}$", ""),
    (r"$\boxed{x = \boxed{5}}$", "5"),
    (r"no box, only \boxedminus{3}", None),
    ("", None),
])
def test_the_answer_is_what_the_last_box_holds(solution, answer):
    assert boxed_answer(solution) == answer


@pytest.mark.parametrize("unit", [r"\boxed{", "{", "\\"])
def test_endless_boxes_are_read_in_linear_time(unit):
    def read(size):
        assert boxed_answer(r"\boxed{" + (unit * size)[:size]) in (None, "")

    assert grows_linearly(read)


def math_record(number=1, **changes):
    return {"problem": f"What is ${number} + 1$?", "level": "Level 3", "type": "Algebra",
            "solution": rf"Adding one gives $\boxed{{{number + 1}}}$."} | changes


def write_tree(folder, records):
    for place, record in records.items():
        path = folder / f"{place}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(record if isinstance(record, str) else json.dumps(record))


def test_the_math_tree_is_read_in_order_and_nothing_is_lost(tmp_path):
    write_tree(tmp_path, {
        "train/algebra/10": math_record(10), "train/algebra/2": math_record(2, level=None),
        "train/geometry/1": math_record(3, problem="See [asy] draw((0,0)); [/asy]. Area?"),
        "train/geometry/2": math_record(4, solution=r"Nothing: $\boxed{}$"),
        "train/geometry/3": math_record(5, solution="No box at all."),
        "train/geometry/4": "{broken", "train/geometry/5": "[1]",
        "train/geometry/6": math_record(6, problem="  "),
        "train/geometry/7": math_record(7, solution=None),
        "test/algebra/1": math_record(2)})
    found = list(load_problems("math", tmp_path, "train+dev"))
    assert kinds(found) == [Problem] * 3 + ["empty_box", "no_final_answer", "not_json",
                                            "not_an_object", "no_question", "no_answer"]
    assert [p.id for p in found[:3]] == [
        "math-train-algebra-2", "math-train-algebra-10", "math-train-geometry-1"]
    assert [p.answer for p in found[:3]] == ["3", "11", "4"]
    assert found[5].place == "train/geometry/4.json"
    (test,) = load_problems("math", tmp_path, "test")
    assert test.id == "math-test-algebra-1" and test.split == "test"


def test_math_comes_from_json_lines_too(tmp_path):
    path = tmp_path / "math.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(
        json.dumps(math_record(n)) for n in range(3)).encode()))
    found = list(load_problems("math", path, "test"))
    assert [p.answer for p in found] == ["1", "2", "3"] and found[0].id == "math-test-1"


# --- VNHSGE -----------------------------------------------------------------------------

def exam_record(number=1, **changes):
    return {"ID": f"MET_Math_IE_2019_{number}", "Image_Question": "",
            "Question": f"Cho hàm số y = {number}x. Tính y tại x = 2.\nA. {number}.\n"
                        f"B. {2 * number}.\nC. 0.\nD. 1,5.",
            "Choice": "B", "Image_Answer": "", "Explanation": "Ta có y = 2."} | changes


def write_exams(folder, year, records):
    (folder / f"MET_Math_IE_{year}.json").write_text(
        "\ufeff" + json.dumps(records, ensure_ascii=False), encoding="utf-8")


def test_exams_are_read_year_by_year_and_2023_is_the_test(tmp_path):
    for year in range(2019, 2024):
        write_exams(tmp_path, year, [exam_record(n, ID=f"{year}-{n}") for n in (1, 2)])
    found = list(load_problems("vnhsge", tmp_path, "train+dev"))
    assert [p.id for p in found][:3] == ["vnhsge-2019-1", "vnhsge-2019-2", "vnhsge-2020-1"]
    assert len(found) == 8 and {p.language for p in found} == {"vi"}
    assert found[0].answer == "B"
    assert [p.id for p in load_problems("vnhsge", tmp_path, "test")] == [
        "vnhsge-2023-1", "vnhsge-2023-2"]
    (tmp_path / "MET_Math_IE_2021.json").unlink()
    with pytest.raises(FileNotFoundError, match="MET_Math_IE_2021.json"):
        load_problems("vnhsge", tmp_path, "train")


def test_what_an_exam_lacks_is_named(tmp_path):
    path = tmp_path / "MET_Math_IE_2023.json"
    records = [exam_record(1, Question="Đồ thị như hình vẽ bên là của hàm số nào?"),
               exam_record(2, Choice="E"), exam_record(3, Choice=" b. "),
               exam_record(4, Question=""), exam_record(5, Choice=None), "text",
               exam_record(7, Image_Question=None, ID=None), exam_record(3),
               exam_record(9, Question="Tính 1 + 1?")]
    path.write_text(json.dumps(records))
    found = list(load_problems("vnhsge", path, "test"))
    assert kinds(found) == ["needs_image", "no_answer", Problem, "no_question", "no_answer",
                            "not_an_object", Problem, "duplicate_id", Problem]
    assert found[2].answer == "B" and found[6].id == "vnhsge-MET_Math_IE_2023-7"
    assert found[1].place.endswith("2023.json record 2")
    path.write_text(json.dumps(records)[:-5])
    (broken,) = load_problems("vnhsge", path, "test")
    assert broken.reason == "not_json" and broken.place == path.name


@pytest.mark.parametrize("question, figure", [
    ("Hàm số có đồ thị như hình vẽ bên nghịch biến trên khoảng nào?", True),
    ("Diện tích phần gạch trong hình bên bằng bao nhiêu?", True),
    ("Quan sát hình dưới. Giá trị lớn nhất là", True),
    ("Hàm số có bảng biến thiên như sau: x: 0 2; f(x): 1 5. Giá trị cực đại bằng", False),
    ("Thể tích của hình chóp có diện tích đáy 3 và chiều cao 4 bằng", False),
    ("Đồ thị của hàm số y = x + 2 cắt trục tung tại điểm nào?", False),
])
def test_a_question_is_asked_of_a_figure_where_its_words_say_so(tmp_path, question, figure):
    path = tmp_path / "exam.jsonl"
    path.write_text("\n".join(json.dumps(exam_record(n, Question=question, Image_Question=image))
                              for n, image in enumerate(("", "image1.png"))))
    assert kinds(load_problems("vnhsge", path, "test")) == 2 * (
        ["needs_image"] if figure else [Problem])


# --- all of them ------------------------------------------------------------------------

def test_a_question_of_ten_megabytes_is_refused_and_an_id_counts_once(tmp_path):
    path = tmp_path / "mine.jsonl"
    record = {"question": "How many?", "answer": "4", "id": "q"}
    endless = record | {"question": "12 apples and " * 700_000, "id": "long"}
    path.write_text("\n".join(map(json.dumps, [record, endless, record, record | {"id": "r"}])))
    found = list(load_problems(str(path), split="test"))
    assert kinds(found) == [Problem, "question_too_long", "duplicate_id", Problem]
    assert "9,800,000" in found[1].detail and found[2].place == "mine.jsonl line 3"
    assert all(len(r.detail) < 300 for r in found[1:3])


@pytest.fixture
def exam_server(tmp_path):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    close_session()


def test_published_exams_are_fetched_at_the_revision(workspace, exam_server, monkeypatch):
    monkeypatch.setattr(sources, "VNHSGE_FILES", exam_server + "/{revision}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # loopback
    close_session()  # the open one may be of offline mode
    (workspace / "v1").mkdir()
    write_exams(workspace / "v1", 2023, [exam_record(1, ID=None), exam_record(2)])
    found = list(load_problems("vnhsge", split="test", revision="v1"))
    assert [p.id for p in found] == ["vnhsge-MET_Math_IE_2023-1", "vnhsge-MET_Math_IE_2019_2"]
    assert found[0].details["revision"].startswith("v1, sha256 ")
    with pytest.raises(FileNotFoundError, match="as -p data_path, from Python as path="):
        load_problems("vnhsge", split="train", revision="v1")  # 2019 is not there


def test_what_lies_in_the_cache_of_datasets_is_read_without_the_hub(tmp_path):
    """In a process of its own, because datasets reads its folders when it is imported."""
    script = """
import json, os, shutil, sys
home, commit = sys.argv[1], "b" * 40
import datasets
from nanoreason.data import load_problems
rows = [{"question": f"Ola has {n} cups and buys 3. How many?",
         "answer": f"How many? ** {n}+3=<<{n}+3={n+3}>>{n+3} cups\\n#### {n+3}"}
        for n in range(5, 40)]
folder = f"{home}/datasets/openai___gsm8k/socratic/0.0.0/{commit}"
os.makedirs(folder)
for split in ("train", "test"):
    datasets.Dataset.from_list(rows).save_to_disk(f"{home}/{split}")
    arrow = next(f for f in os.listdir(f"{home}/{split}") if f.endswith(".arrow"))
    shutil.copy(f"{home}/{split}/{arrow}", f"{folder}/gsm8k-{split}.arrow")
text = {"dtype": "string", "_type": "Value"}
json.dump({"builder_name": "parquet", "config_name": "socratic", "dataset_name": "gsm8k",
           "features": {"question": text, "answer": text},
           "version": {"version_str": "0.0.0", "major": 0, "minor": 0, "patch": 0},
           "splits": {s: {"name": s, "num_bytes": 1, "num_examples": len(rows),
                          "dataset_name": "gsm8k"} for s in ("train", "test")}},
          open(folder + "/dataset_info.json", "w"))
for source in ("gsm8k", f"gsm8k@{commit}"):
    found = list(load_problems(source, split="test"))
    print(len(found), found[0].source, found[0].details["revision"] == commit)
try:
    load_problems(f"gsm8k@{'c' * 40}", split="test")
except FileNotFoundError as error:
    print("refused" if "c" * 40 in str(error) and commit in str(error) else error)
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], text=True,
                          env=os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"},
                          capture_output=True)
    assert done.stdout.splitlines()[-3:] == ["35 gsm8k True", "35 gsm8k True", "refused"], \
        done.stdout + done.stderr
