"""A definition with its index at hand: previewed, compared, read as ranges, lists and batches, as often as wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from nbplat.sequence.bound import Bound
from nbplat.sequence.enrich import Joined, read_tables
from nbplat.sequence.examples import Examples
from nbplat.sequence.ports import Index
from nbplat.sequence.vocab import LEARNED, Fitted, fit_key
from nbplat.terms import local_path

if TYPE_CHECKING:
    import pyarrow as pa

    from nbplat.clock import Clock
    from nbplat.sequence.definition import Definition
    from nbplat.sequence.preview import Comparison, SequencePreview
    from nbplat.sequence.reading import Reading
    from nbplat.sequence.sequences import Sequences

__all__ = ["Opened", "open_definition"]


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
        definition, sequences = self.bound.definition, self.sequences
        tables = {each.table: sequences.sources.open(each.table) for each in definition.enrich_read}
        return read_tables(definition.enrich_read, tables, definition, keep_bytes=sequences.memory_bytes // 4)

    @cached_property
    def reading(self) -> Reading:
        """For batches and lists; what features learn is learned from the whole index, once, and kept beside it."""
        from nbplat.sequence.reading import open_reading

        return open_reading(
            self.bound,
            self.index,
            self.sequences.sources.open,
            vocabularies=self.sequences.vocabularies,
            keep_bytes=self.sequences.memory_bytes // 4,
            folder=local_path(self.sequences.spill) / "tokens",
            tensors=self.sequences.tensors,
        )

    def preview(self, examples: Examples, *, count: int, clock: Clock, everything: bool = False) -> SequencePreview:
        """See `nbplat.sequence.preview.preview_of.preview_of`."""
        from nbplat.sequence.preview.preview_of import preview_of

        shown = preview_of(
            self.bound,
            self.index,
            examples,
            joined=self.joined,
            fitted=self._learned,
            count=count,
            everything=everything,
            clock=clock,
        )
        return self._told(shown)

    def compare(
        self, other: Opened, examples: Examples, *, count: int, clock: Clock, everything: bool = False
    ) -> Comparison:
        """This one to the left; see `nbplat.sequence.preview.compare.comparison_of`."""
        from nbplat.sequence.preview.compare import comparison_of

        found = comparison_of(
            (self.bound, other.bound),
            self.index,
            examples,
            joined=(self.joined, other.joined),
            fitted=(self._learned, other._learned),
            count=count,
            everything=everything,
            clock=clock,
        )
        return replace(found, left=self._told(found.left), right=self._told(found.right))

    def ranges(self, examples: Examples) -> pa.Table:
        """What each example selects, as places in the index; see `nbplat.sequence.range_table.range_table`."""
        from nbplat.sequence.range_table import range_table

        return range_table(self.index, self.bound, examples)

    @property
    def _learned(self) -> Fitted | None:
        """What was learned before from the built index; None when something was not."""
        pin, bound = self.index.pin, self.bound
        if pin is None:
            return None
        for feature in bound.definition.features:
            if feature.function not in LEARNED or feature.column == bound.definition.type:
                continue
            if self.sequences.vocabularies.load(pin.table, fit_key(bound.index_version, feature)) is None:
                return None
        return self.reading.fitted

    def _told(self, shown: SequencePreview) -> SequencePreview:
        if not self.moved:
            return shown
        said = (
            f"{self.index.source.name} has other rows by now than the index was built from:"
            f" `%sequence build {self.bound.declared.name}` brings it up to date"
        )
        return replace(shown, warnings=(said, *shown.warnings))


def open_definition(
    sequences: Sequences,
    definition: Definition,
    on: str,
    *,
    variant: str | None = None,
    carry: Sequence[str] = (),
) -> tuple[Opened, Examples]:
    """A definition, or one of its variants, ready to be read, and examples to read it for.

    Args:
        on: Table, path or frame of the examples.
        carry: Columns of the examples to take along.

    Raises:
        NbplatError: what `bind`, `open` and `examples` raise.
    """
    bound = sequences.bind(definition, variant=variant, examples=on)
    index = sequences.open(bound)
    moved = index.pin is not None and sequences.sources.open(definition.source).pin != index.source
    return Opened(sequences, bound, index, moved), sequences.examples(bound.definition, on, carry)
