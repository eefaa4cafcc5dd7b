"""The Python faces: `nb.backfill`, `nb.sequence`, `nb.training_join` and `nb.local`. The magics do the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nbplat.config import load_config
from nbplat.ui.desk import Desk, LocalDesk, open_desk
from nbplat.ui.handlers.follow import follow
from nbplat.ui.render.result import Result

if TYPE_CHECKING:
    from nbplat.backfill.plan import BackfillPlan
    from nbplat.sequence.preview import SequencePreview
    from nbplat.training.run import TrainingResult

__all__ = ["Local", "backfill", "local", "sequence", "training_join"]


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
        new: Open a new run even where an equal one lives.
        wait: Return when the run rests; otherwise at once.
        dry_run: Plan only; ``result.value`` is the plan.
        ship: Functions and classes that a Python body uses, or name -> function, class or constant.
        py: Paths of modules, package folders or wheels that it imports.
        params: JSON values that it reads by name or in ``params``.
        read: Columns that its batch holds; empty takes those it names, or all.
        group_by: Columns whose groups are handed over whole, a call per group.
        env: Folder or interpreter of the environment that runs it; None takes this process's interpreter.
        frames: Name in an SQL body -> DataFrame or Arrow table that it reads.
        desk: Where runs are kept; None asks the service, which is started on demand.

    Returns:
        A result whose ``value`` is the run's record (or the plan), displayed as the magic shows it.

    Raises:
        NbplatError: what is wrong with the request, or what failed the run.
    """
    from nbplat.backfill.plan import BackfillPlan
    from nbplat.ui.handlers.backfill import followed, plan_result
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
    }
    with frames_kept(desk, frames or {}, dry_run=dry_run) as tables:
        spec["frames"] = tables
        if dry_run:
            return plan_result(BackfillPlan.from_record(desk.plan(spec)), desk.config)
        asked = desk.submit(spec, new=new)
    return followed(desk, asked, wait=wait, show=lambda _result: None)


def sequence(name: str, definition: str, *, on: str, examples: int = 5) -> SequencePreview:
    """Retrieve the last events of each type as of each example, and show what a model would see.

    Args:
        definition: YAML as in a ``%%sequence`` cell.
        on: The table of examples.
        examples: How many to show.
    """
    return local().sequence(name, definition, on=on, examples=examples)


def training_join(
    table: str, *, label: str, time: str, stage: tuple[str, ...] | list[str] = (), **options: Any
) -> TrainingResult:
    """Train on a table joined with staged columns, and compare with and without them, before any promotion.

    Args:
        table: The table of examples.
        label: Column to predict, 0 or 1.
        time: Column that orders the split.
        stage: Backfill runs whose staged columns are joined.
        options: As in `nbplat.training.spec.TrainingSpec`, and ``model``: a fresh estimator.
    """
    return local().training_join(table, label=label, time=time, stage=stage, **options)


def local(**options: Any) -> Local:
    """Everything in this process, without a service: the same plans, the same runs, for scripts and tests.

    Args:
        options: Settings by name with dots as underscores doubled: ``home=…``, ``limits__threads=4``.
    """
    from nbplat.compose import open_platform

    settings = {name.replace("__", "."): value for name, value in options.items()}
    return Local(LocalDesk(open_platform(load_config(settings))))


class Local:
    """The faces over one in-process platform; made by `nb.local()`. Close it, or use it as a context manager."""

    def __init__(self, desk: LocalDesk) -> None:
        self._desk = desk
        self.platform = desk.platform

    def backfill(self, name: str, *, table: str, sql: str = "", **request: Any) -> Result:
        """As `nb.backfill`; the run rests when this returns."""
        return backfill(name, table=table, sql=sql, desk=self._desk, **request)

    def plan(self, name: str, *, table: str, sql: str, keys: tuple[str, ...] = ()) -> BackfillPlan:
        """The plan of a backfill, as a value."""
        plan: BackfillPlan = self.backfill(name, table=table, sql=sql, keys=keys, dry_run=True).value
        return plan

    def promote(self, run: str) -> Result:
        """Publish audited columns."""
        return self._step(run, "promote")

    def rollback(self, run: str) -> Result:
        """Take promoted columns out again, or drop what was staged."""
        return self._step(run, "rollback")

    def sequence(self, name: str, definition: str, *, on: str, examples: int = 5) -> SequencePreview:
        """As `nb.sequence`."""
        from nbplat.ui.handlers.sequence import sequence_of

        return sequence_of(self.platform, name, definition, on, examples).preview

    def training_join(
        self, table: str, *, label: str, time: str, stage: tuple[str, ...] | list[str] = (), **options: Any
    ) -> TrainingResult:
        """As `nb.training_join`."""
        from nbplat.ui.handlers.training import train

        return train(self._desk, self.platform, table=table, label=label, time=time, stage=tuple(stage), **options)

    def close(self) -> None:
        """Let go of connections."""
        self.platform.close()

    def __enter__(self) -> Local:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _step(self, run: str, verb: str) -> Result:
        from nbplat.ui.handlers.backfill import run_result

        run_id = self._desk.show(run)["run"]["id"]
        asked = self._desk.step(run_id, verb)
        seen, _ = follow(self._desk, run_id, asked["job"], lambda _result: None)
        return run_result(seen, asked["notes"])
