"""Features of kept sequences as columns of a training join: where training asks, sequences answer."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nbplat.errors import Conflict, RequestError, did_you_mean
from nbplat.sequence.batches import Batches
from nbplat.sequence.examples import read_examples
from nbplat.sequence.frame_source import FrameSource
from nbplat.sequence.groups import groups_of
from nbplat.sequence.opened import Opened
from nbplat.training.join.sequence_use import SequenceColumn, SequenceUse

if TYPE_CHECKING:
    import numpy.typing as npt

    from nbplat.sequence.bound import Bound
    from nbplat.sequence.definition import Definition
    from nbplat.sequence.sequences import Sequences

__all__ = ["KeptSequences"]

_MOST_NUMBERS = 20_000


@dataclass(frozen=True, slots=True)
class KeptSequences:
    """Implements `nbplat.training.join.sequence_use.SequenceSource`.

    Attributes:
        folder: For rows of examples that have to be kept beside.
    """

    sequences: Sequences
    folder: Path

    def describe(self, ref: str, form: str, columns: Mapping[str, str]) -> SequenceUse:
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
        if not definition.features:
            raise RequestError(
                "training.sequence_features",
                f"{ref} has no features, so there is nothing to learn from",
                fix="declare some: features: {amount: float32}",
            )
        brought = tuple(_columns(ref, definition, form))
        numbers = sum(max(each.tokens, 1) * each.size for each in brought if each.role != "mask")
        if form == "padded" and numbers > _MOST_NUMBERS:
            raise RequestError(
                "training.sequence_wide",
                f"{ref} would be {numbers:,} numbers a row, more than {_MOST_NUMBERS:,}",
                fix="make it shorter for this: a variant with {size.length: 20}; or take lists without padding",
            )
        return SequenceUse(ref, bound.version, form, brought, reads, _shape(definition), self._facts(bound))

    def open(self, uses: Sequence[SequenceUse], parts: Iterator[tuple[Hashable, pa.Table]]) -> _OpenSequences:
        """See the port; goes over each index once."""
        spans: dict[Hashable, tuple[int, int]] = {}
        tables, start = [], 0
        for key, table in parts:
            tables.append(table)
            spans[key] = (start, start + table.num_rows)
            start += table.num_rows
        rows = pa.concat_tables(tables)
        found: dict[str, Batches] = {}
        for use in uses:
            bound = self._bound(use.ref)
            self._check(use, bound)
            index = self.sequences.open(bound, snapshot_id=use.facts.get("index_snapshot_id"))
            source = FrameSource("the base table", rows.select(list(use.reads)), self.folder)
            examples = read_examples(source, bound.definition)
            reading = Opened(self.sequences, bound, index, moved=False).reading
            # Only the features: what the examples carry has names of its own.
            bare = type(examples)(examples.entity, examples.as_of_us, examples.rows.select([]), examples.pin)
            form = "arrow" if use.form == "lists" else "numpy"
            found[use.ref] = reading.batches(bare, pad_to="length", format=form)
        return _OpenSequences(found, spans)

    def _bound(self, ref: str) -> Bound:
        name, _, variant = ref.partition(".")
        sequences = self.sequences
        return sequences.bind(sequences.definition(sequences.find(name)), variant=variant or None)

    def _facts(self, bound: Bound) -> dict[str, Any]:
        """What is read of: the built index at its snapshot, else the source as it is now."""
        as_of = bound.definition.as_of
        facts: dict[str, Any] = {"strict": as_of.strict, "gap_us": as_of.gap_us}
        stored = self.sequences.find_index(bound)
        if stored is not None and stored.pin is not None:
            return facts | {"index": stored.pin.table, "index_snapshot_id": stored.pin.snapshot_id}
        return facts | {"source": self.sequences.sources.open(bound.declared.source).pin.record()}

    def _check(self, use: SequenceUse, bound: Bound) -> None:
        """Return when a sequence still is what the plan says.

        Raises:
            Conflict: ``training.sequence_moved``.
        """
        what = ""
        if bound.version != use.version:
            what = f"is of version {bound.version[:12]} by now, the plan's is {use.version[:12]}"
        elif "source" in use.facts and self._facts(bound).get("source") != use.facts["source"]:
            what = f"has no index, and its source {bound.declared.source} has other rows than when this was planned"
        if what:
            raise Conflict(
                "training.sequence_moved",
                f"{use.ref} {what}",
                fix=f"plan again; an index (%sequence build {use.ref.partition('.')[0]}) and a number (name@1) stay",
            )


@dataclass(frozen=True, slots=True)
class _OpenSequences:
    """Implements `nbplat.training.join.sequence_use.OpenSequences`.

    Attributes:
        found: Reference -> what is read, over all rows.
        spans: Key of a part -> its rows, ``[first, end)``.
    """

    found: Mapping[str, Batches]
    spans: Mapping[Hashable, tuple[int, int]]
    lock: threading.Lock = field(default_factory=threading.Lock)

    def columns(self, use: SequenceUse, key: Hashable) -> pa.Table:
        """See the port; one thread at a time, since a store of tokens maps one window of its file."""
        with self.lock:
            batch = self.found[use.ref].of_places(np.arange(*self.spans[key]))
        prefix = _prefix(use.ref)
        columns = {}
        for each in use.columns:
            values = batch[each.name.removeprefix(prefix)]
            columns[each.name] = values if use.form == "lists" else _padded(values)
        return pa.table(columns)

    def close(self) -> None:
        """See the port."""
        for batches in self.found.values():
            batches.close()


def _padded(values: npt.NDArray[Any]) -> pa.Array:
    """``[B]``, ``[B, L]`` or ``[B, L, D]`` as numbers, or lists (of lists) of one length."""
    column = pa.array(np.ascontiguousarray(values).reshape(-1))
    for size in reversed(values.shape[1:]):
        column = pa.FixedSizeListArray.from_arrays(column, size)
    return column


def _prefix(ref: str) -> str:
    return ref.replace("@", "_").replace(".", "_") + "__"


def _columns(ref: str, definition: Definition, form: str) -> Iterator[SequenceColumn]:
    listed = form == "lists"
    for group in groups_of(definition):
        prefix = _prefix(ref) + group.prefix
        tokens = 0 if listed else group.most
        for feature in definition.features:
            size = int(feature.option("size")) if feature.function == "embedding" else 1
            yield SequenceColumn(prefix + feature.name, "feature", tokens, size)
        if not listed:
            yield SequenceColumn(f"{prefix}mask", "mask", tokens)
            yield SequenceColumn(f"{prefix}length", "length")


def _reads(definition: Definition) -> tuple[str, ...]:
    to = [rule.select.to for rule in definition.events if rule.select is not None]
    return tuple(dict.fromkeys([*definition.entity, definition.as_of.time, *to]))


def _shape(definition: Definition) -> str:
    tokens = " + ".join(f"{group.most} {group.event_type}".strip() for group in groups_of(definition))
    return f"{tokens} tokens of {len(definition.features)} features"
