"""A question's own words become the lines of UNDERSTAND and PLAN."""
from nanoreason.data.gsm8k.wording import asking_part, given_labels, imperative
from nanoreason.graph.quantities import quantities


def test_questions_become_orders():
    for asked, told in (
            ("How many clips did Mia sell in May?", "Find how many clips Mia sold in May."),
            ("How much does she carry?", "Find how much she carries."),
            ("How many hens are there?", "Find how many hens there are."),
            ("How many hens are left?", "Find how many hens are left."),
            ("How old will Tom be?", "Find how old Tom will be."),
            ("What is the total price?", "Find the total price."),
            ("How many hats did Mia stop wearing?", "Find how many hats Mia stopped wearing."),
            ("How much did the old clown earn?", "Find out: how much did the old clown earn?")):
        assert imperative(asked) == told
    assert imperative("Define a variable") is None


def test_what_is_asked_and_given_is_found_in_the_question():
    assert asking_part("Mr. Lee has 3. If he buys 2, how many does he have?") == (
        "how many he has")
    for order in ("There are 3 hens. Calculate the number of legs.",
                  "If there are 3 hens, find the number of legs."):
        assert asking_part(order) == "the number of legs"
    for question, labels in (
            ("A 3-page letter costs $5.50.", ["3-page letter costs", "letter costs $5.50"]),
            ("The ticket costs $12.", ["ticket costs $12"]),
            ("She eats 20% of the 1,200 nuts, and half of the rest.",
             ["eats 20%", "1,200 nuts", "half of the rest"])):
        assert given_labels(question, quantities(question)) == labels
