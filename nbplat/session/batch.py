"""Batches: what is kept of them, their states, and what they ask of the world."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from nbplat.session.ports import Ending

__all__ = ["BATCH_ENDED", "Batch", "BatchDraft", "BatchProcesses", "BatchState", "BatchStore"]


class BatchState(StrEnum):
    """Where a batch is, in Livy's words."""

    NOT_STARTED = "not_started"
    RUNNING = "running"
    SHUTTING_DOWN = "shutting_down"
    SUCCESS = "success"
    DEAD = "dead"
    KILLED = "killed"


BATCH_ENDED = frozenset({BatchState.SUCCESS, BatchState.DEAD, BatchState.KILLED})
"""States that a batch never leaves."""


@dataclass(frozen=True, slots=True)
class BatchDraft:
    """What is asked for.

    Attributes:
        name: Unique among batches that have not ended; empty: none.
        request: The fields as they were sent, in Livy's names.
        conf: Spark's settings, text to text.
    """

    name: str
    owner: str
    request: Mapping[str, Any]
    conf: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch.

    Attributes:
        id: Counted up over the life of the store, apart from sessions, never used again.
        process: What finds its process again: ``pid`` (of its group), ``born`` and ``folder``; empty before its start.
        ended_ms: None while it lives.
        reason: Why it failed, an error record; None otherwise.
    """

    id: int
    name: str
    owner: str
    state: BatchState
    request: Mapping[str, Any]
    conf: Mapping[str, str]
    process: Mapping[str, Any]
    created_ms: int
    ended_ms: int | None
    reason: Mapping[str, Any] | None

    @property
    def proxy_user(self) -> str:
        """Whom it was started for; empty where impersonation is off."""
        return str(self.request.get("proxyUser", ""))


class BatchStore(Protocol):
    """Keeps batches; every method is one transaction."""

    def add_batch(self, draft: BatchDraft) -> Batch:
        """Keep a new batch, ``not_started``. Raises Conflict when a batch that lives has the name."""

    def batch(self, batch_id: int) -> Batch:
        """Read one. Raises NotFound."""

    def batch_named(self, name: str) -> Batch:
        """The newest of that name, living ones first. Raises NotFound."""

    def batches(self, *, skip: int = 0, limit: int = 100) -> tuple[int, list[Batch]]:
        """How many there are, and a page of them in order of id."""

    def move_batch(
        self,
        batch_id: int,
        to: BatchState,
        *,
        process: Mapping[str, Any] | None = None,
        reason: Mapping[str, Any] | None = None,
    ) -> Batch:
        """Change the state and what is given besides; one that has ended stays as it is. Raises NotFound."""

    def remove_batch(self, batch_id: int) -> None:
        """Forget a batch; its id is not used again. Nothing happens when it is gone."""


class BatchProcesses(Protocol):
    """Runs batches and finds them again."""

    def refusal(self, path: str) -> str | None:
        """Why a file must not be run, for people; None: it may."""

    def start(self, batch: Batch) -> dict[str, Any]:
        """Start its process, detached; returns what finds it again. Raises SetupError."""

    def lives(self, process: Mapping[str, Any]) -> bool:
        """Whether the process is there, and the very same one."""

    def ending(self, process: Mapping[str, Any]) -> Ending:
        """How one that has ended came to its end."""

    def kill(self, process: Mapping[str, Any]) -> None:
        """End its whole process group at once; nothing happens when it is gone."""

    def log(self, process: Mapping[str, Any], *, after: int = 0, limit: int = 1000) -> tuple[int, Sequence[str]]:
        """How many lines its log has, and some of them; negative `after`: the last ones."""

    def remove(self, process: Mapping[str, Any]) -> None:
        """Delete its folder."""
