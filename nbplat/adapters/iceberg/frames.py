"""DataFrames of notebooks as Iceberg tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbplat.backfill.frames import NAMESPACE
from nbplat.errors import RemoteError
from nbplat.terms import TableName

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.catalog import Catalog

__all__ = ["IcebergFrames"]

_TRIES = 5


class IcebergFrames:
    """Stores each frame once, under the name of its content."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def store(self, table: TableName, rows: pa.Table) -> bool:
        """Make the table with these rows; False when it was there. A half-made one is completed.

        Raises:
            RemoteError: the catalog gave no table after several tries.
        """
        from pyiceberg.exceptions import CommitFailedException, NoSuchTableError

        self._catalog.create_namespace_if_not_exists(table.namespace)
        for _ in range(_TRIES):
            try:
                stored = self._catalog.create_table_if_not_exists(
                    str(table), rows.schema, properties={"format-version": "2", "nbplat.frame": table.name}
                )
                if stored.current_snapshot() is not None:
                    return False
                # Asserts that the table is still empty: of two that store one frame, one is told so.
                stored.append(rows)
                return True
            except (CommitFailedException, NoSuchTableError):
                continue
        raise RemoteError("frame.store", f"the catalog did not take {table}", fix="run it again")

    def drop(self, table: TableName) -> None:
        """Drop a frame's table with its files; nothing happens when it is gone."""
        from pyiceberg.exceptions import NoSuchTableError

        try:
            self._catalog.purge_table(str(table))
        except NoSuchTableError:
            return

    def stored(self) -> list[str]:
        """Every stored frame, sorted."""
        from pyiceberg.exceptions import NoSuchNamespaceError

        try:
            found = self._catalog.list_tables(NAMESPACE)
        except NoSuchNamespaceError:
            return []
        return sorted(".".join(name) for name in found)
