#!/bin/sh
# The JupyterLab panel: labextension/ is built once for its sources, and linked into .venv.
#
#   build    what JupyterLab loads, in labextension/dist     about half a minute on a fresh machine, then nothing
#   install  the packages that it is built and tested with
#   lint     eslint, prettier and the type checker
#   test     jest
#
# Node 20.19, 22.12 or newer is taken from PATH; where there is none, one from the package index goes into .tools/node.
set -eu
cd "$(dirname "$0")/.."
root=$(pwd)
stamp=labextension/dist/.nbplat-built

new_enough='const [a,b]=process.versions.node.split(".").map(Number); process.exit(a>22||(a==22&&b>=12)||(a==20&&b>=19)?0:1)'
if ! node -e "$new_enough" 2>/dev/null; then
  if ! .tools/node/bin/node -e "$new_enough" 2>/dev/null; then
    .tools/bin/uv venv --quiet --no-project .tools/node
    .tools/bin/uv pip install --quiet --require-hashes --python .tools/node/bin/python -r requirements/node.txt
  fi
  PATH="$root/.tools/node/bin:$PATH"
fi
# jlpm and jupyter-builder come with JupyterLab.
PATH="$root/.venv/bin:$PATH"
export PATH

fingerprint() {
  (cd labextension && find src style package.json yarn.lock tsconfig.json -type f | LC_ALL=C sort | xargs cat | cksum | tr ' ' '-')
}

install() {
  if [ labextension/node_modules/.yarn-state.yml -nt labextension/yarn.lock ]; then return 0; fi
  printf 'installing what labextension/ is built with\n' >&2
  # The registry that npm is set to, where somebody has set one.
  registry=$(npm config get registry 2>/dev/null || true)
  (
    cd labextension
    if [ -n "$registry" ] && [ "$registry" != undefined ]; then export YARN_NPM_REGISTRY_SERVER="$registry"; fi
    jlpm install --immutable >install.log 2>&1 || { cat install.log >&2; exit 1; }
    rm -f install.log
    touch node_modules/.yarn-state.yml
  )
}

link() {
  mkdir -p .venv/share/jupyter/labextensions
  ln -sfn "$root/labextension/dist" .venv/share/jupyter/labextensions/nbplat-lab
}

case ${1:-} in
  build)
    if [ -r "$stamp" ] && [ "$(cat "$stamp")" = "$(fingerprint)" ]; then
      link
      exit 0
    fi
    install
    printf 'building labextension/\n' >&2
    (
      cd labextension
      rm -rf lib dist
      jlpm build >build.log 2>&1 || { cat build.log >&2; exit 1; }
      rm -f build.log
    )
    cp labextension/install.json labextension/dist/
    fingerprint >"$stamp"
    link
    ;;
  install)
    install
    ;;
  lint)
    install
    (cd labextension && jlpm lint)
    ;;
  test)
    install
    (cd labextension && jlpm jest --silent)
    ;;
  *)
    printf 'usage: labextension.sh build|install|lint|test\n' >&2
    exit 2
    ;;
esac
