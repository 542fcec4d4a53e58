#!/usr/bin/env bash
# datasets, a revision, and no network.
#
# Versions: Python 3.11, datasets 5.2.0, huggingface_hub 2.4.0, pyarrow 26.0.1.
# Expected: `load_dataset(name, revision=COMMIT)` gives the rows of COMMIT or an error, since
#   the cache keeps each commit in a folder of its own.
# Seen: without a network it gives the rows of whatever commit was cached last, with a line in
#   the log that does not name the revision asked for.
# Exits 0 while this is so, with another status where it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet datasets==5.2.0 huggingface_hub==2.4.0 pyarrow==26.0.1
HF_HOME="$folder/home" HF_HUB_OFFLINE=1 "$folder/env/bin/python" - "$folder/home" <<'PYTHON'
import json, os, shutil, sys
import datasets

home, cached, asked = sys.argv[1], "b" * 40, "c" * 40
place = f"{home}/datasets/who___numbers/default/0.0.0/{cached}"
os.makedirs(place)
datasets.Dataset.from_list([{"n": 1}, {"n": 2}]).save_to_disk(f"{home}/made")
arrow = next(name for name in os.listdir(f"{home}/made") if name.endswith(".arrow"))
shutil.copy(f"{home}/made/{arrow}", f"{place}/numbers-train.arrow")
json.dump({"builder_name": "parquet", "config_name": "default", "dataset_name": "numbers",
           "features": {"n": {"dtype": "int64", "_type": "Value"}},
           "version": {"version_str": "0.0.0", "major": 0, "minor": 0, "patch": 0},
           "splits": {"train": {"name": "train", "num_bytes": 1, "num_examples": 2,
                                "dataset_name": "numbers"}}},
          open(f"{place}/dataset_info.json", "w"))
rows = datasets.load_dataset("who/numbers", split="train", revision=asked)
where = rows.cache_files[0]["filename"]
print("asked for", asked[:7], "- got", rows["n"][:], "of", where.split("/")[-2][:7])
assert cached in where
PYTHON
