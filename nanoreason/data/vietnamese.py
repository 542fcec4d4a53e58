"""Vietnamese word problems: the words of the events, the situations, the names.

Vietnamese has no plural and names people again where English says she or he. A point
separates thousands and a comma stands before decimals (`2.500 đồng`, `2,5 nghìn đồng`).
"""
from __future__ import annotations

from fractions import Fraction

from nanoreason.data.stories import Situation, Wording

FORMS = {
    "start_given": "lúc đầu {n} {items}",
    "start_groups": "Có {k} {groups}, mỗi {group} có {m} {items}.",
    "start_groups_person": ("Có {k} {groups}, mỗi {group} có {m} {items}.",
                            "{S} có {k} {groups}, mỗi {group} đựng {m} {items}."),
    "start_groups_given": "{n} {groups}",
    "group_given": "{n} {items} trong mỗi {group}",
    "groups_plan": "Tìm số {items} trong các {groups}.",
    "given": "{n} {items} {what}",
    "gain_plan": "Cộng số {items} {what}.",
    "lose_plan": "Trừ số {items} {what}.",
    "halve": ("Sau đó một nửa số {items} không còn nữa.", "Chỉ còn lại một nửa số {items}."),
    "halve_given": "còn lại một nửa số {items}",
    "halve_plan": "Tìm một nửa số {items}.",
    "gain_groups": ("Sau đó có thêm {k} {groups}, mỗi {group} có {m} {items}.",
                    "Người ta mang đến thêm {k} {groups}, mỗi {group} có {m} {items}."),
    "gain_groups_given": "thêm {n} {groups}",
    "gain_groups_plan": "Cộng số {items} trong các {groups}.",
    "lose_each": "Trong {k} ngày, mỗi ngày lấy đi {n} {items}.",
    "days_given": "{n} ngày",
    "each_given": "{n} {items} lấy đi mỗi ngày",
    "lose_each_plan": "Tìm tổng số {items} lấy đi.",
    "lose_all_plan": "Trừ tổng số {items} lấy đi.",
    "lose_fraction": "Sau đó {words} số {items} bị lấy đi.",
    "lose_fraction_given": "{words} số {items} bị lấy đi",
    "lose_fraction_plan": "Trừ số {items} bị lấy đi.",
    "part_plan": "Tìm {words} số {items}.",
    "lose_percent": "Sau đó {rate}% số {items} được chuyển đi.",
    "lose_percent_given": "{rate}% số {items} được chuyển đi",
    "lose_percent_plan": "Trừ số {items} được chuyển đi.",
    "now": ("Hỏi bây giờ có bao nhiêu {items}?", "Hỏi cuối cùng còn bao nhiêu {items}?",
            "Tìm số {items} hiện có."),
    "now_find": "số {items} bây giờ",
    "share_into": "Tất cả số {items} được chia đều vào {k} {boxes}.",
    "boxes_given": "{n} {boxes}",
    "share": ("Hỏi mỗi {box} có bao nhiêu {items}?", "Tìm số {items} trong mỗi {box}."),
    "share_find": "số {items} trong mỗi {box}",
    "share_plan": "Chia số {items} cho số {boxes}.",
    "price_of_one": "Giá tiền là {price} cho mỗi {items}.",
    "price_given": "{price} cho mỗi {items}",
    "price": ("Hỏi giá của tất cả số {items} là bao nhiêu?",
              "Tìm số tiền phải trả cho tất cả số {items}."),
    "price_find": "giá của tất cả số {items}",
    "price_plan": "Nhân số {items} với giá.",
    "goal": "Mục tiêu là {n} {items}.",
    "goal_given": "mục tiêu {n} {items}",
    "need": ("Hỏi còn thiếu bao nhiêu {items}?", "Hỏi cần thêm bao nhiêu {items} nữa?"),
    "need_find": "số {items} còn thiếu",
    "need_plan": "Trừ số {items} khỏi mục tiêu.",
    "more_than": "{other} có {word} thế {n} {items}.",
    "more_than_given": "{other} có {word} {n} {items}",
    "other_plan": "Tìm số {items} của {other}.",
    "both_plan": "Cộng số {items} của cả hai.",
    "times": "{other} có số {items} {word}.",
    "times_given": "{other} có số {items} {word}",
    "together": ("Hỏi cả hai có tất cả bao nhiêu {items}?", "Tìm tổng số {items} của cả hai."),
    "together_find": "số {items} của cả hai",
}


def _in_dong(n: int) -> tuple[Fraction, str]:
    return Fraction(500 * n), f"{500 * n:,} đồng".replace(",", ".")


def _in_thousands(n: int) -> tuple[Fraction, str]:
    price = Fraction(n, 2)
    written = str(n // 2) + (",5" if n % 2 else "")
    return price, f"{written} nghìn đồng"


WORDING = Wording(
    language="vi", forms=FORMS, number_words=(),
    parts=(("một phần ba", 3), ("một phần tư", 4)),
    times=((2, "gấp đôi"), (3, "gấp ba"), (4, "gấp bốn")),
    more=(("nhiều hơn", "+"), ("ít hơn", "-")), prices=(_in_dong, _in_thousands),
    distractors=("Đường về nhà mất {n} phút.", "Căn phòng dài {n} mét.",
                 "Ngoài trời {n} độ.", "Dọc con phố có {n} cái cây.",
                 "Chiếc đồng hồ trên tường đã {n} tuổi."))


def _person(key, items, start, gain, gained, lose, lost, group, box, held_out=False):
    return Situation(f"vi-{key}", items, "{S} " + start, "{S} " + gain, gained, "{S} " + lose,
                     lost, (group, group), (box, box), "một người bạn", held_out=held_out)


def _thing(key, items, start, gain, gained, lose, lost, group, box, other, held_out=False):
    return Situation(f"vi-{key}", items, start, gain, gained, lose, lost, (group, group),
                     (box, box), other, person=False, held_out=held_out)


SITUATIONS: tuple[Situation, ...] = (
    _person("apples", "quả táo", "có {n} quả táo", "hái thêm {n} quả táo", "hái thêm",
            "ăn {n} quả táo", "đã ăn", "túi", "rổ"),
    _person("marbles", "viên bi", "có {n} viên bi", "thắng được {n} viên bi", "thắng được",
            "làm mất {n} viên bi", "bị mất", "túi", "hũ"),
    _person("books", "quyển sách", "có {n} quyển sách trên kệ", "mua thêm {n} quyển sách",
            "mua thêm", "cho mượn {n} quyển sách", "cho mượn", "thùng", "kệ"),
    _person("cookies", "cái bánh", "nướng {n} cái bánh", "làm thêm {n} cái bánh", "làm thêm",
            "bán {n} cái bánh", "đã bán", "khay", "hộp"),
    _person("pencils", "cây bút chì", "có {n} cây bút chì", "mua thêm {n} cây bút chì",
            "mua thêm", "làm gãy {n} cây bút chì", "bị gãy", "hộp", "ống"),
    _person("flowers", "bông hoa", "trồng {n} bông hoa", "trồng thêm {n} bông hoa",
            "trồng thêm", "cắt {n} bông hoa", "đã cắt", "hàng", "bình"),
    _person("eggs", "quả trứng", "nhặt được {n} quả trứng", "nhặt thêm {n} quả trứng",
            "nhặt thêm", "làm vỡ {n} quả trứng", "bị vỡ", "ổ", "vỉ"),
    _person("stamps", "con tem", "sưu tầm {n} con tem", "nhận được {n} con tem", "nhận được",
            "dùng {n} con tem", "đã dùng", "tờ", "trang"),
    _person("candies", "viên kẹo", "có {n} viên kẹo", "được cho {n} viên kẹo", "được cho",
            "chia cho em {n} viên kẹo", "đã cho em", "gói", "lọ"),
    _person("photos", "tấm ảnh", "chụp {n} tấm ảnh", "chụp thêm {n} tấm ảnh", "chụp thêm",
            "xóa {n} tấm ảnh", "đã xóa", "cuộn phim", "quyển an-bum"),
    _person("oranges", "quả cam", "mua {n} quả cam", "hái thêm {n} quả cam", "hái thêm",
            "vắt {n} quả cam", "đã vắt", "giỏ", "đĩa"),
    _person("kites", "con diều", "làm {n} con diều", "làm thêm {n} con diều", "làm thêm",
            "tặng {n} con diều", "đã tặng", "bó", "phòng"),
    _person("seeds", "hạt giống", "có {n} hạt giống", "mua thêm {n} hạt giống", "mua thêm",
            "gieo {n} hạt giống", "đã gieo", "gói", "chậu"),
    _person("bottles", "cái chai", "gom được {n} cái chai", "nhặt thêm {n} cái chai",
            "nhặt thêm", "đem đổi {n} cái chai", "đã đổi", "két", "thùng"),
    _person("tickets", "tấm vé", "in {n} tấm vé", "in thêm {n} tấm vé", "in thêm",
            "bán {n} tấm vé", "đã bán", "tập", "ngăn"),
    _thing("bus", "hành khách", "Một xe buýt chở {n} hành khách",
           "Đến bến có {n} hành khách lên xe", "lên xe", "Sau đó {n} hành khách xuống xe",
           "xuống xe", "toa", "xe", "một xe khác"),
    _thing("library", "độc giả", "Một thư viện đón {n} độc giả",
           "Buổi chiều có thêm {n} độc giả đến", "đến thêm", "Sau đó {n} độc giả ra về",
           "ra về", "nhóm", "phòng", "một thư viện khác"),
    _thing("tank", "lít nước", "Một bể chứa {n} lít nước", "Trời mưa thêm {n} lít nước",
           "thêm vào", "Bể rò rỉ mất {n} lít nước", "bị rò rỉ", "xô", "thùng",
           "một bể khác"),
    _thing("farm", "con gà", "Một trang trại nuôi {n} con gà", "Bác nông dân mua {n} con gà",
           "mua thêm", "Bác nông dân bán {n} con gà", "đã bán", "đàn", "chuồng",
           "một trang trại khác"),
    _thing("school", "học sinh", "Một câu lạc bộ có {n} học sinh",
           "Sau đó có {n} học sinh tham gia", "tham gia thêm",
           "Cuối kỳ có {n} học sinh rời đi", "rời đi", "lớp", "đội",
           "một câu lạc bộ khác"),
    _person("fish", "con cá", "có {n} con cá", "bắt được {n} con cá", "bắt được",
            "thả {n} con cá", "đã thả", "lưới", "ao", held_out=True),
    _person("scarves", "chiếc khăn", "đan {n} chiếc khăn", "đan thêm {n} chiếc khăn",
            "đan thêm", "gửi đi {n} chiếc khăn", "đã gửi", "kiện", "ngăn tủ",
            held_out=True),
    _thing("hotel", "vị khách", "Một khách sạn có {n} vị khách",
           "Buổi trưa có {n} vị khách đến", "mới đến", "Chiều tối {n} vị khách trả phòng",
           "trả phòng", "đoàn", "tầng", "một khách sạn khác", held_out=True),
    _thing("bakery", "ổ bánh mì", "Một lò bánh làm {n} ổ bánh mì",
           "Ca đêm làm thêm {n} ổ bánh mì", "của ca đêm", "Một quán lấy {n} ổ bánh mì",
           "đã lấy", "mẻ", "xe đẩy", "một lò bánh khác", held_out=True),
)

NAMES = ("An", "Bình", "Chi", "Dũng", "Giang", "Hà", "Hải", "Hoa", "Hùng", "Hương", "Khánh",
         "Lan", "Linh", "Long", "Mai", "Minh", "Nam", "Nga", "Ngọc", "Phong", "Phúc", "Quân",
         "Sơn", "Thảo", "Trang", "Tuấn", "Vân", "Việt", "Xuân", "Yến")
TEST_NAMES = ("Bảo", "Cường", "Diệp", "Hạnh", "Kiên", "Loan", "Oanh", "Thư", "Tiến", "Vinh")
