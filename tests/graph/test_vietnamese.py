"""Vietnamese questions: which quantities they give, and that English ones are left alone."""
from __future__ import annotations

import unicodedata
from fractions import Fraction

import pytest

from nanoreason.arithmetic.expression import is_vietnamese
from nanoreason.graph.quantities import quantities
from timing import grows_linearly

HALF = Fraction(1, 2)


@pytest.mark.parametrize("question, expected", [
    ("Lan có 12 quả táo và mua thêm 3 quả.", [(12,), (3,)]),
    ("Giá mỗi quyển vở là 2.500 đồng, hộp bút 1.250.000 đồng.", [(2500,), (1250000,)]),
    ("Mỗi chai đựng 1,5 lít nước, thùng chứa 1.234,5 lít.", [(Fraction(3, 2),),
                                                             (Fraction(2469, 2),)]),
    ("Giá 2,5 nghìn đồng hay 3 triệu đồng một chiếc?", [(Fraction(5, 2), 2500), (3, 3000000)]),
    ("Còn lại một nửa số kẹo, rồi nửa số bánh.", [(HALF, 2), (HALF, 2)]),
    ("Đã bán một phần ba số vé và hai phần năm số kẹo.",
     [(Fraction(1, 3), 3), (Fraction(2, 5), 5, 2)]),
    ("Bình có số bi gấp đôi An, Chi gấp ba Bình, Dũng gấp 5 lần.", [(2,), (3,), (5,)]),
    ("Giảm giá 20% rồi thêm 5 phần trăm nữa.", [(Fraction(1, 5), 20), (Fraction(1, 20), 5)]),
    ("Đã dùng 3/4 số vải trong 2 tá hộp.", [(Fraction(3, 4), 4, 3), (2, 24)]),
    ("Một người bạn sinh năm ngoái, ba của bạn ấy là giáo viên.", []),
    ("Chia 6/0 thì được gì hả các bạn?", []),
])
def test_quantities_are_read_in_order(question, expected):
    found = quantities(question)
    assert [q.values for q in found] == [tuple(map(Fraction, v)) for v in expected]
    assert [q.index for q in found] == list(range(len(found)))
    assert all(question[slice(*q.span)] == q.text for q in found)


@pytest.mark.parametrize("text, yes", [
    ("Hỏi cuối cùng còn bao nhiêu quả táo?", True), ("TÌM SỐ HỌC SINH CỦA LỚP?", True),
    ("Ms. Nguyễn has 2.500 apples and buys 3 more. How many?", False),
    ("Garçon, où est la forêt près du château?", False), ("How many?", False), ("", False),
    ("Đ 1", False),
    ("Trong kho có 30 kg cam, bán 12 kg cam. Hỏi trong kho còn lại mấy kg cam?", True),
    ("Ms. Đặng met José and André in the café of the hotel. How many?", False),
    ("Phép nào có tổng bằng 9? A. x + y + 4. B. 7 + x. C. x + 3 + y. D. 8 + y + z.", True),
    (unicodedata.normalize("NFD", "Hỏi cuối cùng còn bao nhiêu quả táo?"), True),
])
def test_one_name_does_not_make_a_question_vietnamese(text, yes):
    assert is_vietnamese(text) is yes


@pytest.mark.parametrize("unit", ["1.", "9", "Hỏi số gấp ", "số ế"])
def test_endless_text_is_read_in_linear_time(unit):
    assert grows_linearly(lambda size: quantities(f"Hỏi số {(unit * size)[:size]}"))
