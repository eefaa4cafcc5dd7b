#!/bin/sh
# Makes build/airflow: an environment of its own with Airflow's Livy provider, for tests/e2e/test_airflow.py.
# Apart from .venv, whose versions Airflow would pull elsewhere. About 210 MB.
set -eu
cd "$(dirname "$0")/.."
want='apache-airflow-providers-apache-livy==4.6.4 apache-airflow-core==3.3.2'
place=${NBPLAT_AIRFLOW:-build/airflow}

[ "$(cat "$place/made" 2>/dev/null)" = "$want" ] && exit 0
[ -x .tools/bin/uv ] || sh scripts/bootstrap.sh
.tools/bin/uv venv --quiet --clear --python .venv/bin/python "$place"
# shellcheck disable=SC2086 # several words on purpose
.tools/bin/uv pip install --quiet --python "$place/bin/python" $want
printf '%s' "$want" >"$place/made"
