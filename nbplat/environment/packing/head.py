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

__all__ = ["MANIFEST_FILE", "head_files", "head_text", "relocation_list"]

MANIFEST_FILE = ".nbplat/manifest.json"

_RELOCATE = """\
#!/bin/sh
here="$(dirname -- "$(realpath -- "$0" 2>/dev/null || printf %s "$0")")"
python="$here/python"
[ -x "$python" ] || python=python3
exec "$python" -I -S -B "$here/../.nbplat/relocate.py" "$@"
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
        PackedFile("bin/nbplat-relocate", content=_RELOCATE.encode(), executable=True),
        # Under the name that people's own scripts call after unpacking.
        PackedFile("bin/conda-unpack", content=_RELOCATE.encode(), executable=True),
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
