#!/usr/bin/env bash
# datasets' JSON reader and the type of an answer.
#
# Versions: Python 3.11, datasets 5.2.0, pyarrow 26.0.1, pandas 3.1.1.
# Expected: a string of a JSON file stays a string, and a whole number stays whole: JSON has the
#   types, so nothing is left to guess, unlike in CSV.
# Seen: where all strings of a field look like dates (`2024-01-02`) they come back as datetimes. Where
#   one whole number of a field is beyond 64 bits all of them come back as floats, 1 as 1.0 and the
#   long one rounded, without a word. An object of records by their ids, as TabMWP is published, is
#   one row with a column for each record. So a file's answers may differ from what stands in it.
# Exits 0 while this is so, with another status where it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet datasets==5.2.0 pyarrow==26.0.1 pandas==3.1.1
HF_HOME="$folder/home" HF_HUB_OFFLINE=1 "$folder/env/bin/python" - "$folder" <<'PYTHON'
import datetime
import json
import sys

import datasets

datasets.disable_progress_bars()


def read(name, *records):
    path = f"{sys.argv[1]}/{name}.json"
    with open(path, "w") as file:
        file.write("\n".join(map(json.dumps, records)))
    rows = datasets.load_dataset("json", data_files=path, split="train")
    print(records, "->", rows[:])
    return rows


dates = read("dates", {"answer": "2024-01-02"}, {"answer": "2023-05-06"})
assert dates[0]["answer"] == datetime.datetime(2024, 1, 2)
assert read("text", {"answer": "2024-01-02"}, {"answer": "May 6"})[0]["answer"] == "2024-01-02"
large = read("large", {"answer": 12345678901234567890}, {"answer": 1})
assert [repr(row["answer"]) for row in large] == ["1.2345678901234567e+19", "1.0"]
assert len(read("table", {"16": {"answer": "1"}, "17": {"answer": "2"}})) == 1
PYTHON
