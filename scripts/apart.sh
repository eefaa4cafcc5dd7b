#!/bin/sh
# Makes build/NAME, once: an environment apart from .venv and its lock, for tests whose packages do not fit in there.
#   airflow  Airflow's Livy provider, which would pull versions of .venv elsewhere; about 210 MB
#   papermill  papermill alone, which runs notebooks in the kernels of .venv; about 20 MB
#   torch    the test set with PyTorch. The package index has builds with CUDA only, 7 GB installed; a build for CPUs
#            (700 MB) is taken where NBPLAT_TORCH_LINKS, or pip's own find-links, names a place that has one:
#            folders or pages with links to wheels, with spaces between. uv does not read pip's settings.
set -eu
cd "$(dirname "$0")/.."
name=${1:-}
links=
case $name in
  airflow)
    place=${NBPLAT_AIRFLOW:-build/airflow}
    want='apache-airflow-providers-apache-livy==4.6.4 apache-airflow-core==3.3.2'
    ;;
  papermill)
    place=${NBPLAT_PAPERMILL:-build/papermill}
    want='papermill==2.7.0'
    ;;
  torch)
    place=${NBPLAT_TORCH:-build/torch}
    want='torch==2.13.0'
    links=${NBPLAT_TORCH_LINKS:-${PIP_FIND_LINKS:-$(python3 -m pip config get global.find-links 2>/dev/null || true)}}
    ;;
  *)
    printf 'error: no environment %s. Fix: sh scripts/apart.sh airflow, papermill or torch\n' "${name:-without a name}" >&2
    exit 2
    ;;
esac

install() { .tools/bin/uv pip install --quiet --python "$place/bin/python" "$@"; }

[ "$(cat "$place/made" 2>/dev/null)" = "$want" ] && exit 0
[ -x .tools/bin/uv ] || sh scripts/bootstrap.sh
.tools/bin/uv venv --quiet --clear --python .venv/bin/python "$place"
if [ "$name" = torch ]; then
  install --require-hashes -r requirements/test.txt
  install --no-deps -e .
fi
# shellcheck disable=SC2086 # several words on purpose, here and below
set -- $want
if [ -n "$links" ]; then
  found=
  for link in $links; do found="$found --find-links $link"; done
  # shellcheck disable=SC2086
  install $found "$want+cpu" 2>/dev/null || {
    printf 'no build for CPUs of %s at %s: taking the one with CUDA\n' "$want" "$links" >&2
    install "$@"
  }
else
  install "$@"
fi
printf '%s' "$want" >"$place/made"
