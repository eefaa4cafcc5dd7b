#!/bin/sh
# Starts the Python of one packaged environment. The first start on a node fetches the archive, holds it against its
# hash and unpacks it; every later one takes a lock, looks at a file and runs. Standard output is never written to:
# Spark reads a port from it.
#@SETTINGS@

say() { printf 'nbplat: %s\n' "$1" >&2; }
# Exit statuses: Spark shows them when a worker does not start.
fail() { say "$2: $3. Fix: $4"; exit "$1"; }
have() { command -v "$1" >/dev/null 2>&1; }

file=$nb_sha256.$nb_format

# --- where -----------------------------------------------------------------------------------------------------------
find_cache() {
  cache=${NBPLAT_NODE_CACHE:-$nb_cache} chosen=${NBPLAT_NODE_CACHE:-$nb_cache}
  if [ -z "$cache" ]; then
    for cache in /var/tmp /tmp; do [ -w "$cache" ] && break; done
    cache=$cache/nbplat-env-$(id -u)
  elif [ -d "$cache" ] && ! [ -O "$cache" ] && [ -w "$cache" ]; then
    cache=$cache/u$(id -u) # a folder that users share: what another one put there is not run
  fi
  home=$cache/$nb_home
  lock=$cache/$nb_home.lock
}

is_ready() {
  [ -f "$home/.nbplat-ready" ] || return 1
  [ -O "$home" ] && return
  # A folder that was filled for us, and that we cannot write to, is taken only where somebody named it.
  { [ -n "$chosen" ] && [ ! -w "$cache" ]; } || fail 91 env.node_cache "$home belongs to somebody else" \
    "remove it, or set NBPLAT_NODE_CACHE on the nodes to a folder of this user"
}

make_cache() {
  mends="set NBPLAT_NODE_CACHE on the nodes (or --node-cache) to a folder that $(id -un 2>/dev/null || id -u) may write"
  (umask 077 && mkdir -p "$cache") 2>/dev/null || fail 91 env.node_cache "the folder $cache cannot be made" "$mends"
  [ -w "$cache" ] || fail 91 env.node_cache "the folder $cache is not writable" "$mends"
  [ -O "$cache" ] || fail 91 env.node_cache "the folder $cache belongs to somebody else" "$mends"
  true 2>/dev/null >>"$lock" || fail 91 env.node_cache "no file can be made in $cache" "$mends"
}

# --- locks: shared while an environment runs, so that nobody evicts it; exclusive while it is unpacked ----------------
lock_shared() {
  if have flock; then exec 9<"$lock" && flock -s 9; else
    true 2>/dev/null >"$cache/$nb_home.use.$$" || :
  fi
}

# Not when the environment became ready while we waited: whoever made it runs on under its shared lock, for hours.
lock_alone() {
  if have flock; then
    exec 9>>"$lock"
    waited=
    until flock -n 9; do
      if is_ready; then return 1; fi
      [ -n "$waited" ] || say "another start is unpacking $nb_name; waiting for it"
      waited=1
      sleep 1
    done
    return 0
  fi
  until mkdir "$lock.d" 2>/dev/null; do
    holder=$(cat "$lock.d/pid" 2>/dev/null)
    if [ -n "$holder" ] && ! kill -0 "$holder" 2>/dev/null; then
      # Renamed first: of two that find it dead only one takes it away.
      mv "$lock.d" "$cache/.gone-lock-$$" 2>/dev/null && rm -rf "$cache/.gone-lock-$$"
    elif [ -z "$holder" ] && [ -n "$(find "$lock.d" -prune -mmin +1 2>/dev/null)" ]; then
      mv "$lock.d" "$cache/.gone-lock-$$" 2>/dev/null && rm -rf "$cache/.gone-lock-$$"
    else
      sleep 1
    fi
  done
  echo $$ >"$lock.d/pid"
}

unlock() { if have flock; then flock -u 9; else rm -rf "$lock.d"; fi; }

# --- the archive -----------------------------------------------------------------------------------------------------
digest() {
  if have sha256sum; then sha256sum <"$1"; elif have shasum; then shasum -a 256 <"$1"
  elif have openssl; then openssl dgst -sha256 -r <"$1"
  else fail 93 env.node_tools "this node has none of sha256sum, shasum and openssl" "install one of them"; fi
}

obtain() {
  for archive in "./$file" "${0%/*}/$file"; do
    if [ -f "$archive" ]; then came_from=$archive; return; fi
  done
  archive=$part/$file came_from=${nb_path:-${nb_uri:-its own command}}
  if [ -n "$nb_fetch" ]; then
    NBPLAT_URI=$nb_uri NBPLAT_FILE=$archive sh -c "$nb_fetch" || cannot_fetch "the command $nb_fetch"
  elif [ -n "$nb_path" ]; then
    cp "$nb_path" "$archive" || cannot_fetch "cp"
  else
    case $nb_uri in
      http://*|https://*)
        if have curl; then curl -fsSL --connect-timeout 30 --retry 3 -o "$archive" "$nb_uri" || cannot_fetch curl
        elif have wget; then wget -q -T 60 -O "$archive" "$nb_uri" || cannot_fetch wget
        else no_client "curl or wget"; fi ;;
      s3://*|s3a://*|s3n://*)
        have aws || no_client aws
        aws s3 cp --only-show-errors "s3://${nb_uri#*://}" "$archive" || cannot_fetch "aws s3 cp" ;;
      gs://*)
        have gcloud || no_client gcloud
        gcloud storage cp "$nb_uri" "$archive" || cannot_fetch "gcloud storage cp" ;;
      hdfs://*|viewfs://*|webhdfs://*|abfs://*|abfss://*|o3fs://*|ofs://*)
        have hdfs || no_client hdfs
        hdfs dfs -get "$nb_uri" "$archive" || cannot_fetch "hdfs dfs -get" ;;
      *) no_client "a program for it" ;;
    esac
  fi
  [ -f "$archive" ] || cannot_fetch "it left no file at \$NBPLAT_FILE, which"
}

cannot_fetch() {
  fail 92 env.node_fetch "the archive of $nb_name was not fetched: $1 failed for $came_from" \
    "see that nodes reach it, or send it with the session: --fetch session"
}

no_client() {
  fail 93 env.node_tools "this node has no $1 to fetch ${nb_uri:-the archive} with, and it was not sent with the session" \
    "push to a path or HTTP server that nodes reach, give --fetch COMMAND, or --fetch session"
}

verify() {
  found=$(digest "$archive") || exit $?
  [ "${found%% *}" = "$nb_sha256" ] || fail 94 env.hash \
    "what came from $came_from is not the archive of $nb_name: its sha256 is $(printf '%.16s' "$found")…, not $(printf '%.16s' "$nb_sha256")…" \
    "push it again; nothing was unpacked"
}

unpack() {
  mkdir "$part/env" || fail 96 env.node_unpack "no folder can be made in $part" "see why"
  case $nb_format in
    tar.gz) tar -xzof "$archive" -C "$part/env" ;;
    tar.zst)
      if have zstd; then zstd -dcq "$archive" | tar -xof - -C "$part/env"
      elif tar --version 2>/dev/null | grep -q 'GNU\|bsdtar' && have unzstd; then tar --zstd -xof "$archive" -C "$part/env"
      else fail 93 env.node_tools "this node has no zstd" "install it, or pack as tar.gz"; fi ;;
    zip)
      have unzip || fail 93 env.node_tools "this node has no unzip" "install it, or pack as tar.gz"
      unzip -q "$archive" -d "$part/env" ;;
  esac || fail 96 env.node_unpack "$archive cannot be unpacked in $cache" "see the lines above; free space there"
}

relocate() {
  if [ -f "$home/bin/nbplat-relocate" ]; then "$home/bin/python" -I -B "$home/bin/nbplat-relocate" --quiet
  elif [ -f "$home/bin/conda-unpack" ]; then "$home/bin/python" -I -B "$home/bin/conda-unpack"
  else "$home/bin/python" -I -c ''; fi || does_not_start
}

does_not_start() {
  libc=$(getconf GNU_LIBC_VERSION 2>/dev/null)
  fail 96 env.node_start "the Python of $nb_name ($nb_platform) does not start on this node ($(uname -sm), ${libc:-no glibc})" \
    "see the lines above; declare the nodes' __glibc under nbplat.virtual, lock and push again"
}

# --- room ------------------------------------------------------------------------------------------------------------
free_kib() { df -Pk "$cache" 2>/dev/null | awk 'NR == 2 { print $4 }'; }

# Environments from the one that was used last, as their hashes.
by_use() { ls -t "$cache" 2>/dev/null | sed -n 's/^\([0-9a-f]\{32\}\)\.used$/\1/p'; }

in_use() {
  for mark in "$cache/$1".use.*; do
    [ -f "$mark" ] || continue
    if kill -0 "${mark##*.}" 2>/dev/null; then return 0; fi
    rm -f "$mark"
  done
  return 1
}

# In a shell of its own, which lets go of the lock when it ends.
remove() (
  if have flock; then exec 8>>"$cache/$1.lock" && flock -n 8 || exit 1; else
    mkdir "$cache/$1.lock.d" 2>/dev/null || exit 1
    trap 'rm -rf "$cache/$1.lock.d"' EXIT
    if in_use "$1"; then exit 1; fi
  fi
  rm -f "$cache/$1.used"
  # Out of sight at once: what is half removed is never found ready.
  [ ! -d "$cache/$1" ] || mv "$cache/$1" "$cache/.gone-$1-$$" || exit 1
  rm -rf "$cache/.gone-$1-$$"
  say "removed $1 from $cache"
)

evict() {
  for old in $(find "$cache" -name '*.used' -mtime "+$nb_keep_days" 2>/dev/null | sed 's|.*/||; s|\.used$||'); do
    [ "$old" = "$nb_home" ] || remove "$old" || :
  done
  kib=0
  for one in $(by_use); do
    kib=$((kib + $(sed -n 's/^kib //p' "$cache/$one/.nbplat-ready" 2>/dev/null || echo 0) + 0))
    if [ "$kib" -gt "$nb_keep_kib" ] && [ "$one" != "$nb_home" ]; then remove "$one" || :; fi
  done
  find "$cache" -maxdepth 1 -name '.gone-*' -mtime +1 -exec rm -rf {} + 2>/dev/null || :
}

make_room() {
  need=$((nb_kib * 11 / 10))
  for one in $(by_use | sed '1!G;h;$!d'); do
    [ "$(free_kib)" -lt "$need" ] 2>/dev/null || return 0
    [ "$one" = "$nb_home" ] || remove "$one" || :
  done
  free=$(free_kib)
  [ "${free:-$need}" -ge "$need" ] || fail 95 disk.full \
    "$cache has $((free / 1024)) MiB free, and $nb_name needs $((need / 1024)) MiB" \
    "free space there, or set NBPLAT_NODE_CACHE on the nodes to a larger disk"
}

# --- one start -------------------------------------------------------------------------------------------------------
fill() {
  part=$cache/.part-$nb_home-$$
  # We hold the lock: parts of this archive were left by starts that were killed.
  rm -rf "$cache/.part-$nb_home-"* "$home"
  mkdir "$part" || fail 91 env.node_cache "no folder can be made in $cache" "see why"
  trap 'rm -rf "$part"' EXIT
  trap 'exit 130' HUP INT TERM
  make_room
  obtain </dev/null >&2
  verify
  umask 022
  unpack </dev/null >&2
  mv "$part/env" "$home"
  relocate </dev/null >&2
  printf 'sha256 %s\nkib %s\n' "$nb_sha256" "$(du -sk "$home" | cut -f1)" >"$part/ready"
  mv "$part/ready" "$home/.nbplat-ready"
  true >"$cache/$nb_home.used"
  evict
  say "unpacked $nb_name into $home"
}

find_cache
if [ -r "$lock" ] && [ -d "$home" ]; then lock_shared; fi
until is_ready; do
  make_cache
  if lock_alone; then
    is_ready || (fill) || { status=$?; unlock; exit $status; }
    unlock
  fi
  lock_shared
done
{ true >"$cache/$nb_home.used"; } 2>/dev/null || :
PATH=$home/bin:$PATH CONDA_PREFIX=$home PYTHONNOUSERSITE=1
export PATH CONDA_PREFIX PYTHONNOUSERSITE
unset PYTHONHOME
exec "$home/bin/python" "$@"
