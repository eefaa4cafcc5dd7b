"""User sequences as columns of a join: what a plan says of them, and who finds them."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["FORMS", "OpenSequences", "SequenceColumn", "SequenceSource", "SequenceUse"]

FORMS = ("padded", "lists")


@dataclass(frozen=True, slots=True)
class SequenceColumn:
    """One column that a sequence brings.

    Attributes:
        name: In the result: ``home__amount``, ``home__mask``, ``home__length``, ``home__purchase__amount``.
        role: ``feature``, ``mask`` (true where there is a token) or ``length`` (tokens).
        tokens: Tokens of a padded list; 0 where lists have their own lengths, and of a length.
        size: Numbers a token; above 1 for an embedding.
    """

    name: str
    role: str
    tokens: int = 0
    size: int = 1


@dataclass(frozen=True, slots=True)
class SequenceUse:
    """A kept sequence whose features stand beside the rows, as of each row's own time.

    Attributes:
        ref: As asked for: ``home``, ``home@2``, ``home.short``.
        version: Of the definition.
        form: ``padded``: a list of the declared length for each feature, 0 behind the last token, with a mask and a
            length; ``lists``: lists of the tokens that there are.
        columns: In the order of the result.
        reads: Columns of the base that say whose sequence, and as of when.
        shape: Tokens and features, in words: ``20 tokens of 3 features``.
        facts: What was read of, and by which rule.
    """

    ref: str
    version: str
    form: str
    columns: tuple[SequenceColumn, ...]
    reads: tuple[str, ...]
    shape: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Of its columns in the result."""
        return tuple(column.name for column in self.columns)

    def mask_of(self, column: SequenceColumn) -> str:
        """Name of the mask of a padded feature's group."""
        at = self.columns.index(column)
        return next(each.name for each in self.columns[at:] if each.role == "mask")

    def record(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "ref": self.ref,
            "version": self.version,
            "form": self.form,
            "columns": [[each.name, each.role, each.tokens, each.size] for each in self.columns],
            "reads": list(self.reads),
            "shape": self.shape,
            "facts": dict(self.facts),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> SequenceUse:
        """Read what `record` wrote."""
        columns = tuple(SequenceColumn(*each) for each in record["columns"])
        return cls(**{**record, "columns": columns, "reads": tuple(record["reads"])})


class OpenSequences(Protocol):
    """The sequences of all rows of a plan; made once, read in any order and by any thread."""

    def columns(self, use: SequenceUse, key: Hashable) -> pa.Table:
        """The columns of one sequence for the rows that were given under `key`, in their order."""

    def close(self) -> None:
        """Let go of what is held."""


class SequenceSource(Protocol):
    """Kept definitions of sequences, as far as training joins them."""

    def describe(self, ref: str, form: str, columns: Mapping[str, str]) -> SequenceUse:
        """What a sequence would add to a base table of these columns (name -> Iceberg type).

        Raises:
            NotFound: there is no such definition or variant.
            RequestError: the base lacks a column that it needs, or it has no features.
        """

    def open(self, uses: Sequence[SequenceUse], parts: Iterator[tuple[Hashable, pa.Table]]) -> OpenSequences:
        """Find the sequences of all rows.

        Args:
            parts: A key and the rows of each part, with all columns that any use reads.

        Raises:
            Conflict: an index that the plan pins is gone.
        """
