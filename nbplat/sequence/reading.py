"""An opened sequence: its index, what its features learned and what enriches it, ready to give batches and lists."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from nbplat.errors import RequestError
from nbplat.sequence.batch_format import no_tensors
from nbplat.sequence.batches import Batches
from nbplat.sequence.bound import Bound
from nbplat.sequence.definition import Definition
from nbplat.sequence.enrich import Joined, read_tables
from nbplat.sequence.examples import Examples
from nbplat.sequence.final_lists import final_lists
from nbplat.sequence.vocab import Fitted, fit

if TYPE_CHECKING:
    from nbplat.sequence.ports import EventSource, Index, VocabTables

__all__ = ["Reading", "open_reading"]


@dataclass(frozen=True, slots=True)
class Reading:
    """A definition (or a variant of it) that can be read.

    Attributes:
        definition: Bound.
        index: Its events.
        joined: Its enrichments at reading.
        fitted: What its features learned; `fitted.version` names the features that a model was trained on.
        keep_bytes: How much of what batches refer to is held in memory; more goes to `folder`.
        folder: For scratch files; None: the system's.
        tensors: Turns the arrays of a batch into tensors.
    """

    definition: Definition
    index: Index
    joined: Mapping[str, Joined]
    fitted: Fitted
    keep_bytes: int = 1 << 30
    folder: Path | None = None
    tensors: Callable[[Mapping[str, Any]], dict[str, Any]] = no_tensors

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader should know of the tables that enrich; empty when all is well."""
        tables = {id(each.table): each.table for each in self.joined.values()}
        return tuple(line for table in tables.values() for line in table.warnings)

    def batches(self, examples: Examples, **options: Any) -> Batches:
        """Batches of these examples; `options` as in `Batches`."""
        options = {"keep_bytes": self.keep_bytes, "folder": self.folder, "tensors": self.tensors, **options}
        return Batches(self.index, self.definition, examples, fitted=self.fitted, joined=self.joined, **options)

    def lists(self, examples: Examples, **options: Any) -> pa.Table:
        """All examples with their sequences as lists, in the order of the examples; see `Batches` for the columns.

        Memory is what the lists take; `batches` with the format ``arrow`` gives them piece by piece.
        """
        with self.batches(examples, **{"rows": 1 << 13, **options, "format": "arrow"}) as found:
            parts = list(found)
        if not parts:
            raise RequestError("sequence.no_examples", "there are no examples", fix="name examples that have rows")
        return pa.Table.from_batches(parts)

    def final_lists(self, *, at_us: int | None = None, rows: int = 1 << 16, **options: Any) -> Iterator[pa.RecordBatch]:
        """Every entity of the index with its sequence as lists, bucket by bucket; see `final_lists`."""
        return final_lists(
            self.index,
            self.definition,
            fitted=self.fitted,
            joined=self.joined,
            at_us=at_us,
            rows=rows,
            **options,
        )


def open_reading(
    bound: Bound,
    index: Index,
    source: Callable[[str], EventSource],
    *,
    vocabularies: VocabTables | None = None,
    keep_bytes: int = 1 << 30,
    folder: Path | None = None,
    tensors: Callable[[Mapping[str, Any]], dict[str, Any]] = no_tensors,
) -> Reading:
    """Read the tables that enrich, and take or learn what the features need.

    Args:
        index: Of `bound`.
        source: Opens a table by name.
        vocabularies: Where what is learned from a stored index is kept; of an index in memory nothing is kept.
        keep_bytes: Also how much of one enriching table may be held.

    Raises:
        NbplatError: a table that is not there, does not fit memory, or has a key twice.
    """
    definition = bound.definition
    tables = {each.table: source(each.table) for each in definition.enrich_read}
    joined = read_tables(definition.enrich_read, tables, definition, keep_bytes=keep_bytes)
    stored = vocabularies if index.pin is not None else None
    table = "" if index.pin is None else index.pin.table
    fitted = fit(definition, index, bound.index_version, joined, stored=stored, table=table, version=bound.version)
    return Reading(definition, index, joined, fitted, keep_bytes, folder, tensors)
