#!/usr/bin/env bash
# lm-evaluation-harness' GSM8K and an answer in a box with a full stop behind it.
#
# Versions: Python 3.11, lm_eval 0.4.13, datasets 5.2.0; the package's own task file with other
#   problems, and a model that says what is dictated.
# Expected: the filter `flexible-extract`, the lenient one, takes the last number of a text.
# Seen: it takes the last run of two or more of the signs $ . , and digits, be there a digit in it
#   or not. `$\boxed{18}$` is right; with a full stop behind it, `$\boxed{18}$.`, the answer is "$."
#   and wrong; `$$\boxed{18}$$` is "$$", `18 dollars...` is "...". So of two models that differ in
#   that full stop alone one solves all problems and the other none. gsm8k_platinum, mgsm and asdiv
#   have the same pattern. What helps: a filter of one's own whose pattern asks for a digit,
#   `-?\$?[0-9][0-9.,]*`.
# Exits 0 while this is so, with another status where it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3.11 -m venv env
env/bin/pip install --quiet lm_eval==0.4.13 datasets==5.2.0
cat > task.py <<'P'
import json
import pathlib

import lm_eval
import yaml
from lm_eval.api.model import LM

SAID = {  # what the model says to a question, all of it right
    "A": r"The answer is $\boxed{18}$", "B": r"The answer is $\boxed{18}$.",
    "C": r"$$\boxed{18}$$", "D": "She makes 18 dollars...", "E": "She makes 18 dollars.",
}


class Dictated(LM):
    def generate_until(self, requests):
        return [SAID[request.args[0].split("Question: ")[-1][0]] for request in requests]

    def loglikelihood(self, requests):
        raise NotImplementedError

    loglikelihood_rolling = loglikelihood


with open("problems.jsonl", "w") as file:
    for name in SAID:
        file.write(json.dumps({"question": f"{name}: how much?", "answer": "#### 18"}) + "\n")
package = pathlib.Path(lm_eval.__file__).parent
task = yaml.safe_load((package / "tasks/gsm8k/gsm8k.yaml").read_text())
task |= {"dataset_path": "json", "dataset_name": None, "num_fewshot": 0,
         "dataset_kwargs": {"data_files": {"train": "problems.jsonl", "test": "problems.jsonl"}}}


def scored():
    result = lm_eval.simple_evaluate(model=Dictated(), tasks=[task], bootstrap_iters=0)
    rows = [row for row in result["samples"]["gsm8k"] if row["filter"] == "flexible-extract"]
    return {SAID[row["doc"]["question"][0]]: (row["filtered_resps"][0], bool(row["exact_match"]))
            for row in rows}


found = scored()
for said, (taken, right) in found.items():
    print(f"{said!r}: {taken!r}, {right}")
assert [taken for taken, _ in found.values()] == ["18", "$.", "$$", "...", "18"]
assert [right for _, right in found.values()] == [True, False, False, False, True]
task["filter_list"][1]["filter"][0]["regex_pattern"] = r"-?\$?[0-9][0-9.,]*"
found = scored()
print("with a digit asked for:", all(right for _, right in found.values()))
assert all(right for _, right in found.values())
P
export HF_HOME="$folder/home" HF_HUB_OFFLINE=1
env/bin/python task.py 2> log.txt || { cat log.txt; exit 1; }
