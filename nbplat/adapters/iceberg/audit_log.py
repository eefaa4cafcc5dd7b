"""The lakehouse table of every audit's findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nbplat.errors import RemoteError

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table

__all__ = ["IcebergAuditLog"]

_TABLE = "nbplat.audit_findings"
_JOB = "nbplat.audit-job"
_TRIES = 5


class IcebergAuditLog:
    """Appends to ``nbplat.audit_findings``; a job is named in its snapshot's summary, and is appended once."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def append(self, rows: Sequence[Mapping[str, Any]], *, run: str, job: str) -> str:
        """Add the findings of one audit job.

        Raises:
            RemoteError: when the catalog or the warehouse cannot be written.
        """
        import pyarrow as pa
        from pyiceberg.exceptions import CommitFailedException

        try:
            for _ in range(_TRIES):
                table = self._table()
                if any(s.summary is not None and s.summary.get(_JOB) == job for s in table.metadata.snapshots):
                    return _TABLE
                try:
                    found = pa.Table.from_pylist([dict(row) for row in rows], schema=_schema())
                    table.append(found, snapshot_properties={"nbplat.run": run, _JOB: job})
                    return _TABLE
                except CommitFailedException:
                    continue  # another audit was faster; look again whether it was this job's own earlier try
            raise RemoteError(
                "audit.log", f"{_TABLE} changed {_TRIES} times while it was written", fix=f"`%backfill audit {run}`"
            )
        except RemoteError:
            raise
        except Exception as exc:  # pyiceberg raises whatever the client library of the catalog raises
            raise RemoteError(
                "audit.log",
                f"{_TABLE} cannot be written: {exc}",
                fix=f"check the catalog's rights on the namespace nbplat; then `%backfill audit {run}`",
            ) from exc

    def _table(self) -> Table:
        from pyiceberg.exceptions import NoSuchTableError

        try:
            return self._catalog.load_table(_TABLE)
        except NoSuchTableError:
            self._catalog.create_namespace_if_not_exists("nbplat")
            properties = {"write.parquet.compression-codec": "zstd", "format-version": "2"}
            return self._catalog.create_table_if_not_exists(_TABLE, _schema(), properties=properties)


def _schema() -> pa.Schema:
    import pyarrow as pa

    text = ("run", "job", "plan_hash", "table", "rule", "column", "level")
    return pa.schema(
        [
            *(pa.field(name, pa.string(), nullable=False) for name in text),
            pa.field("passed", pa.bool_(), nullable=False),
            pa.field("message", pa.string(), nullable=False),
            pa.field("value", pa.float64()),
            pa.field("threshold", pa.float64()),
            pa.field("at", pa.timestamp("us", tz="UTC"), nullable=False),
        ]
    )
