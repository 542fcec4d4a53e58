"""What the solution's words say an operand is, and what the teacher makes of it."""
import json
from fractions import Fraction
from itertools import islice

import pytest

from nanoreason.data.gsm8k.attribution import Attribution, mention
from nanoreason.data import load_problems
from nanoreason.graph import dependency_graph
from nanoreason.data.gsm8k.teacher import gsm8k_trace, read_problem, readable_drafts
from nanoreason.data.gsm8k.solutions import Unteachable
from nanoreason.data.gsm8k.witness import NONE, candidates, meant, weigh, weights

MUGS = ("A club has 90 mugs. Each guest needs 5 mugs for the drinks. The club was able to serve 4 "
        "guests on the first evening of May, 5 guests on the second evening and 6 guests on the "
        "third evening. How many mugs went out on the first?")
HENS = "Bo has 6 hens in the yard and sells 6 eggs a day. A hen eats 2 cups of corn."


def problem(question, answer):
    return read_problem({"question": question, "answer": answer}, "p1", "gsm8k", "train", "")


def sources(question, answer):
    """(source, probability) of every operand, line after line."""
    drafts, graph = readable_drafts(problem(question, answer))
    return [[(one.source, one.probability) for one in line]
            for line in meant(drafts, graph, question)]


def features(question, answer, line, source):
    drafts, graph = readable_drafts(problem(question, answer))
    places = list(Attribution(drafts, graph, question).places())
    return [beside for k, _, _, beside in places if k == line][-1].features(source)


def test_the_words_after_a_number_say_what_it_counts():
    hens = sources(HENS, "6 hens * 2 cups = <<6*2=12>>12 cups\n#### 12")[0][0]
    eggs = sources(HENS, "6 eggs a day * 2 = <<6*2=12>>12 eggs\n#### 12")[0][0]
    assert hens[0] == ("given", 0) and eggs[0] == ("given", 1)
    assert min(hens[1], eggs[1]) > 0.6


def test_where_nothing_tells_the_teacher_does_not_guess():
    with pytest.raises(Unteachable) as caught:
        gsm8k_trace(problem(f"He has {' and '.join('7' * 9)}.", "7 + 7 = <<7+7=14>>14\n"
                            "14 + 7 = <<14+7=21>>21\n21 * 7 = <<21*7=147>>147\n#### 147"))
    assert caught.value.reason == "operand_in_doubt"
    assert "% likely" in caught.value.detail


def test_probabilities_are_of_the_sources_of_one_value():
    drafts, graph = readable_drafts(problem(MUGS, "4 guests * 5 mugs = <<4*5=20>>20\n#### 20"))
    found = {(line, operand): set(sources)
             for line, operand, sources in candidates(drafts, graph, MUGS)}
    assert found == {(1, 1): {("given", 2), NONE}, (1, 2): {("given", 1), ("given", 3), NONE}}
    lone = sources("She has 90 mugs and 4 guests.", "<<90/4=22.5>>22.5\n#### 22.5")[0]
    assert min(probability for _, probability in lone) > 0.9


def test_a_source_without_a_rival_is_likely_unless_the_unit_is_another():
    question = "For each row of peas there are 2 rows of corn, 15 in all. A plant has 3 pods."
    plain = sources(question, "15 rows / 3 pods = <<15/3=5>>5\n#### 5")[0][1]
    other = sources(question, "15 rows / 3 rows = <<15/3=5>>5\n#### 5")[0][1]
    assert other[1] < plain[1] and plain[1] > 0.9
    pods, rows = (features(question, f"15 rows / 3 {unit} = <<15/3=5>>5\n#### 5", 0, ("given", 2))
                  for unit in ("pods", "rows"))
    assert rows["given other unit"] == 1 and "given other unit" not in pods


def test_a_plan_names_what_the_rule_would_not_find():
    """The rule takes the guests for the mugs here; the solution and the plan say what it is."""
    made = gsm8k_trace(problem(MUGS, "4 guests * 5 mugs = <<4*5=20>>20\n#### 20"))
    assert made.plan == ("Multiply 4 by 5, using the 3rd given and the 2nd given.",)
    graph = dependency_graph(made, MUGS)
    assert set(graph.predecessors(("step", 1))) == {("given", 1), ("given", 2)}


def test_only_the_lines_that_need_it_name_their_sources():
    made = gsm8k_trace(problem(MUGS, "4 guests * 5 mugs = <<4*5=20>>20\n"
                                     "90 mugs - 20 mugs = <<90-20=70>>70\n#### 70"))
    assert [", using the " in line for line in made.plan] == [True, False]


def test_what_the_rule_itself_doubts_is_told_to_the_weights():
    question = "He drives 60 miles for 1200 minutes. How many hours is that?"
    drafts, graph = readable_drafts(problem(question, "<<1200/60=20>>20\n#### 20"))
    (_, _, first), (_, _, second) = candidates(drafts, graph, question)
    assert first["given", 1]["rule in doubt"] == 0
    assert second["given", 0]["rule in doubt"] == 1
    assert second[NONE] == {"none": 1.0, "none for a doubtful one": 1.0}


def test_a_plan_names_nothing_where_the_rule_finds_the_same():
    made = gsm8k_trace(problem("Ann has 8 pens and 3 caps.", "<<8+3=11>>11\n#### 11"))
    assert made.plan == ("Add 8 and 3.",)


def test_features_look_at_no_value():
    one = features(HENS, "6 hens * 2 cups = <<6*2=12>>12 cups\n#### 12", 0, ("given", 0))
    other = features(HENS.replace("6 hens", "9 hens"),
                     "9 hens * 2 cups = <<9*2=18>>18 cups\n#### 18", 0, ("given", 0))
    assert one == other and one["plain *"] == 1


def test_the_other_lines_of_a_running_sum_are_known():
    question = "Al has 4 pens, Bo has 4 caps and Cy has 4 mugs and 9 cups."
    whole = "4 + 4 + 4 + 9 = <<4+4+4+9=21>>21\n#### 21"
    drafts, graph = readable_drafts(problem(question, whole))
    attribution = Attribution(drafts, graph, question)
    taken = [{source for _, source in line} for line in attribution.operands]
    assert attribution.rest_of_sum(0) == taken[1] | taken[2]
    assert attribution.rest_of_sum(1) == taken[0] | taken[2]
    apart = "4 + 4 = <<4+4=8>>8\n8 + 4 = <<8+4=12>>12\n12 + 9 = <<12+9=21>>21\n#### 21"
    drafts, graph = readable_drafts(problem(question, apart))
    assert Attribution(drafts, graph, question).rest_of_sum(1) == set()


def test_a_mention_is_read_up_to_the_next_sign_or_number():
    found = mention("He buys 12 red pens for $3 + 12 caps from 4 shops", Fraction(12))
    assert found.units == {"red", "cap"} and found.words == {"red", "pen", "cap"}
    assert not found.money and mention("it costs $3 each", Fraction(3)).money
    assert mention("7 pens", Fraction(12)).words == frozenset()


@pytest.mark.parametrize("junk", ["9" * 5000, "7 pens " * 5000, "1,2,3,4." * 2000])
def test_a_line_full_of_junk_is_read(junk):
    made = gsm8k_trace(problem("Ann has 8 pens and 3 caps.",
                               f"{junk} 8 pens + 3 caps = <<8+3=11>>11\n#### 11"))
    assert made.execute == ("8 + 3 = 11",)


def test_every_weight_is_of_a_feature(gsm8k):
    seen = set()
    for one in islice(load_problems("gsm8k", gsm8k, "train"), 600):
        try:
            drafts, graph = readable_drafts(one)
        except Unteachable:
            continue
        for k, _, _, beside in Attribution(drafts, graph, one.question).places():
            for source in [("given", 0), *(("step", n) for n in range(1, k + 1))]:
                if source[0] == "step" or beside.whole.quoted:
                    seen |= set(beside.features(source))
        for _, _, found in candidates(drafts, graph, one.question):
            seen.update(*found.values())
    assert len(set(weights()) - seen) <= len(weights()) // 10
    assert weigh({"unit": 1.0, "no such feature": 9.0}, weights()) == weights()["unit"]


def test_the_file_of_weights_says_how_good_they_are():
    from nanoreason.data.gsm8k import witness
    text = witness.files("nanoreason").joinpath("assets/witness.json").read_text("utf-8")
    report = json.loads(text)
    alone, read = report["alone"], report["read"]
    assert alone["right"] > 3 * alone["chance"] and alone["held_out"] > 5_000
    assert read["right_by_rule"] < read["right"] < read["operands"]
