"""Compiles modules to bytecode that no worker checks or writes again; runs in the environment's own Python.

Called as ``python -I -S -B compile_modules.py`` with a request as JSON on standard input::

    {"root": …, "tag": "cpython-311", "workers": 2, "batches": [{"out": path, "modules": [[path, sha256], …]}, …]}

Each batch is compiled in a fork of its own, so that its bytes do not depend on what was compiled before it. A batch's
file holds each module's bytecode behind its length (8 bytes, big endian), 0 for a source that does not compile or is
another one than the hash says. The answer on standard output is the tag of this Python; another one compiles nothing.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import marshal
import os
import sys
import warnings

__all__ = ["compile_batch", "compiled", "main"]

# Hash-based and never checked (PEP 552): archives keep no times, and a worker's folder may be read-only.
_UNCHECKED = (1).to_bytes(4, "little")


def compiled(source: bytes, name: str) -> bytes:
    """The content of a ``.pyc``; empty when the source does not compile."""
    try:
        code = compile(source, name, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return b""
    return importlib.util.MAGIC_NUMBER + _UNCHECKED + importlib.util.source_hash(source) + marshal.dumps(code)


def compile_batch(root: str, modules: list[list[str]], out: str) -> None:
    """Compile modules into one file."""
    with open(out, "wb") as file:
        for path, sha256 in modules:
            try:
                with open(os.path.join(root, path), "rb") as text:
                    source = text.read()
            except OSError:
                source = b""
            fits = hashlib.sha256(source).hexdigest() == sha256
            # The name is put right when it is imported; here it must not tell where this machine keeps its files.
            data = compiled(source, path) if fits else b""
            file.write(len(data).to_bytes(8, "big"))
            file.write(data)


def main() -> int:
    """Answer one request; 1 when a batch failed."""
    request = json.load(sys.stdin)
    tag = sys.implementation.cache_tag
    sys.stdout.write(tag + "\n")
    sys.stdout.flush()
    if tag != request["tag"]:
        return 0
    warnings.simplefilter("ignore")
    running, failed = 0, False
    for batch in request["batches"]:
        if running >= request["workers"]:
            failed |= os.wait()[1] != 0
            running -= 1
        if os.fork() == 0:
            _in_child(request["root"], batch)
        running += 1
    while running:
        failed |= os.wait()[1] != 0
        running -= 1
    return 1 if failed else 0


def _in_child(root: str, batch: dict[str, object]) -> None:
    try:
        compile_batch(root, batch["modules"], batch["out"])  # type: ignore[arg-type]
    except BaseException:  # noqa: BLE001 - a fork must never go on as its parent
        sys.excepthook(*sys.exc_info())
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
