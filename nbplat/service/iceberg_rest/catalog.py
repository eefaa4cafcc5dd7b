"""The embedded catalog as the REST handlers see it, with what they share: pointers, warehouse, table locks."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import NoSuchNamespaceError
from pyiceberg.io import FileIO, load_file_io

from nbplat.service.iceberg_rest.pointers import Identifier, Pointers, dotted
from nbplat.service.iceberg_rest.warehouse import Warehouse

__all__ = ["Embedded"]


class Embedded:
    """Wraps a SqlCatalog whose warehouse is a local folder."""

    def __init__(self, sql: SqlCatalog) -> None:
        self.sql = sql
        self.name = sql.name
        self.pointers = Pointers(sql.engine, sql.name)
        self.warehouse = Warehouse(sql.properties["warehouse"])
        self._locks: dict[Identifier, threading.Lock] = {}
        self._guard = threading.Lock()

    @contextmanager
    def hold(self, identifiers: Iterable[Identifier]) -> Iterator[None]:
        """Let one request at a time change these tables.

        Other processes are kept out by the compare-and-swap alone; the lock saves our own writers
        the work of a commit that is bound to fail.
        """
        with ExitStack() as stack:
            for identifier in sorted(set(identifiers)):
                with self._guard:
                    lock = self._locks.setdefault(identifier, threading.Lock())
                stack.enter_context(lock)
            yield

    def need_namespace(self, namespace: Identifier) -> None:
        """Raise NoSuchNamespaceError when there is none of that name."""
        if not self.sql.namespace_exists(namespace):
            raise NoSuchNamespaceError(f"Namespace does not exist: {dotted(namespace)}")

    def location_for(self, identifier: Identifier, wanted: object) -> str:
        """Where a new table or view shall live.

        Args:
            wanted: The client's wish. A relative one (Sail sends those) counts as none.

        Raises:
            RefusedError: 403 when it lies outside the warehouse.
        """
        if isinstance(wanted, str) and (wanted.startswith("/") or ":" in wanted):
            return self.warehouse.check(wanted.rstrip("/"), "the location")
        base = dict(self.sql.load_namespace_properties(identifier[:-1])).get("location")
        folder = base.rstrip("/") if base else f"{self.warehouse.uri}/{dotted(identifier[:-1])}"
        return self.warehouse.check(f"{folder}/{identifier[-1]}", "the location")

    def io(self, location: str) -> FileIO:
        """pyiceberg's file access; only for locations known to be inside the warehouse."""
        return load_file_io(properties=self.sql.properties, location=location)
