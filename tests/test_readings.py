"""A verdict on a trace that was read decides, and for that trace alone."""
import csv

import pytest

from nanoreason import paths
from nanoreason.data.gsm8k import readings
from nanoreason.graph import dependency_graph
from nanoreason.graph.builder import execute_graph, sources_of
from nanoreason.data.gsm8k.teacher import gsm8k_trace, read_problem
from nanoreason.data.gsm8k.readings import RIGHT, WRONG, fingerprint
from nanoreason.data.gsm8k.solutions import Unteachable

SEVENS = f"He has {' and '.join('7' * 9)}."
MUGS = ("A club has 90 mugs. Each guest needs 5 mugs for the drinks. The club was able to serve 4 "
        "guests on the first evening of May, 5 guests on the second evening and 6 guests on the "
        "third evening. How many mugs went out on the first?")
SERVED = "4 guests * 5 mugs = <<4*5=20>>20\n#### 20"
SOLUTION = "7 + 7 = <<7+7=14>>14\n14 + 7 = <<14+7=21>>21\n21 * 7 = <<21*7=147>>147\n#### 147"
LINES = ("7 + 7 = 14", "14 + 7 = 21", "21 * 7 = 147")


def made(question, answer):
    return gsm8k_trace(read_problem({"question": question, "answer": answer}, "p1", "gsm8k",
                                    "train", ""))


@pytest.fixture
def read(monkeypatch):
    """Makes the verdicts the only ones there are."""
    def put(*verdicts):
        table = {trace: dict(zip(("verdict", "line", "operand", "source"), (*found, "", "", "")))
                 for trace, *found in verdicts}
        monkeypatch.setattr(readings, "readings", lambda: table)
    return put


def ruled(question, lines):
    return sources_of(execute_graph(lines, question))


def test_a_trace_found_right_is_taught_however_unlikely(read):
    read()
    with pytest.raises(Unteachable, match="operand_in_doubt"):
        made(SEVENS, SOLUTION)
    sources = ruled(SEVENS, LINES)
    read((fingerprint(SEVENS, LINES, sources), RIGHT))
    assert made(SEVENS, SOLUTION).execute == LINES


def test_the_graph_s_own_sources_are_taught_if_these_were_found_right(read):
    """The solution's words speak for the 5 mugs, the rule takes the 5 guests."""
    lines = ("4 * 5 = 20",)
    sources = ruled(MUGS, lines)
    assert sources == [[("given", 2), ("given", 3)]]
    read((fingerprint(MUGS, lines, sources), RIGHT))
    assert made(MUGS, SERVED).plan == ("Multiply 4 by 5.",)


def test_a_trace_found_wrong_is_not_taught_however_likely(read):
    question, answer = "Ann has 8 pens and 3 caps.", "8 pens + 3 caps = <<8+3=11>>11\n#### 11"
    lines, sources = ("8 + 3 = 11",), [[("given", 0), ("given", 1)]]
    read((fingerprint(question, lines, sources), WRONG))
    with pytest.raises(Unteachable) as caught:
        made(question, answer)
    assert (caught.value.reason, caught.value.place) == ("read_and_wrong", "EXECUTE")
    read((fingerprint(question + " ", lines, sources), WRONG))
    assert made(question, answer).execute == lines


def test_a_reader_s_correction_counts_once_it_was_read_and_found_right(read):
    lines, ruled_ = ("5 * 4 = 20",), [[("given", 0), ("given", 1)]]
    question, answer = "Ann has 5 pens, 4 caps and 4 mugs.", "<<5*4=20>>20\n#### 20"
    mended = [[("given", 0), ("given", 2)]]
    wrong = fingerprint(question, lines, ruled_), WRONG, "1", "2", "q2"
    read(wrong)
    with pytest.raises(Unteachable, match="read_and_wrong"):
        made(question, answer)
    read(wrong, (fingerprint(question, lines, mended), RIGHT))
    trace = made(question, answer)
    assert trace.plan == ("Multiply 5 by 4, using the 1st given and the 3rd given.",)
    assert set(dependency_graph(trace, question).predecessors(("step", 1))) == set(mended[0])


@pytest.mark.parametrize("source", ["step", "q0", "q2"])
def test_what_a_reader_said_of_the_graph_s_sources_counts_for_the_likeliest_too(read, source):
    """The solution's words speak for the 5 mugs, q1; a reader says that it is something else."""
    read()
    assert ", using the " in made(MUGS, SERVED).plan[0]
    lines = ("4 * 5 = 20",)
    trace = fingerprint(MUGS, lines, ruled(MUGS, lines))
    read((trace, WRONG, "1", "2", source))
    with pytest.raises(Unteachable, match="read_and_wrong"):
        made(MUGS, SERVED)
    read((trace, WRONG, "1", "2", "q1"))
    assert ", using the " in made(MUGS, SERVED).plan[0]


def test_a_trace_found_wrong_is_not_taught_in_another_form(read):
    """With the equation in the text the factors stand the other way round."""
    question, answer = "Ann has 8 pens and 3 caps.", "so 3 * 8 = <<8*3=24>>24\n#### 24"
    read()
    assert made(question, answer).execute == ("8 * 3 = 24",)
    read((fingerprint(question, ("8 * 3 = 24",), [[("given", 0), ("given", 1)]]), WRONG))
    with pytest.raises(Unteachable, match="read_and_wrong"):
        made(question, answer)
    read((fingerprint(question, ("8 * 3 = 24",), [[("given", 0), ("given", 1)]]), WRONG),
         (fingerprint(question, ("3 * 8 = 24",), [[("given", 1), ("given", 0)]]), RIGHT))
    assert made(question, answer).execute == ("3 * 8 = 24",)


@pytest.mark.parametrize("source", ["step", "constant", "q1"])
def test_what_cannot_be_corrected_is_wrong(read, source):
    """A step that is left out, a constant that was not read, a correction that leads back."""
    lines, sources = ("5 * 4 = 20",), [[("given", 0), ("given", 1)]]
    question, answer = "Ann has 5 pens and 4 caps.", "<<5*4=20>>20\n#### 20"
    read((fingerprint(question, lines, sources), WRONG, "1", "2", source))
    with pytest.raises(Unteachable, match="read_and_wrong"):
        made(question, answer)


def test_a_fingerprint_is_of_question_lines_and_sources():
    lines, sources = ("8 + 3 = 11",), [[("given", 0), ("given", 1)]]
    one = fingerprint("q", lines, sources)
    assert one == fingerprint("q", list(lines), [tuple(nodes) for nodes in sources])
    others = {fingerprint("Q", lines, sources), fingerprint("q", ("3 + 8 = 11",), sources),
              fingerprint("q", lines, [[("given", 0), ("given", 2)]]),
              fingerprint("q", lines, [[("given", 0), ("step", 1)]])}
    assert one not in others and len(others) == 4


def test_the_table_is_whole_and_holds_no_text():
    rows = list(csv.DictReader((paths.ROOT / "nanoreason/assets/readings.csv").open()))
    assert len(rows) == len({row["trace"] for row in rows}) == len(readings.readings())
    for row in rows:
        assert 1 <= int(row["row"]) <= 7473
        assert len(row["trace"]) == readings.DIGITS and int(row["trace"], 16) >= 0
        assert row["verdict"] in (RIGHT, WRONG) and row["round"] in ("1", "2", "3")
        place = row["line"], row["operand"], row["source"]
        assert all(place) if any(place) else True
        assert not any(place) or row["verdict"] == WRONG
        source = row["source"]
        assert source in ("", "constant", "step") or (
            source[0] in "qr" and source[1:].isdigit())
