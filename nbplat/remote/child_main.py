"""What a child interpreter does: hello, load a body, run it over batches; or let models learn (see `models`).

Started by `child.Child`.

Standard input and output carry the messages and nothing else: they are taken away from user code, whose
own output goes to standard error, where the parent reads it for the job's log.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import traceback
from typing import Any

from . import PROTOCOL
from .failure import KernelError
from .wire import pack, unpack

__all__ = ["main"]


def main() -> int:
    """Answer messages until the parent closes its end."""
    inward, outward = os.dup(0), os.dup(1)
    quiet = os.open(os.devnull, os.O_RDONLY)
    os.dup2(quiet, 0)
    os.close(quiet)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    # Ctrl-C in a terminal reaches the whole group; the parent decides what becomes of us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asked: queue.Queue[tuple[dict[str, Any], bytes]] = queue.Queue()
    threading.Thread(target=_listen, args=(inward, asked), daemon=True).start()
    hello = _hello()
    _send(outward, hello)
    if "missing" in hello:
        return 3
    run = models = None
    while True:
        head, payload = asked.get()
        try:
            if head["do"] == "load":
                from .python_body import compile_body

                run = compile_body(head["body"])
                _send(outward, {"ok": True})
            elif head["do"].startswith("model."):
                from .models import Models

                models = models or Models()
                told, data = models.do(head, payload)
                sys.stderr.flush()
                _send(outward, {"ok": True, **told}, data)
            else:
                assert run is not None  # noqa: S101 - the parent loads first
                answer = _encode(run(_decode(payload), head["schema"], head["declared"]))
                sys.stderr.flush()
                _send(outward, {"ok": True}, answer)
        except Exception as exc:  # noqa: BLE001 - whatever user code raises is an answer
            if not isinstance(exc, KernelError):
                traceback.print_exc()
                exc = _bug(exc)
            sys.stderr.flush()
            _send(outward, {"error": exc.record()})


def _listen(inward: int, asked: queue.Queue[tuple[dict[str, Any], bytes]]) -> None:
    """Read messages; when the parent is gone, so are we, whatever user code is doing."""

    def read(count: int) -> bytes:
        pieces = []
        while count:
            piece = os.read(inward, min(count, 1 << 20))
            if not piece:
                break
            pieces.append(piece)
            count -= len(piece)
        return b"".join(pieces)

    while True:
        try:
            message = unpack(read)
        except OSError:
            message = None
        if message is None:
            os._exit(0)
        asked.put(message)


def _hello() -> dict[str, Any]:
    found: dict[str, Any] = {"protocol": PROTOCOL, "python": ".".join(map(str, sys.version_info[:3]))}
    for name in ("numpy", "pyarrow"):
        try:
            found[name] = __import__(name).__version__
        except Exception as exc:  # noqa: BLE001 - a broken package is a missing one
            return {**found, "missing": name, "why": f"{type(exc).__name__}: {exc}"}
    return found


def _bug(exc: BaseException) -> KernelError:
    return KernelError(
        "body.child",
        f"the child interpreter failed with {type(exc).__name__}",
        fix="read the job's log and report it",
        kind="InternalError",
    )


def _decode(payload: bytes) -> Any:
    import pyarrow as pa

    return pa.ipc.open_stream(pa.py_buffer(payload)).read_all()


def _encode(table: Any) -> Any:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def _send(outward: int, head: dict[str, Any], payload: Any = b"") -> None:
    for piece in pack(head, payload):
        view = memoryview(piece)
        while view.nbytes:
            view = view[os.write(outward, view[: 1 << 20]) :]


if __name__ == "__main__":
    sys.exit(main())
