"""A definition that was held against real schemas: what the index stores, what is read, in which types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbplat.sequence.definition import Definition, Enrichment

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Bound"]


@dataclass(frozen=True, slots=True)
class Bound:
    """One definition, or one variant of it, with everything filled in that only the schemas tell.

    What begins with ``index_``, `types`, `conditions` and `prepared` is united over the definition and its variants
    and is the same whichever of them was bound: they share one index.

    Attributes:
        declared: As declared, with its variants.
        definition: Of the chosen variant: every enrichment has its `on` and `time`, every embedding its ``size``; the
            `defaults` say which of them were not written.
        variant: Name of the variant; None: the definition itself.
        version: Of the definition as declared, or of the variant as declared. (`definition` has more filled in, and
            another version.)
        index_record: What decides the index, as JSON; with the types of its columns, ``column_types``.
        index_version: SHA-256 of `index_record`.
        index_columns: Columns of the events that the index stores, and that break ties and tell exact duplicates:
            entity, type, time, arrival and id first, then the others by name; each once.
        index_enrichments: Added when the index is built, sorted by name, and stored beside `index_columns`.
        index_schema: Both of them with the types they have in the sources, dictionaries decoded.
        types: Event types that the index holds, sorted.
        conditions: The distinct ``where`` texts, sorted; the place of one is the number of its bit.
        prepared: What the port made of each condition; empty when there was no port to ask.
        entity_types: Type of each entity column among the events.
        column_types: Name -> type of every column of the events or enrichment that a feature, a selection or ``show``
            of this variant names.
        feature_columns: Of `column_types` those that features and selections read, sorted.
        warnings: What a reader should know; empty when all is well.
    """

    declared: Definition
    definition: Definition
    variant: str | None
    version: str
    index_record: Mapping[str, Any]
    index_version: str
    index_columns: tuple[str, ...]
    index_enrichments: tuple[Enrichment, ...]
    index_schema: pa.Schema
    types: tuple[str, ...]
    conditions: tuple[str, ...]
    prepared: tuple[Mapping[str, Any], ...]
    entity_types: tuple[pa.DataType, ...]
    column_types: Mapping[str, pa.DataType]
    feature_columns: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Name to show: ``home_v3``, or ``home_v3.short`` for a variant."""
        return self.declared.name if self.variant is None else f"{self.declared.name}.{self.variant}"

    def bit(self, event_type: str) -> int | None:
        """Number of the condition that events of a type must pass in this variant; None takes all.

        Raises:
            KeyError: the variant has no such type.
        """
        where = {rule.event_type: rule.where for rule in self.definition.events}[event_type]
        return None if where is None else self.conditions.index(where)
