#!/usr/bin/env bash
# The kaggle client in an environment of its own, with the newest python-dateutil.
#
# Versions: Python 3.12, pip 23.2.1, kaggle 2.2.5, python-dateutil 4.0.0 and 2.9.0.post0.
# Expected: pip's resolution of kaggle alone starts: it declares its twelve requirements.
# Seen: `kaggle --version` ends with status 1, "No module named 'six'": kaggle/models/
#   upload_file.py imports six, which it does not declare; python-dateutil brought it up to
#   2.9.0 and no longer does. Where anything else brings six (as on most machines), all is
#   well. What helps: pip install kaggle six.
# Exits 0 while this is so, with another status where it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
export KAGGLE_USERNAME=nobody KAGGLE_KEY=none
python3.12 -m venv env
env/bin/pip install --quiet kaggle==2.2.5 python-dateutil==4.0.0
! env/bin/pip show six > shown.txt 2>&1
env/bin/pip check
if env/bin/kaggle --version > said.txt 2>&1; then exit 1; fi
tail -1 said.txt
grep -q "No module named 'six'" said.txt
env/bin/pip install --quiet python-dateutil==2.9.0.post0
env/bin/kaggle --version
