"""What a run was made of, so that it can be told apart, trusted and trained again."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from nbplat.errors import RequestError
from nbplat.terms import content_hash
from nbplat.training.plan import TrainingPlan
from nbplat.training.result import TrainingResult

__all__ = ["differences", "made_of", "model_source"]

_PACKAGES = ("nbplat", "numpy", "pyarrow", "pyiceberg", "scikit-learn")


def made_of(
    plan: TrainingPlan,
    *,
    source: str | None,
    model: str,
    held: str = "",
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """The record that is kept with a run.

    Args:
        source: The text that made the model, empty for the default one; None for an object of the caller's.
        model: The model in words.
        held: The tag that keeps the plan's snapshots; empty when none does.
    """
    join = plan.join
    return {
        "plan_id": plan.plan_id,
        "join_plan_id": join.plan_id,
        "snapshots": {pin.table: pin.snapshot_id for pin in join.held_pins},
        "runs": [side.run for side in join.sides if side.run],
        "features": {side.ref: dict(side.provenance) for side in join.sides if side.provenance},
        "sequences": {use.ref: {"version": use.version, **use.facts} for use in join.sequences},
        "environment": {
            "runs_in": dict(plan.spec.environment or {}),
            "python": platform.python_version(),
            "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        },
        "seed": plan.spec.seed,
        "model": model,
        "source": source,
        "code_hash": content_hash({"model": model, "source": source}),
        "held": held,
        "notes": list(notes),
    }


def model_source(run_id: str, outputs: Mapping[str, Any]) -> str:
    """The text that made a kept run's model; empty for the default one.

    Raises:
        RequestError: ``training.no_replay``: the model was an object, or the run is of an older nbplat.
    """
    told = outputs.get("provenance") or {}
    source = told.get("source")
    if not isinstance(source, str):
        why = f"its model was {told['model']}, an object of the caller's" if told else "an older nbplat kept it"
        raise RequestError(
            "training.no_replay",
            f"{run_id} cannot be trained again from its record: {why}",
            fix="train again from the cell, or give the model as text that binds it: model='…'",
        )
    return source


def differences(before: Mapping[str, Any], result: TrainingResult) -> list[str]:
    """What a replay found otherwise than the run did; empty when the figures are the same.

    Args:
        before: Record of the run's result.
    """
    now = replace(result, models={}).record()
    found = []
    for name in ("auc_without", "auc_with", "gain"):
        then, since = before[name], now[name]
        if then != since:
            values = [f"{each['value']:.6f}" if each else "none" for each in (then, since)]
            found.append(f"{name} was {values[0]}, is {values[1]}")
    plain = ("rows_train", "rows_test", "cut")
    return found + [f"{name} was {before[name]}, is {now[name]}" for name in plain if before[name] != now[name]]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
