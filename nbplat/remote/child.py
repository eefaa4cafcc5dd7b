"""A child interpreter that runs user code, so that what kills it never takes the job along.

One child serves one slot and is used again for unit after unit. It ends when we close it, and by itself
when we die: its standard input closes then.
"""

from __future__ import annotations

import atexit
import collections
import json
import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from . import PROTOCOL
from .bundle import write_bundle
from .failure import KernelError
from .wire import pack, unpack

__all__ = ["Child", "Children", "children"]

START_S = 60.0
"""How long an interpreter may take to say hello; a cold disk and a big environment are slow."""

IDLE_S = 60.0
"""A service that plans now and then keeps no interpreters about."""

_TAIL_LINES = 12
_LOADED = ("interpreter", "folder", "source", "shipped", "modules", "params", "keys", "group_by")


class Child:
    """One running interpreter.

    Args:
        interpreter: Path of a Python; empty takes our own.
        folder: Where the bundle of this package is kept; empty takes the temporary folder.
        log: Gets each line that user code prints.

    Attributes:
        hello: ``protocol``, ``python``, ``numpy`` and ``pyarrow`` versions.

    Raises:
        KernelError: ``python.interpreter`` (it does not start or speaks another protocol) or
            ``python.package`` (it has no pyarrow or numpy).
    """

    def __init__(self, interpreter: str = "", folder: str = "", log: Callable[[str], None] | None = None) -> None:
        self.interpreter = interpreter or sys.executable
        self._log = log or _print
        self._tail: collections.deque[str] = collections.deque(maxlen=_TAIL_LINES)
        try:
            self._process = subprocess.Popen(
                [self.interpreter, "-I", write_bundle(folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
            )
        except OSError as exc:
            raise _unusable(self.interpreter, f"it cannot be started: {exc.strerror}") from None
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        try:
            self.hello = self._greet()
        except BaseException:
            self.close()
            raise

    def load(self, body: dict[str, Any]) -> None:
        """Define the body's functions in the child; see `python_body`."""
        self._ask({"do": "load", "body": body}, b"", body["limit_s"])

    def run(self, table: Any, body: dict[str, Any]) -> Any:
        """Run the loaded body over a table.

        Args:
            body: Its record, of which ``schema``, ``declared`` and ``limit_s`` count here.

        Raises:
            KernelError: what the function raised, ``body.crashed`` or ``body.slow``; after the last two
                the child is gone.
        """
        import pyarrow as pa

        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        head = {"do": "run", "schema": body["schema"], "declared": body["declared"]}
        payload = self._ask(head, sink.getvalue(), body["limit_s"])
        return pa.ipc.open_stream(pa.py_buffer(payload)).read_all()

    def call(self, head: dict[str, Any], payload: Any, limit_s: float) -> tuple[dict[str, Any], bytes]:
        """Send any message and take its answer; see `child_main` for what there is.

        Raises:
            KernelError: as `run`.
        """
        return self._answer(head, payload, limit_s)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        """End the child; safe to repeat."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._listener.join(timeout=2.0)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def _greet(self) -> dict[str, Any]:
        found = self._receive(START_S)
        if found is None:
            self._process.wait()
            self._listener.join(timeout=2.0)
            raise _unusable(self.interpreter, "it ends without a word" + self._said())
        hello = found[0]
        if "missing" in hello:
            raise KernelError(
                "python.package",
                f"{self.interpreter} has no {hello['missing']} ({hello['why']})",
                fix="install pyarrow and numpy there, or name another with --env PATH",
                kind="SetupError",
            )
        if hello.get("protocol") != PROTOCOL:
            raise _unusable(self.interpreter, f"it speaks protocol {hello.get('protocol')}, not {PROTOCOL}")
        return hello

    def _ask(self, head: dict[str, Any], payload: Any, limit_s: float) -> bytes:
        return self._answer(head, payload, limit_s)[1]

    def _answer(self, head: dict[str, Any], payload: Any, limit_s: float) -> tuple[dict[str, Any], bytes]:
        writer = threading.Thread(target=self._write, args=(pack(head, payload),), daemon=True)
        # Beside the reading: a child that dies with its input half read must not hold us in a write.
        writer.start()
        found = self._receive(limit_s)
        if found is None:
            raise self._crashed()
        writer.join()
        if "error" in found[0]:
            raise KernelError.from_record(found[0]["error"])
        return found

    def _write(self, pieces: list[Any]) -> None:
        assert self._process.stdin is not None  # noqa: S101 - a pipe was asked for
        try:
            for piece in pieces:
                view = memoryview(piece)
                while view.nbytes:
                    view = view[os.write(self._process.stdin.fileno(), view[: 1 << 20]) :]
        except (OSError, ValueError):
            return  # the reader sees the child's end and says so

    def _receive(self, limit_s: float) -> tuple[dict[str, Any], bytes] | None:
        """One message; None when the child has ended. A child over its time is ended."""
        assert self._process.stdout is not None  # noqa: S101 - a pipe was asked for
        source = self._process.stdout.fileno()
        deadline = time.monotonic() + limit_s if limit_s else None
        with selectors.DefaultSelector() as selector:
            selector.register(source, selectors.EVENT_READ)

            def read(count: int) -> bytes:
                whole = bytearray()
                while len(whole) < count:
                    left = None if deadline is None else max(0.0, deadline - time.monotonic())
                    if not selector.select(left):
                        self.close()
                        raise KernelError(
                            "body.slow",
                            f"the Python body took longer than {limit_s:g} s",
                            fix="make it faster, or raise limits.python_seconds (NBPLAT_LIMITS_PYTHON_SECONDS)",
                        )
                    piece = os.read(source, min(count - len(whole), 1 << 20))
                    if not piece:
                        break
                    whole += piece
                return bytes(whole)

            try:
                return unpack(read)
            except json.JSONDecodeError:
                return None

    def _crashed(self) -> KernelError:
        code = self._process.wait()
        self._listener.join(timeout=2.0)
        how = f"with exit code {code}" if code >= 0 else f"of {_signal_name(-code)}"
        self.close()
        return KernelError(
            "body.crashed",
            f"the Python body ended its interpreter {how}{self._said()}",
            fix="mend what ends the process (os._exit, a native library, memory); the log has its output",
        )

    def _said(self) -> str:
        return "; its last lines:\n" + "\n".join(self._tail) if self._tail else ""

    def _listen(self) -> None:
        assert self._process.stderr is not None  # noqa: S101 - a pipe was asked for
        pending = b""
        while True:
            try:
                piece = os.read(self._process.stderr.fileno(), 1 << 16)
            except (OSError, ValueError):
                piece = b""
            *lines, pending = (pending + piece).split(b"\n")
            if not piece and pending:
                lines.append(pending)
            for line in lines:
                text = line.decode(errors="replace").rstrip("\r")
                self._tail.append(text)
                self._log(text)
            if not piece:
                return


class Children:
    """Idle children by what they have loaded; a slot takes one and gives it back. Safe between threads.

    Args:
        idle_s: How long one may wait for its next use before it is ended.
    """

    def __init__(self, idle_s: float = IDLE_S) -> None:
        self._idle_s = idle_s
        self._lock = threading.Lock()
        # Key, child, and since when it waits; the longest-waiting first.
        self._idle: list[tuple[str, Child, float]] = []
        self._timer: threading.Timer | None = None

    def hello(self, body: dict[str, Any]) -> dict[str, Any]:
        """What a child of the body's interpreter says of itself; it has the body loaded then.

        Raises:
            KernelError: see `Child`, and ``body.raised`` when the sources do not run.
        """
        key = _key(body)
        child = self._take(key) or self._start(body)
        self._give_back(key, child)
        return child.hello

    def run(self, body: dict[str, Any], table: Any) -> Any:
        """Run a body over a table in a child of its interpreter.

        Raises:
            KernelError: see `Child`.
        """
        key = _key(body)
        child = self._take(key) or self._start(body)
        try:
            result = child.run(table, body)
        except KernelError:
            # What user code raised leaves the interpreter fit for the next unit.
            self._give_back(key, child)
            raise
        except BaseException:
            child.close()
            raise
        self._give_back(key, child)
        return result

    def close(self) -> None:
        """End every idle child."""
        self._end(float("inf"))

    def _start(self, body: dict[str, Any]) -> Child:
        child = Child(body["interpreter"], body["folder"])
        try:
            child.load(body)
        except BaseException:
            child.close()
            raise
        return child

    def _take(self, key: str) -> Child | None:
        """The child that waited shortest: the others may reach their end."""
        while True:
            with self._lock:
                found = next((entry for entry in reversed(self._idle) if entry[0] == key), None)
                if found is None:
                    return None
                self._idle.remove(found)
            if found[1].alive:
                return found[1]
            found[1].close()

    def _give_back(self, key: str, child: Child) -> None:
        if not child.alive:
            child.close()
            return
        with self._lock:
            self._idle.append((key, child, time.monotonic()))
            self._watch()

    def _watch(self) -> None:
        if self._timer is None and self._idle:
            self._timer = threading.Timer(self._idle_s, self._tick)
            self._timer.daemon = True
            self._timer.start()

    def _tick(self) -> None:
        self._end(time.monotonic() - self._idle_s)
        with self._lock:
            self._timer = None
            self._watch()

    def _end(self, before_s: float) -> None:
        """End the children that have waited since `before_s` or longer."""
        with self._lock:
            ending = [entry for entry in self._idle if entry[2] <= before_s]
            self._idle = [entry for entry in self._idle if entry[2] > before_s]
        for _, child, _ in ending:
            child.close()


children = Children()
"""Of this process; closed at its end."""

atexit.register(children.close)


def _key(body: dict[str, Any]) -> str:
    """Equal for bodies that one child can serve, whatever types are asked for.

    A ``purpose`` has children of its own: an audit runs in one that kept nothing of the staging.
    """
    return json.dumps([*(body[name] for name in _LOADED), body.get("purpose", "")], sort_keys=True)


def _unusable(interpreter: str, why: str) -> KernelError:
    return KernelError(
        "python.interpreter",
        f"the interpreter {interpreter} is of no use: {why}",
        fix="name another: --env PATH (a Python 3.9 or newer with pyarrow and numpy)",
        kind="SetupError",
    )


def _signal_name(number: int) -> str:
    import signal

    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - standard output of a step is the job's log
