"""Job rows to records and back; the id is the row's number in a dress."""

from __future__ import annotations

import re
from typing import Any

from nbplat.adapters.store.database import from_json
from nbplat.job import Job, JobState
from nbplat.terms import Progress

__all__ = ["job_id_of", "job_of", "seq_of"]

_ID = re.compile(r"j(\d{1,18})\Z")


def job_id_of(seq: int) -> str:
    return f"j{seq:06d}"


def seq_of(job_id: str) -> int:
    """The row's number; -1, which no row has, for a text that is no job id."""
    match = _ID.match(job_id)
    return int(match[1]) if match and job_id_of(int(match[1])) == job_id else -1


def job_of(row: Any) -> Job:
    return Job(
        id=job_id_of(row.seq),
        kind=row.kind,
        run_id=row.run_id,
        state=JobState(row.state),
        progress=Progress(row.done, row.total, row.counted, row.doing),
        params=from_json(row.params),
        result=from_json(row.result),
        error=from_json(row.error),
        fence=row.fence,
        attempts=row.attempts,
        worker=row.worker,
        cancel_requested=bool(row.cancel_requested),
        pause_requested=bool(row.pause_requested),
        owner=row.owner,
        created_ms=row.created_ms,
        started_ms=row.started_ms,
        ended_ms=row.ended_ms,
        until_ms=row.until_ms,
    )
