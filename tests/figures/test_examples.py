"""The page of examples: every case counted, drawn by seed, and nothing of a row unescaped."""
import json
import re
from fractions import Fraction
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import make_rows, make_run

from nanoreason.figures.graph_plot import number_label
from nanoreason.figures.trace_view import CASES, describe, examples_page, write_examples
from nanoreason.evaluation.rows import compact_row, read_row
from nanoreason.evaluation.summary import count_cells
from nanoreason.solution import Solution
from nanoreason.stages import SPLITS

EVIL = ('<script>alert(1)</script>"><img src=x onerror=\'f()\'>&lt;b&gt; </svg></div> '
        "javascript:x \x00\x1b[31m\u202e\ud800 \u2028 ]]>")
TEXT = EVIL.replace("\ud800", "")  # half of a surrogate pair makes a row no row
ELEMENTS = {"html", "head", "meta", "title", "body", "h1", "h2", "h3", "p", "div", "span"}
ATTRIBUTES = {"lang", "charset", "http-equiv", "content", "style", "name"}


class Page(HTMLParser):
    """The elements, attributes and texts of a page."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.attributes, self.texts, self.open = set(), [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.elements.add(tag)
        self.attributes += attributes
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.add(tag)
        self.attributes += attributes

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def assert_safe(page):
    found = Page(page)
    assert found.elements <= ELEMENTS, found.elements - ELEMENTS
    assert {name for name, _ in found.attributes} <= ATTRIBUTES
    assert not found.open
    assert not any(re.search(r"url|expression|import|javascript|[<>\\@]", value)
                   for name, value in found.attributes if name == "style")
    assert not any(ord(c) < 0x20 and c not in "\n\t" or c in "\x7f\u2028\u202e" or
                   0xD800 <= ord(c) < 0xE000 for c in page)
    page.encode("utf-8")
    assert "<script" not in page.lower() and "<img" not in page.lower()
    return found


@pytest.fixture(scope="module")
def rows():
    return make_rows(12)


def spoilt(row, evil=TEXT):
    """The row with hostile text in every field that may hold text."""
    lines = row["text"].split("\n")
    planted = row["planted"] and row["planted"] | {"kind": evil}
    return row | {"problem_id": evil + row["problem_id"], "split": evil,
                  "question": evil + row["question"], "gold": evil,
                  "text": "\n".join(line + evil for line in lines), "planted": planted,
                  "teachers": [evil], "other": evil}


def test_nothing_of_a_hostile_row_comes_out_unescaped(rows):
    bad = [spoilt(row, evil) | more for row in rows
           for evil, more in ((TEXT, {}), (EVIL, {}), (TEXT, {"sample": TEXT}))]
    bad += [row | {"question": TEXT, "text": f"[EXECUTE]\n1. 1 + 1 = 2 {TEXT}\nResult: 2\n{TEXT}"}
            for row in rows[:4]]
    bad += [{"setting": EVIL, "problem_id": EVIL}, {"setting": "natural", "gold": None}]
    found = assert_safe(examples_page(bad, EVIL, each=3))
    text = "".join(found.texts)
    assert text.count("<script>alert(1)</script>") > 30  # it is there to read
    assert "␀␛[31m⟨U+202E⟩⟨U+D800⟩ ⟨U+2028⟩" in text


def test_nothing_of_a_hostile_solution_comes_out_unescaped(tmp_path):
    one = Solution(EVIL, f"[EXECUTE]\n1. 1 + 1 = 3 {EVIL}\n[VERIFY]\nAnswer: {EVIL}", None, EVIL,
                   (("no_trace", {"what": EVIL}),))
    found = assert_safe(one.save(tmp_path / "x.html").read_text(encoding="utf-8"))
    assert "".join(found.texts).count("<script>alert(1)</script>") == 6


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.text(max_size=60), st.text(alphabet="<>&\"'\x00\n[]EXCUT1+=2 ", max_size=60))
def test_no_text_breaks_the_page(name, text):
    row = {"problem_id": name, "sample": 0, "setting": "natural", "question": text, "gold": "2",
           "teachers": [], "planted": None, "text": f"[EXECUTE]\n1. 1 + 1 = 2{text}\nResult: 2"}
    assert_safe(examples_page([row], name))


def test_every_case_is_counted_and_shown_with_marks(rows):
    page = examples_page(rows, "synthetic")
    found = assert_safe(page)
    natural = [r for r in rows if r["setting"] == "natural" and r["split"] == "test"]
    counts = {(c["a1_right"], c["verdict_error"], c["a2_right"]): c["count"]
              for c in count_cells(natural)}
    part = page.split("<h2>")[1]
    assert part.startswith("test: the model's own traces (n=12)")
    assert len(counts) == len(set(map(lambda c: describe(*c), CASES))) == 8
    for cell, count in counts.items():
        assert f"<h3>{describe(*cell)}: {count} of 12</h3>" in part
        shown = part.split(f"<h3>{describe(*cell)}")[1].split("<h3>")[0]
        assert len(re.findall("[^>]*, natural</div>", shown)) == min(count, 1)
    assert [h.split(" (n")[0] for h in re.findall("<h2>(.*?)</h2>", page)] == [
        "test: the model's own traces", "test: EXECUTE given, injected errors and clean",
        *(f"{split}: the model's own traces" for split in SPLITS[1:])]
    assert {"✓", "✗"} <= set("".join(found.texts))


def test_what_is_shown_stands_in_its_case_and_the_seed_draws_it(rows):
    natural = [r for r in rows if r["setting"] == "natural" and r["split"] == "test"]
    page = examples_page(natural, "synthetic", each=2)
    cases = {describe(*cell): cell for cell in CASES}
    for part in page.split("<h3>")[1:]:
        cell = cases[part.split(":")[0]]
        for row in natural:
            if f"{row['problem_id']}, natural" in part:
                reading = read_row(row)
                assert (reading.first, reading.error, reading.second) == cell
    assert examples_page(natural, "synthetic", each=2) == page
    assert examples_page(natural[::-1], "synthetic", each=2) == page
    assert any(examples_page(natural, "synthetic", seed=s, each=2) != page for s in (1, 2, 3))


@pytest.mark.parametrize("n, smoke", [(49, True), (50, False)])
def test_a_page_of_few_traces_says_so_and_leaves_out_what_is_no_row(workspace, rows, n, smoke):
    run, natural = make_run(n=4), next(row for row in rows if row["setting"] == "natural")
    with run.path("generations.jsonl").open("w", encoding="utf-8") as file:
        for sample in range(n):
            file.write(json.dumps(natural | {"sample": sample}) + "\n")
        file.write('{"no": "row"}\n<script>\n')
        file.write(json.dumps(rows[0] | {"gold": "", "problem_id": "without"}) + "\n")
    page = write_examples(run).read_text(encoding="utf-8")
    text = "".join(assert_safe(page).texts)
    assert ("SMOKE run" in text) is smoke
    assert f"(n={n})" in text and "without" not in page


def test_rows_without_text_are_counted_and_not_shown(rows):
    natural = [r for r in rows if r["setting"] == "natural" and r["split"] == "test"]
    page = examples_page([compact_row(row) for row in natural], "real")
    assert "[EXECUTE]" not in page
    for cell in count_cells(natural):
        name = describe(cell["a1_right"], cell["verdict_error"], cell["a2_right"])
        assert f"<h3>{name}: {cell['count']} of 12</h3>" in page


@pytest.mark.parametrize("value, label", [
    ("24", "24"), ("-3", "-3"), ("1/3", "0.3333"), ("123456789012", "1.235e+11"),
    ("1/123456789012", "8.100e-12"), ("0", "0"), ("-" + "9" * 1200, "-1.000e+1200")])
def test_numbers_of_any_size_fit_a_node(value, label):
    assert number_label(Fraction(value)) == label
