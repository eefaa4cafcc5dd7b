"""What sequences ask of the world: rows of one table at one snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from nbplat.terms import SnapshotPin

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["RowSource"]


class RowSource(Protocol):
    """One table, pinned; stands for the events as well as for the examples."""

    @property
    def pin(self) -> SnapshotPin:
        """The snapshot that `read` reads."""

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """Name and type (as its system spells it) of each top-level column."""

    def read(self, columns: Sequence[str]) -> pa.Table:
        """All rows, exactly `columns` in that order; the same order of rows at every call."""
