"""Frozen vocabularies beside their index: a version is stored once and never changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from nbplat.adapters.files.local import LocalFiles
from nbplat.adapters.iceberg.vocab_tables import IcebergVocabTables
from tests.fixtures.lakehouse import Lake

INDEX = "nb_sequences.home__0123456789ab"
ITEMS = pa.table({"id": [2, 3], "value": ["x", "y"], "count": [9, 4]})
FAR = 1 << 60
KINDS = pa.table({"id": [2, 3], "value": ["click", None], "count": [7, 1]})


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    lake = Lake(tmp_path / "home")
    yield lake
    lake.close()


def test_versions_are_kept_side_by_side(lake: Lake) -> None:
    """Each version gives back its own features in the order of their ids; one that was never stored is None."""
    tables = IcebergVocabTables(lake.catalog)
    assert tables.load(INDEX, "v1") is None
    tables.store(INDEX, "v1", {"item": ITEMS.take([1, 0]), "kind": KINDS})
    tables.store(INDEX, "v2", {"item": KINDS})
    assert {"item": ITEMS.to_pylist(), "kind": KINDS.to_pylist()} == _plain(tables.load(INDEX, "v1"))
    assert {"item": KINDS.to_pylist()} == _plain(tables.load(INDEX, "v2"))
    assert tables.load(INDEX, "v3") is None


def test_a_version_is_stored_once(lake: Lake) -> None:
    """Storing a version again changes nothing, also for a version without features."""
    tables = IcebergVocabTables(lake.catalog)
    tables.store(INDEX, "v1", {"item": ITEMS})
    tables.store(INDEX, "v0", {})
    before = lake.table(f"{INDEX}__vocab").metadata_location
    tables.store(INDEX, "v1", {"item": ITEMS})
    tables.store(INDEX, "v0", {})
    assert before == lake.table(f"{INDEX}__vocab").metadata_location
    assert {} == tables.load(INDEX, "v0")


def test_two_that_store_one_version_store_it_once(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two processes that store the same version at once, the slower one finds it and adds nothing."""
    tables = IcebergVocabTables(lake.catalog)
    tables.store(INDEX, "v1", {"item": ITEMS})
    commit = lake.catalog.commit_table

    def overtaken(*args: Any) -> Any:
        monkeypatch.setattr(lake.catalog, "commit_table", commit)
        IcebergVocabTables(lake.catalog).store(INDEX, "v2", {"kind": KINDS})
        return commit(*args)

    monkeypatch.setattr(lake.catalog, "commit_table", overtaken)
    tables.store(INDEX, "v2", {"kind": KINDS})
    assert {"kind": KINDS.to_pylist()} == _plain(tables.load(INDEX, "v2"))
    assert 2 == len(lake.table(f"{INDEX}__vocab").metadata.snapshots)


def test_what_a_kill_left_is_found_once_it_is_old(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was written and never committed is told when it is old enough; those of versions never are."""
    tables, files = IcebergVocabTables(lake.catalog), LocalFiles()
    assert () == tables.unnamed(INDEX, files, FAR)
    tables.store(INDEX, "v1", {"item": ITEMS})

    def killed(*args: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(lake.catalog, "commit_table", killed)
        with pytest.raises(KeyboardInterrupt):
            tables.store(INDEX, "v2", {"kind": KINDS})

    (left,) = tables.unnamed(INDEX, files, FAR)
    written = next(each.modified_ms for each in files.list(left.rpartition("/")[0]) if each.location == left)
    assert () == tables.unnamed(INDEX, files, written)
    files.delete(left)
    assert {"item": ITEMS.to_pylist()} == _plain(tables.load(INDEX, "v1"))
    assert () == tables.unnamed(INDEX, files, FAR)


def _plain(found: Any) -> dict[str, Any]:
    return {feature: table.to_pylist() for feature, table in found.items()}
