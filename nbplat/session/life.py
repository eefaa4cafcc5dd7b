"""How long a session lives: what its user asked for, what the site allows, and what heartbeat loss means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nbplat.session.caps import Caps
from nbplat.session.livy_request import duration_ms
from nbplat.session.records import Session
from nbplat.session.states import ENDED, SessionState

__all__ = ["Limits", "is_parked", "over_ttl", "unused_reason"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What the site allows, in seconds.

    Attributes:
        idle_s: Ends a session that nobody uses, where its request has no ``idleTimeout``; 0: never.
        park_s: How long a session lives on after its client's heartbeat was lost.
        keep_s: How long one that has ended is still listed.
        result_bytes: Of the rows of one statement, as Arrow.
        kept_result_bytes: Of the rows that a session keeps; those of older statements make room.
        frame_bytes: Of one DataFrame that is sent to a session.
        output_chars: That one statement prints; of more its beginning and its end are kept.
        keep_statements: Of a session; the oldest of those that have ended are forgotten.
        max_processes: That a session may have while a statement runs; 0 sets no limit.
        caps: How many there may be.
    """

    idle_s: float = 86_400.0
    park_s: float = 28_800.0
    keep_s: float = 600.0
    result_bytes: int = 1 << 30
    kept_result_bytes: int = 4 << 30
    frame_bytes: int = 256 << 20
    output_chars: int = 8 << 20
    keep_statements: int = 1000
    max_processes: int = 1000
    caps: Caps = Caps()


def is_parked(session: Session, now_ms: int) -> bool:
    """Whether a living session's client has missed its heartbeat: it lives on, and the next request finds it."""
    beat_ms = session.request.get("heartbeatTimeoutInSecond", 0) * 1000
    return beat_ms > 0 and session.state not in ENDED and now_ms - session.seen_ms > beat_ms


def over_ttl(session: Session, now_ms: int) -> dict[str, Any] | None:
    """Why a session ends for its age, whatever it does; None: it does not."""
    ttl_ms = _asked_ms(session.request, "ttl")
    if ttl_ms is None or now_ms - session.created_ms <= ttl_ms:
        return None
    return _reason(
        "session.ttl", f"the session reached its ttl of {session.request['ttl']}", "start it with a longer ttl"
    )


def unused_reason(session: Session, unused_ms: int, limits: Limits) -> dict[str, Any] | None:
    """Why a session ends that nobody uses; None: it does not yet.

    Args:
        unused_ms: Since somebody asked for it, or its last statement ended.
    """
    if session.state is SessionState.SHUTTING_DOWN:
        return None
    beat_s = session.request.get("heartbeatTimeoutInSecond", 0)
    if beat_s > 0 and unused_ms > (beat_s + limits.park_s) * 1000:
        return _reason(
            "session.heartbeat",
            f"the session was parked for {limits.park_s:g} s after its client's last heartbeat",
            "set session.park_seconds to keep sessions for longer, or heartbeatTimeoutInSecond to 0",
        )
    idle_ms = _asked_ms(session.request, "idleTimeout")
    if idle_ms is None:
        idle_ms = int(limits.idle_s * 1000) or None
    if idle_ms is not None and unused_ms > idle_ms:
        return _reason(
            "session.idle",
            f"the session was not used for {idle_ms / 1000:g} s",
            "start it with a longer idleTimeout, or set session.idle_seconds",
        )
    return None


def _asked_ms(request: Mapping[str, Any], name: str) -> int | None:
    """A time that was asked for; None when it was not, or is 0 or less, which is off."""
    if not request.get(name):
        return None
    asked = duration_ms(request[name])
    return asked if asked > 0 else None


def _reason(code: str, message: str, fix: str) -> dict[str, Any]:
    return {"code": code, "message": message, "fix": fix, "tail": []}
