"""A comparison as a value: the join that is read, and which of its columns the models learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nbplat.errors import NotFound, RequestError, did_you_mean
from nbplat.terms import content_hash
from nbplat.training.join.plan import JoinPlan
from nbplat.training.join.planning import plan_join
from nbplat.training.join.ports import JoinRuns, JoinSource
from nbplat.training.join.sequence_use import SequenceSource
from nbplat.training.join.stages import found_stages
from nbplat.training.spec import TrainingSpec

__all__ = ["TrainingPlan", "plan_training"]

_NUMERIC = ("boolean", "int", "long", "float", "double", "decimal")
_TIMES = ("timestamp", "timestamptz", "date", "int", "long")


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """What two models would learn from; building it read no data file.

    Attributes:
        join: What is read: plain columns, label and time of the base, the joined columns beside them.
        features: Plain columns learned from, in schema order.
    """

    spec: TrainingSpec
    join: JoinPlan
    features: tuple[str, ...]

    @property
    def staged_features(self) -> tuple[str, ...]:
        """Joined columns of runs and tables, in order."""
        return tuple(value.name for side in self.join.sides for value in side.values)

    @property
    def rows(self) -> int:
        """Rows by the manifests; an upper bound where delete files or dates apply."""
        return self.join.rows

    @property
    def plan_id(self) -> str:
        """SHA-256 over all that decides the figures: the spec, the join's own hash, the columns."""
        return content_hash({"spec": self.spec.record(), "join": self.join.plan_id, "features": list(self.features)})

    def record(self) -> dict[str, Any]:
        """JSON form; `from_record` reads it again, with the same `plan_id`."""
        return {"spec": self.spec.record(), "join": self.join.record(), "features": list(self.features)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> TrainingPlan:
        """Read what `record` wrote.

        Raises:
            RequestError: ``training.plan_format``: a plan of another version.
        """
        if "join" not in record:
            raise RequestError(
                "training.plan_format",
                "the plan was made by an nbplat that joined otherwise",
                fix="plan again: run its cell once more",
            )
        return cls(
            TrainingSpec.from_record(record["spec"]), JoinPlan.from_record(record["join"]), tuple(record["features"])
        )


def plan_training(
    spec: TrainingSpec, source: JoinSource, runs: JoinRuns, sequences: SequenceSource | None = None
) -> TrainingPlan:
    """Plan on the tables' current snapshots; reads metadata only.

    Args:
        sequences: Where the spec's sequences are kept; asked when it names any.

    Raises:
        NotFound: an unknown table, run or column, with the nearest names.
        RequestError: columns clash, or are of a type that cannot be learned from.
        DataError, Conflict: as `plan_join`.
    """
    base = source.state(spec.table)
    types = dict(base.columns)
    _check_columns(spec, types)
    brought = [(each.ref, value) for each in found_stages(spec.join, source, runs) for value in each.values]
    for ref, value in brought:
        if not _is_a(value.kind, _NUMERIC):
            raise RequestError(
                "training.type",
                f"column {value.name!r} of {ref} is of type {value.kind}, which this model cannot learn from",
                fix=f"stage numbers, or name those that are: --stage {ref}:COLUMN,COLUMN",
            )
    features = spec.features or _plain(spec, base.columns, {value.name for _, value in brought})
    columns = tuple(dict.fromkeys((*features, spec.label, spec.time)))
    return TrainingPlan(spec, plan_join(replace(spec.join, columns=columns), source, runs, sequences), features)


def _plain(spec: TrainingSpec, columns: Sequence[tuple[str, str]], staged: set[str]) -> tuple[str, ...]:
    return tuple(
        name
        for name, kind in columns
        if _is_a(kind, _NUMERIC)
        and name not in staged | {spec.label, spec.time}
        and not (_looks_like_key(name) if spec.keys is None else name in spec.keys)
    )


def _check_columns(spec: TrainingSpec, types: dict[str, str]) -> None:
    for role, name, allowed in (
        ("label", spec.label, _NUMERIC),
        ("time", spec.time, _TIMES),
        *(("features", feature, _NUMERIC) for feature in spec.features or ()),
        *(("keys", key, ()) for key in spec.keys or ()),
    ):
        if name not in types:
            raise NotFound(
                "training.column", f"{spec.table} has no column {name!r} (--{role})", fix=did_you_mean(name, types)
            )
        if allowed and not _is_a(types[name], allowed):
            raise RequestError(
                "training.type",
                f"--{role} {name} is of type {types[name]}",
                fix=f"name a column of type {', '.join(allowed)}",
            )
    for name in (spec.label, spec.time):
        if name in (spec.features or ()):
            raise RequestError(
                "training.leak", f"{name!r} is a feature and the label or time", fix=f"take {name} out of --features"
            )


def _looks_like_key(name: str) -> bool:
    return name == "id" or name.endswith("_id")


def _is_a(kind: str, allowed: tuple[str, ...]) -> bool:
    return kind.partition("(")[0] in allowed
