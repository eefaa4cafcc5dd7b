"""What a verb does to a backfill run, the same over HTTP and in process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nbplat.backfill.states import RunState, Step, stage_scope
from nbplat.errors import RequestError, did_you_mean
from nbplat.job import UnitState
from nbplat.service.records import job_record, run_record, submission_record

if TYPE_CHECKING:
    from nbplat.backfill.run import Backfills
    from nbplat.job import JobStore

__all__ = ["VERBS", "carry_out", "covered", "partitions", "seen"]

VERBS = ("audit", "promote", "rollback", "extend", "retry", "pause", "resume", "cancel")


def carry_out(
    backfills: Backfills, verb: str, run_ids: Sequence[str], *, owner: str, params: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Carry out a verb of `VERBS`.

    Args:
        run_ids: One run; for a promotion, as many as there are of one table.
        params: What the verb takes besides: ``drop_column`` (rollback), ``to`` and ``promote`` (extend).

    Returns:
        ``run``, ``job`` (None when there is nothing to wait for), ``notes``; for a queued step also
        ``plan`` and ``attached``.

    Raises:
        NbplatError: what the verb is refused for.
    """
    if verb not in VERBS:
        raise RequestError("backfill.verb", f"a run has no verb {verb!r}", fix=did_you_mean(verb, VERBS))
    if verb != "promote" and len(run_ids) != 1:
        raise RequestError("backfill.verb", f"{verb} takes one run", fix=f"{verb} them one by one")
    run_id = run_ids[0]
    match verb:
        case "cancel" | "pause":
            run = backfills.cancel(run_id) if verb == "cancel" else backfills.pause(run_id)
            [job] = backfills.store.jobs(run_id=run.id, limit=1)
            return {"run": run_record(backfills.find(run.id)), "job": job_record(job), "notes": []}
        case "resume":
            return submission_record(backfills.resume(run_id))
        case "retry":
            return submission_record(backfills.retry(run_id, owner=owner))
        case "promote":
            return submission_record(backfills.promote_train(run_ids, owner=owner))
        case "extend":
            return submission_record(backfills.extend(run_id, owner=owner, **_known(verb, params, "to", "promote")))
        case "rollback":
            given = _known(verb, params, "drop_column")
            return submission_record(backfills.step(run_id, Step.ROLLBACK, owner=owner, params=given))
        case _:
            return submission_record(backfills.step(run_id, Step(f"backfill.{verb}"), owner=owner))


def _known(verb: str, params: Mapping[str, Any] | None, *names: str) -> dict[str, Any]:
    """The parameters that are given; an unknown one is refused."""
    given = {name: value for name, value in (params or {}).items() if value is not None}
    for name in given:
        if name not in names:
            raise RequestError("backfill.verb", f"{verb} takes no {name!r}", fix=did_you_mean(name, names))
    return given


def seen(backfills: Backfills, store: JobStore, run_id: str) -> dict[str, Any]:
    """A run with the counts of its units, the units that failed, and its jobs, newest first."""
    run = backfills.find(run_id)
    return {
        "run": run_record(run),
        "units": backfills.progress(run),
        "failed_units": backfills.failed_units(run),
        "jobs": [job_record(job) for job in store.jobs(run_id=run.id)],
    }


def partitions(backfills: Backfills, store: JobStore, run_id: str) -> list[dict[str, Any]]:
    """How far each partition of a run is staged, in the plan's order; ``""`` names an unpartitioned table.

    Returns:
        ``partition``, ``files``, ``rows``, ``read_bytes``, and how many of its files are ``done``, ``failed`` and
        ``leased`` (being worked on).
    """
    run = backfills.find(run_id)
    states = {unit.id: unit.state for unit in store.units(stage_scope(run.id))}
    found: dict[str, dict[str, Any]] = {}
    for unit in run.plan["units"]:
        empty = {"partition": unit["partition"], "files": 0, "rows": 0, "read_bytes": 0, "done": 0, "failed": 0}
        line = found.setdefault(unit["partition"], empty | {"leased": 0})
        line["files"] += 1
        line["rows"] += unit["rows"]
        line["read_bytes"] += unit["read_bytes"]
        if (state := states.get(unit["id"], UnitState.PENDING)) is not UnitState.PENDING:
            line[state.value] += 1
    return list(found.values())


def covered(backfills: Backfills, run_id: str) -> dict[str, Any]:
    """How far a promoted run's columns reach into the table as it is now; empty for a run that is not promoted.

    Raises:
        Conflict: its columns are not in the table any more.
    """
    run = backfills.find(run_id)
    return backfills.coverage(run.id).record() if run.state == RunState.PROMOTED else {}
