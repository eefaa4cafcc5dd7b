"""The frozen vocabularies of an index, in a table beside it that is only appended to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from nbplat.adapters.iceberg.catalog import load_table
from nbplat.adapters.iceberg.index_tables import unnamed_files
from nbplat.adapters.iceberg.refs import history
from nbplat.errors import NotFound, RemoteError
from nbplat.terms import Files, TableName

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table

__all__ = ["IcebergVocabTables"]

_TRIES = 10
_VERSION = "nbplat.vocab"


class IcebergVocabTables:
    """Implements `nbplat.sequence.ports.VocabTables`; a version is one commit."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def store(self, index: str, version: str, features: Mapping[str, pa.Table]) -> None:
        """See the port."""
        import pyarrow as pa
        from pyiceberg.exceptions import CommitFailedException

        schema = _schema()
        parts = [
            pa.table(
                [
                    pa.array([feature] * table.num_rows, pa.string()),
                    pa.array([version] * table.num_rows, pa.string()),
                    *(table.column(name).cast(schema.field(name).type) for name in ("id", "value", "count")),
                ],
                schema=schema,
            )
            for feature, table in sorted(features.items())
        ]
        rows = pa.concat_tables(parts) if parts else schema.empty_table()
        for _ in range(_TRIES):
            table = self._table(index)
            if _stored(table, version):
                return
            try:
                # Asserts the snapshot that was looked at: of two that store one version, one looks again.
                table.append(rows, snapshot_properties={_VERSION: version})
            except CommitFailedException:
                continue
            return
        raise RemoteError("vocab.store", f"the catalog did not take the vocabulary of {index}", fix="run it again")

    def load(self, index: str, version: str) -> Mapping[str, pa.Table] | None:
        """See the port."""
        import pyarrow.compute as pc

        try:
            table = load_table(self._catalog, _name(index))
        except NotFound:
            return None
        if not _stored(table, version):
            return None
        rows = table.scan(row_filter=f"version == '{version}'").to_arrow().cast(_schema())
        return {
            feature: rows.filter(pc.equal(rows["feature"], feature)).select(["id", "value", "count"]).sort_by("id")
            for feature in sorted(set(rows["feature"].to_pylist()))
        }

    def unnamed(self, index: str, files: Files, before_ms: int) -> tuple[str, ...]:
        """See the port."""
        try:
            table = load_table(self._catalog, _name(index))
        except NotFound:
            return ()
        return unnamed_files(table, files, lambda file: file.modified_ms < before_ms)

    def _table(self, index: str) -> Table:
        name = TableName.parse(_name(index))
        self._catalog.create_namespace_if_not_exists(name.namespace)
        properties = {"format-version": "2", "nbplat.index": index, "commit.retry.num-retries": "0"}
        return self._catalog.create_table_if_not_exists(str(name), _schema(), properties=properties)


def _name(index: str) -> str:
    return f"{index}__vocab"


def _stored(table: Table, version: str) -> bool:
    head = table.current_snapshot()
    return any(each.summary is not None and each.summary[_VERSION] == version for each in history(table, head))


def _schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("feature", pa.string()),
            pa.field("version", pa.string()),
            pa.field("id", pa.int64()),
            pa.field("value", pa.string()),
            pa.field("count", pa.int64()),
        ]
    )
