"""What every part of the platform stands on: the configuration, the ledger, the catalog, files."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, cast

from nbplat.clock import Clock
from nbplat.config import Config
from nbplat.job import JobStore
from nbplat.terms import Files

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog

    from nbplat.adapters.store.sql_job_store import SqlJobStore
    from nbplat.environment.ports import Depot
    from nbplat.environment.store import Store
    from nbplat.session.batch import BatchStore
    from nbplat.session.ports import SessionStore

__all__ = ["Ground"]

_VERSIONS_OF = ("nbplat", "duckdb", "pyarrow", "pyiceberg")

# Optional, and named in the provenance of the runs that used them.
_ENGINE_PACKAGES = ("pyspark", "ray")


class Ground:
    """One configuration's stores; each is opened when it is first used."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self.config = config
        self.clock = clock

    @functools.cached_property
    def store(self) -> JobStore:
        """The ledger."""
        from nbplat.adapters.store import open_store

        return open_store(self.config, clock=self.clock)

    @property
    def session_store(self) -> SessionStore:
        """Where sessions are kept."""
        return self._database

    @property
    def batch_store(self) -> BatchStore:
        """Where batches are kept."""
        return self._database

    def database_now_ms(self) -> int:
        """The time by the clock of the ledger's database; of SQLite, this machine's."""
        return self._database.database_now_ms()

    @property
    def _database(self) -> SqlJobStore:
        """The ledger's database, which holds sessions and batches as well."""
        return cast("SqlJobStore", self.store)

    @functools.cached_property
    def catalog(self) -> Catalog:
        """The lakehouse."""
        from nbplat.adapters.iceberg.catalog import embedded_file, open_catalog
        from nbplat.adapters.iceberg.reachable import reachable

        return reachable(open_catalog(self.config), embedded_file(self.config))

    @functools.cached_property
    def files(self) -> Files:
        """Files by location; credentials are those that the catalog was configured with or lends."""
        from nbplat.adapters.files.stores import FileStores

        return FileStores(self.storage)

    def storage(self, location: str) -> Mapping[str, str]:
        """Options of the store that a location lies on."""
        from nbplat.adapters.iceberg.catalog import storage_options

        return storage_options(self.catalog, location)

    @property
    def depot(self) -> Depot:
        """Archives of environments, by location."""
        from nbplat.adapters.fsspec.depot import FsspecDepot

        return FsspecDepot(self.storage)

    @property
    def environment_store(self) -> Store:
        """Built environments on this machine."""
        from nbplat.environment.store import Store

        return Store(self.config.home / "env")

    @property
    def slots(self) -> int:
        """How many tasks run at once on this machine."""
        from nbplat.adapters.local.farm import local_slots

        return local_slots(self.config.cores, self.config.memory_bytes)

    @property
    def lease_ms(self) -> int:
        """How long work stays with a silent worker."""
        return int(self.config.lease_seconds * 1000)

    def versions(self) -> dict[str, str]:
        """Versions that the provenance of runs names, by package."""
        found = {name: version(name) for name in _VERSIONS_OF}
        for name in _ENGINE_PACKAGES:
            with contextlib.suppress(PackageNotFoundError):
                found[name] = version(name)
        return found

    def close(self) -> None:
        """Let go of connections."""
        if "store" in self.__dict__:
            self.store.close()
        if "catalog" in self.__dict__:
            self.catalog.close()
