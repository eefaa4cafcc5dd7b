"""Puts the folder of an unpacked environment into its files; runs inside the archive, on any Python since 3.9.

Some packages hold the path that they are installed under. Their files travel with a long placeholder in its stead, and
``relocate.json`` says where. This program writes the real path there, each file under another name first: nothing is
ever half-written, running programs keep the file that they have open, and a killed run is done again. An environment
that was moved is mended the same way.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import subprocess
import sys
from typing import Any, NamedTuple

__all__ = ["RelocationError", "current_prefix", "main", "relocate"]

_FOLDER = ".nbplat"


class RelocationError(Exception):
    """The environment cannot work where it is, or is not whole."""


class _Slot(NamedTuple):
    """One stretch of a file that is written as a whole.

    Attributes:
        start, end: Where it lay originally: a C string without its NUL, or all of a text file.
        places: Where the placeholder stood in it, from the start of the file.
    """

    start: int
    end: int
    places: list[int]


class _File(NamedTuple):
    path: str
    binary: bool
    placeholder: bytes
    slots: list[_Slot]


def relocate(root: str, prefix: str = "") -> int:
    """Write a path into the files of an environment.

    Args:
        root: Folder of the environment.
        prefix: The path to write; empty takes `root` itself, links resolved.

    Returns:
        How many files were changed; 0 when all held that path already.

    Raises:
        RelocationError: the path is longer than a placeholder inside a compiled file; a file is neither as packed nor
            as we left it.
        OSError: files cannot be written.
    """
    root = os.path.realpath(root)
    wanted = prefix or root
    if current_prefix(root) == wanted:
        return 0
    with open(os.path.join(root, _FOLDER, "relocate.lock"), "a", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if current_prefix(root) == wanted:
            return 0
        return _relocate(root, wanted)


def current_prefix(root: str) -> str:
    """The path that the files hold; empty while they hold the placeholder, or a run was cut short."""
    try:
        with open(os.path.join(root, _FOLDER, "prefix"), encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


def main(arguments: list[str] | None = None) -> int:
    """The command ``nbplat-relocate``, also as ``conda-unpack``; 1 when it failed."""
    parser = argparse.ArgumentParser(
        prog="nbplat-relocate", description="Put the folder of this environment into its files; safe to run again."
    )
    parser.add_argument("--root", default=os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    parser.add_argument("--prefix", default="", help="another path to write than the folder's own")
    parser.add_argument("--quiet", action="store_true")
    given = parser.parse_args(arguments)
    try:
        count = relocate(given.root, given.prefix)
    except (RelocationError, OSError) as error:
        sys.stderr.write(f"nbplat-relocate: {error}\n")
        return 1
    if not given.quiet:
        sys.stdout.write(f"{count} files now hold {given.prefix or os.path.realpath(given.root)}\n")
    return 0


def _relocate(root: str, wanted: str) -> int:
    files = _read_files(root)
    new = os.fsencode(wanted)
    _refuse_long(files, new)
    state = os.path.join(root, _FOLDER)
    before = _tried(state)
    # What files may hold already: a run that was cut short left some of each.
    _write(os.path.join(state, "prefixes"), "\n".join([*(one for one in before if one != wanted), wanted]), 0o644)
    if os.path.exists(os.path.join(state, "prefix")):
        os.unlink(os.path.join(state, "prefix"))
    known = [os.fsencode(one) for one in before]
    count = sum(_relocate_file(root, file, new, known) for file in files)
    _write(os.path.join(state, "prefix"), wanted, 0o644)
    return count


def _read_files(root: str) -> list[_File]:
    with open(os.path.join(root, _FOLDER, "relocate.json"), encoding="utf-8") as text:
        record: dict[str, Any] = json.load(text)
    if record["format"] != 1:
        raise RelocationError(f"relocate.json is of format {record['format']}, this program knows 1: unpack it anew")
    placeholders = [os.fsencode(one) for one in record["placeholders"]]
    return [
        _File(one["path"], one["mode"] == "binary", placeholders[one["placeholder"]], [_Slot(*s) for s in one["slots"]])
        for one in record["files"]
    ]


def _refuse_long(files: list[_File], new: bytes) -> None:
    room = min((len(file.placeholder) for file in files if file.binary), default=len(new))
    if len(new) > room:
        raise RelocationError(
            f"{os.fsdecode(new)} is {len(new)} bytes long, compiled files have room for {room}: "
            "unpack it under a shorter path"
        )


def _tried(state: str) -> list[str]:
    try:
        with open(os.path.join(state, "prefixes"), encoding="utf-8", errors="surrogateescape") as file:
            return [one for one in file.read().split("\n") if one]
    except OSError:
        return []


def _relocate_file(root: str, file: _File, new: bytes, known: list[bytes]) -> int:
    path = os.path.join(root, file.path)
    try:
        with open(path, "rb") as source:
            data = source.read()
        mode = os.stat(path).st_mode & 0o7777
    except FileNotFoundError:
        return 0  # somebody took it away, which is theirs to know
    for old in (new, file.placeholder, *known):
        written = _written(data, file, old, new)
        if written is None:
            continue
        if written == data:
            return 0
        _write(path, written, mode)
        if file.binary and sys.platform == "darwin":
            # A changed program is killed there until it is signed anew.
            subprocess.run(["/usr/bin/codesign", "-f", "-s", "-", path], check=False, capture_output=True)
        return 1
    raise RelocationError(f"{file.path} is neither as packed nor as it was left: unpack the archive anew")


def _written(data: bytes, file: _File, old: bytes, new: bytes) -> bytes | None:
    """The file with the new path where it holds `old`; None when it does not hold `old` everywhere."""
    less = len(file.placeholder) - len(old)
    out, done = [], 0
    for start, end, places in file.slots:
        gap = less * len(places)
        # In a compiled file the slot keeps its length by NULs behind the string; a text ends earlier.
        held = data[start : end - gap]
        padding = data[end - gap : end] if file.binary else b""
        if len(held) != end - gap - start or padding.strip(b"\0") or (file.binary and held[-1:] == b"\0"):
            return None
        pieces, at = [], 0
        for number, place in enumerate(places):
            here = place - start - number * less
            if held[here : here + len(old)] != old:
                return None
            pieces.append(held[at:here])
            at = here + len(old)
        text = new.join([*pieces, held[at:]])
        out += [data[done:start], text.ljust(end - start, b"\0") if file.binary else text]
        done = end if file.binary else end - gap
    if not file.binary and done != len(data):
        return None
    return b"".join([*out, data[done:]])


def _write(path: str, content: bytes | str, mode: int) -> None:
    data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape")
    fresh = path + ".nbplat-new"
    if os.path.lexists(fresh):
        os.unlink(fresh)
    with open(fresh, "wb") as file:
        file.write(data)
        os.fchmod(file.fileno(), mode)
    os.replace(fresh, path)


if __name__ == "__main__":
    sys.exit(main())
