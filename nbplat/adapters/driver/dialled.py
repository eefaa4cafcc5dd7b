"""A line that a driver on a cluster has made: its log comes with it, and uploads go by it."""

from __future__ import annotations

import base64
import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nbplat.adapters.driver.line import Line
from nbplat.errors import RemoteError

__all__ = ["DialledLine"]

_LOG = "driver.log"


class DialledLine(Line):
    """As `Line`, over a connection that is there.

    Args:
        folder: Of the session: the driver's log is written here, and uploads lie below it.
        ended: Called when the driver has ended in order and everything that it told was taken.
    """

    def __init__(
        self, connection: socket.socket, token: str, after: int, folder: Path, *, ended: Callable[[], None]
    ) -> None:
        self._folder = folder
        self._ended = ended
        self.left: Callable[[], None] = lambda: None
        super().__init__("a driver on the cluster", token, after, connection)

    def events(self) -> Iterator[list[dict[str, Any]]]:
        """Rows of events as they come; whoever asks for the next row has stored the one before."""
        try:
            for row in super().events():
                self._keep_log(row)
                yield row
                if any(event["event"] == "ended" for event in row):
                    self._ended()
                    with contextlib.suppress(RemoteError):
                        self.ask("stored", limit_s=2.0)
        finally:
            self.left()

    def ask(self, what: str, *, limit_s: float = 10.0, **values: Any) -> dict[str, Any]:
        """Ask and wait; a file of this host is sent before it is added."""
        if what == "add" and (path := self._uploaded(str(values["uri"]))) is not None:
            data = base64.b64encode(path.read_bytes()).decode()
            sent = super().ask("put", limit_s=max(limit_s, 60.0), name=path.name, data=data)
            values["uri"] = sent["path"]
        return super().ask(what, limit_s=limit_s, **values)

    def _uploaded(self, uri: str) -> Path | None:
        path = Path(uri.removeprefix("file://"))
        return path if path.is_absolute() and self._folder in path.parents and path.is_file() else None

    def _keep_log(self, row: list[dict[str, Any]]) -> None:
        lines = [line for event in row if event["event"] == "log" for line in event["lines"]]
        if lines:
            with contextlib.suppress(OSError), (self._folder / _LOG).open("a") as out:
                out.writelines(f"{line}\n" for line in lines)
