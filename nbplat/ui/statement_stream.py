"""Reads a statement's events from the service, over restarts of it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from nbplat.errors import RemoteError, from_record
from nbplat.ui.client import ServiceClient

__all__ = ["Event", "StatementStream", "read_events"]

_SILENT_S = 60.0
_AWAY_S = 60.0
_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a statement.

    Attributes:
        name: ``stdout``, ``stderr``, ``display``, ``state``, ``progress``, ``done`` or ``error``.
        seq: Its number; None for what is told anew to every reader.
    """

    name: str
    data: dict[str, Any]
    seq: int | None


class StatementStream:
    """The events of one statement, each once, until it has ended.

    `events` may be called again after it was interrupted; it goes on behind the last event that was given.

    Args:
        where: Path of the statement.
        after: Number of the last event that is known already.
    """

    def __init__(self, client: ServiceClient, where: str, after: int = 0) -> None:
        self._client = client
        self._where = where
        self._after = after

    def events(self) -> Iterator[Event]:
        """Events as they come; the last one is ``done``.

        Raises:
            NotFound: the session was deleted.
            RemoteError: the service is away for a minute.
        """
        away_since: float | None = None
        while True:
            try:
                for event in read_events(
                    self._client.lines(f"{self._where}/stream", timeout_s=_SILENT_S, after=self._after)
                ):
                    away_since = None
                    if event.seq is not None:
                        self._after = event.seq
                    if event.name == "error":
                        raise from_record(event.data)
                    yield event
                    if event.name == "done":
                        return
            except RemoteError as exc:
                if exc.code != "service.unreachable":
                    raise
                now = time.monotonic()
                away_since = now if away_since is None else away_since
                if now - away_since > _AWAY_S:
                    raise
            # It was stopped or killed; the next one tells the rest.
            time.sleep(_PAUSE_S)


def read_events(lines: Iterable[str]) -> Iterator[Event]:
    """Server-Sent Events of a stream's lines; a half event at the end is left out."""
    name, number, data = "", None, ""
    for line in lines:
        if not line:
            if name:
                yield Event(name, json.loads(data), number)
            name, number, data = "", None, ""
            continue
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "id":
            number = int(value)
        elif field == "data":
            data += value
