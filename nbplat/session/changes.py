"""What a driver's events change in the store: a pure function, so that one told twice changes nothing twice."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nbplat.session.records import Chunk
from nbplat.session.states import SessionState, StatementState

__all__ = ["Changes", "StatementChange", "changes_of"]

_STATES = frozenset(state.value for state in SessionState)
_RENAMED = {"ok": "ok", "error": "error", "interrupted": "error", "cancelled": "error"}


@dataclass(slots=True)
class StatementChange:
    """New values of one statement; None leaves what is there."""

    state: StatementState | None = None
    output: Mapping[str, Any] | None = None
    progress: float | None = None
    detail: Mapping[str, Any] | None = None
    started_ms: int | None = None
    completed_ms: int | None = None


@dataclass(slots=True)
class Changes:
    """All that a row of events changes.

    Attributes:
        last_seq: Number of the last event.
        state: New state of the session; None leaves it.
        app: Merged into the session's.
        reason: Why the session failed; None: nothing said.
        statements: By id.
        chunks: By statement, in order.
        stubborn: Statements that do not end though they were interrupted twice.
    """

    last_seq: int = 0
    state: SessionState | None = None
    app: dict[str, Any] = field(default_factory=dict)
    reason: Mapping[str, Any] | None = None
    statements: dict[int, StatementChange] = field(default_factory=dict)
    chunks: dict[int, list[Chunk]] = field(default_factory=dict)
    stubborn: set[int] = field(default_factory=set)


def changes_of(events: Iterable[Mapping[str, Any]], after: int) -> Changes:
    """Gather what events change.

    Args:
        after: Events numbered so or lower were applied before and are passed over.
    """
    found = Changes(last_seq=after)
    for event in events:
        if event["seq"] > after:
            found.last_seq = event["seq"]
            _APPLY.get(event["event"], _nothing)(found, event)
    return found


def _nothing(found: Changes, event: Mapping[str, Any]) -> None:
    """An event that a newer driver tells and this version does not know is kept in the driver's log only."""


def _state(found: Changes, event: Mapping[str, Any]) -> None:
    # What a driver tells of its way out does not hide why it goes.
    if event["state"] in _STATES and found.reason is None:
        found.state = SessionState(event["state"])


def _spark(found: Changes, event: Mapping[str, Any]) -> None:
    found.app.update({key: event[key] for key in ("app_id", "ui", "master", "version", "python") if key in event})


def _launched(found: Changes, event: Mapping[str, Any]) -> None:
    found.app["jvm"] = event["jvm"]


def _jvm(found: Changes, event: Mapping[str, Any]) -> None:
    """Its driver ends with it; what came of both is said then."""
    found.app["jvm_code"] = event["code"]


def _failed(found: Changes, event: Mapping[str, Any]) -> None:
    found.state = SessionState.ERROR
    found.reason = event["error"]


def _alone(found: Changes, event: Mapping[str, Any]) -> None:
    found.state = SessionState.DEAD
    found.reason = {
        "code": "session.alone",
        "message": f"the session's driver ended itself: no service spoke to it for {event['seconds']:g} s",
        "fix": "start another session",
        "tail": [],
    }


def _started(found: Changes, event: Mapping[str, Any]) -> None:
    change = found.statements.setdefault(event["id"], StatementChange())
    change.state = StatementState.RUNNING
    change.started_ms = event["at_ms"]
    found.state = SessionState.BUSY


def _stream(found: Changes, event: Mapping[str, Any]) -> None:
    found.chunks.setdefault(event["id"], []).append(Chunk(event["seq"], event["name"], event["text"]))


def _display(found: Changes, event: Mapping[str, Any]) -> None:
    text = json.dumps(event["data"])
    found.chunks.setdefault(event["id"], []).append(Chunk(event["seq"], "display", text))


def _progress(found: Changes, event: Mapping[str, Any]) -> None:
    change = found.statements.setdefault(event["id"], StatementChange())
    change.progress = event["fraction"]
    change.detail = {key: event[key] for key in ("jobs", "done", "active", "failed", "total", "stages")}


def _done(found: Changes, event: Mapping[str, Any]) -> None:
    change = found.statements.setdefault(event["id"], StatementChange())
    cancelled = event["status"] == "cancelled"
    change.state = StatementState.CANCELLED if cancelled else StatementState.AVAILABLE
    if event["output"] is not None:
        change.output = {"status": _RENAMED[event["status"]], **event["output"]}
    change.progress = 1.0
    change.completed_ms = event["at_ms"]
    found.stubborn.discard(event["id"])
    # Whether another follows says its own `started`.
    found.state = SessionState.IDLE


def _stubborn(found: Changes, event: Mapping[str, Any]) -> None:
    found.stubborn.add(event["id"])


_APPLY = {
    "state": _state,
    "spark": _spark,
    "launched": _launched,
    "jvm": _jvm,
    "failed": _failed,
    "alone": _alone,
    "started": _started,
    "stream": _stream,
    "display": _display,
    "progress": _progress,
    "done": _done,
    "stubborn": _stubborn,
}
