"""Rows of an Iceberg table at one snapshot, for sequences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nbplat.adapters.iceberg.catalog import load_table, pin_of
from nbplat.adapters.iceberg.scan import read_pin
from nbplat.terms import SnapshotPin

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.catalog import Catalog

__all__ = ["IcebergRows"]


class IcebergRows:
    """Implements `nbplat.sequence.RowSource`; pins the table's current snapshot when made.

    Raises:
        NotFound: there is no such table.
    """

    def __init__(self, catalog: Catalog, table: str) -> None:
        self._table = load_table(catalog, table)
        self._pin = pin_of(self._table)

    @property
    def pin(self) -> SnapshotPin:
        """See the port."""
        return self._pin

    @property
    def columns(self) -> tuple[tuple[str, str], ...]:
        """See the port; Iceberg's type names."""
        return tuple((field.name, str(field.field_type)) for field in self._table.schema().fields)

    def read(self, columns: Sequence[str]) -> pa.Table:
        """See the port."""
        return read_pin(self._table, self._pin, columns)
