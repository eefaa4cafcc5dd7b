"""What a child does: read the request, run its task, write the result under its name in one move.

Standard output carries the lines of progress and nothing else; what libraries print goes to standard error.
"""

from __future__ import annotations

import importlib
import json
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from nbplat.adapters.conda.child import REQUEST, RESULT
from nbplat.environment.redact import Redactor
from nbplat.errors import InternalError, NbplatError

__all__ = ["Tell", "main"]

Tell = Callable[..., None]
"""``tell(name, done, total, unit, what)``: a phase's fields, as `ports.Phase`; told at most ten times a second."""

_EVERY_S = 0.1
_END_S = 5.0
_NOTICE_S = 0.5


def main(folder: Path) -> None:
    """Run the task of a folder's request, and end the process."""
    orphaned = threading.Event()
    threading.Thread(target=_end_with_parent, args=(folder, orphaned), daemon=True).start()
    code = 1
    try:
        code = _play(folder)
    except OSError as exc:
        # Nobody reads any more or the folder is gone, with the parent; or the disk is full.
        with suppress(OSError):
            sys.stderr.write(f"{exc}\n")
        time.sleep(_NOTICE_S)
    if orphaned.is_set():
        time.sleep(_END_S)  # the other thread clears up and ends us
    # The library's threads have crashed interpreters at their orderly end.
    os._exit(code)


def _play(folder: Path) -> int:
    """Run the task; 0 when it has a result, 1 when it was refused. Both are in the result file."""
    outward = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    # Ctrl-C in a terminal reaches the whole group; the parent decides what becomes of us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    redact = Redactor.of_this_process()
    try:
        request = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
        module, _, function = request["task"].partition(":")
        answer = {"result": getattr(importlib.import_module(module), function)(request, _teller(outward))}
    except NbplatError as exc:
        answer = {"error": _redacted(exc, redact)}
    except BaseException as exc:  # noqa: BLE001 - Rust panics are no Exception, and each is an answer
        sys.stderr.write(redact(traceback.format_exc()))
        answer = {"error": _redacted(_bug(exc), redact)}
    half = folder / f"{RESULT}.half"
    half.write_text(json.dumps(answer), encoding="utf-8")
    half.replace(folder / RESULT)
    sys.stderr.flush()
    outward.flush()
    return 0 if "result" in answer else 1


def _teller(outward: Any) -> Tell:
    last: dict[str, float] = {}

    def tell(name: str, done: int = 0, total: int = 0, unit: str = "B", what: str = "") -> None:
        now = time.monotonic()
        finished = total and done >= total
        if not finished and now - last.get(name, -1.0) < _EVERY_S:
            return
        last[name] = now
        line = json.dumps({"name": name, "done": done, "total": total, "unit": unit, "what": what})
        outward.write(line + "\n")

    return tell


def _end_with_parent(folder: Path, orphaned: threading.Event) -> None:
    while os.read(0, 1 << 10):
        pass
    orphaned.set()
    # The parent would have done it, and credentials may lie there. The task may write its result meanwhile.
    deadline_s = time.monotonic() + _END_S
    while folder.exists() and time.monotonic() < deadline_s:
        shutil.rmtree(folder, ignore_errors=True)
    os.kill(os.getpid(), signal.SIGKILL)


def _redacted(exc: NbplatError, redact: Redactor) -> dict[str, Any]:
    # Results hold no text of the library's, and a password may well be a package's name.
    return {key: redact(value) if isinstance(value, str) else value for key, value in exc.record().items()}


def _bug(exc: BaseException) -> InternalError:
    return InternalError(
        "env.child",
        f"the conda library failed with {type(exc).__name__}: {str(exc)[:500]}",
        fix="run the same command again; if it stays, report it with this text",
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
