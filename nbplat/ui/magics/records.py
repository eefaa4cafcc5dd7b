"""How plans that ``--out`` bound are shown when a cell ends with them: as the magic showed them, not field by field."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbplat.ui.render.result import Result

__all__ = ["forget_records", "show_records"]


def show_records(shell: Any) -> None:
    """Let IPython show each kind of plan; by name, so that none of their modules is imported before it is needed."""
    formatter = shell.display_formatter.mimebundle_formatter
    for (module, name), result_of in _SHOWN.items():
        formatter.for_type_by_name(module, name, _formatter(result_of))


def forget_records(shell: Any) -> None:
    """IPython shows them in its own way again."""
    formatter = shell.display_formatter.mimebundle_formatter
    for module, name in _SHOWN:
        formatter.pop(f"{module}.{name}", None)


def _backfill(plan: Any) -> Result:
    from nbplat.config import load_config
    from nbplat.ui.handlers.backfill_result import plan_result

    return plan_result(plan, load_config())


def _training(plan: Any) -> Result:
    from nbplat.training.explain import explain_plan
    from nbplat.ui.render.result import Result

    return Result("\n".join(explain_plan(plan)))


_SHOWN: Mapping[tuple[str, str], Callable[[Any], Result]] = {
    ("nbplat.backfill.plan", "BackfillPlan"): _backfill,
    ("nbplat.training.plan", "TrainingPlan"): _training,
}


def _formatter(result_of: Callable[[Any], Result]) -> Any:
    def bundle(plan: Any, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return result_of(plan).bundle()

    return bundle
