"""Frozen records of the ledger. Times are milliseconds since the epoch, UTC; None means not yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from nbplat.job.states import JobState
from nbplat.terms import Progress

__all__ = ["CALLER", "Event", "Job", "JobDraft", "Lease", "Run", "RunDraft", "Unit", "UnitState"]


CALLER = "caller/"
"""Begins the name of a holder that is no worker, but the process of whoever asked; see `nbplat.job.caller`."""


@dataclass(frozen=True, slots=True)
class RunDraft:
    """What is needed to open a run.

    Attributes:
        kind: ``backfill``, ``sequence``, ``training``, …
        name: Lower-case identifier; the store gives the number.
        identity: SHA-256 of the plan inputs (body, table, window, options). The same identity in a
            live state is the same run.
        state: The state it opens in.
        live_states: States in which an equal identity is attached to rather than opened again.
        spec: The request as JSON, as written.
        plan: The plan as JSON.
        owner: Who asked.
    """

    kind: str
    name: str
    identity: str
    state: str
    live_states: frozenset[str]
    spec: Mapping[str, Any]
    plan: Mapping[str, Any]
    owner: str


@dataclass(frozen=True, slots=True)
class Run:
    """A named, numbered undertaking; its jobs carry it from state to state.

    Attributes:
        id: ``spend_90d@3``.
        outputs: What it has produced so far (snapshot ids, table names); empty at first.
        error: The error record of the job that failed it; None when none did.
        notebook: Path of the notebook that it was opened from, on the asker's machine; empty: from none.
    """

    id: str
    kind: str
    name: str
    number: int
    identity: str
    state: str
    spec: Mapping[str, Any]
    plan: Mapping[str, Any]
    outputs: Mapping[str, Any]
    error: Mapping[str, Any] | None
    owner: str
    created_ms: int
    updated_ms: int
    notebook: str = ""


@dataclass(frozen=True, slots=True)
class JobDraft:
    """What is needed to queue a job.

    Attributes:
        kind: ``backfill.stage``, ``backfill.promote``, …; names the step the worker runs.
        run_id: The run it belongs to. One live job per run: a second one of the same kind attaches,
            one of another kind is a conflict.
        params: JSON arguments of the step.
    """

    kind: str
    run_id: str
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Job:
    """One step of a run, durable: it goes on after any process dies.

    Attributes:
        id: ``j000042``, growing.
        fence: Grows with every claim; a result under an old fence is refused.
        attempts: How often a worker has taken it.
        cancel_requested: A person asked to end it; the worker obeys.
        worker: Who does it; one that begins with ``caller/`` is a process of a person's, see `nbplat.job.caller`.
        pause_requested: A person asked a running one to pause; its step obeys between two pieces of work.
        result: JSON of a succeeded job; None otherwise.
        error: The error record of a failed job; None otherwise.
        until_ms: When the lease of who does it lapses; None when nobody does.
    """

    id: str
    kind: str
    run_id: str
    state: JobState
    progress: Progress
    params: Mapping[str, Any]
    result: Mapping[str, Any] | None
    error: Mapping[str, Any] | None
    fence: int
    attempts: int
    worker: str | None
    cancel_requested: bool
    pause_requested: bool
    owner: str
    created_ms: int
    started_ms: int | None
    ended_ms: int | None
    until_ms: int | None = None


class UnitState(StrEnum):
    """Where a unit of work is."""

    PENDING = "pending"
    LEASED = "leased"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Unit:
    """The smallest piece that is done once: one base data file of a backfill.

    Attributes:
        scope: Run and step, ``spend_90d@3/stage``; a later job of the same step goes on with it.
        fence: Grows with every claim of this unit.
        attempts: Claims so far.
        result: JSON of a done unit; None otherwise.
        error: The last error record; None when it never failed.
    """

    scope: str
    id: str
    state: UnitState
    fence: int
    attempts: int
    result: Mapping[str, Any] | None
    error: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Lease:
    """A named right with an end, e.g. to promote into one table.

    Attributes:
        fence: Grows with every new holder; what is done under an old fence must be refused.
        until_ms: When it lapses if it is not renewed.
        taken_over: True when it was taken from a holder that had not released it.
    """

    resource: str
    holder: str
    fence: int
    until_ms: int
    taken_over: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the append-only log; holds ids and counts, never code or SQL text.

    Attributes:
        seq: Grows by at least one; a reader that has seen `seq` will see no lower one appear.
        run_id, job_id, unit_id: Empty when it is not about one.
    """

    seq: int
    at_ms: int
    kind: str
    run_id: str
    job_id: str
    unit_id: str
    data: Mapping[str, Any]
