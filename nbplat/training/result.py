"""What a comparison found."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from nbplat.training.evaluate import Estimate

__all__ = ["Period", "SequenceShare", "TrainingResult"]


@dataclass(frozen=True, slots=True)
class Period:
    """Rows of one side and date that have a staged (or promoted) row.

    Attributes:
        ref: The run or table.
        period: ``2011-03``, or ``all``.
        how: As in `join.plan.UnitSide`; ``mixed`` where a date has several.
        rows: Rows of the base, by their manifests.
        covered: Those with a staged row, by counts; says nothing about nulls inside.
        exact: False when `covered` is an upper bound, as it is where rows meet by key.
        matched: Rows of all dates that met one while reading; 0 when that is not known.
    """

    ref: str
    period: str
    how: str
    rows: int
    covered: int
    exact: bool
    matched: int = 0


@dataclass(frozen=True, slots=True)
class SequenceShare:
    """One joined sequence.

    Attributes:
        ref, version, shape: As in `join.sequence_use.SequenceUse`.
        columns: How many numbers a row it brings.
        rows_empty: Rows without a single token; they stay.
    """

    ref: str
    version: str
    shape: str
    columns: int
    rows_empty: int


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What the comparison found.

    Attributes:
        auc_without: On the plain columns.
        auc_with: On plain and joined columns; None when nothing was joined.
        gain: ``auc_with - auc_without``, its interval from the same resamples; None likewise.
        curves: The two ROC curves, ``((false positive share, true positive share), …)`` at most 101 points each;
            only the first when nothing was joined.
        cut: The first test example's time: trained on ``time < cut``, tested on ``time >= cut``; ISO, UTC, or a
            number where the time column is one.
        rows_train, rows_test: Examples of either side.
        label_share_test: Share of label 1 among the test examples.
        features: Plain columns.
        staged_features: Joined columns of runs and tables.
        sequences: Joined sequences: what each brings, and how many rows have an empty one.
        preprocessing: What was done to the columns, and the model, one line each.
        coverage: By side and date.
        nulls: Nulls (and NaNs) of each staged column over all rows.
        batches: Batches that came out of the join, over all passes.
        rows_read: Rows that came out of the join, over all passes.
        kept_in_memory: True when the join was read once and its batches kept for the epochs.
        seconds: Wall time of all; `join_seconds` of it waiting for the join, `compute_seconds` in the models.
        models: ``without`` and ``with``: the library's own fitted objects; not part of the record.
        provenance: What it was made of, see `provenance.provenance`; empty until it is kept.
        run: ``repeat_buyer@3`` once it is kept.
    """

    name: str
    plan_id: str
    auc_without: Estimate
    auc_with: Estimate | None
    gain: Estimate | None
    curves: tuple[tuple[tuple[float, float], ...], ...] = field(repr=False)
    cut: str
    rows_train: int
    rows_test: int
    label_share_test: float
    features: tuple[str, ...]
    staged_features: tuple[str, ...]
    sequences: tuple[SequenceShare, ...]
    preprocessing: tuple[str, ...]
    coverage: tuple[Period, ...]
    nulls: dict[str, int]
    epochs: int
    batches: int
    rows_read: int
    kept_in_memory: bool
    seconds: float
    join_seconds: float
    compute_seconds: float
    models: dict[str, Any] = field(compare=False, repr=False)
    provenance: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    run: str = ""

    @property
    def rows_per_second(self) -> float:
        """Joined rows a second while the join was being read; 0 when that took no measurable time."""
        return self.rows_read / self.join_seconds if self.join_seconds else 0.0

    @property
    def wait_share(self) -> float:
        """Share of the time that the models waited for batches; near 1: the loader is slow, near 0: the model is."""
        both = self.join_seconds + self.compute_seconds
        return self.join_seconds / both if both else 0.0

    def figures(self) -> dict[str, Any]:
        """The few figures that a line of a list holds."""
        record = self.record()
        names = ("auc_without", "auc_with", "gain", "rows_read", "rows_per_second", "wait_share", "seconds")
        return {name: record[name] for name in names}

    def record(self) -> dict[str, Any]:
        """JSON form, without the models."""
        # asdict would copy the fitted models deeply.
        record = asdict(replace(self, models={}))
        del record["models"]
        return record | {"rows_per_second": round(self.rows_per_second, 1), "wait_share": round(self.wait_share, 4)}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> TrainingResult:
        """Read what `record` wrote; without models."""
        known = {name: record[name] for name in cls.__dataclass_fields__ if name in record and name != "models"}
        for name in ("auc_without", "auc_with", "gain"):
            known[name] = None if record[name] is None else Estimate(**record[name])
        for name in ("features", "staged_features", "preprocessing"):
            known[name] = tuple(record[name])
        known["curves"] = tuple(tuple((x, y) for x, y in curve) for curve in record["curves"])
        known["sequences"] = tuple(SequenceShare(**each) for each in record["sequences"])
        known["coverage"] = tuple(Period(**each) for each in record["coverage"])
        return cls(**known, models={})
