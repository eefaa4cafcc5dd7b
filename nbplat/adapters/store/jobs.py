from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa

from nbplat.adapters.store.database import Database, Write, to_json
from nbplat.adapters.store.job_rows import job_id_of, job_of, seq_of
from nbplat.adapters.store.tables import JOB
from nbplat.errors import Conflict, NotFound
from nbplat.job import CALLER, END_STATES, Job, JobDraft, JobState, check_move
from nbplat.terms import Progress

__all__ = ["Jobs"]

_LIVE = [state.value for state in JobState if state not in END_STATES]

_ONE = sa.select(JOB).where(JOB.c.seq == sa.bindparam("job"))
_CLAIMABLE = (
    sa.select(JOB)
    .where(
        sa.or_(
            JOB.c.state == JobState.QUEUED.value,
            sa.and_(
                JOB.c.state == JobState.RUNNING.value,
                JOB.c.until_ms <= sa.bindparam("now"),
                JOB.c.worker.not_like(f"{CALLER}%"),
            ),
        )
    )
    .order_by(JOB.c.seq)
    .limit(1)
)
_BEAT = (
    sa.update(JOB)
    .where(
        JOB.c.seq == sa.bindparam("job"),
        JOB.c.fence == sa.bindparam("held_fence"),
        JOB.c.state == JobState.RUNNING.value,
    )
    .values(until_ms=sa.bindparam("until"))
    .returning(JOB)
)
_REPORT = (
    sa.update(JOB)
    .where(JOB.c.seq == sa.bindparam("job"))
    .values(
        done=sa.bindparam("now_done"),
        total=sa.bindparam("now_total"),
        counted=sa.bindparam("now_counted"),
        doing=sa.bindparam("now_doing"),
    )
)


class Jobs:
    """The queue. Every change of a running job is made under the fence of its last claim."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def submit(self, draft: JobDraft, *, kind_of_run: str, owner: str) -> tuple[Job, bool]:
        with self._db.write() as write:
            live = _live(write, draft.run_id, kind_of_run)
            if live is not None:
                if live.kind == draft.kind:
                    return live, False
                raise _busy(live)
            return _insert(write, draft, kind_of_run, owner), True

    def begin_job(self, draft: JobDraft, *, kind_of_run: str, owner: str, worker: str, lease_ms: int) -> Job:
        with self._db.write() as write:
            live = _live(write, draft.run_id, kind_of_run)
            if live is not None:
                raise _busy(live)
            return _claim(write, _insert(write, draft, kind_of_run, owner), worker, lease_ms)

    def job(self, job_id: str) -> Job:
        with self._db.read() as connection:
            return _read(connection, seq_of(job_id), job_id)

    def jobs(
        self, *, run_id: str | None = None, states: Collection[JobState] | None = None, limit: int = 100
    ) -> list[Job]:
        query = sa.select(JOB).order_by(JOB.c.seq.desc()).limit(limit)
        if run_id is not None:
            query = query.where(JOB.c.run_id == run_id)
        if states is not None:
            query = query.where(JOB.c.state.in_(sorted(states)))
        with self._db.read() as connection:
            return [job_of(row) for row in connection.execute(query)]

    def claim_job(self, worker: str, *, lease_ms: int) -> Job | None:
        # Look first, without the write lock: an idle worker asks every second.
        with self._db.read() as connection:
            if connection.execute(_CLAIMABLE, {"now": self._db.clock.now_ms()}).first() is None:
                return None
        with self._db.write() as write:
            row = write.connection.execute(_CLAIMABLE, {"now": write.now_ms}).first()
            if row is None:
                return None
            return _claim(write, job_of(row), worker, lease_ms)

    def heartbeat(self, job_id: str, fence: int, *, lease_ms: int) -> Job:
        # No event: nothing that anyone watches has changed.
        with self._db.write() as write:
            bound = {"job": seq_of(job_id), "held_fence": fence, "until": write.now_ms + lease_ms}
            row = write.connection.execute(_BEAT, bound).one_or_none()
            # No row: the read raises, and says why it is not held.
            return _held(write, job_id, fence) if row is None else job_of(row)

    def release_job(self, job_id: str, fence: int) -> None:
        with self._db.write() as write:
            job = _read(write.connection, seq_of(job_id), job_id)
            if job.state is JobState.RUNNING and job.fence == fence:
                _give_back(write, job, JobState.PAUSED if job.pause_requested else JobState.QUEUED)

    def report(self, job_id: str, fence: int, progress: Progress) -> None:
        with self._db.write() as write:
            job = _held(write, job_id, fence)
            if progress.done < job.progress.done or progress == job.progress:
                return
            write.connection.execute(
                _REPORT,
                {
                    "job": seq_of(job_id),
                    "now_done": progress.done,
                    "now_total": progress.total,
                    "now_counted": progress.unit,
                    "now_doing": progress.what,
                },
            )
            write.note("job.progress", run_id=job.run_id, job_id=job.id, data=progress.record())

    def finish_job(
        self,
        job_id: str,
        fence: int,
        state: JobState,
        *,
        result: Mapping[str, Any] | None = None,
        error: Mapping[str, Any] | None = None,
    ) -> Job:
        if state not in END_STATES:
            raise ValueError(f"{state} is not the end of a job")
        with self._db.write() as write:
            check_move(job_id, _fenced(write, job_id, fence).state, state)
            # The table lets a queued job be cancelled, but not by a holder that has released it.
            job = _held(write, job_id, fence)
            ended = _change(
                write,
                job,
                state=state.value,
                result=to_json(result),
                error=to_json(error),
                until_ms=None,
                ended_ms=write.now_ms,
            )
            _note_state(write, ended)
            return ended

    def request_pause(self, job_id: str) -> Job:
        with self._db.write() as write:
            job = _read(write.connection, seq_of(job_id), job_id)
            if job.state is JobState.PAUSED or job.pause_requested:
                return job
            check_move(job.id, job.state, JobState.PAUSED)
            if job.state is not JobState.RUNNING:
                return _give_back(write, job, JobState.PAUSED)
            job = _change(write, job, pause_requested=True)
            write.note("job.pause_requested", run_id=job.run_id, job_id=job.id)
            return job

    def pause_job(self, job_id: str, fence: int) -> Job:
        with self._db.write() as write:
            return _give_back(write, _held(write, job_id, fence), JobState.PAUSED)

    def resume_job(self, job_id: str) -> Job:
        with self._db.write() as write:
            job = _read(write.connection, seq_of(job_id), job_id)
            if job.state is JobState.PAUSED:
                return _give_back(write, job, JobState.QUEUED)
            if job.pause_requested:
                job = _change(write, job, pause_requested=False)
                write.note("job.resumed", run_id=job.run_id, job_id=job.id)
            elif job.state in END_STATES:
                check_move(job.id, job.state, JobState.QUEUED)
            return job

    def request_cancel(self, job_id: str) -> Job:
        with self._db.write() as write:
            job = _read(write.connection, seq_of(job_id), job_id)
            if job.state in END_STATES or (job.cancel_requested and job.state is JobState.RUNNING):
                return job
            if job.state is JobState.RUNNING:
                job = _change(write, job, cancel_requested=True)
                write.note("job.cancel_requested", run_id=job.run_id, job_id=job.id)
                return job
            check_move(job.id, job.state, JobState.CANCELLED)
            job = _change(
                write, job, state=JobState.CANCELLED.value, cancel_requested=True, until_ms=None, ended_ms=write.now_ms
            )
            _note_state(write, job)
            return job


def _live(write: Write, run_id: str, kind_of_run: str) -> Job | None:
    row = write.connection.execute(
        sa.select(JOB).where(JOB.c.run_kind == kind_of_run, JOB.c.run_id == run_id, JOB.c.state.in_(_LIVE))
    ).one_or_none()
    return None if row is None else job_of(row)


def _busy(live: Job) -> Conflict:
    return Conflict(
        "run.busy",
        f"{live.run_id} is busy with {live.kind} (job {live.id}, {live.state})",
        fix=f"wait for job {live.id}, or cancel it",
        where=live.run_id,
    )


def _insert(write: Write, draft: JobDraft, kind_of_run: str, owner: str) -> Job:
    seq = write.connection.execute(
        sa.insert(JOB)
        .values(
            kind=draft.kind,
            run_kind=kind_of_run,
            run_id=draft.run_id,
            state=JobState.QUEUED.value,
            done=0,
            total=0,
            counted=Progress().unit,
            doing="",
            params=to_json(draft.params),
            fence=0,
            attempts=0,
            cancel_requested=False,
            pause_requested=False,
            owner=owner,
            created_ms=write.now_ms,
        )
        .returning(JOB.c.seq)
    ).scalar_one()
    job = _read(write.connection, seq, job_id_of(seq))
    write.note("job.submitted", run_id=job.run_id, job_id=job.id, data={"kind": job.kind, "state": job.state})
    return job


def _claim(write: Write, before: Job, worker: str, lease_ms: int) -> Job:
    check_move(before.id, before.state, JobState.RUNNING)
    job = _change(
        write,
        before,
        state=JobState.RUNNING.value,
        worker=worker,
        fence=before.fence + 1,
        attempts=before.attempts + 1,
        until_ms=write.now_ms + lease_ms,
        started_ms=before.started_ms or write.now_ms,
    )
    _note_state(write, job, fence=job.fence, worker=worker)
    return job


def _give_back(write: Write, job: Job, state: JobState) -> Job:
    changed = _change(write, job, state=state.value, worker=None, until_ms=None, pause_requested=False)
    _note_state(write, changed)
    return changed


def _read(connection: sa.Connection, seq: int, job_id: str) -> Job:
    row = connection.execute(_ONE, {"job": seq}).one_or_none()
    if row is None:
        raise NotFound("job.unknown", f"there is no job {job_id!r}", fix="list the jobs to see their ids", where=job_id)
    return job_of(row)


def _fenced(write: Write, job_id: str, fence: int) -> Job:
    job = _read(write.connection, seq_of(job_id), job_id)
    if job.fence != fence:
        raise Conflict(
            "job.lease_lost",
            f"job {job_id} was taken over (fence {fence} is old, {job.fence} holds)",
            fix="stop this try: another goes on with the job",
            where=job_id,
        )
    return job


def _held(write: Write, job_id: str, fence: int) -> Job:
    job = _fenced(write, job_id, fence)
    if job.state is not JobState.RUNNING:
        raise Conflict(
            "job.lease_lost", f"job {job_id} is {job.state}, no longer running", fix="stop this try", where=job_id
        )
    return job


def _change(write: Write, job: Job, **values: Any) -> Job:
    changed = sa.update(JOB).where(JOB.c.seq == seq_of(job.id)).values(**values).returning(JOB)
    return job_of(write.connection.execute(changed).one())


def _note_state(write: Write, job: Job, **data: Any) -> None:
    data = {"kind": job.kind, "state": job.state.value, **data}
    if job.error is not None:
        data["code"] = job.error.get("code")
    write.note(f"job.{job.state.value}", run_id=job.run_id, job_id=job.id, data=data)
