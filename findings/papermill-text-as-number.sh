#!/usr/bin/env bash
# papermill's `-p` and text that Python could read as a number: names of runs, commits.
#
# Versions: Python 3.11, papermill 2.7.0.
# Expected: a parameter that the notebook declares as text, `run: str = "first"`, gets text, since
#   papermill shows that type in --help-notebook; or at most digits alone become a number.
# Seen: whatever Python's int() or float() takes becomes a number, declared as text or not. A run
#   24_11 is 2411, so another run than the one named; the short commit 7e12345 is float('inf');
#   1_0.5 is 10.5, and ３, as a Japanese keyboard writes it, is 3. 2024-11 and 0x10 stay text.
#   Nothing is said, so a notebook that puts the name into a path reads or writes another folder.
#   What helps: `-r`, which keeps text, and a notebook that refuses a number where it needs a name.
# Exits 0 while this is so, with another status where it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3.11 -m venv env
env/bin/pip install --quiet papermill==2.7.0
cat > given.py <<'P'
import json
import subprocess

cell = {"cell_type": "code", "id": "a", "metadata": {"tags": ["parameters"]}, "outputs": [],
        "execution_count": None, "source": 'run: str = "first"'}
kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
with open("in.ipynb", "w") as file:
    json.dump({"cells": [cell], "metadata": {"kernelspec": kernel, "language_info": {
        "name": "python"}}, "nbformat": 4, "nbformat_minor": 5}, file)


def papermill(*arguments):
    return subprocess.run(["env/bin/papermill", *arguments], check=True, text=True,
                          capture_output=True).stdout


def given(option, text):
    papermill("in.ipynb", "out.ipynb", "--prepare-only", option, "run", text)
    with open("out.ipynb") as file:
        return "".join(json.load(file)["cells"][1]["source"]).splitlines()[-1]


shown = papermill("in.ipynb", "--help-notebook")
assert "run: str (default \"first\")" in shown, shown
for text, line in {"24_11": "2411", "7e12345": "float('inf')", "1_0.5": "10.5", "３": "3",
                   "2024-11": '"2024-11"', "0x10": '"0x10"', "first_2": '"first_2"'}.items():
    print(f"-p run {text}: {given('-p', text)};  -r: {given('-r', text)}")
    assert given("-p", text) == f"run = {line}" and given("-r", text) == f"run = {json.dumps(text)}"
P
env/bin/python given.py
