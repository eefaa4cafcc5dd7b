"""`nb.backfill.<verb>(…)`: the verbs of a backfill run as functions; `Local` binds them to one process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbplat.errors import RequestError
from nbplat.ui.desk import Desk, open_desk
from nbplat.ui.python_run import backfill
from nbplat.ui.render.result import Result

if TYPE_CHECKING:
    from nbplat.backfill.plan import BackfillPlan

__all__ = [
    "attach",
    "audit",
    "cancel",
    "diff",
    "expire",
    "extend",
    "grid",
    "list",
    "logs",
    "pause",
    "plan",
    "promote",
    "resume",
    "retry",
    "rollback",
    "show",
    "status",
]


def plan(name: str, *, table: str, sql: str = "", **request: Any) -> BackfillPlan:
    """What a run would read, write and cost, as a value; takes what `nb.backfill` takes."""
    found: BackfillPlan = backfill(name, table=table, sql=sql, dry_run=True, **request).value
    return found


def list(*, table: str | None = None, state: str | None = None, limit: int = 20, desk: Desk | None = None) -> Result:  # noqa: A001 - the verb's name
    """Runs, newest first."""
    from nbplat.ui.handlers.backfill import runs_result

    return runs_result(desk or open_desk(), table, (state,) if state else (), limit)


def show(run: str, *, desk: Desk | None = None) -> Result:
    """One run: request, plan, units, audit, outputs."""
    from nbplat.ui.handlers.backfill import whole_result

    return whole_result(desk or open_desk(), run)


def status(run: str, *, desk: Desk | None = None) -> Result:
    """Where a run is, and what of the table a promoted one does not cover."""
    from nbplat.ui.handlers.backfill import status_result

    return status_result(desk or open_desk(), run)


def grid(run: str, *, desk: Desk | None = None) -> Result:
    """Which partitions of a run are staged, failed, under way or waiting."""
    from nbplat.ui.handlers.backfill_grid import grid_of

    return grid_of(desk or open_desk(), run)


def attach(run: str, *, desk: Desk | None = None) -> Result:
    """Follow a run until it rests."""
    from nbplat.ui.handlers.backfill_steps import attached

    return attached(desk or open_desk(), run)


def logs(run: str, *, tail: int = 0, desk: Desk | None = None) -> Result:
    """A run's log, and the error of each file that failed."""
    from nbplat.ui.handlers.backfill_logs import logs_of

    return logs_of(desk or open_desk(), run, tail=tail)


def pause(run: str, *, desk: Desk | None = None) -> Result:
    """Stop a run between two files and keep what is finished."""
    return _step("pause", run, desk=desk)


def resume(run: str, *, wait: bool = True, desk: Desk | None = None) -> Result:
    """Let a paused run go on."""
    return _step("resume", run, wait=wait, desk=desk)


def cancel(run: str, *, desk: Desk | None = None) -> Result:
    """End a run's live job and return the run to its last completed state."""
    return _step("cancel", run, desk=desk)


def retry(run: str, *, wait: bool = True, desk: Desk | None = None) -> Result:
    """Stage what failed again."""
    return _step("retry", run, wait=wait, desk=desk)


def audit(run: str, *, wait: bool = True, desk: Desk | None = None) -> Result:
    """Judge the staged columns again."""
    return _step("audit", run, wait=wait, desk=desk)


def promote(*runs: str, wait: bool = True, desk: Desk | None = None) -> Result:
    """Publish audited columns; several runs of one table in one pass and one commit."""
    if not runs:
        raise RequestError("usage.arguments", "promote needs a run", fix="nb.backfill.promote('spend_90d')")
    return _step("promote", *runs, wait=wait, desk=desk)


def rollback(run: str, *, drop_column: bool = False, wait: bool = True, desk: Desk | None = None) -> Result:
    """Take promoted columns out again, or drop what was staged; with `drop_column` out of the schema only."""
    return _step("rollback", run, wait=wait, desk=desk, params={"drop_column": drop_column or None})


def extend(
    run: str, *, to: str | None = None, promote: bool = True, wait: bool = True, desk: Desk | None = None
) -> Result:
    """Fill a promoted run's columns where files lack them, with the same body, and promote that."""
    from nbplat.ui.handlers.backfill_steps import extended

    return extended(desk or open_desk(), run, to=to, promote=promote, wait=wait)


def diff(run: str, other: str | None = None, *, columns: tuple[str, ...] = (), desk: Desk | None = None) -> Result:
    """Compare a run with another run, or with the column as it is in the table now; ``value`` is the report."""
    from nbplat.ui.handlers.backfill_diff import diff_result

    return diff_result((desk or open_desk()).diff(run, other, tuple(columns)))


def expire(*runs: str, older_than_s: float = 604_800.0, dry_run: bool = False, desk: Desk | None = None) -> Result:
    """Delete what no run needs and no snapshot of any table uses; with `dry_run` only tell it."""
    from nbplat.ui.handlers.backfill_expire import expire_result

    desk = desk or open_desk()
    return expire_result(desk.expire(tuple(runs), older_than_s, dry_run=dry_run))


def _step(
    verb: str, *runs: str, wait: bool = True, desk: Desk | None = None, params: dict[str, Any] | None = None
) -> Result:
    from nbplat.ui.handlers.backfill_steps import stepped

    return stepped(desk or open_desk(), verb, runs, wait=wait, params=params)
