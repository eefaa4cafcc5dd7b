"""What an expiry asks of the catalog: our staging tables and refs, and which files any snapshot uses."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from nbplat.adapters.iceberg.manifests import Manifests
from nbplat.terms import TableName

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table

__all__ = ["IcebergSweeper"]

_STAGING_SUFFIX = "__bf"
_MAIN = "main"


class IcebergSweeper:
    """Sweeps one catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def staging_tables(self) -> dict[str, str]:
        """Tables in our namespaces that say which run made them."""
        found = {}
        for table in self._tables():
            run = table.properties.get("nbplat.run")
            if run and table.name()[0].endswith(_STAGING_SUFFIX):
                found[".".join(table.name())] = run
        return found

    def refs(self, table: str) -> tuple[str, ...]:
        """Branches and tags but main."""
        loaded = self._load(table)
        return tuple(sorted(set(loaded.metadata.refs) - {_MAIN})) if loaded else ()

    def data_folders(self, table: str) -> tuple[str, ...]:
        """The table's data folder, and folders elsewhere that hold files of main (those of add_files)."""
        loaded = self._load(table)
        if loaded is None:
            return ()
        home = f"{loaded.location()}/data"
        snapshot = loaded.current_snapshot()
        folders = {home}
        for entries in Manifests(loaded.io).entries(snapshot.manifests(loaded.io)) if snapshot else ():
            folders |= {entry.data_file.file_path.rpartition("/")[0] for entry in entries}
        outermost: list[str] = []
        for folder in sorted(folders):
            if not any(_path(folder).startswith(f"{_path(other)}/") or folder == other for other in outermost):
                outermost.append(folder)
        return tuple(outermost)

    def used(self, locations: Collection[str], *, skip: Collection[str] = ()) -> set[str]:
        """Look through every snapshot of every table, each manifest once."""
        wanted = {_path(location): location for location in locations}
        found: set[str] = set()
        for table in self._tables():
            if not wanted or ".".join(table.name()) in skip:
                continue
            manifests, seen = Manifests(table.io), set()
            for snapshot in table.metadata.snapshots:
                for manifest in snapshot.manifests(table.io):
                    if manifest.manifest_path in seen:
                        continue
                    seen.add(manifest.manifest_path)
                    [entries] = manifests.entries([manifest])
                    for entry in entries:
                        if (location := wanted.pop(_path(entry.data_file.file_path), None)) is not None:
                            found.add(location)
        return found

    def drop_staging(self, table: str) -> None:
        """Drop the table only; its files are deleted one by one, as what they are."""
        from pyiceberg.exceptions import NoSuchTableError

        try:
            self._catalog.drop_table(table)
        except NoSuchTableError:
            return

    def drop_refs(self, table: str, names: Sequence[str]) -> None:
        """Remove refs in one commit that asserts each is what it was."""
        from pyiceberg.table.update import AssertRefSnapshotId, AssertTableUUID, RemoveSnapshotRefUpdate

        loaded = self._load(table)
        refs = {name: loaded.metadata.refs[name] for name in names if name in loaded.metadata.refs} if loaded else {}
        if loaded is None or not refs:
            return
        self._catalog.commit_table(
            loaded,
            (
                AssertTableUUID(uuid=loaded.metadata.table_uuid),
                *(AssertRefSnapshotId(ref=name, snapshot_id=ref.snapshot_id) for name, ref in refs.items()),
            ),
            tuple(RemoveSnapshotRefUpdate(ref_name=name) for name in refs),
        )

    def _load(self, name: str) -> Table | None:
        from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError

        try:
            return self._catalog.load_table(str(TableName.parse(name)))
        except (NoSuchTableError, NoSuchNamespaceError):
            return None

    def _tables(self) -> Iterator[Table]:
        for namespace in self._catalog.list_namespaces():
            for identifier in self._catalog.list_tables(namespace):
                loaded = self._load(".".join(identifier))
                if loaded is not None:
                    yield loaded


def _path(location: str) -> str:
    """A location without what writers spell in different ways: ``file:/a``, ``file:///a`` and ``/a`` are one."""
    return "/" + location.removeprefix("file:").lstrip("/") if location.startswith(("file:", "/")) else location
