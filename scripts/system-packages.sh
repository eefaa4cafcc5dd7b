#!/bin/sh
# Installs what is missing on this machine and is no Python package, with apt-get or brew when it may;
# otherwise stops and prints the exact command.
#
#   python   Python 3 with venv              to make .tools when there is no uv
#   java     Java 17 or newer, runtime only  Spark
#   test     java, PostgreSQL's server, Chromium, a C compiler   what `make test` needs
#
# Node, which builds labextension/, is no system package here: scripts/labextension.sh finds it or fetches one.
set -eu

say() { printf '%s\n' "$*" >&2; }

have_python() { python3 -c 'import venv, ensurepip' >/dev/null 2>&1; }

have_java() {
  for home in "${JAVA_HOME:-}" "$(/usr/libexec/java_home -v 17+ 2>/dev/null || true)" /opt/homebrew/opt/openjdk /usr/local/opt/openjdk ''; do
    java=${home:+$home/bin/}java
    major=$("$java" -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1) || continue
    if [ -n "$major" ] && [ "$major" -ge 17 ]; then return 0; fi
  done
  return 1
}

have_postgresql() {
  command -v initdb >/dev/null 2>&1 && return 0
  for bin in /usr/lib/postgresql/*/bin /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin; do
    if [ -x "$bin/initdb" ]; then return 0; fi
  done
  return 1
}

have_chromium() {
  for program in chromium chromium-browser google-chrome /Applications/Chromium.app/Contents/MacOS/Chromium; do
    command -v "$program" >/dev/null 2>&1 && return 0
  done
  return 1
}

# The tests compile a program whose relocation they prove; strip comes with the compiler's binutils.
have_compiler() { printf '#include <stdio.h>\n' | gcc -fsyntax-only -xc - >/dev/null 2>&1 && command -v strip >/dev/null 2>&1; }

missing() {
  for thing in "$@"; do
    "have_$thing" || printf '%s ' "$thing"
  done
}

# Debian 12 has Java 17, later ones have only newer: the default package is the one that always exists.
apt_names() {
  for thing in "$@"; do
    case $thing in
      python) printf 'python3 python3-venv ' ;;
      java) printf 'default-jre-headless ' ;;
      postgresql) printf 'postgresql ' ;;
      chromium) printf 'chromium ' ;;
      compiler) printf 'gcc libc6-dev binutils ' ;;
    esac
  done
}

brew_names() {
  for thing in "$@"; do
    case $thing in
      python) printf 'python@3.12 ' ;;
      java) printf 'openjdk ' ;;
      postgresql) printf 'postgresql@17 ' ;;
      chromium) printf 'chromium ' ;;
      compiler) printf 'gcc binutils ' ;;
    esac
  done
}

# Debian starts a server of its own at install; the tests start theirs, so none is made.
no_postgresql_service='mkdir -p /etc/postgresql-common &&
  { [ -e /etc/postgresql-common/createcluster.conf ] ||
    echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf; }'

apt_install() {
  case " $* " in *" postgresql "*) $root sh -c "$no_postgresql_service" ;; esac
  $root apt-get update -qq
  # shellcheck disable=SC2086 # a list of words
  $root env DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1 apt-get install -y -qq --no-install-recommends \
    -o Dpkg::Options::=--force-confold "$@" >/dev/null
}

case ${1:-} in
  python) need=$(missing python) ;;
  java) need=$(missing java) ;;
  test) need=$(missing java postgresql chromium compiler) ;;
  *)
    say "usage: system-packages.sh python|java|test"
    exit 2
    ;;
esac
[ -n "$need" ] || exit 0

# shellcheck disable=SC2086 # lists of words
if command -v apt-get >/dev/null 2>&1; then
  names=$(apt_names $need)
  if [ "$(id -u)" = 0 ]; then
    root=
  elif sudo -n true 2>/dev/null; then
    root='sudo -n'
  else
    say "error: missing on this machine: $need"
    say "Fix: sudo apt-get update && sudo apt-get install -y --no-install-recommends $names"
    exit 3
  fi
  say "installing with apt-get: $names"
  apt_install $names
elif command -v brew >/dev/null 2>&1; then
  names=$(brew_names $need)
  say "installing with brew: $names"
  brew install --quiet $names
else
  say "error: missing on this machine: $need"
  say "Fix: install them with this system's package manager (Debian's names: $(apt_names $need)), then run make again"
  exit 3
fi
# shellcheck disable=SC2086 # a list of words
still=$(missing $need)
if [ -n "$still" ]; then
  say "error: still missing after the install: $still"
  say "Fix: put their programs on PATH (for Java, set JAVA_HOME), then run make again"
  exit 3
fi
