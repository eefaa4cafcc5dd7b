"""A definition with its index and tables at hand: previewed, read as ranges, lists and batches, as often as wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nbplat.sequence.bound import Bound
from nbplat.sequence.enrich import Joined, read_tables
from nbplat.sequence.examples import Examples
from nbplat.sequence.ports import Index
from nbplat.sequence.select import selected
from nbplat.sequence.vocab import LEARNED, Fitted, fit, fit_key

if TYPE_CHECKING:
    import pyarrow as pa

    from nbplat.clock import Clock
    from nbplat.sequence.batches import Batches
    from nbplat.sequence.preview import Comparison, SequencePreview
    from nbplat.sequence.sequences import Sequences

__all__ = ["Opened"]


@dataclass(frozen=True)
class Opened:
    """One definition, or one variant of it, ready to be read.

    Attributes:
        sequences: Where it was opened.
        bound: Held against the schemas.
        index: The built one, or one in memory.
        moved: The source has other rows by now than the index was built from.
    """

    sequences: Sequences
    bound: Bound
    index: Index
    moved: bool

    @cached_property
    def joined(self) -> Mapping[str, Joined]:
        """The tables that enrich when sequences are read, by the enrichment's name."""
        definition = self.bound.definition
        tables = {each.table: self.sequences.sources.open(each.table) for each in definition.enrich_read}
        return read_tables(
            definition.enrich_read, tables, definition, keep_bytes=self.sequences.memory_bytes // 4
        )

    @cached_property
    def fitted(self) -> Fitted:
        """What the features learned from the whole index; kept beside a built index, so that it is learned once."""
        pin = self.index.pin
        return fit(
            self.bound.definition,
            self.index,
            self.bound.index_version,
            self.joined,
            stored=None if pin is None else self.sequences.vocabs,
            table="" if pin is None else pin.table,
        )

    def preview(self, examples: Examples, *, count: int, clock: Clock, everything: bool = False) -> SequencePreview:
        """See `nbplat.sequence.preview.preview_of.preview_of`."""
        from nbplat.sequence.preview.preview_of import preview_of

        return preview_of(
            self.bound,
            self.index,
            examples,
            joined=self.joined,
            fitted=self._known,
            count=count,
            everything=everything,
            clock=clock,
        )

    @property
    def _known(self) -> Fitted | None:
        """What was learned before from the built index; None when something was not."""
        pin, bound = self.index.pin, self.bound
        if pin is None:
            return None
        for feature in bound.definition.features:
            if feature.function not in LEARNED or feature.column == bound.definition.type:
                continue
            if self.sequences.vocabs.load(pin.table, fit_key(bound.index_version, feature)) is None:
                return None
        return self.fitted

    def batches(self, examples: Examples, **options: Any) -> Batches:
        """See `nbplat.sequence.batches.Batches`."""
        from nbplat.sequence.batches import Batches

        options.setdefault("keep_bytes", self.sequences.memory_bytes // 2)
        return Batches(
            self.index, self.bound.definition, examples, fitted=self.fitted, joined=self.joined, **options
        )

    def lists(self, examples: Examples) -> pa.Table:
        """One row an example, in their order: its columns, then a list a feature and shown column."""
        import pyarrow as pa

        with self.batches(examples, format="arrow") as batches:
            made = list(batches)
            return pa.Table.from_batches(made) if made else batches.empty()

    def ranges(self, examples: Examples) -> pa.Table:
        """What each example selects, as places in the index.

        Returns:
            One row an example, in their order: ``bucket`` (int32), and for each type ``<type>__lo``, ``<type>__hi``
            (int64) and ``<type>__skipped`` (list of int64): the half-open range of places within the bucket's events in
            their total order, and those inside it that are not selected. With a ``where`` the places count the events
            for which it holds. The schema's metadata names the index and its snapshot.
        """
        import numpy as np
        import pyarrow as pa

        definition = self.bound.definition
        rows = len(examples)
        bucket = np.zeros(rows, np.int32)
        ends = {rule.event_type: np.zeros((2, rows), np.int64) for rule in definition.events}
        skipped: dict[str, list[Any]] = {rule.event_type: [[]] * rows for rule in definition.events}
        for found in selected(self.index, definition, examples, ()):
            bucket[found.examples] = found.bucket
            for rule, selection in zip(definition.events, found.selections, strict=True):
                ends[rule.event_type][:, found.examples] = selection.lo, selection.hi
                for at in np.flatnonzero(np.diff(selection.skipped_at)):
                    start, end = selection.skipped_at[at], selection.skipped_at[at + 1]
                    skipped[rule.event_type][found.examples[at]] = selection.skipped[start:end].tolist()
        columns: dict[str, Any] = {"bucket": bucket}
        for name, (low, high) in ends.items():
            columns |= {f"{name}__lo": low, f"{name}__hi": high}
            columns[f"{name}__skipped"] = pa.array(skipped[name], pa.list_(pa.int64()))
        pin = self.index.pin
        where = {} if pin is None else {"nbplat.index": pin.table, "nbplat.snapshot-id": str(pin.snapshot_id)}
        table = pa.table(columns)
        return table.replace_schema_metadata({**where, "nbplat.definition": self.bound.version})
