"""Equal locks give equal archives, whoever packs them where."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from nbplat.environment.build import BuildDone
from nbplat.environment.store import Store
from tests.fixtures.channels import SmallChannel
from tests.fixtures.environments import build_small
from tests.fixtures.packs import packed, store_of

_SPECS = ("python", "nbplat-marker ==7.7.7", "prefixdemo", "greeter", "speller")
_NOBODY = 65534

# Reads the record of a build and packs it, after it has become another user: who that is cannot read our interpreter.
_AS_ANOTHER = """
import json, os, sys, concurrent.futures.thread
from pathlib import Path
import deflate, zstandard
from nbplat.adapters.archive import archive_codec
from nbplat.adapters.interpreter.compile_modules import compile_modules
from nbplat.environment.built import read_built
from nbplat.environment.pack import pack
from nbplat.environment.pack_record import PackOptions, PackSource
from nbplat.environment.packing.ports import PackTools
from nbplat.environment.store import Store
root, prefix, user, *formats = sys.argv[1:]
asked = [PackOptions(format=format, threads=3) for format in formats]
tools = [PackTools(archive_codec(one.format, 0), compile_modules, "0") for one in asked]
if int(user):
    os.setgroups([])
    os.setgid(int(user))
    os.setuid(int(user))
os.umask(0o077)
source = PackSource.of(read_built(Path(prefix)))
for options, tool in zip(asked, tools):
    print(pack(source, options, Store(Path(root)), tool, lambda phase: None).sha256)
"""


def test_other_folder_user_umask_times_and_threads_give_the_same_bytes(
    small_environment: BuildDone, small_channel: SmallChannel, tmp_path: Path
) -> None:
    """Built in another folder, with other file times, packed by another user under another umask: the same sha256."""
    formats = ("tar.gz", "zip", "tar.zst")
    here = [packed(small_environment, store_of(small_environment, tmp_path / "here"), format=one) for one in formats]
    root = tmp_path / "a" / "folder" / "with" / "a" / "longer" / "name" / "env"
    there = build_small(small_channel, root, *_SPECS)
    for path in root.rglob("*"):
        os.utime(path, (1, 1), follow_symlinks=False)
    user = _give_away(root) if os.getuid() == 0 else 0
    words = [sys.executable, "-c", _AS_ANOTHER, root, there.ref.prefix, user, *formats]
    done = subprocess.run([str(one) for one in words], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert [one.sha256 for one in here] == done.stdout.split()
    assert 0o644 == next(Store(root).packs.glob("*.tar.gz")).stat().st_mode & 0o777


def test_kept_and_new_layers_give_the_same_bytes(small_environment: BuildDone, tmp_path: Path) -> None:
    """An archive made of kept layers is the one that is made at once."""
    store = store_of(small_environment, tmp_path / "kept")
    packed(small_environment, store, slim=True)
    mixed = packed(small_environment, store)
    assert 0 < mixed.made < mixed.layers
    fresh = packed(small_environment, store_of(small_environment, tmp_path / "fresh"))
    assert fresh.made == fresh.layers
    assert fresh.sha256 == mixed.sha256


def _give_away(root: Path) -> int:
    """Give a store to a user who is nobody; the folders of tests are closed to others and are opened for passing."""
    for path in (root, *root.rglob("*")):
        os.chown(path, _NOBODY, _NOBODY, follow_symlinks=False)
    for parent in root.parents:
        if parent.name.startswith("pytest-") or parent.stat().st_mode & 0o001 == 0:
            parent.chmod(parent.stat().st_mode | 0o011)
    return _NOBODY
