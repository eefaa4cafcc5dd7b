"""Where a surface's requests go: to the service, or to this process (`nb.local()`). Both answer with the same JSON."""

from __future__ import annotations

import getpass
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

from nbplat.config import Config, load_config
from nbplat.service import backfill_verbs
from nbplat.service.records import job_record, run_record, submission_record
from nbplat.terms import SnapshotPin, StagedColumns, StagedFile

if TYPE_CHECKING:
    import pyarrow as pa

    from nbplat.compose import Platform
    from nbplat.ui.client import ServiceClient
    from nbplat.ui.environment_desk import EnvironmentDesk
    from nbplat.ui.sequence_desk import SequenceDesk

__all__ = ["Desk", "LocalDesk", "ServiceDesk", "open_desk", "staged_columns"]

_POLL_S = 0.25


class Desk(Protocol):
    """Runs, jobs and logs, wherever they are kept."""

    config: Config

    @property
    def sequences(self) -> SequenceDesk:
        """What is kept and built of sequences."""

    @property
    def environments(self) -> EnvironmentDesk:
        """What is built of environments."""

    def plan(self, spec: dict[str, Any]) -> dict[str, Any]:
        """Plan a backfill; returns the plan's record."""

    def submit(self, spec: dict[str, Any], *, new: bool, max_cost: float | None = None) -> dict[str, Any]:
        """Ask for a backfill run; returns run, plan, job, attached, notes."""

    def keep_frame(self, name: str, rows: pa.Table) -> dict[str, Any]:
        """Store a DataFrame; returns ``table``, ``rows``, ``frame_bytes`` and ``created``."""

    def let_go_frames(self, tables: list[str]) -> None:
        """Drop stored DataFrames that no run names."""

    def step(
        self, run_id: str, verb: str, *, more: Sequence[str] = (), params: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Carry out a verb of `nbplat.service.backfill_verbs` on a run; `more` are promoted in the same pass."""

    def show(self, run_id: str) -> dict[str, Any]:
        """A backfill run with ``units`` (counts by state), ``failed_units`` and ``jobs``."""

    def diff(self, run_id: str, other: str | None, columns: Sequence[str]) -> dict[str, Any]:
        """The record of a comparison with another run, or (None) with the live columns."""

    def expire(self, run_ids: Sequence[str], older_than_s: float, *, dry_run: bool) -> dict[str, Any]:
        """Sweep what nothing needs; returns what was (with `dry_run`: would be) deleted."""

    def partitions(self, run_id: str) -> list[dict[str, Any]]:
        """How far each partition of a run is staged, see `nbplat.service.backfill_verbs.partitions`."""

    def coverage(self, run_id: str) -> dict[str, Any]:
        """How far a promoted run's columns reach into the table now; empty when it is not promoted."""

    def staged(self, run_id: str) -> dict[str, Any]:
        """The record of what a run has staged."""

    def runs(self, kind: str, limit: int) -> list[dict[str, Any]]:
        """Newest first."""

    def jobs(self, run_id: str | None, limit: int) -> list[dict[str, Any]]:
        """Newest first."""

    def job(self, job_id: str) -> dict[str, Any]:
        """One job."""

    def cancel_job(self, job_id: str) -> dict[str, Any]:
        """Ask a job to end."""

    def log(self, job_id: str, offset: int) -> dict[str, Any]:
        """``text`` from a byte offset, ``next_offset`` and ``size``."""

    def watch(self, job_id: str, show: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        """Follow a job until it ends or is paused; `show` gets its record whenever it may have changed."""


class ServiceDesk:
    """Asks the service over HTTP."""

    def __init__(self, client: ServiceClient, config: Config) -> None:
        self.config = config
        self._client = client

    @property
    def sequences(self) -> SequenceDesk:
        from nbplat.ui.sequence_desk import ServiceSequences

        return ServiceSequences(self._client)

    @property
    def environments(self) -> EnvironmentDesk:
        from nbplat.ui.environment_desk import ServiceEnvironments

        return ServiceEnvironments(self._client)

    def plan(self, spec: dict[str, Any]) -> dict[str, Any]:
        reply = self._client.post("/api/v1/backfills/plan", {"spec": spec}, timeout_s=600)
        return dict(reply["plan"])

    def submit(self, spec: dict[str, Any], *, new: bool, max_cost: float | None = None) -> dict[str, Any]:
        body = {"spec": spec, "owner": getpass.getuser(), "new": new, "max_cost": max_cost}
        return dict(self._client.post("/api/v1/backfills", body, timeout_s=600))

    def keep_frame(self, name: str, rows: pa.Table) -> dict[str, Any]:
        import pyarrow as pa

        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema) as writer:
            writer.write_table(rows)
        return dict(self._client.post_bytes("/api/v1/frames", sink.getvalue().to_pybytes(), name=name))

    def let_go_frames(self, tables: list[str]) -> None:
        self._client.post("/api/v1/frames/let-go", tables)

    def step(
        self, run_id: str, verb: str, *, more: Sequence[str] = (), params: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        body = {"owner": getpass.getuser(), "runs": list(more), "params": dict(params or {})}
        return dict(self._client.post(f"/api/v1/backfills/{run_id}/{verb}", body))

    def show(self, run_id: str) -> dict[str, Any]:
        return dict(self._client.get(f"/api/v1/backfills/{run_id}"))

    def diff(self, run_id: str, other: str | None, columns: Sequence[str]) -> dict[str, Any]:
        query = {"other": other, "column": list(columns)}
        return dict(self._client.get(f"/api/v1/backfills/{run_id}/diff", timeout_s=600, **query))

    def expire(self, run_ids: Sequence[str], older_than_s: float, *, dry_run: bool) -> dict[str, Any]:
        body = {"runs": list(run_ids), "older_than_s": older_than_s, "dry_run": dry_run}
        return dict(self._client.post("/api/v1/backfills/expire", body, timeout_s=600))

    def partitions(self, run_id: str) -> list[dict[str, Any]]:
        return list(self._client.get(f"/api/v1/backfills/{run_id}/partitions")["partitions"])

    def coverage(self, run_id: str) -> dict[str, Any]:
        return dict(self._client.get(f"/api/v1/backfills/{run_id}/coverage"))

    def staged(self, run_id: str) -> dict[str, Any]:
        return dict(self._client.get(f"/api/v1/backfills/{run_id}/staged"))

    def runs(self, kind: str, limit: int) -> list[dict[str, Any]]:
        return list(self._client.get("/api/v1/runs", kind=kind, limit=limit)["runs"])

    def jobs(self, run_id: str | None, limit: int) -> list[dict[str, Any]]:
        return list(self._client.get("/api/v1/jobs", run_id=run_id, limit=limit)["jobs"])

    def job(self, job_id: str) -> dict[str, Any]:
        return dict(self._client.get(f"/api/v1/jobs/{job_id}"))

    def cancel_job(self, job_id: str) -> dict[str, Any]:
        return dict(self._client.post(f"/api/v1/jobs/{job_id}/cancel"))

    def log(self, job_id: str, offset: int) -> dict[str, Any]:
        return dict(self._client.get(f"/api/v1/jobs/{job_id}/log", offset=offset))

    def watch(self, job_id: str, show: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        while True:
            job: dict[str, Any] = self._client.get(f"/api/v1/jobs/{job_id}/wait", wait_s=_POLL_S)
            show(job)
            if job["ended"] or job["state"] == "paused":
                return job


class LocalDesk:
    """Does everything in this process, without a service; a submitted job is done before `watch` returns."""

    def __init__(self, platform: Platform) -> None:
        self.config = platform.config
        self.platform = platform

    @property
    def sequences(self) -> SequenceDesk:
        from nbplat.ui.sequence_desk import LocalSequences

        return LocalSequences(self.platform)

    @property
    def environments(self) -> EnvironmentDesk:
        from nbplat.ui.environment_desk import LocalEnvironments

        return LocalEnvironments(self.platform)

    def plan(self, spec: dict[str, Any]) -> dict[str, Any]:
        return self.platform.backfills.plan(self.platform.backfill_spec(spec)).record()

    def submit(self, spec: dict[str, Any], *, new: bool, max_cost: float | None = None) -> dict[str, Any]:
        found = self.platform.backfills.submit(
            self.platform.backfill_spec(spec), owner=getpass.getuser(), force_new=new, max_cost=max_cost
        )
        return submission_record(found)

    def keep_frame(self, name: str, rows: pa.Table) -> dict[str, Any]:
        return self.platform.frames.keep(name, rows).record()

    def let_go_frames(self, tables: list[str]) -> None:
        self.platform.frames.let_go(tables)

    def step(
        self, run_id: str, verb: str, *, more: Sequence[str] = (), params: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        backfills = self.platform.backfills
        return backfill_verbs.carry_out(backfills, verb, [run_id, *more], owner=getpass.getuser(), params=params)

    def show(self, run_id: str) -> dict[str, Any]:
        return backfill_verbs.seen(self.platform.backfills, self.platform.store, run_id)

    def diff(self, run_id: str, other: str | None, columns: Sequence[str]) -> dict[str, Any]:
        return self.platform.backfills.diff(run_id, other, columns).record()

    def expire(self, run_ids: Sequence[str], older_than_s: float, *, dry_run: bool) -> dict[str, Any]:
        age_ms = int(older_than_s * 1000)
        return self.platform.expirer.expire(run_ids, older_than_ms=age_ms, dry_run=dry_run).record()

    def partitions(self, run_id: str) -> list[dict[str, Any]]:
        return backfill_verbs.partitions(self.platform.backfills, self.platform.store, run_id)

    def coverage(self, run_id: str) -> dict[str, Any]:
        return backfill_verbs.covered(self.platform.backfills, run_id)

    def staged(self, run_id: str) -> dict[str, Any]:
        return asdict(self.platform.backfills.staged_columns(run_id))

    def runs(self, kind: str, limit: int) -> list[dict[str, Any]]:
        return [run_record(run) for run in self.platform.store.runs(kind, limit=limit)]

    def jobs(self, run_id: str | None, limit: int) -> list[dict[str, Any]]:
        return [job_record(job) for job in self.platform.store.jobs(run_id=run_id, limit=limit)]

    def job(self, job_id: str) -> dict[str, Any]:
        return job_record(self.platform.store.job(job_id))

    def cancel_job(self, job_id: str) -> dict[str, Any]:
        return job_record(self.platform.store.request_cancel(job_id))

    def log(self, job_id: str, offset: int) -> dict[str, Any]:
        return {"text": "", "next_offset": offset, "size": 0}

    def watch(self, job_id: str, show: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        ended = {job.id: job for job in self.platform.work_here(f"local-{time.time_ns()}")}
        job = job_record(ended[job_id]) if job_id in ended else self.job(job_id)
        show(job)
        if not job["ended"]:
            # A service on the same state folder was faster; its worker does the job.
            self.platform.clock.sleep(_POLL_S)
        return job


def open_desk(config: Config | None = None) -> ServiceDesk:
    """The service of the configuration, started when it is not running."""
    from nbplat.ui.client import find_or_start

    config = config or load_config()
    return ServiceDesk(find_or_start(config), config)


def staged_columns(record: dict[str, Any]) -> StagedColumns:
    """Read the record that `Desk.staged` gives."""
    return StagedColumns(
        run_id=record["run_id"],
        base=SnapshotPin(**record["base"]),
        columns=tuple((name, kind) for name, kind in record["columns"]),
        files=tuple(StagedFile(**file) for file in record["files"]),
        promoted=record["promoted"],
        keys=tuple(record["keys"]),
        table=record["table"],
        landed=tuple(record.get("landed", ())),
    )
