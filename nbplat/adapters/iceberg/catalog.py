"""Opening a catalog: any that pyiceberg can load, or the embedded one of the state folder."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, MutableMapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from nbplat.adapters.iceberg.exact_doubles import mend_doubles
from nbplat.adapters.iceberg.reachable import our_errors
from nbplat.config import Config
from nbplat.errors import NotFound, RemoteError, SetupError, did_you_mean
from nbplat.terms import SnapshotPin, TableName

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table

__all__ = [
    "EMBEDDED_NAME",
    "embedded_file",
    "embedded_warehouse",
    "load_table",
    "open_catalog",
    "pin_of",
    "staged_root",
    "storage_options",
    "table_names",
]

_LENT: MutableMapping[Catalog, dict[str, dict[str, str]]] = WeakKeyDictionary()
"""By catalog and table location: what the catalog said of the store when it gave the table out."""

# Part of every row's key in the SQL catalog, and the catalog name JVM engines must use.
EMBEDDED_NAME = "nbplat"


def embedded_warehouse(config: Config) -> Path:
    """Folder of the embedded catalog's tables."""
    return config.home / "warehouse"


def embedded_file(config: Config) -> Path | None:
    """The embedded catalog's database; None when another catalog is configured."""
    return None if config.catalog else embedded_warehouse(config) / "catalog.db"


def open_catalog(config: Config) -> Catalog:
    """Open the configured catalog, or make and open the embedded one.

    Raises:
        RemoteError: when a configured catalog cannot be loaded, or the embedded one is no database.
        SetupError: the embedded one's file is gone, though its tables are there.
    """
    mend_doubles()
    if config.catalog:
        from pyiceberg.catalog import load_catalog

        try:
            return load_catalog(config.catalog)
        except Exception as exc:  # pyiceberg raises whatever the client library of the catalog raises
            raise RemoteError(
                "catalog.unreachable",
                f"the catalog {config.catalog!r} cannot be loaded: {exc}",
                fix="check .pyiceberg.yaml or the PYICEBERG_CATALOG__* variables, or unset catalog.name",
            ) from exc
    from pyiceberg.catalog.sql import SqlCatalog

    folder = embedded_warehouse(config)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "catalog.db"
    if not path.exists():
        if table := next(folder.glob("*/*/metadata/*.metadata.json"), None):
            raise SetupError(
                "catalog.missing",
                f"the embedded catalog's file {path} is gone, though the folder holds tables, {table.parts[-4]}."
                f"{table.parts[-3]} among them",
                fix="put the file back from a copy, or move the folder's tables away to begin anew",
            )
        # WAL is a property of the file: readers never wait for the committer.
        with closing(sqlite3.connect(path, timeout=30)) as db:
            db.execute("pragma journal_mode=wal")
    with our_errors("open", str(path)):
        return SqlCatalog(EMBEDDED_NAME, uri=f"sqlite:///{path}?timeout=30", warehouse=f"file://{folder}")


def load_table(catalog: Catalog, name: TableName | str) -> Table:
    """Load a table.

    Raises:
        NotFound: naming the nearest tables of the catalog.
    """
    from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError

    try:
        table = catalog.load_table(str(name))
        _LENT.setdefault(catalog, {})[table.location().rstrip("/")] = _options(table.io.properties)
        return table
    except (NoSuchTableError, NoSuchNamespaceError):
        known = table_names(catalog)
        raise NotFound(
            "table.unknown",
            f"there is no table {name}",
            fix=did_you_mean(str(name), known) or "the catalog is empty: `nbplat demo init` loads example tables",
        ) from None


def table_names(catalog: Catalog) -> list[str]:
    """The names of all tables, sorted."""
    spaces = catalog.list_namespaces()
    return sorted(".".join(identifier) for space in spaces for identifier in catalog.list_tables(space))


def storage_options(catalog: Catalog, location: str) -> dict[str, str]:
    """Options of the object store that a location lies on: those that its table came with, else the catalog's.

    Catalogs may lend credentials with a table. They are held in memory only.
    """
    lent = _LENT.get(catalog, {})
    of_table = max((root for root in lent if location.startswith(f"{root}/")), key=len, default=None)
    return _options(catalog.properties) | (lent[of_table] if of_table else {})


def _options(properties: Mapping[str, str]) -> dict[str, str]:
    return {name: str(value) for name, value in properties.items() if name.startswith(("s3.", "client."))}


def staged_root(catalog: Catalog, table: str) -> str | None:
    """Folder beside a table for staged files, when it lies on an object store; None when it is on a disk.

    Beside and not inside: a sweep of a table's orphan files must not meet them.
    """
    location = load_table(catalog, table).location().rstrip("/")
    scheme, colon, rest = location.partition("://")
    if not colon or scheme == "file":
        return None
    folder, slash, _ = rest.rpartition("/")
    return f"{scheme}://{folder if slash else rest}/_nbplat/staged"


def pin_of(table: Table) -> SnapshotPin:
    """The table's present state as a pin."""
    snapshot = table.current_snapshot()
    return SnapshotPin(
        table=".".join(table.name()),
        table_uuid=str(table.metadata.table_uuid),
        snapshot_id=snapshot.snapshot_id if snapshot else None,
        schema_id=table.metadata.current_schema_id,
    )
