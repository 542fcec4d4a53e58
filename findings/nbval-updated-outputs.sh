#!/usr/bin/env bash
# nbval and outputs that are updated, cleared or written by another process.
#
# Versions: Python 3.11, nbval 0.11.0, pytest 9.2.0, nbclient 0.11.0, ipykernel 7.4.0.
# Expected: a notebook that was run and saved passes against its own outputs, and fails where one of
#   them is out of date.
# Seen: nbval does not know the messages for updating and clearing: it compares what a display
#   showed first, and all that was printed before clear_output as well. So a handle updated from 1
#   to 2, saved as 2, fails, and with a 1 in the file, which the notebook does not end with, it
#   passes. What a subprocess prints is in the saved notebook and not in nbval's: ipykernel leaves
#   such output alone where it finds pytest's variable PYTEST_CURRENT_TEST, which kernels inherit.
#   What helps: showing only what is final, and printing what subprocess.run has captured.
# Exits 0 while this is so, with another status where it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
export HOME="$folder" JUPYTER_PATH="$folder/env/share/jupyter"
python3.11 -m venv env
env/bin/pip install --quiet nbval==0.11.0 pytest==9.2.0 nbclient==0.11.0 ipykernel==7.4.0
cat > saved.py <<'P'
import subprocess
import sys

import nbformat
from nbclient import NotebookClient

CELLS = {
    "printed": "print('a')\nprint('b')",
    "updated": "handle = display(1, display_id='bar')\nhandle.update(2)",
    "cleared": "from IPython.display import clear_output\nprint('a')\nclear_output()\nprint('b')",
    "process": "import subprocess\n_ = subprocess.run(['echo', 'a'])",
    "captured": "import subprocess\n"
                "print(subprocess.run(['echo', 'a'], capture_output=True, text=True).stdout)",
}


def passes(name, notebook):
    nbformat.write(notebook, f"{name}.ipynb")
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "--nbval", "--nbval-current-env",
                           f"{name}.ipynb"], capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.returncode == 0


found = {}
for name, source in CELLS.items():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    NotebookClient(notebook).execute()
    outputs = notebook.cells[0].outputs
    found[name] = passes(name, notebook)
    print(name, [output.get("text") or output.data for output in outputs], "passes:", found[name])
    if name == "updated":
        outputs[0].data["text/plain"] = "1"
        found["stale"] = passes("stale", notebook)
        print("the same with 1 in the place of 2 passes:", found["stale"])
assert found == {"printed": True, "updated": False, "stale": True, "cleared": False,
                 "process": False, "captured": True}
P
env/bin/python saved.py 2> log.txt || { cat log.txt; exit 1; }
