"""Tells browsers what changes: the ledger's events as Jupyter events, while somebody looks."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from nbplat.errors import NbplatError

__all__ = ["JOB_EVENT", "JOB_SCHEMA", "Watch", "changes"]

JOB_EVENT = "https://events.nbplat.dev/job/v1"
"""Names the events; nothing is fetched from there."""

JOB_SCHEMA: dict[str, Any] = {
    "$id": JOB_EVENT,
    "version": "1",
    "title": "A job or a run of nbplat has changed",
    "description": "Ids, states and counters only: every front end of this server hears them.",
    "personal-data": False,
    "type": "object",
    "required": ["seq", "run_id", "job_id"],
    "additionalProperties": False,
    "properties": {
        "seq": {"type": "integer", "description": "Number of the ledger's event; grows."},
        "run_id": {"type": "string"},
        "job_id": {"type": "string", "description": "Empty: the run itself has moved."},
        "state": {"type": "string", "description": "Missing: only the counters have changed."},
        "done": {"type": "integer"},
        "total": {"type": "integer"},
    },
}

_ROUND_S = 0.5
_WAIT_S = 2.0
_LOOKED_S = 20.0
_REST_S = 3.0
_MOST = 5000

_log = logging.getLogger("nbplat.jupyter")


class _Door(Protocol):
    async def ask(self, verb: str, path: str, *, query: dict[str, Any] | None = None) -> Any: ...


class _Logger(Protocol):
    def register_event_schema(self, schema: Any) -> None: ...

    def emit(self, *, schema_id: str, data: dict[str, Any], timestamp_override: Any = None) -> Any: ...


class Watch:
    """Reads the service's events from where they are now, at most twice a second, until nobody looked for a while.

    Args:
        logger: The Jupyter server's event logger; None tells nobody.
    """

    def __init__(self, door: _Door, logger: _Logger | None) -> None:
        self._door = door
        self._logger = logger
        self._until_s = 0.0
        self._task: asyncio.Task[None] | None = None
        if logger is not None:
            logger.register_event_schema(JOB_SCHEMA)

    def somebody_looks(self) -> None:
        """Called at every request of a browser: the watch goes on for a while."""
        if self._logger is None:
            return
        self._until_s = time.monotonic() + _LOOKED_S
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._watch(self._logger))

    async def _watch(self, logger: _Logger) -> None:
        seq: int | None = None
        while time.monotonic() < self._until_s:
            began_s = time.monotonic()
            try:
                if seq is None:
                    seq = int((await self._door.ask("GET", "/api/v1/board", query={"limit": 1}))["seq"])
                query = {"after": seq, "wait_s": _WAIT_S, "limit": _MOST}
                reply = await self._door.ask("GET", "/api/v1/events", query=query)
            except NbplatError as exc:
                # The panel asks as well and says it; here it is only tried again.
                _log.debug("the events cannot be read: %s", exc)
                seq = None
                await asyncio.sleep(_REST_S)
                continue
            seq = reply["next_after"]
            for change in changes(reply["events"]):
                logger.emit(schema_id=JOB_EVENT, data=change)
            await asyncio.sleep(max(0.0, _ROUND_S - (time.monotonic() - began_s)))


def changes(events: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What is told of a round of events: the last state and counters of each job and each run, oldest first."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for event in events:
        about, _, what = event["kind"].partition(".")
        if about not in ("job", "run"):
            continue
        key = (event["run_id"], event["job_id"])
        change = {**found.pop(key, {}), "seq": event["seq"], "run_id": event["run_id"], "job_id": event["job_id"]}
        data = event["data"]
        if what == "progress":
            change |= {"done": data["done"], "total": data["total"]}
        elif isinstance(state := data.get("state", data.get("to")), str):
            change["state"] = state
        found[key] = change
    return list(found.values())
