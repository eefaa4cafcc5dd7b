"""Padded features of kept sequences as columns of a training join: where training asks, sequences answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nbplat.errors import RequestError, did_you_mean
from nbplat.sequence.batches import Batches
from nbplat.sequence.examples import read_examples
from nbplat.sequence.frame_source import FrameSource
from nbplat.sequence.groups import groups_of
from nbplat.sequence.opened import Opened
from nbplat.training.ports import SequenceUse

if TYPE_CHECKING:
    from nbplat.sequence.bound import Bound
    from nbplat.sequence.definition import Definition
    from nbplat.sequence.sequences import Sequences

__all__ = ["KeptSequences"]

_MOST_COLUMNS = 5_000


@dataclass(frozen=True, slots=True)
class KeptSequences:
    """Implements `nbplat.training.ports.SequenceColumns`.

    Attributes:
        folder: For rows of examples that have to be kept beside.
    """

    sequences: Sequences
    folder: Path

    def describe(self, ref: str, columns: Mapping[str, str]) -> SequenceUse:
        """See the port; reads metadata only."""
        bound = self._bound(ref)
        definition = bound.definition
        reads = _reads(definition)
        for name in reads:
            if name not in columns:
                raise RequestError(
                    "training.sequence_column",
                    f"{ref} needs the column {name!r}, which the base table does not have",
                    fix=did_you_mean(name, columns) or "train on a table that has it",
                )
        names = tuple(name for name, *_ in _columns(ref, definition))
        if not definition.features:
            raise RequestError(
                "training.sequence_features",
                f"{ref} has no features, so there is nothing to learn from",
                fix="declare some: features: {amount: float32}",
            )
        if len(names) > _MOST_COLUMNS:
            raise RequestError(
                "training.sequence_wide",
                f"{ref} would be {len(names):,} columns, more than {_MOST_COLUMNS:,}",
                fix="make it shorter for this: a variant with {size.length: 20}",
            )
        stored = self.sequences.find_index(bound)
        facts: dict[str, Any] = {"strict": definition.as_of.strict, "gap_us": definition.as_of.gap_us}
        if stored is not None and stored.pin is not None:
            facts |= {"index": stored.pin.table, "index_snapshot_id": stored.pin.snapshot_id}
        return SequenceUse(ref, bound.version, names, reads, _shape(definition), facts)

    def open(self, uses: Sequence[SequenceUse], files: Iterator[tuple[str, pa.Table]]) -> _OpenSequences:
        """See the port; goes over each index once."""
        spans: dict[str, tuple[int, int]] = {}
        tables, start = [], 0
        for path, table in files:
            tables.append(table)
            spans[path] = (start, start + table.num_rows)
            start += table.num_rows
        rows = pa.concat_tables(tables)
        found: dict[str, tuple[Definition, Batches]] = {}
        for use in uses:
            bound = self._bound(use.ref)
            index = self.sequences.open(bound, snapshot_id=use.facts.get("index_snapshot_id"))
            source = FrameSource("the base table", rows.select(list(use.reads)), self.folder)
            examples = read_examples(source, bound.definition)
            reading = Opened(self.sequences, bound, index, moved=False).reading
            # Only the features: what the examples carry has names of its own.
            bare = type(examples)(examples.entity, examples.as_of_us, examples.rows.select([]), examples.pin)
            found[use.ref] = (bound.definition, reading.batches(bare, pad_to="length"))
        return _OpenSequences(found, spans)

    def _bound(self, ref: str) -> Bound:
        name, _, variant = ref.partition(".")
        sequences = self.sequences
        return sequences.bind(sequences.definition(sequences.find(name)), variant=variant or None)


@dataclass(frozen=True, slots=True)
class _OpenSequences:
    """Implements `nbplat.training.ports.OpenSequences`.

    Attributes:
        found: Reference -> what is read, over all rows.
        spans: Path of a base file -> its rows, ``[first, end)``.
    """

    found: Mapping[str, tuple[Definition, Batches]]
    spans: Mapping[str, tuple[int, int]]

    def columns(self, ref: str, path: str) -> pa.Table:
        """See the port."""
        definition, batches = self.found[ref]
        arrays = batches.of_places(np.arange(*self.spans[path]))
        columns = {}
        for name, array, place, mask in _columns(ref, definition):
            values = arrays[array][(slice(None), *place)].astype(np.float32)
            columns[name] = pa.array(values, mask=None if mask is None else ~arrays[mask][:, place[0]])
        return pa.table(columns)

    def close(self) -> None:
        """See the port."""
        for _, batches in self.found.values():
            batches.close()


def _columns(ref: str, definition: Definition) -> Iterator[tuple[str, str, tuple[int, ...], str | None]]:
    """Name of each column, the batch's array and the place in it, and its mask (None: it is always there)."""
    prefix = ref.replace("@", "_").replace(".", "_")
    for group in groups_of(definition):
        for feature in definition.features:
            array = group.prefix + feature.name
            for place in range(group.most):
                mask = f"{group.prefix}mask"
                if feature.function == "embedding":
                    for part in range(feature.option("size")):
                        yield f"{prefix}__{array}_{place}_{part}", array, (place, part), mask
                else:
                    yield f"{prefix}__{array}_{place}", array, (place,), mask
        yield f"{prefix}__{group.prefix}length", f"{group.prefix}length", (), None


def _reads(definition: Definition) -> tuple[str, ...]:
    to = [rule.select.to for rule in definition.events if rule.select is not None]
    return tuple(dict.fromkeys([*definition.entity, definition.as_of.time, *to]))


def _shape(definition: Definition) -> str:
    tokens = " + ".join(f"{group.most} {group.event_type}".strip() for group in groups_of(definition))
    return f"{tokens} tokens of {len(definition.features)} features"
