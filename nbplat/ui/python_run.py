"""`nb.backfill(…)`: a backfill asked for in Python; `Local` binds it to one process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nbplat.ui.desk import Desk, open_desk
from nbplat.ui.render.result import Result

__all__ = ["backfill"]


def backfill(
    name: str,
    *,
    table: str,
    sql: str = "",
    python: str | Callable[..., Any] | None = None,
    keys: tuple[str, ...] | list[str] = (),
    start: str | None = None,
    end: str | None = None,
    time: str | None = None,
    engine: str = "local",
    promote: bool = False,
    as_of: str | None = None,
    source_times: Mapping[str, str] | None = None,
    replace: Sequence[str] = (),
    types: Mapping[str, str] | None = None,
    checks: Mapping[str, Any] | None = None,
    max_cost: float | None = None,
    new: bool = False,
    wait: bool = True,
    dry_run: bool = False,
    ship: Sequence[Any] | Mapping[str, Any] = (),
    py: Sequence[str] = (),
    params: Mapping[str, Any] | None = None,
    read: Sequence[str] = (),
    group_by: Sequence[str] = (),
    env: str | None = None,
    frames: Mapping[str, Any] | None = None,
    desk: Desk | None = None,
) -> Result:
    """Compute new columns over a table's history, staged beside it and audited before they are published.

    Args:
        name: Names the run ``name@n``.
        table: ``namespace.table`` that gets the columns.
        sql: One Spark-SQL ``SELECT`` of the keys and the new columns over ``base`` and other tables.
        python: Instead of `sql`: a function of one batch (a `pyarrow.Table` of rows) that returns a dict of new
            columns, or a Table with the keys; or its source text, where it is called ``feature``.
        keys: Columns that identify a row; empty takes the result columns that the table has (with `python`: needed).
        start, end: ISO dates of the half-open window; None leaves that side open.
        time: The time column of the window; None takes the source of the time partition.
        promote: Promote when the audit passes.
        as_of: Column that holds the time as of which a row's feature must be known; the audit probes for leaks.
        source_times: Source table -> its time column, for the same.
        replace: Existing columns that are computed again; outside the window they keep their values.
        types: New column -> Iceberg type that it is stored as.
        checks: Audit rule, or ``rule.threshold``, -> level or value.
        max_cost: Refuse a run that costs more at the configured prices.
        new: Open a new run even where an equal one lives.
        wait: Return when the run rests; otherwise at once.
        dry_run: Plan only; ``result.value`` is the plan.
        ship: Functions and classes that a Python body uses, or name -> function, class or constant.
        py: Paths of modules, package folders or wheels that it imports.
        params: JSON values that it reads by name or in ``params``.
        read: Columns that its batch holds; empty takes those it names, or all.
        group_by: Columns whose groups are handed over whole, a call per group.
        env: What runs it: an environment's name or declaration, a folder or an interpreter; None takes this
            process's interpreter.
        frames: Name in an SQL body -> DataFrame or Arrow table that it reads.
        desk: Where runs are kept; None asks the service, which is started on demand.

    Returns:
        A result whose ``value`` is the run's record (or the plan), displayed as the magic shows it.

    Raises:
        NbplatError: what is wrong with the request, or what failed the run.
    """
    from nbplat.backfill.plan import BackfillPlan
    from nbplat.ui.handlers.backfill_result import followed, plan_result
    from nbplat.ui.shipping import feature_source, frames_kept, python_source

    body: dict[str, Any] = {"sql": sql}
    if python is not None:
        taken = dict(ship) if isinstance(ship, Mapping) else {each.__name__: each for each in ship}
        body["python"] = python_source(
            feature_source(python),
            ship=taken,
            py=py,
            params=params,
            read=read,
            group_by=group_by,
            env=env,
            namespace={**getattr(python, "__globals__", {}), **taken},
        )
    desk = desk or open_desk()
    spec = {
        "name": name,
        "table": table,
        **body,
        "keys": list(keys),
        "from": start,
        "to": end,
        "time": time,
        "engine": engine,
        "promote": promote,
        "as_of": as_of,
        "source_times": dict(source_times or {}),
        "replace": list(replace),
        "types": dict(types or {}),
        "checks": {name: str(value) for name, value in (checks or {}).items()},
    }
    with frames_kept(desk, frames or {}, dry_run=dry_run) as tables:
        spec["frames"] = tables
        if dry_run:
            return plan_result(BackfillPlan.from_record(desk.plan(spec)), desk.config)
        asked = desk.submit(spec, new=new, max_cost=max_cost)
    return followed(desk, asked, wait=wait, show=lambda _result: None)
