"""Jobs: look, wait, read the log, cancel."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool

from nbplat.errors import RequestError
from nbplat.job import END_STATES, Job, JobState
from nbplat.service.child import job_log
from nbplat.service.platform import Platform
from nbplat.service.records import job_record
from nbplat.service.routes.polling import MAX_WAIT_S, until
from nbplat.service.wake import notify_worker

__all__ = ["read_log", "router"]

_UTF8_MAX = 4


def read_log(path: Path, offset: int, limit: int) -> dict[str, Any]:
    """A piece of a log as ``{text, next_offset, size}``, in bytes; empty for a log that does not exist yet.

    A character that the limit cuts is left to the next piece; bytes that are no UTF-8 become U+FFFD.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if offset > size:
                raise RequestError("log.offset", f"offset {offset} is past the end ({size})", fix="start again at 0")
            file.seek(offset)
            piece = file.read(limit)
    except FileNotFoundError:
        return {"text": "", "next_offset": 0, "size": 0}
    whole = piece
    for cut in range(min(_UTF8_MAX, len(piece))):
        head = piece[: len(piece) - cut]
        try:
            head.decode()
        except UnicodeDecodeError:
            continue
        whole = head or piece
        break
    return {"text": whole.decode(errors="replace"), "next_offset": offset + len(whole), "size": size}


def router(platform: Platform) -> APIRouter:
    routes = APIRouter(prefix="/api/v1/jobs", tags=["jobs"])
    store = platform.store

    def settled(job: Job) -> dict[str, Any]:
        # Who sees a job's end must see its run moved; the worker does the same, whoever is first.
        if job.state in END_STATES:
            platform.settle(job)
        return job_record(job)

    @routes.get("")
    def list_jobs(
        run_id: str | None = None,
        state: Annotated[list[JobState] | None, Query()] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> dict[str, Any]:
        """Jobs, newest first."""
        return {"jobs": [job_record(job) for job in store.jobs(run_id=run_id, states=state, limit=limit)]}

    @routes.get("/{job_id}")
    def read_job(job_id: str) -> dict[str, Any]:
        """One job."""
        return job_record(store.job(job_id))

    @routes.get("/{job_id}/wait")
    async def wait_job(
        request: Request, job_id: str, wait_s: Annotated[float, Query(ge=0, le=MAX_WAIT_S)] = MAX_WAIT_S
    ) -> dict[str, Any]:
        """The job when it has ended, or as it is after `wait_s` (look at ``ended``)."""
        job = await until(request, lambda: store.job(job_id), lambda job: job.state in END_STATES, wait_s)
        return await run_in_threadpool(settled, job)

    @routes.get("/{job_id}/log")
    async def job_log_piece(
        request: Request,
        job_id: str,
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=4, le=1 << 20)] = 1 << 16,
        wait_s: Annotated[float, Query(ge=0, le=MAX_WAIT_S)] = 0,
    ) -> dict[str, Any]:
        """A piece of the log by byte offset; waits up to `wait_s` for more while the job lives."""

        def read() -> tuple[dict[str, Any], bool]:
            ended = store.job(job_id).state in END_STATES
            return read_log(Path(job_log(platform.config, job_id)), offset, limit), ended

        piece, _ = await until(request, read, lambda seen: bool(seen[0]["text"]) or seen[1], wait_s)
        return piece

    @routes.post("/{job_id}/cancel")
    def cancel_job(job_id: str) -> dict[str, Any]:
        """Ask the job to end; an ended one is returned as it is."""
        job = store.request_cancel(job_id)
        notify_worker(platform.config)
        return settled(job)

    return routes
