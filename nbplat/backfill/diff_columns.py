"""What changed in one column: counts, a distribution before and after, and the rows that changed most."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nbplat.backfill.compare import unequal_rows

__all__ = ["ColumnDiff", "Example", "Gathered"]

_EXAMPLES = 10
_SAMPLE = 100_000
_PER_FILE = 2_000
_BINS = 24
_TOP = 8
_SHOWN_CHARS = 80


@dataclass(frozen=True, slots=True)
class Example:
    """A row that changed.

    Attributes:
        key: Key column -> value, as text.
        before, after: Values as text; None is null.
    """

    key: dict[str, str]
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class ColumnDiff:
    """What changed in a column, over the rows that both sides have.

    Attributes:
        rows: Rows compared.
        changed: Rows with another value on both sides.
        added: Rows that were null and have a value now.
        nulled: Rows that had a value and are null now.
        mean_change, largest_change: Of the absolute differences of changed numbers; None for other types.
        bins: Labels of the distribution's bins: spans of numbers, or the most frequent values.
        shares_before, shares_after: Share of the sampled values in each bin.
        sampled: How many values a side the distribution was made from.
        examples: The rows that changed most (numbers), or first (others); at most ten.
    """

    name: str
    rows: int
    changed: int
    added: int
    nulled: int
    mean_change: float | None
    largest_change: float | None
    bins: tuple[str, ...]
    shares_before: tuple[float, ...]
    shares_after: tuple[float, ...]
    sampled: int
    examples: tuple[Example, ...]

    def record(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)


@dataclass(slots=True)
class Gathered:
    """Takes in a column, file by file; memory stays bounded whatever its size."""

    name: str
    keys: Sequence[str]
    rows: int = 0
    changed: int = 0
    added: int = 0
    nulled: int = 0
    change_sum: float = 0.0
    change_count: int = 0
    largest: float | None = None
    samples: tuple[list[pa.Array], list[pa.Array]] = field(default_factory=lambda: ([], []))
    sampled: int = 0
    examples: list[tuple[float, Example]] = field(default_factory=list)

    def add(self, before: pa.Array, after: pa.Array, rows: pa.Table) -> None:
        """Take in the two sides of some rows; `rows` holds their keys."""
        unequal = unequal_rows(before, after)
        had, has = (np.asarray(pc.is_valid(side).to_numpy(zero_copy_only=False), bool) for side in (before, after))
        self.rows += len(unequal)
        self.changed += int((unequal & had & has).sum())
        self.added += int((unequal & ~had).sum())
        self.nulled += int((unequal & ~has).sum())
        measured = _changes(before, after, unequal)
        changes = np.zeros(len(unequal)) if measured is None else measured
        sizes = changes[unequal & had & has & np.isfinite(changes)]
        if measured is not None and sizes.size:
            self.change_sum += float(sizes.sum())
            self.change_count += int(sizes.size)
            self.largest = max(self.largest or 0.0, float(sizes.max()))
        self._take_examples(before, after, rows, unequal, changes)
        self._take_sample(before, after)

    def finish(self) -> ColumnDiff:
        """What was gathered."""
        sides = [pa.concat_arrays(side) if side else pa.array([], pa.float64()) for side in self.samples]
        bins, shares = _distribution(*sides)
        numeric = self.change_count > 0
        return ColumnDiff(
            name=self.name,
            rows=self.rows,
            changed=self.changed,
            added=self.added,
            nulled=self.nulled,
            mean_change=self.change_sum / self.change_count if numeric else None,
            largest_change=self.largest if numeric else None,
            bins=bins,
            shares_before=shares[0],
            shares_after=shares[1],
            sampled=self.sampled,
            examples=tuple(example for _, example in self.examples),
        )

    def _take_examples(self, before: pa.Array, after: pa.Array, rows: pa.Table, unequal: Any, changes: Any) -> None:
        picked = np.flatnonzero(unequal)
        if not picked.size:
            return
        order = picked[np.argsort(-changes[picked], kind="stable")][:_EXAMPLES]
        for row in order:
            key = {name: str(rows[name][int(row)].as_py()) for name in self.keys}
            values = [_shown(side[int(row)].as_py()) for side in (before, after)]
            self.examples.append((float(changes[row]), Example(key, *values)))
        self.examples.sort(key=lambda each: -each[0])
        del self.examples[_EXAMPLES:]

    def _take_sample(self, before: pa.Array, after: pa.Array) -> None:
        """Evenly spaced rows of each file, so that a repeated comparison says the same."""
        room = min(_PER_FILE, _SAMPLE - self.sampled)
        if room <= 0 or not len(before):
            return
        rows = pa.array(np.unique(np.linspace(0, len(before) - 1, min(room, len(before))).astype(np.int64)))
        for side, values in zip(self.samples, (before, after), strict=True):
            side.append(values.take(rows))
        self.sampled += len(rows)


def _changes(before: pa.Array, after: pa.Array, unequal: Any) -> Any | None:
    """How far each row moved, 0 where it did not; None for a type without distances."""
    one, other = _numbers(before), _numbers(after)
    if one is None or other is None:
        return None
    with np.errstate(invalid="ignore"):
        change = np.abs(other - one)
    change = np.where(np.isnan(change), 0.0, change)
    return np.where(unequal, change, 0.0)


def _numbers(values: pa.Array) -> Any | None:
    kind = values.type
    if pa.types.is_boolean(kind) or pa.types.is_nested(kind):
        return None
    if pa.types.is_temporal(kind):
        values = values.cast(pa.int32() if pa.types.is_date32(kind) else pa.int64())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        return None
    return np.asarray(pc.cast(values, pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)


def _distribution(before: pa.Array, after: pa.Array) -> tuple[tuple[str, ...], list[tuple[float, ...]]]:
    nothing: tuple[tuple[str, ...], list[tuple[float, ...]]] = ((), [(), ()])
    if pa.types.is_nested(before.type) or before.null_count + after.null_count == len(before) + len(after):
        return nothing
    one, other = _numbers(before), _numbers(after)
    if one is None or other is None or pa.types.is_temporal(before.type):
        return _frequent(before, after)
    finite = [side[np.isfinite(side)] for side in (one, other)]
    both = np.concatenate(finite)
    if not both.size:
        return nothing
    low, high = float(both.min()), float(both.max())
    edges = np.linspace(low, high if high > low else low + 1.0, _BINS + 1)
    shares = [tuple((np.histogram(side, edges)[0] / max(side.size, 1)).tolist()) for side in finite]
    return tuple(f"{low:.4g} … {high:.4g}" for low, high in itertools.pairwise(edges)), shares


def _frequent(before: pa.Array, after: pa.Array) -> tuple[tuple[str, ...], list[tuple[float, ...]]]:
    """The most frequent values of both sides together, and all the others."""
    counts: list[dict[Any, int]] = []
    for side in (before, after):
        found = pc.value_counts(side.drop_null())
        counts.append({_shown(each["values"].as_py()): each["counts"].as_py() for each in found})
    total = {value: counts[0].get(value, 0) + counts[1].get(value, 0) for value in {**counts[0], **counts[1]}}
    top = sorted(total, key=lambda value: (-total[value], str(value)))[:_TOP]
    shares = []
    for side in counts:
        rows = max(sum(side.values()), 1)
        named = [side.get(value, 0) / rows for value in top]
        shares.append((*named, *([max(0.0, 1 - sum(named))] if len(total) > len(top) else [])))
    return (*(str(value) for value in top), *(["others"] if len(total) > len(top) else [])), shares


def _shown(value: Any) -> str | None:
    if value is None:
        return None
    text = str(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[: _SHOWN_CHARS - 1]}…"
