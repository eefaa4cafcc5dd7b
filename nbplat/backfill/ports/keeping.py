"""What is kept beside the tables, and what is swept away."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

__all__ = ["AuditLog", "Sweeper"]


class AuditLog(Protocol):
    """The lakehouse table of every audit's findings, made when the first is written."""

    def append(self, rows: Sequence[Mapping[str, Any]], *, run: str, job: str) -> str:
        """Add one row per finding, once for a job however often it is tried; returns the table's name.

        Columns: run, job, plan_hash, table, rule, column, level, passed, message, value, threshold
        and at (an aware datetime). Raises RemoteError when the catalog cannot be written.
        """


class Sweeper(Protocol):
    """What an expiry asks of the catalog."""

    def staging_tables(self) -> dict[str, str]:
        """Every staging table of ours with its run."""

    def refs(self, table: str) -> tuple[str, ...]:
        """Branches and tags of a table but main; none when the table is gone."""

    def data_folders(self, table: str) -> tuple[str, ...]:
        """Locations of the folders that hold the table's data files, none inside another; none when it is gone."""

    def used(self, locations: Collection[str], *, skip: Collection[str] = ()) -> set[str]:
        """Those of the locations that a snapshot of any table of the catalog uses; the tables in `skip` aside."""

    def drop_staging(self, table: str) -> None:
        """Drop a staging table, not its files; nothing happens when it is gone."""

    def drop_refs(self, table: str, names: Sequence[str]) -> None:
        """Remove branches and tags in one commit; those that are gone are no error."""
