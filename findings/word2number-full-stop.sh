#!/usr/bin/env bash
# word2number's reading of an answer in words: a full stop, a comma, a second number.
#
# Versions: Python 3.11, word2number 1.1.
# Expected: punctuation does not count; a text with two numbers, or with words that do not make one,
#   is refused, as two `thousand` are, or gives the first.
# Seen: it takes the words that it knows as they stand between blanks and leaves out all others, so
#   a number's last word goes with its full stop: "The answer is twenty-five." is 20, "one hundred."
#   is 1, "three thousand, two hundred" is 106. Without a thousand or million three words are a * b
#   + c, four a * b + c + d, and of five or more the first alone counts: "twenty-five and
#   thirty-six" is 136, "nineteen ninety-nine" 1719. No error in any of these, so an evaluation that
#   reads with it marks right answers as wrong, and a wrong one as right. What helps: take off all
#   punctuation, and compare with the words of the number that it gives.
# Exits 0 while this is so, with another status where it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3.11 -m venv env
env/bin/pip install --quiet word2number==1.1
env/bin/python - <<'PYTHON'
from word2number.w2n import word_to_num

read = {
    "The answer is twenty-five": 25, "The answer is twenty-five.": 20,
    "one hundred": 100, "one hundred.": 1,
    "three thousand two hundred": 3200, "three thousand, two hundred": 106,
    "twenty-five and thirty-six": 136, "nineteen ninety-nine": 1719,
    "one two three": 5, "one two three four five": 1, "ten apples and five pears": 15,
}
for text, value in read.items():
    print(f"{text!r}: {word_to_num(text)}")
    assert word_to_num(text) == value
try:
    raise SystemExit(f"read: {word_to_num('two thousand and three thousand')}")
except ValueError as error:
    print("two thousands:", str(error)[:21])
PYTHON
