"""The states of sessions and statements, in Livy's words, and what may follow what."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["ENDED", "FINAL", "SessionState", "StatementState", "may_become"]


class SessionState(StrEnum):
    """Where a session is."""

    NOT_STARTED = "not_started"
    STARTING = "starting"
    RECOVERING = "recovering"
    IDLE = "idle"
    BUSY = "busy"
    SHUTTING_DOWN = "shutting_down"
    ERROR = "error"
    DEAD = "dead"
    KILLED = "killed"
    SUCCESS = "success"


class StatementState(StrEnum):
    """Where a statement is. One that failed is ``available``: its output says so."""

    WAITING = "waiting"
    RUNNING = "running"
    AVAILABLE = "available"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


ENDED = frozenset({SessionState.ERROR, SessionState.DEAD, SessionState.KILLED, SessionState.SUCCESS})
"""States that a session never leaves."""

FINAL = frozenset({StatementState.AVAILABLE, StatementState.CANCELLED})
"""States that a statement never leaves."""

_LIVE = frozenset({SessionState.STARTING, SessionState.RECOVERING, SessionState.IDLE, SessionState.BUSY})

_MOVES: dict[SessionState, frozenset[SessionState]] = {
    SessionState.NOT_STARTED: _LIVE | ENDED | {SessionState.SHUTTING_DOWN},
    **{state: _LIVE | ENDED | {SessionState.SHUTTING_DOWN} for state in _LIVE},
    SessionState.SHUTTING_DOWN: ENDED,
    **dict.fromkeys(ENDED, frozenset()),
}


def may_become(state: SessionState, to: SessionState) -> bool:
    """Whether a session may go from one state to another; staying is no move and always allowed."""
    return state == to or to in _MOVES[state]
