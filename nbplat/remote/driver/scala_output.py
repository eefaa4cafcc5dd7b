"""What Scala prints, brought from the JVM to the running statement as it comes: one pipe for each stream."""

from __future__ import annotations

import codecs
import os
import select
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["ScalaOutput"]

_PIECE = 1 << 16


class ScalaOutput:
    """Two named pipes that the JVM writes to while a statement runs.

    Args:
        folder: For the pipes; short-lived files may be there.
        gateway: py4j's.
    """

    def __init__(self, folder: str, gateway: Any) -> None:
        self._write: Callable[[str, str], Any] | None = None
        self._reading = threading.Lock()
        self._pipes: dict[int, tuple[str, Any]] = {}
        jvm = gateway.jvm
        self._system = jvm.java.lang.System
        self._console = jvm.java.lang.Class.forName("scala.Console$").getField("MODULE$").get(None)
        self._before = (self._system.out, self._system.err)
        self._streams: dict[str, Any] = {}
        for name in ("stdout", "stderr"):
            path = Path(folder, f"scala-{name}")
            if path.exists():
                path.unlink()
            os.mkfifo(path, 0o600)
            # Ours first: the JVM's end waits for a reader.
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            self._streams[name] = jvm.java.io.PrintStream(jvm.java.io.FileOutputStream(str(path)), True, "UTF-8")
            path.unlink()
            self._pipes[handle] = (name, codecs.getincrementaldecoder("utf-8")("replace"))
        threading.Thread(target=self._read, name="scala output", daemon=True).start()

    def begin(self, write: Callable[[str, str], Any]) -> None:
        """Have the JVM print to a statement. To be called on the thread that runs it: Scala's console is a thread's."""
        self._write = write
        self._system.setOut(self._streams["stdout"])
        self._system.setErr(self._streams["stderr"])
        self._console.setOutDirect(self._streams["stdout"])
        self._console.setErrDirect(self._streams["stderr"])

    def end(self) -> None:
        """Give the JVM its own streams back; all that was printed has been taken then."""
        for stream in self._streams.values():
            stream.flush()
        out, err = self._before
        self._system.setOut(out)
        self._system.setErr(err)
        with self._reading:
            for handle in list(self._pipes):
                while self._take(handle):
                    pass
        self._write = None

    def _read(self) -> None:
        while self._pipes:
            ready, _, _ = select.select(list(self._pipes), [], [])
            with self._reading:
                for handle in ready:
                    self._take(handle)

    def _take(self, handle: int) -> bool:
        """Take a piece; False when there is none now."""
        name, decoder = self._pipes[handle]
        try:
            piece = os.read(handle, _PIECE)
        except BlockingIOError:
            return False
        if not piece:
            # The JVM has ended.
            self._pipes.pop(handle)
            os.close(handle)
            return False
        write = self._write
        if write is not None and (text := decoder.decode(piece)):
            write(name, text)
        return True
