#!/usr/bin/env bash
# uv's --generate-hashes together with --no-deps, for a wheel from a folder (--find-links).
#
# Versions: Python 3.11, pip 23.2.1, uv 0.13.9, the package six 1.17.0.
# Expected: whether dependencies are followed has nothing to do with hashes: every line gets
#   one, or the command stops.
# Seen: with --no-deps the line of a package from a folder is written without a hash, with
#   status 0 and no word, and pip then refuses the whole file; without --no-deps it has one.
#   (So it goes with torch where a machine keeps its CPU build in a folder.) What helps:
#   hashes that already stand in the output file are kept, so one put in by hand survives.
# Exits 0 while this is so, with another status where it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3.11 -m venv env
env/bin/pip install --quiet pip==23.2.1 uv==0.13.9
env/bin/pip download --quiet --no-deps --dest wheels six==1.17.0
hash=$(sha256sum wheels/six-*.whl | cut -d ' ' -f 1)
echo "six==1.17.0" > wanted.txt
compile=(env/bin/uv pip compile --quiet --no-header --no-annotate --generate-hashes
         --no-index --find-links wheels wanted.txt)
"${compile[@]}" | grep -q "sha256:$hash"
"${compile[@]}" --no-deps -o lock.txt
echo "written with --no-deps: $(cat lock.txt)"
test "$(cat lock.txt)" = "six==1.17.0"
env/bin/python -m venv other
if other/bin/pip install --quiet --no-index --find-links wheels --require-hashes \
    -r lock.txt 2> refusal.txt; then exit 1; fi
grep -o "Hashes are required in --require-hashes mode.*" refusal.txt | head -1
printf 'six==1.17.0 \\\n    --hash=sha256:%s\n' "$hash" > lock.txt
"${compile[@]}" --no-deps -o lock.txt
grep -q "$hash" lock.txt
other/bin/pip install --quiet --no-index --find-links wheels --require-hashes -r lock.txt
echo "put in by hand: kept by uv, taken by pip"
