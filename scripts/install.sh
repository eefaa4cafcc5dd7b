#!/bin/sh
# Brings .venv to a locked set: base < demo < test < all, each holding the one before.
# A larger set that is installed already satisfies a smaller one, so `make demo` after `make test` removes nothing.
set -eu
cd "$(dirname "$0")/.."
want=${1:?usage: install.sh base|demo|test|all}
stamp=.venv/.nbplat-set

sh scripts/bootstrap.sh

rank() {
  case $1 in base) echo 1 ;; demo) echo 2 ;; test) echo 3 ;; all) echo 4 ;; *) echo 0 ;; esac
}
# pyproject.toml counts too: it holds the entry points. The folder does as well: an editable install points at it.
fingerprint() { { cat "requirements/$1.txt" pyproject.toml; pwd; } | cksum | tr ' ' '-'; }

[ "$(rank "$want")" -gt 0 ] || {
  printf 'error: no locked set %s. Fix: base, demo, test or all\n' "$want" >&2
  exit 2
}
have=none
mark=none
if [ -r "$stamp" ]; then read -r have mark <"$stamp" || true; fi
if [ "$(rank "$have")" -ge "$(rank "$want")" ]; then want=$have; fi
if [ "$have" = "$want" ] && [ "$mark" = "$(fingerprint "$want")" ]; then exit 0; fi

printf 'installing the locked set %s into .venv\n' "$want" >&2
rm -f "$stamp"
# Compiled here once: where PYTHONDONTWRITEBYTECODE is set, every later import would compile again.
.tools/bin/uv pip sync --quiet --compile-bytecode --require-hashes --python .venv/bin/python "requirements/$want.txt"
.tools/bin/uv pip install --quiet --no-deps --python .venv/bin/python -e .
printf '%s %s\n' "$want" "$(fingerprint "$want")" >"$stamp"
