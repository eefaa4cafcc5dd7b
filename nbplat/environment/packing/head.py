"""The start of an archive: its folders, its manifest, and what makes it work in any folder."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Mapping
from typing import Any

import nbplat.remote.relocate
import nbplat.remote.relocate_start
from nbplat.environment.pack_record import PackSource
from nbplat.environment.packing.files import PackedFile
from nbplat.environment.packing.scripts import script_stub

__all__ = ["MANIFEST_FILE", "head_files", "head_text", "relocation_list"]

MANIFEST_FILE = ".nbplat/manifest.json"

# The second is what people's own scripts call after unpacking.
_COMMANDS = ("bin/nbplat-relocate", "bin/conda-unpack")

# Run by a shell or by a Python, under either of two names.
_RELOCATE = """\
import os
import runpy

_root = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
runpy.run_path(os.path.join(_root, ".nbplat", "relocate.py"), run_name="__main__")
"""
# conda takes a folder for an environment by this file; it wants a time on its first line.
_HISTORY = "==> 2020-01-01 00:00:00 <==\n# nbplat lock {digest}\n"


def head_files(
    source: PackSource,
    folders: Iterable[str],
    taken: Iterable[str],
    relocations: Iterable[Mapping[str, Any]],
    manifest: Mapping[str, Any],
) -> list[PackedFile]:
    """Folders first, parents before what is in them: some unpackers make none by themselves.

    Args:
        folders: Of all packages.
        taken: Paths that packages bring; ours give way to them.
        relocations: Of all layers, as members keep them.
    """
    made = [
        PackedFile(MANIFEST_FILE, content=(json.dumps(manifest, indent=1, sort_keys=True) + "\n").encode()),
        PackedFile(".nbplat/relocate.json", content=relocation_list(relocations)),
        PackedFile(".nbplat/relocate.py", content=inspect.getsource(nbplat.remote.relocate).encode()),
        *(PackedFile(path, content=_relocate(source), executable=True) for path in _COMMANDS),
        PackedFile("conda-meta/history", content=_HISTORY.format(digest=source.lock_digest).encode()),
    ]
    if source.python:
        site = f"lib/python{source.python}/site-packages/_nbplat_relocate"
        start = inspect.getsource(nbplat.remote.relocate_start).encode()
        made += [
            PackedFile(f"{site}.pth", content=b"import _nbplat_relocate\n"),
            PackedFile(f"{site}.py", content=start),
        ]
    brought = set(taken)
    made = [file for file in made if file.path not in brought]
    every = {*folders, *(f"{file.path.rpartition('/')[0]}/" for file in made)}
    return [*(PackedFile(folder) for folder in sorted(every)), *made]


def _relocate(source: PackSource) -> bytes:
    # An environment without a Python is relocated by the one of its machine.
    stub = script_stub("python" if source.python else "", "-I -S -B")
    return (stub + _RELOCATE).encode()


def head_text() -> str:
    """What decides about the bytes of a head beside its arguments."""
    programs = (nbplat.remote.relocate, nbplat.remote.relocate_start)
    return "\0".join([_RELOCATE, _HISTORY, *map(inspect.getsource, programs)])


def relocation_list(relocations: Iterable[Mapping[str, Any]]) -> bytes:
    """What `nbplat.remote.relocate` reads."""
    found = sorted(relocations, key=lambda one: str(one["path"]))
    placeholders = sorted({str(one["placeholder"]) for one in found})
    files = [
        {
            "path": one["path"],
            "mode": "binary" if one["binary"] else "text",
            "placeholder": placeholders.index(one["placeholder"]),
            "slots": one["slots"],
        }
        for one in found
    ]
    return json.dumps({"format": 1, "placeholders": placeholders, "files": files}, separators=(",", ":")).encode()
