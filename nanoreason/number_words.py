"""English words about numbers, for readers of questions and of equations in prose."""

SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
NUMBERS = {word: value for value, word in enumerate(SMALL)} | {
    word: 10 * value for value, word in enumerate(TENS, 2)
}
SCALES = {
    "hundred": 100, "thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000,
    "dozen": 12, "dozens": 12,
}
MULTIPLES = {
    "twice": 2, "double": 2, "doubled": 2, "doubles": 2, "doubling": 2, "thrice": 3,
    "triple": 3, "tripled": 3, "triples": 3, "tripling": 3, "quadruple": 4,
    "quadrupled": 4, "quadruples": 4,
}
# Fraction words by the number of parts that they make.
PARTS = {"half": 2, "halves": 2, "halved": 2, "quarter": 4, "quarters": 4} | {
    word + ending: value
    for value, word in enumerate(
        "third fourth fifth sixth seventh eighth ninth tenth".split(), 3
    )
    for ending in ("", "s")
}
# Words that may stand between a share and what it is taken of: `20% of the 50`.
DETERMINERS = {
    "the", "his", "her", "their", "its", "my", "our", "those", "these", "all", "remaining",
}
# Words that no unit of measure holds; a unit ends before them.
CLAUSE_WORDS = {
    "and", "so", "then", "because", "since", "but", "which", "that", "is", "are", "was",
    "were", "has", "have", "had", "if", "when", "while", "he", "she", "they", "it", "we",
    "I", "you", "or", "therefore", "thus", "leaving", "giving", "making", "where",
}
