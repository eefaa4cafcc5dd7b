"""The Python faces: `nb.backfill`, `nb.sequence`, `nb.environment`, `nb.training_join` and `nb.local`."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

from nbplat.config import load_config
from nbplat.ui.desk import LocalDesk
from nbplat.ui.python_run import backfill
from nbplat.ui.python_session import session
from nbplat.ui.render.result import Result

if TYPE_CHECKING:
    from nbplat.training.join.open import OpenJoin
    from nbplat.training.result import TrainingResult
    from nbplat.ui.python_environment import Environment
    from nbplat.ui.python_sequence import Sequence as UserSequence
    from nbplat.ui.sequence_place import Place

__all__ = ["Local", "backfill", "environment", "local", "sequence", "session", "training_join"]


def sequence(
    name: str,
    definition: str,
    *,
    on: Any,
    examples: int = 20,
    compare: str | None = None,
    frames: Mapping[str, Any] | None = None,
    place: Place | None = None,
) -> UserSequence:
    """Hold a definition against examples, show what a model would see and what leaks, and keep the definition.

    Args:
        definition: YAML as in a ``%%sequence`` cell.
        on: The examples: a table, a path or a DataFrame.
        examples: How many to show.
        compare: A variant to show beside it.
        frames: Name -> DataFrame that the definition names.
        place: Where it works; None opens the configured platform.

    Returns:
        The sequence, which shows its preview.

    Raises:
        RequestError: what is wrong with the definition, with its line.
    """
    from nbplat.sequence.parse import parse_definition
    from nbplat.ui.handlers.sequence_steps import kept
    from nbplat.ui.python_sequence import Sequence as Made
    from nbplat.ui.sequence_place import Place, Subject, placed
    from nbplat.ui.sequence_view import viewed

    place = place or Place()
    place.frames.update(frames or {})
    subject = Subject(placed(parse_definition(definition, name)), place)
    view = viewed(subject, on, count=examples, compare=compare)
    kept(subject)
    return Made.of(subject, view)


def environment(name: str, dependencies: Sequence[Any] | None = None, **keys: Any) -> Environment:
    """A Python environment: the one declared under a name, or a new declaration; see `nb.Environment`.

    Args:
        name: In ``envs/``, the path of a file, or a name or key that the store knows.
        dependencies: Of a new declaration: conda match specs, and at most one ``{"pip": [requirement, …]}``.
        keys: The other keys of the file: ``channels``, ``nbplat``.
    """
    from nbplat.ui.python_environment import Environment as Made

    return Made(name, dependencies, **keys)


@overload
def training_join(
    table: str,
    *,
    label: str,
    time: str,
    stage: Sequence[str | Mapping[str, Any]] = (),
    sequences: Sequence[str] = (),
    **options: Any,
) -> TrainingResult: ...


@overload
def training_join(
    table: str,
    *,
    label: None = None,
    time: str = "",
    stage: Sequence[str | Mapping[str, Any]] = (),
    **options: Any,
) -> OpenJoin: ...


def training_join(table: str, **options: Any) -> TrainingResult | OpenJoin:
    """Join a table with staged columns before any promotion: to read in batches, or (with `label`) to compare models.

    Args:
        table: The table of examples.
        stage: What is joined, one or several: a run (``spend_90d``), a table with its columns
            (``ml.stg_ctr:b_ctr,b_cnt``), these with options behind them (``ml.stg_ctr prefix=c_ fill=c_b_cnt:0``), or a
            dict of `nbplat.training.join.Stage`'s fields with a ``ref``.
        on: The key columns; left out, those of the runs.
        columns: Without a label: base columns of the result; left out, all.
        dates: ``(first, end)``, ISO dates, the end not included; None leaves a side open.
        plan: The record of a `JoinPlan` that is read again; nothing else is then asked for.
        label: Column to predict, 0 or 1: a model learns with and without the joined columns.
        time: Column of the dates; with a label, the one that orders the split (`dates_by` is that of the dates).
        sequences: Kept sequences whose features stand beside the rows, as of each row's own time: ``home``,
            ``home@2``, ``home.short`` for a variant. Without a label `sequence_form` is ``padded`` (lists of one
            length with a mask and a length) or ``lists``.
        options: As in `nbplat.training.join.JoinSpec`: ``join``, ``missing``, ``min_coverage``, ``max_unit_bytes``.
            With a label also those of `nbplat.training.TrainingSpec`; ``model``: a fresh estimator, or text that
            binds it; ``env``: what it learns in, as for `backfill`; ``hold``: False leaves the snapshots untagged.

    Returns:
        Without a label an open join: ``explain()``, ``coverage()``, ``batches()``; with one the comparison.
    """
    here: Any = local()
    return here.training_join(table, **options)  # type: ignore[no-any-return]


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

    def __getattr__(self, verb: str) -> Any:
        """``local.promote(…)`` is `nb.backfill.promote` here, and so is every other verb of a run."""
        from nbplat.ui import python_backfill

        if verb not in python_backfill.__all__:
            raise AttributeError(f"{type(self).__name__!r} has no attribute {verb!r}")
        return functools.partial(getattr(python_backfill, verb), desk=self._desk)

    def sequence(self, name: str, definition: str, *, on: Any, **options: Any) -> UserSequence:
        """As `nb.sequence`."""
        return sequence(name, definition, on=on, place=self._place({}), **options)

    @functools.cached_property
    def Sequence(self) -> type[UserSequence]:  # noqa: N802 - the class's name
        """`nb.Sequence` whose sequences work here."""
        from nbplat.ui.python_sequence import Sequence as Made

        return type("Sequence", (Made,), {"_new_place": staticmethod(self._place), "__doc__": Made.__doc__})

    def environment(self, name: str, dependencies: list[Any] | None = None, **keys: Any) -> Environment:
        """As `nb.environment`."""
        return self.Environment(name, dependencies, **keys)

    @functools.cached_property
    def Environment(self) -> type[Environment]:  # noqa: N802 - the class's name
        """`nb.Environment` whose environments are locked and built in this process."""
        from nbplat.ui.environment_place import Place
        from nbplat.ui.python_environment import Environment as Made

        def place(_cls: type) -> Place:
            return Place(self._desk, self.platform)

        return type("Environment", (Made,), {"_new_place": classmethod(place), "__doc__": Made.__doc__})

    def _place(self, frames: Mapping[str, Any]) -> Place:
        from nbplat.ui.sequence_place import Place

        return Place(self._desk, self.platform, frames)

    def training_join(self, table: str, *, label: str | None = None, **options: Any) -> Any:
        """As `nb.training_join`."""
        from nbplat.ui.handlers.training import train
        from nbplat.ui.training_place import open_join

        if label is None:
            return open_join(self._desk, self.platform, table, **options)
        return train(self._desk, self.platform, table, label=label, **options)

    def close(self) -> None:
        """Let go of connections."""
        self.platform.close()

    def __enter__(self) -> Local:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
