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
from nbplat.remote.driver.arrow_pages import page_path
from nbplat.session.results import ROWS

__all__ = ["DialledLine"]

_LOG = "driver.log"
_PIECE_BYTES = 8 << 20
_PIECE_S = 60.0


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
                for event in row:
                    if event["event"] == "done":
                        self._fetch_rows(event)
                yield row
                if any(event["event"] == "ended" for event in row):
                    # First: whoever hears of the end closes this line.
                    with contextlib.suppress(RemoteError):
                        self.ask("stored", limit_s=2.0)
                    self._ended()
        finally:
            self.left()

    def ask(self, what: str, *, limit_s: float = 10.0, **values: Any) -> dict[str, Any]:
        """Ask and wait; a file of this host that the driver is to take is sent before."""
        if what == "add" and (path := self._uploaded(str(values["uri"]))) is not None:
            values["uri"] = self._send_file(path, "uploads")
        if what == "run" and values["runner"] == "put":
            path = self._folder / "frames" / values["body"]["file"]
            if path.is_file():
                self._send_file(path, "frames")
        return super().ask(what, limit_s=limit_s, **values)

    def _send_file(self, path: Path, folder: str) -> str:
        """Send a file in pieces; its path there."""
        with path.open("rb") as file:
            at = 0
            while True:
                piece = file.read(_PIECE_BYTES)
                data = base64.b64encode(piece).decode()
                sent = super().ask("put", limit_s=_PIECE_S, folder=folder, name=path.name, at=at, data=data)
                at += len(piece)
                if len(piece) < _PIECE_BYTES:
                    return str(sent["path"])

    def _fetch_rows(self, event: dict[str, Any]) -> None:
        """Take the pages of a result before anybody is told that it is there."""
        rows = ((event.get("output") or {}).get("data") or {}).get(ROWS)
        for page in range(len(rows["pages"]) if rows else 0):
            path = page_path(str(self._folder), event["id"], page)
            if path.is_file():
                continue
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._fetch_page(event["id"], page, path)

    def _fetch_page(self, statement_id: int, page: int, path: Path) -> None:
        """Take one page.

        Raises:
            RemoteError: the line ended. The row that tells of the page is not taken then: it comes with the next line.
        """
        fresh = path.with_suffix(".part")
        with fresh.open("wb") as out:
            at, size = 0, 1
            while at < size:
                found = self._exchanged("page", _PIECE_S, {"id": statement_id, "page": page, "at": at})
                if "error" in found:
                    # It made room for others and is not there any more, as in a session of this host.
                    fresh.unlink()
                    return
                size = int(found["answer"]["size"])
                at += out.write(base64.b64decode(found["answer"]["data"]))
        fresh.replace(path)

    def _uploaded(self, uri: str) -> Path | None:
        path = Path(uri.removeprefix("file://"))
        return path if path.is_absolute() and self._folder in path.parents and path.is_file() else None

    def _keep_log(self, row: list[dict[str, Any]]) -> None:
        lines = [line for event in row if event["event"] == "log" for line in event["lines"]]
        if lines:
            with contextlib.suppress(OSError), (self._folder / _LOG).open("a") as out:
                out.writelines(f"{line}\n" for line in lines)
