"""What is kept of sessions and statements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nbplat.session.states import SessionState, StatementState

__all__ = ["Chunk", "Session", "SessionDraft", "Statement"]


@dataclass(frozen=True, slots=True)
class SessionDraft:
    """What is asked for.

    Attributes:
        kind: ``pyspark``, ``sql``, ``spark`` or ``shared``.
        name: Unique among sessions that have not ended; empty: none.
        request: The other fields of the request as they were sent, in Livy's names; ``origins``, who said each key
            of `conf`; and ``notebook``, the path of the one that it was asked for from (empty: none).
        conf: Spark's settings that the driver gets, text to text.
    """

    kind: str
    name: str
    owner: str
    proxy_user: str
    request: Mapping[str, Any]
    conf: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Session:
    """One session.

    Attributes:
        id: Counted up over the life of the store, never used again.
        driver: What finds its process again: ``pid`` (of its group), ``born`` (when that process began, s since the
            epoch), ``folder``, ``socket``; empty before it was started.
        app: ``app_id``, ``ui``, ``master``, ``version``, ``python`` once Spark runs.
        last_seq: Number of the newest event of its driver that the store holds.
        seen_ms: When somebody last asked for it, ms since the epoch.
        reason: Why it ended or is shutting down, an error record; None while it lives, or when it was deleted.
    """

    id: int
    kind: str
    name: str
    owner: str
    proxy_user: str
    state: SessionState
    request: Mapping[str, Any]
    conf: Mapping[str, str]
    driver: Mapping[str, Any]
    app: Mapping[str, Any]
    last_seq: int
    created_ms: int
    seen_ms: int
    ended_ms: int | None
    reason: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a session.

    Attributes:
        id: Counted from 0 in its session.
        kind: ``pyspark``, ``sql``, ``job``, ``take`` or ``put``.
        options: What else its runner is told: ``rows`` (at most so many) and ``exact`` or ``arrow`` for ``sql``.
        output: None until it has ended, and of one that was cancelled before it ran; else ``status`` (``ok``,
            ``error``), ``data`` by MIME type or ``ename``, ``evalue``, ``traceback`` and ``error_class``; ``dropped``
            characters of printed text over the limit.
        progress: 0 to 1, 1 when it has ended.
        detail: Tasks by stage, as the driver last said.
        started_ms: 0 until it runs. `completed_ms` likewise.
    """

    session_id: int
    id: int
    code: str
    kind: str
    options: Mapping[str, Any]
    state: StatementState
    output: Mapping[str, Any] | None
    progress: float
    detail: Mapping[str, Any]
    started_ms: int
    completed_ms: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of what a statement printed or displayed.

    Attributes:
        seq: Number of the event that brought it.
        name: ``stdout``, ``stderr`` or ``display``.
        text: The text; for ``display`` a bundle as JSON.
    """

    seq: int
    name: str
    text: str
