"""Sessions, statements and pieces of output as the native API shows them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from nbplat.session.livy_reply import redacted
from nbplat.session.profiles import Profile
from nbplat.session.records import Chunk, Session, Statement
from nbplat.session.states import ENDED, FINAL

__all__ = ["piece_record", "profile_record", "session_record", "statement_record"]


def session_record(session: Session, *, conf: bool = False) -> dict[str, Any]:
    """A session.

    Args:
        conf: Also each Spark setting with its origin; values of secrets are left out.
    """
    record: dict[str, Any] = {
        "id": session.id,
        "name": session.name,
        "kind": session.kind,
        "owner": session.owner,
        "profile": session.request.get("profile", ""),
        "notebook": session.request.get("notebook", ""),
        "access": {"view": [], "use": [], **session.request.get("access", {})},
        "state": session.state.value,
        "ended": session.state in ENDED,
        "app": dict(session.app),
        "created_ms": session.created_ms,
        "seen_ms": session.seen_ms,
        "ended_ms": session.ended_ms,
        "ttl": session.request.get("ttl"),
        "idle_timeout": session.request.get("idleTimeout"),
        "error": session.reason,
    }
    if conf:
        origins: Mapping[str, str] = session.request.get("origins", {})
        shown = redacted(session.conf)
        record["conf"] = [
            {"key": key, "value": value, "origin": origins.get(key, "default")} for key, value in sorted(shown.items())
        ]
    return record


def profile_record(profile: Profile) -> dict[str, Any]:
    """A profile; values of secrets are left out."""
    record = profile.record()
    return {**record, "conf": redacted(record["conf"])}


def statement_record(statement: Statement, stubborn: Iterable[int] = ()) -> dict[str, Any]:
    """A statement; what it printed is asked for apart.

    Args:
        stubborn: Statements of its session that do not end though they were interrupted.
    """
    return {
        "session": statement.session_id,
        "id": statement.id,
        "kind": statement.kind,
        "code": statement.code,
        "state": statement.state.value,
        "ended": statement.state in FINAL,
        "stubborn": statement.id in set(stubborn),
        "output": statement.output,
        "progress": {"fraction": statement.progress, **statement.detail},
        "started_ms": statement.started_ms or None,
        "completed_ms": statement.completed_ms or None,
    }


def piece_record(chunk: Chunk) -> dict[str, Any]:
    """A piece of output: ``text`` of a stream, or ``data`` by MIME type of a display."""
    if chunk.name == "display":
        return {"seq": chunk.seq, "name": "display", "data": json.loads(chunk.text)}
    return {"seq": chunk.seq, "name": chunk.name, "text": chunk.text}
