#!/bin/sh
# Makes build/torch: an environment of its own with PyTorch and the test set, for tests/training/test_torch.py.
# Apart from .venv and the lock: the package index has builds with CUDA only, about 5 GB installed.
set -eu
cd "$(dirname "$0")/.."
want='torch==2.13.0'
place=${NBPLAT_TORCH:-build/torch}

[ "$(cat "$place/made" 2>/dev/null)" = "$want" ] && exit 0
[ -x .tools/bin/uv ] || sh scripts/bootstrap.sh
.tools/bin/uv venv --quiet --clear --python .venv/bin/python "$place"
.tools/bin/uv pip install --quiet --python "$place/bin/python" --require-hashes -r requirements/test.txt
.tools/bin/uv pip install --quiet --python "$place/bin/python" --no-deps -e .
.tools/bin/uv pip install --quiet --python "$place/bin/python" "$want"
printf '%s' "$want" >"$place/made"
