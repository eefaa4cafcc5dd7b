"""Tells what a container's log files say, so that a person need not find the node where the driver ran."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["LogTail", "container_logs"]

_EVERY_S = 0.5
_PIECE = 1 << 16
# A driver that shouts is cut: events go to a database.
_MOST_LINES = 20_000


class LogTail:
    """Follows files from their beginning; each look tells whole lines only.

    Args:
        paths: Files; one that is not there yet may come.
        send: Takes lines without their ends.
    """

    def __init__(self, paths: Sequence[str], send: Callable[[list[str]], object]) -> None:
        self._places = dict.fromkeys(paths, 0)
        self._halves = dict.fromkeys(paths, b"")
        self._send = send
        self._told = 0
        self._looking = threading.Lock()
        self._ended = threading.Event()
        if paths:
            threading.Thread(target=self._follow, name="log", daemon=True).start()

    def close(self) -> None:
        """Tell what is there, and look no more."""
        self._ended.set()
        self._look()

    def _follow(self) -> None:
        while not self._ended.wait(_EVERY_S) and self._told < _MOST_LINES:
            self._look()

    def _look(self) -> None:
        with self._looking:
            for path in self._places:
                lines = self._fresh(path)[: max(0, _MOST_LINES - self._told)]
                if lines:
                    self._told += len(lines)
                    self._send(lines)

    def _fresh(self, path: str) -> list[str]:
        try:
            with Path(path).open("rb") as file:
                file.seek(self._places[path])
                piece = file.read(_PIECE)
        except OSError:
            return []
        self._places[path] += len(piece)
        *whole, self._halves[path] = (self._halves[path] + piece).split(b"\n")
        return [line.decode("utf-8", "replace").rstrip("\r") for line in whole]


def container_logs(environ: dict[str, str]) -> list[str]:
    """The log files of a YARN container; none elsewhere."""
    folder = environ.get("LOG_DIRS", "").partition(",")[0]
    return [str(Path(folder, name)) for name in ("stderr", "stdout")] if folder else []
