"""The settings of the procedural word problems: who has what, and what happens to it.

Each `Situation` is a small table of wordings for the same few events (start, gain, loss,
groups, sharing). The generator in `procedural` strings events together and does the
sums; no number and no graph lives here. The situations marked `held_out` are shown
neither to the base model nor in tuning: they make up the split `test_template`.
"""
from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Situation:
    """Wordings of one setting; `{S}` is the subject and `{n}` a number.

    gained, lost: how the given quantity is named afterwards ("9 apples bought").
    group: plural and singular of what items come in; box: of what they are shared into.
    other: who or what the subject is compared with.
    """

    key: str
    items: str
    start: str
    gain: str
    gained: str
    lose: str
    lost: str
    group: tuple[str, str]
    box: tuple[str, str]
    other: str
    person: bool = True
    held_out: bool = False


def _person(key, items, start, gain, gained, lose, lost, group, box, held_out=False):
    return Situation(key, items, "{S} " + start, "{S} " + gain, gained, "{S} " + lose, lost,
                     tuple(group.split("/")), tuple(box.split("/")), "a friend",
                     held_out=held_out)


def _thing(key, items, start, gain, gained, lose, lost, group, box, other, held_out=False):
    return Situation(key, items, start, gain, gained, lose, lost, tuple(group.split("/")),
                     tuple(box.split("/")), other, person=False, held_out=held_out)


SITUATIONS: tuple[Situation, ...] = (
    _person("apples", "apples", "has {n} apples", "picks {n} more apples", "picked",
            "eats {n} apples", "eaten", "bags/bag", "baskets/basket"),
    _person("marbles", "marbles", "owns {n} marbles", "wins {n} marbles", "won",
            "loses {n} marbles", "lost", "bags/bag", "jars/jar"),
    _person("stickers", "stickers", "collects {n} stickers", "gets {n} more stickers",
            "added", "gives away {n} stickers", "given away", "packs/pack", "pages/page"),
    _person("cookies", "cookies", "bakes {n} cookies", "makes {n} more cookies", "made",
            "sells {n} cookies", "sold", "trays/tray", "boxes/box"),
    _person("books", "books", "has {n} books on a shelf", "buys {n} books", "bought",
            "lends {n} books to a neighbor", "lent", "boxes/box", "shelves/shelf"),
    _person("pencils", "pencils", "finds {n} pencils in a desk", "buys {n} pencils",
            "bought", "breaks {n} pencils", "broken", "packs/pack", "cups/cup"),
    _person("flowers", "flowers", "plants {n} flowers", "plants {n} more flowers",
            "added", "cuts {n} flowers", "cut", "rows/row", "vases/vase"),
    _person("eggs", "eggs", "gathers {n} eggs", "gathers {n} more eggs", "added",
            "drops {n} eggs", "dropped", "nests/nest", "cartons/carton"),
    _person("coins", "coins", "saves {n} coins", "earns {n} coins", "earned",
            "spends {n} coins", "spent", "bags/bag", "jars/jar"),
    _person("shells", "shells", "collects {n} shells", "finds {n} more shells", "found",
            "throws back {n} shells", "thrown back", "buckets/bucket", "boxes/box"),
    _person("cards", "cards", "has {n} cards", "trades for {n} more cards", "added",
            "gives {n} cards to a cousin", "given away", "packs/pack", "albums/album"),
    _person("balloons", "balloons", "blows up {n} balloons", "buys {n} balloons",
            "bought", "pops {n} balloons", "popped", "bunches/bunch", "rooms/room"),
    _person("beads", "beads", "has {n} beads", "buys {n} more beads", "bought",
            "uses {n} beads", "used", "bags/bag", "strings/string"),
    _person("photos", "photos", "takes {n} photos", "takes {n} more photos", "added",
            "deletes {n} photos", "deleted", "films/film", "albums/album"),
    _person("stamps", "stamps", "owns {n} stamps", "receives {n} stamps", "received",
            "uses {n} stamps", "used", "sheets/sheet", "pages/page"),
    _person("muffins", "muffins", "bakes {n} muffins", "bakes {n} more muffins",
            "added", "serves {n} muffins", "served", "trays/tray", "plates/plate"),
    _person("tickets", "tickets", "prints {n} tickets", "prints {n} extra tickets",
            "added", "sells {n} tickets", "sold", "rolls/roll", "drawers/drawer"),
    _person("bottles", "bottles", "collects {n} bottles", "finds {n} bottles", "found",
            "recycles {n} bottles", "recycled", "crates/crate", "bins/bin"),
    _person("toys", "toys", "has {n} toys", "gets {n} toys as gifts", "received",
            "donates {n} toys", "donated", "boxes/box", "chests/chest"),
    _person("candles", "candles", "makes {n} candles", "makes {n} more candles",
            "made", "burns {n} candles", "burned", "packs/pack", "boxes/box"),
    _person("oranges", "oranges", "buys {n} oranges", "picks {n} oranges", "picked",
            "squeezes {n} oranges", "squeezed", "crates/crate", "bowls/bowl"),
    _person("pages", "pages", "writes {n} pages", "adds {n} pages", "added",
            "tears out {n} pages", "torn out", "chapters/chapter", "folders/folder"),
    _person("buttons", "buttons", "has {n} buttons", "finds {n} buttons", "found",
            "sews on {n} buttons", "sewn on", "tins/tin", "boxes/box"),
    _person("tomatoes", "tomatoes", "grows {n} tomatoes", "harvests {n} more tomatoes",
            "harvested", "cooks {n} tomatoes", "cooked", "rows/row", "baskets/basket"),
    _person("seeds", "seeds", "has {n} seeds", "buys {n} seeds", "bought",
            "plants {n} seeds", "planted", "packets/packet", "pots/pot"),
    _thing("bus", "passengers", "A bus carries {n} passengers",
           "At a stop {n} passengers get on", "getting on",
           "Then {n} passengers get off", "getting off", "vans/van", "cars/car",
           "another bus"),
    _thing("library", "visitors", "A library counts {n} visitors",
           "After lunch {n} visitors come in", "coming in",
           "Soon {n} visitors go home", "going home", "groups/group", "rooms/room",
           "another library"),
    _thing("tank", "liters", "A tank holds {n} liters of water",
           "Rain adds {n} liters", "added", "A leak wastes {n} liters", "wasted",
           "buckets/bucket", "barrels/barrel", "another tank"),
    _thing("farm", "cows", "A farm keeps {n} cows", "The farmer buys {n} cows", "bought",
           "The farmer sells {n} cows", "sold", "herds/herd", "barns/barn",
           "another farm"),
    _thing("store", "shirts", "A store stocks {n} shirts", "A truck brings {n} shirts",
           "delivered", "Customers buy {n} shirts", "sold", "boxes/box", "racks/rack",
           "another store"),
    _thing("school", "students", "A club has {n} students", "Later {n} students join",
           "joining", "In spring {n} students leave", "leaving", "classes/class",
           "teams/team", "another club"),
    _thing("parking", "bikes", "A rack holds {n} bikes", "Riders bring {n} bikes",
           "brought", "Riders take {n} bikes away", "taken away", "trucks/truck",
           "yards/yard", "another rack"),
    _person("fish", "fish", "has {n} fish", "catches {n} fish", "caught",
            "releases {n} fish", "released", "nets/net", "ponds/pond", held_out=True),
    _person("scarves", "scarves", "knits {n} scarves", "knits {n} more scarves",
            "knitted", "mails {n} scarves", "mailed", "parcels/parcel",
            "hampers/hamper", held_out=True),
    _person("magnets", "magnets", "owns {n} magnets", "orders {n} magnets", "ordered",
            "swaps away {n} magnets", "swapped away", "kits/kit", "boards/board",
            held_out=True),
    _thing("hotel", "guests", "A hotel hosts {n} guests", "At noon {n} guests check in",
           "checking in", "At dusk {n} guests check out", "checking out",
           "parties/party", "floors/floor", "another hotel", held_out=True),
    _thing("aviary", "parrots", "A zoo shelters {n} parrots",
           "A rescue brings {n} parrots", "rescued", "Keepers set free {n} parrots",
           "set free", "flocks/flock", "cages/cage", "another zoo", held_out=True),
    _thing("bakery", "loaves", "A bakery bakes {n} loaves",
           "The night shift bakes {n} loaves", "from the night shift",
           "A cafe takes {n} loaves", "taken", "ovens/oven", "carts/cart",
           "another bakery", held_out=True),
)

# The base model reads of the first twenty people only; tuning adds others, so that a name
# which nobody has seen before is nothing special.
BASE_NAMES = ("Mia", "Tom", "Anna", "Ben", "Lena", "Omar", "Ruth", "Sam", "Nina", "Jack",
              "Ella", "Hugo", "Iris", "Leo", "Mary", "Noah", "Olga", "Paul", "Rosa", "Tim")
NAMES = BASE_NAMES + (
    "Adam", "Bella", "Carl", "Dora", "Emil", "Fiona", "Gwen", "Hank", "Ines", "Jonas",
    "Karin", "Luis", "Marta", "Nils", "Oscar", "Petra", "Ralph", "Sofia", "Tariq", "Ursula",
    "Viktor", "Wendy", "Xenia", "Yusuf", "Zelda", "Bruno", "Cora", "Derek", "Elsa", "Frank",
    "Grace", "Henry", "Julia", "Kevin", "Laura", "Martin", "Nora", "Oliver", "Pia", "Robert")
TEST_NAMES = ("Vera", "Felix", "Chloe", "Igor", "Wanda", "Quinn", "Amir", "Clara", "Edgar",
              "Freya", "Ivan", "Lydia")
SHE = frozenset(
    "Mia Anna Lena Ruth Nina Ella Iris Mary Olga Rosa Bella Dora Fiona Gwen Ines Karin Marta "
    "Petra Sofia Ursula Wendy Xenia Zelda Cora Elsa Grace Julia Laura Nora Pia Vera Chloe "
    "Wanda Clara Freya Lydia".split())

# Sentences with a number that the question does not need.
DISTRACTORS = ("The walk home takes {n} minutes.", "The room is {n} feet long.",
               "It is {n} degrees outside.", "The street has {n} trees.",
               "The radio plays {n} songs.", "A clock on the wall is {n} years old.")
