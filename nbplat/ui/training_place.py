"""Training joins as Python asks for them: from arguments to a plan that is open."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nbplat.errors import RequestError, did_you_mean
from nbplat.terms import StagedColumns, Window
from nbplat.ui.desk import Desk, staged_columns

if TYPE_CHECKING:
    from nbplat.compose import Platform
    from nbplat.training.join import Stage
    from nbplat.training.join.open import OpenJoin

__all__ = ["DeskRuns", "listed", "open_join", "stages", "window"]

_OPTIONS = (
    "columns",
    "time",
    "join",
    "missing",
    "min_coverage",
    "max_unit_bytes",
    "sequences",
    "sequence_form",
)
_LISTS = ("columns", "sequences")


class DeskRuns:
    """Staged runs as the join asks for them.

    Args:
        desk: Opens the desk; called when the first run is asked for, since tables need none.
    """

    def __init__(self, desk: Callable[[], Desk]) -> None:
        self._desk = desk

    def staged_columns(self, run_id: str) -> StagedColumns:
        """See `nbplat.training.join.JoinRuns`."""
        return staged_columns(self._desk().staged(run_id))


def open_join(
    desk: Desk,
    platform: Platform,
    table: str,
    *,
    stage: str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]] = (),
    on: str | Sequence[str] = (),
    dates: tuple[str | None, str | None] = (None, None),
    plan: Mapping[str, Any] | None = None,
    **options: Any,
) -> OpenJoin:
    """Plan a join, or take a plan that was kept, and open it; see `nbplat.ui.python.training_join`.

    Raises:
        RequestError: an option that is not known, or a plan of another table.
    """
    from nbplat.training.join import JoinPlan, JoinSpec, plan_join

    for name in options:
        if name not in _OPTIONS:
            raise RequestError(
                "training.option",
                f"a join has no option {name!r}",
                fix=did_you_mean(name, [*_OPTIONS, "on", "stage", "dates", "plan", "label"]),
            )
    if plan is not None:
        kept = JoinPlan.from_record(plan)
        if kept.spec.base != table or stage or on or options or tuple(dates) != (None, None):
            raise RequestError(
                "training.option",
                f"the plan joins {kept.spec.base} and says all else itself",
                fix=f"write training_join({kept.spec.base!r}, plan=…) and nothing more",
            )
        return platform.open_join(kept)
    given: dict[str, Any] = {
        name: listed(value) if name in _LISTS and value is not None else value for name, value in options.items()
    }
    spec = JoinSpec(base=table, on=listed(on), stage=stages(stage), dates=window(dates), **given)
    runs = DeskRuns(lambda: desk)
    return platform.open_join(plan_join(spec, platform.join_source, runs, platform.sequence_columns))


def stages(asked: str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]]) -> tuple[Stage, ...]:
    """What is joined, each as a text or a dict of `Stage`'s fields with a ``ref``; one of them may stand alone.

    Raises:
        RequestError: an option of a stage that is not known.
    """
    return tuple(_stage(each) for each in ([asked] if isinstance(asked, str | Mapping) else asked))


def listed(names: str | Sequence[str]) -> tuple[str, ...]:
    """Names; one may stand alone."""
    return (names,) if isinstance(names, str) else tuple(names)


def window(dates: Any) -> Window:
    """The window of ``(first, end)``, the end not included.

    Raises:
        RequestError: ``window.date``: these are no two dates.
    """
    if isinstance(dates, str) or len(found := tuple(dates)) != 2:
        raise RequestError(
            "window.date",
            f"dates={dates!r} are no two dates",
            fix='write dates=("2011-03-01", "2011-04-01"), the end not included; None leaves a side open',
        )
    return Window.parse(*found)


def _stage(asked: str | Mapping[str, Any]) -> Stage:
    from nbplat.training.join import Stage

    if isinstance(asked, str):
        return Stage.parse(asked)
    options: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in asked.items()}
    try:
        return Stage.parse(options.pop("ref"), **options)
    except (KeyError, TypeError):
        fields = list(Stage.__dataclass_fields__)
        odd = next((name for name in asked if name not in fields), "")
        raise RequestError(
            "training.option",
            f"a stage has no {odd!r}" if odd else "a stage needs a ref",
            fix=did_you_mean(odd, fields) if odd else "write {'ref': 'ml.stg_ctr', 'fill': {…}}",
        ) from None
