"""What features learn from the events, once: vocabularies and quantile edges, frozen and named by their content."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nbplat.remote.sequence import tokens
from nbplat.sequence.definition import Definition, Feature
from nbplat.sequence.enrich import Joined
from nbplat.terms import content_hash

if TYPE_CHECKING:
    from nbplat.sequence.ports import Index, VocabTables

__all__ = ["LEARNED", "Fitted", "Vocabulary", "fit", "fit_key"]

LEARNED = ("vocab", "quantile")
"""Functions that learn."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What one feature learned.

    Attributes:
        key: Names what was learned from what: index version, column, function and options (see `fit_key`).
        function: ``vocab`` or ``quantile``.
        values: Of ``vocab`` the values in the order of their ids, from 2; of ``quantile`` the ascending edges.
        counts: Of ``vocab`` how often each value occurred, ``int64``; of ``quantile`` zeros.
        closed: True when no other value can occur: the declared event types.
    """

    key: str
    function: str
    values: pa.Array
    counts: pa.Array
    closed: bool = False

    @property
    def digest(self) -> str:
        """SHA-256 of the values in their order."""
        return content_hash({"kind": str(self.values.type), "values": _texts(self.values)})

    @property
    def size(self) -> int:
        """Ids run from 0 up to, but without, this."""
        return len(self.values) + tokens.FIRST_ID + (self.function == "quantile")

    def stored(self) -> dict[str, pa.Table]:
        """The form that `VocabTables.store` takes: under ``vocab:int64`` ids, the texts of the values, and counts."""
        ids = np.arange(len(self.values), dtype=np.int64) + tokens.FIRST_ID
        texts = pa.array(_texts(self.values), pa.string())
        return {f"{self.function}:{self.values.type}": pa.table({"id": ids, "value": texts, "count": self.counts})}

    @classmethod
    def from_stored(cls, key: str, function: str, kept: Mapping[str, pa.Table]) -> Vocabulary:
        """Read what `stored` wrote; nothing at all is an empty vocabulary."""
        if not kept:
            kind = pa.float64() if function == "quantile" else pa.large_string()
            return cls(key, function, pa.array([], kind), pa.array([], pa.int64()))
        ((name, rows),) = kept.items()
        texts = _one(rows["value"]).cast(pa.large_string())
        return cls(key, function, texts.cast(pa.type_for_alias(name.partition(":")[2])), _one(rows["count"]))


@dataclass(frozen=True, slots=True)
class Fitted:
    """What all features of a definition learned.

    Attributes:
        definition: Version of the definition as declared.
        by_feature: Feature name -> vocabulary; features that learn nothing are not in it.
    """

    definition: str
    by_feature: Mapping[str, Vocabulary]

    @property
    def version(self) -> str:
        """The feature version: SHA-256 over the definition's version and what was learned."""
        return content_hash(
            {"definition": self.definition, "vocab": {name: each.digest for name, each in self.by_feature.items()}}
        )


def fit_key(index_version: str, feature: Feature) -> str:
    """Name of what a feature learns; variants with the same column, function and options share it."""
    options = dict(feature.options)
    return content_hash(
        {"index": index_version, "function": feature.function, "column": feature.column, "options": options}
    )


def fit(
    definition: Definition,
    index: Index,
    index_version: str,
    joined: Mapping[str, Joined] = MappingProxyType({}),
    *,
    stored: VocabTables | None = None,
    table: str = "",
    again: bool = False,
    version: str | None = None,
) -> Fitted:
    """Take what was learned before, and learn the rest from the events of the index.

    The event types are not learned: the declared ones, sorted, have the ids from 2, and no other occurs.

    Args:
        joined: Enrichments at reading, by name. Of those that the example's moment decides the values at the event's
            own time are learned from.
        stored: Where vocabularies are kept; None keeps none.
        table: Name of the index table there.
        version: Of the definition as it was declared; None: of `definition`.
        again: Learn even where something is kept under the key; it is not replaced.

    Returns:
        Every vocabulary that holds: when two learn at once, the one that was kept first.
    """
    read = functools.partial(_columns, index, joined)
    found: dict[str, Vocabulary] = {}
    missing: list[Feature] = []
    for feature in definition.features:
        if feature.function not in LEARNED:
            continue
        key = fit_key(index_version, feature)
        kept = None if stored is None or again else stored.load(table, key)
        if feature.function == "vocab" and feature.column == definition.type:
            found[feature.name] = _declared_types(definition, index, key)
        elif kept is not None:
            found[feature.name] = Vocabulary.from_stored(key, feature.function, kept)
        else:
            missing.append(feature)
    for feature, vocabulary in _learned(missing, index, index_version, read):
        if stored is not None and not again:
            stored.store(table, vocabulary.key, vocabulary.stored())
            kept = stored.load(table, vocabulary.key) or {}
            vocabulary = Vocabulary.from_stored(vocabulary.key, vocabulary.function, kept)
        found[feature.name] = vocabulary
    ordered = {feature.name: found[feature.name] for feature in definition.features if feature.name in found}
    return Fitted(version or definition.version, MappingProxyType(ordered))


def _columns(index: Index, joined: Mapping[str, Joined], bucket: int, names: Sequence[str]) -> pa.Table:
    """Columns of all events of a bucket, those of other tables as they held at the event's time."""
    keys = [key for name in names if name in joined for key in joined[name].table.on]
    events = index.events(bucket, tuple(dict.fromkeys([name for name in names if name not in joined] + keys)))
    rows = events.rows
    for name in names:
        if name in joined:
            table = joined[name].table
            at = table.rows(table.keys(events.rows), events.time_us, events.time_us, strict=False)
            values = table.values.rows[joined[name].column]
            rows = rows.append_column(name, values.take(pa.array(at, mask=at < 0)))
    return rows.select(list(names))


def _declared_types(definition: Definition, index: Index, key: str) -> Vocabulary:
    names = sorted(rule.event_type for rule in definition.events)
    counts = [index.report.by_type.get(name, 0) for name in names]
    return Vocabulary(key, "vocab", pa.array(names, pa.large_string()), pa.array(counts, pa.int64()), closed=True)


def _learned(
    features: Sequence[Feature], index: Index, index_version: str, read: Callable[[int, Sequence[str]], pa.Table]
) -> Iterator[tuple[Feature, Vocabulary]]:
    counted: dict[str, list[pa.Table]] = {feature.column: [] for feature in features if feature.function == "vocab"}
    if counted:
        for bucket in range(index.buckets):
            rows = read(bucket, tuple(counted))
            for name, parts in counted.items():
                parts.append(tokens.count_values(rows[name]))
                if len(parts) > 1:
                    parts[:] = [tokens.merge_counts(parts)]
    for feature in features:
        key = fit_key(index_version, feature)
        if feature.function == "vocab":
            frozen = tokens.freeze(counted[feature.column][0], feature.option("min_count"), feature.option("max_size"))
            values, counts = _one(frozen["value"]), _one(frozen["count"])
            yield feature, Vocabulary(key, "vocab", values, counts)
        else:
            edges = tokens.quantile_edges(_column(index, feature.column, read), feature.option("count"))
            none = pa.array(np.zeros(len(edges), np.int64))
            yield feature, Vocabulary(key, "quantile", pa.array(edges, pa.float64()), none)


def _column(
    index: Index, name: str, read: Callable[[int, Sequence[str]], pa.Table]
) -> Callable[[], Iterable[pa.ChunkedArray]]:
    return lambda: (read(bucket, (name,))[name] for bucket in range(index.buckets))


def _one(column: Any) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _texts(values: pa.Array) -> list[str]:
    if pa.types.is_floating(values.type):
        return [repr(float(each)) for each in np.asarray(values)]
    return values.cast(pa.large_string()).to_pylist()  # type: ignore[no-any-return]
