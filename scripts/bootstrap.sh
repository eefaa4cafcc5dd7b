#!/bin/sh
# Makes .tools/ (a tiny virtual environment that holds only uv) and .venv (an empty one, Python >= 3.11.5).
# uv lives apart because `uv pip sync` removes from .venv whatever is not locked, itself included.
# No root, no global install. Environment: PYTHON names the interpreter to prefer.
set -eu
cd "$(dirname "$0")/.."
venv=.venv
tools=.tools
want='>=3.11.5,<3.15'
new_enough='import sys; sys.exit(not (3, 11, 5) <= sys.version_info[:3] < (3, 15))'

say() { printf '%s\n' "$*" >&2; }

works() { "$@" >/dev/null 2>&1; }

# `uv --version`, not `command -v uv`: a shim of a version manager may be on PATH and not run.
use_system_uv() {
  found=$(command -v uv) || return 1
  works "$found" pip sync --help || return 1
  mkdir -p "$tools/bin"
  printf '#!/bin/sh\nexec "%s" "$@"\n' "$found" >"$tools/bin/uv"
  chmod +x "$tools/bin/uv"
}

first_python() {
  for py in ${PYTHON:-} python3 python3.13 python3.12 python3.11 python3.14 python3.10 python3.9; do
    if works "$py" -c 'import sys; sys.exit(sys.version_info < (3, 9))'; then
      printf '%s' "$py"
      return 0
    fi
  done
  return 1
}

make_tools() {
  rm -rf "$tools"
  use_system_uv && return 0
  py=$(first_python) || { sh scripts/system-packages.sh python && py=$(first_python); }
  if ! works "$py" -m venv "$tools"; then
    # Debian ships Python without venv and pip.
    rm -rf "$tools"
    sh scripts/system-packages.sh python
    "$py" -m venv "$tools"
  fi
  "$tools/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/tools.txt
}

works "$tools/bin/uv" --version || make_tools

if ! works "$venv/bin/python" -c "$new_enough"; then
  if [ -e "$venv" ] && [ ! -e "$venv/pyvenv.cfg" ]; then
    say "error: $venv exists and is no virtual environment. Fix: move it away, then run make again"
    exit 3
  fi
  rm -rf "$venv"
  # uv takes a fitting Python of this machine, and fetches one when there is none.
  "$tools/bin/uv" venv --quiet --no-project --python "${PYTHON:-$want}" "$venv" || {
    say "error: no Python $want here, and uv could not fetch one. Fix: install Python 3.12, then run make again"
    exit 3
  }
fi
