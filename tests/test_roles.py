"""Equal quantities are told apart by wording; what is hardly meant is named as doubtful."""
import pytest

from nanoreason.graph.builder import execute_graph
from nanoreason.graph.phrases import content_words, wordings
from nanoreason.graph.roles import DOUBT, Place, Roles


def sources(question, *lines):
    """Where the operands of each line come from, `q2` for the question's third quantity."""
    graph = execute_graph(lines, question)
    return [tuple({"given": "q", "step": "s", "constant": "c", "unknown": "?"}[node[0]]
                  + str(node[1]) for _, node in graph.nodes["step", number]["operands"])
            for number in range(1, len(lines) + 1)]


def doubtful(question, *lines):
    return execute_graph(lines, question).graph["doubtful"]


@pytest.mark.parametrize("question, roles", [
    ("half of it, a third of it, 3/4 of it", ["share", "share", "share"]),
    ("20% of it, 50 percent more", ["percent", "percent"]),
    ("twice as many, 3 times as many, 3 times a day", ["times", "times", "plain"]),
    ("5 more than, 4 fewer hens, 3 years older", ["more", "more", "more"]),
    ("2 hens at $3, 50 cents", ["plain", "plain", "plain"]),
])
def test_the_role_of_a_quantity_is_read_from_its_words(question, roles):
    assert [wording.role for wording in wordings(question)] == roles


def test_money_units_and_repeated_numbers_are_read():
    found = wordings("Ann buys 3 buckets for $4 each and 2 dollars more; the 2 of them wait.")
    assert [wording.money for wording in found] == [False, True, True, False]
    assert [wording.again for wording in found] == [False, False, False, True]
    assert found[0].unit == "bucket" and "buy" in found[0].words
    assert content_words("The cities of the buses") == ["city", "bus"]


@pytest.mark.parametrize("question, lines, expected", [
    # A share divides and a multiple multiplies, whatever stands in front of them.
    ("Ann has 2 red pens and 10 blue pens. Half of the blue pens are old, and Bo has twice as "
     "many blue pens as she.", ["10 / 2 = 5", "10 * 2 = 20"], [("q1", "q2"), ("q1", "q3")]),
    # A difference is taken away, a count is not.
    ("The 2 pools hold 40 litres; one loses 2 litres less than the other's 9.",
     ["9 - 2 = 7"], [("q4", "q3")]),
    # Words in common, and neighbours.
    ("Pens come in packs of 5 and caps in packs of 3. Ann buys 4 packs of caps, Bo buys 4 packs "
     "of pens.", ["4 * 5 = 20", "4 * 3 = 12"], [("q3", "q0"), ("q2", "q1")]),
    # A per cent sign means a percentage, a difference is hardly multiplied by.
    ("Bo lifts 300 pounds over 20 meters; straps give another 20%.",
     ["300 * 20% = 60"], [("q0", "q2")]),
    ("Zoe was 6 years old and double the age of Lu. Now, 20 years later, Lu's uncle is 2 years "
     "older than she.", ["6 / 2 = 3"], [("q0", "q1")]),
    # Money is multiplied by a number of things, not by money.
    ("Apples cost $6 and pears $3. Bo buys 6 pears.", ["3 * 6 = 18"], [("q1", "q2")]),
    # What divides is a half rather than a double; the group is no number of trips.
    ("A park has 100 lions and half as many apes; Bo's park has double the lions of the park.",
     ["100 / 2 = 50"], [("q0", "q1")]),
    ("How much do the three of them carry in 3 trips with 22 litres a trip?",
     ["22 * 3 = 66"], [("q2", "q1")]),
    # `3 times` and `20%` are no amounts to be added where a result is one.
    ("Bo has 1 pen and 3 times as many caps.", ["1 * 3 = 3", "3 - 1 = 2", "2 + 3 = 5"],
     [("q0", "q1"), ("s1", "q0"), ("s2", "s1")]),
    # A third divides; where it multiplies, a solution reasons backwards.
    ("Two families adopt dogs and three adopt cats. The vet gives a third of the fees to a home. "
     "It takes $15 for a dog and $13 for a cat.", ["3 * 13 = 39"], [("q1", "q4")]),
    ("Of 100 coins 20% are new, 5 are old.", ["100 * 20% = 20", "20 + 5 = 25", "25 + 20 = 45"],
     [("q0", "q1"), ("s1", "q2"), ("s2", "s1")]),
    ("Ann spent 60% of it, then $20; $40 are left.", ["20 + 40 = 60", "60 + 20 = 80", "100 - 60 = 40"],
     [("q1", "q2"), ("s1", "q1"), ("c100", "q0")]),
    # The 2 of two dozen is multiplied by 12, and the one of a fourth by anything.
    ("She has 2 dozen shells, he has twice as many.", ["2 * 12 = 24", "24 * 2 = 48"],
     [("q0", "c12"), ("s1", "q1")]),
    ("One fourth of 20 pens and a fourth of 8.", ["20 * 1 = 20", "20 / 4 = 5", "8 * 1 = 8"],
     [("q1", "q0"), ("s1", "q0"), ("q3", "q0")]),
    # Two multiples hardly multiply, and the two numbers of two thirds go together.
    ("She saw 3 owls and four times as many crows, and three times as many gulls as owls.",
     ["3 * 4 = 12", "3 + 12 = 15"], [("q0", "q1"), ("q0", "s1")]),
    ("She gave two thirds of 36 socks away and bought 3 new socks.",
     ["36 * 2 = 72", "72 / 3 = 24"], [("q1", "q0"), ("s1", "q0")]),
    ("Three fifths of 35 lamps are old; a third of the hall's lamps, 10, are too.",
     ["35 / 5 = 7", "7 * 3 = 21", "10 * 3 = 30"], [("q1", "q0"), ("s1", "q0"), ("q3", "q2")]),
    # Of the whole is not of the rest.
    ("They ate a fourth of the 16 slices; Bo ate a fourth of the remaining slices.",
     ["16 / 4 = 4", "16 - 4 = 12", "12 / 4 = 3"],
     [("q1", "q0"), ("q1", "s1"), ("s2", "q2")]),
    # What a share was taken of is what it is taken from.
    ("A hat costs $50, a coat costs $50. The coat is 20% off.",
     ["50 * 20% = 10", "50 - 10 = 40"], [("q1", "q2"), ("q1", "s1")]),
    # Written with a per cent sign, it is the percentage.
    ("Ann has 20 coins. Bo has 50 coins. 20% of them are new.", ["50 * 20% = 10"],
     [("q1", "q2")]),
])
def test_of_equal_quantities_the_one_that_fits_is_taken(question, lines, expected):
    assert sources(question, *lines) == expected


def test_the_order_of_operands_does_not_change_their_sources():
    question = "Pens come in packs of 5 and caps in packs of 3. Bo buys 4 packs of pens and 4 caps."
    assert sources(question, "4 * 5 = 20") == [tuple(reversed(sources(question, "5 * 4 = 20")[0]))]


@pytest.mark.parametrize("question, lines, found", [
    ("Ann pays $3 for each of the pens, $8 in all.", ["8 * 3 = 24"], ["line 1 operand 2"]),
    ("He walks 9 miles, half of them on 2 days and shares the rest equally.",
     ["9 / 2 = 4.5", "4.5 / 2 = 2.25"], []),
    ("He walks half of 9 miles and shares the rest equally.",
     ["9 / 2 = 4.5", "4.5 / 2 = 2.25"], ["line 2 operand 2"]),
    ("Three dogs run.", ["3 * 3 = 9"], ["line 1 operand 2"]),
    ("Three dogs run in a square.", ["3 * 3 = 9"], []),
    ("Half of the 8 dogs run.", ["8 + 2 = 10"], ["line 1 operand 2"]),
    ("2/3 of the 9 dogs run.", ["9 * 2 = 18", "18 / 3 = 6"], []),
    # The 60 of minutes that become hours, not that of the letters.
    ("She has 60 letters and reads each for 8 minutes. How many hours is that?",
     ["60 * 8 = 480", "480 / 60 = 8"], ["line 2 operand 2"]),
    # Nor the 12 inches of snow where inches become feet.
    ("It snows 6 inches and as much again, then 12 more. How many feet?",
     ["6 + 6 = 12", "12 + 12 = 24", "24 / 12 = 2"], ["line 3 operand 2"]),
    ("She reads for 480 minutes, 60 minutes a book.", ["480 / 60 = 8"], []),
    # The second 24 is the second page's or once more the difference.
    ("Page one has 12 ads, page two twice as many, page three 24 more than page two.",
     ["12 * 2 = 24", "24 + 24 = 48", "48 + 24 = 72"], ["line 3 operand 2"]),
    # Points a dollar, times dollars, are points.
    ("She gets 50 points per $10 and a 250 point bonus. She spends $120.",
     ["50 / 10 = 5", "120 * 5 = 600", "600 + 250 = 850"], []),
])
def test_a_quantity_of_another_kind_is_doubtful(question, lines, found):
    assert doubtful(question, *lines) == found


def test_a_share_that_was_taken_is_not_undone():
    roles = Roles("Half of the 8 dogs run.")
    half, of, times = ("given", 0), Place(8, "/", False), Place(2, "*", True)
    before = roles.misfit(half, times, [], [])
    assert roles.misfit(half, Place(2, "/", True), [], []) < -1 < 1 < before
    roles.learn(("step", 1), [of, Place(2, "/", True)], [("given", 1), half])
    assert before < 2 < DOUBT < roles.misfit(half, times, [], [])


@pytest.mark.parametrize("lines, source", [
    (["20 - 2 = 18"], ("given", 2)),  # the 2 miles
    (["20 * 2 = 40", "40 - 9 = 31"], ("given", 2)),
    (["20 * 2 = 40", "40 / 3 = 13.3333"], ("given", 0)),  # two thirds, in two steps
])
def test_the_two_of_two_thirds_stands_beside_its_three(lines, source):
    question = "He adds 2/3 of a mile until he runs 20 miles. He has run 2 miles, she ran 9."
    graph = execute_graph(lines, question)
    assert graph.nodes["step", 1]["operands"][1][1] == source
