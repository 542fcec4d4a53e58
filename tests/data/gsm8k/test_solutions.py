"""What a line of a solution calculates, as its author writes it."""
from nanoreason.data.gsm8k.teacher import line_expressions


def test_equations_are_read_from_plain_text_where_no_annotation_computes():
    assert line_expressions("so 5 x 2 = 10 pens") == [("5 * 2", "10")]
    assert line_expressions("which is 52 - 15 = <<37=37>>37") == [("52 - 15", "37")]
    assert line_expressions("Second day: 5(4)=20 inches") == [("5 * (4)", "20")]
    assert line_expressions("100% - 80% = 20% are red") == [("100 - 80", "20")]
    assert line_expressions("<<20%*50=10>>10") == [("20%*50", "10")]
    assert line_expressions("14 x 1 1/2 = 21 birds") == [("14 * 1.5", "21")]
    assert line_expressions("12 x 1 and 1/4 = 15") == [("12 * 1.25", "15")]
    assert line_expressions("5 x 2 = 11 is no truth, and neither is this") == []


def test_a_product_without_a_sign_and_the_name_in_front_of_a_line_are_read():
    assert line_expressions("Tuesday:6(2)=12 dollars") == [("6 * (2)", "12")]
    assert line_expressions("Both days:2(6+12)=36") == [("2 * (6 + 12)", "36")]
    assert line_expressions("Day 2:50(2)=100") == [("50 * (2)", "100")]
    assert line_expressions("Bo = (1/2) 18 = 9") == [("(1 / 2) * 18", "9")]
    assert line_expressions("so (1/2)(20)=10 berries") == [("(1 / 2) * (20)", "10")]
    assert line_expressions("in all (½)*6=3 caps") == [("((1 / 2)) * 6", "3")]


def test_a_number_over_a_unit_fraction_and_a_time_of_day_are_read():
    assert line_expressions("25 / 1/3 = 75 pens") == [("25 / (1 / 3)", "75")]
    assert line_expressions("it is open for 7:00 - 1:00 = 6 hours") == [("7 - 1", "6")]
    assert line_expressions("she eats at 4+3 = 7:00 pm") == [("4 + 3", "7")]
    assert line_expressions("12 / 1/3 = 4 is no truth") == []


def test_the_whole_of_a_chain_is_read_where_its_annotation_starts_in_the_middle():
    chain = "40 - (12 + 9) = 40 - 21 = <<40-21=19>>19"
    assert line_expressions(chain) == [("40-21", "19")]
    assert line_expressions(chain, all_text=True) == [("40 - (12 + 9)", "19")]
