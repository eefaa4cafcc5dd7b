"""Sequences as an ordinary table: what is in it, that it comes at once, and what may be replaced."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyiceberg.catalog import Catalog

from nbplat.adapters.iceberg.catalog import open_catalog
from nbplat.adapters.iceberg.export_tables import IcebergExportTables
from nbplat.config import load_config
from nbplat.errors import Conflict, DataError, RequestError
from nbplat.sequence.batches import Batches
from nbplat.sequence.definition import Definition, EventRule, Feature, Size
from nbplat.sequence.export import export_sequences
from nbplat.sequence.reading import Reading
from nbplat.sequence.vocab import fit
from tests.sequence.token_world import EVENTS, World, examples_of

DEFINITION = Definition(
    "home",
    "events",
    ("user",),
    "ts",
    (EventRule("view", 3), EventRule("buy", 2)),
    time_unit="us",
    type="kind",
    features=(
        Feature("item_id", "vocab", "item", (("max_size", None), ("min_count", 1))),
        Feature("vec", "embedding", "vec", (("size", 2),)),
    ),
    size=Size(length=4),
    show=("title",),
)
ASKED = [("ann", 5), ("zoe", 5), (None, 5), ("ann", 3)]


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    catalog = open_catalog(load_config({"home": str(tmp_path / "lake")}))
    yield catalog
    catalog.close()


def _reading(folder: Path, definition: Definition) -> Reading:
    kinds = ("view", "buy")
    rows = [("ann", at, at, None, kinds[at % 2], at, float(at), f"t{at}", [float(at), 1.0]) for at in range(8)]
    table = pa.Table.from_pylist([dict(zip(EVENTS.names, row, strict=True)) for row in rows], schema=EVENTS)
    index = World(folder, table, {}).index(definition)
    return Reading(definition, index, {}, fit(definition, index, "v1"), folder=folder)


def _export(folder: Path, catalog: Catalog, definition: Definition = DEFINITION, **options: Any) -> Any:
    asked = options.pop("asked", ASKED)
    examples = examples_of(asked, example_id=list(range(len(asked))))
    reading = _reading(folder, definition)
    return export_sequences(reading, examples, IcebergExportTables(catalog), "out.home", **options)


def test_an_export_has_a_row_an_example_and_says_where_it_came_from(tmp_path: Path, catalog: Catalog) -> None:
    """Empty histories are empty lists; the summary names definition, features, source and examples."""
    seen: list[int] = []
    done = _export(tmp_path, catalog, progress=lambda progress: seen.append(progress.done))
    table = catalog.load_table("out.home")
    rows = table.scan().to_arrow().sort_by("example_id").to_pylist()
    assert ["ann", "zoe", None, "ann"] == [row["user"] for row in rows]
    assert [["t4", "t3", "t2", "t1"], [], [], ["t2", "t1", "t0"]] == [row["title"] for row in rows]
    assert [[4.0, 1.0], [3.0, 1.0], [2.0, 1.0], [1.0, 1.0]] == rows[0]["vec"]
    snapshot = table.current_snapshot()
    assert snapshot is not None
    assert snapshot.summary is not None
    assert (done.pin.snapshot_id, 4, [4]) == (snapshot.snapshot_id, done.rows, seen)
    told = {name: snapshot.summary[f"nbplat.{name}"] for name in ("sequence", "definition", "features", "examples")}
    expected = {"sequence": "home", "definition": DEFINITION.version, "features": done.features, "examples": "examples"}
    assert expected == told


def test_the_padded_form_has_lists_of_one_length(tmp_path: Path, catalog: Catalog) -> None:
    """The arrays of a batch padded to the declared length, with mask and length."""
    _export(tmp_path, catalog, form="padded")
    rows = catalog.load_table("out.home").scan().to_arrow().sort_by("example_id").to_pylist()
    assert [[True] * 4, [False] * 4, [False] * 4, [True, True, True, False]] == [row["mask"] for row in rows]
    assert [4, 0, 0, 3] == [row["length"] for row in rows]
    assert [0.0, 0.0] == rows[3]["vec"][3]


def test_an_export_is_replaced_by_the_next_in_one_commit(tmp_path: Path, catalog: Catalog) -> None:
    """Other rows and other columns take the place of the old ones in one snapshot; the old one stays readable."""
    first = _export(tmp_path, catalog)
    vec = replace(
        DEFINITION.features[1], function="number", column="amount", options=(("fill", 0), ("type", "float64"))
    )
    changed = replace(DEFINITION, features=(vec,), show=("item",))
    _export(tmp_path, catalog, changed, asked=ASKED[:1])
    table = catalog.load_table("out.home")
    assert 2 == len(table.history())
    rows = table.scan().to_arrow()
    assert {"user", "label_ts", "example_id", "ts", "kind", "item", "vec"} == set(rows.column_names)
    assert [[4.0, 3.0, 2.0, 1.0]] == rows["vec"].to_pylist()
    assert 4 == table.scan(snapshot_id=first.pin.snapshot_id).to_arrow().num_rows


def test_a_table_that_is_no_export_is_left_alone(tmp_path: Path, catalog: Catalog) -> None:
    """Refused before anything is computed, unless its place is to be taken."""
    catalog.create_namespace("out")
    catalog.create_table("out.home", pa.schema({"a": pa.int64()})).append(pa.table({"a": [1]}))
    with pytest.raises(Conflict, match=r"export\.exists.*out\.home.*--replace"):
        _export(tmp_path, catalog)
    assert [1] == catalog.load_table("out.home").scan().to_arrow()["a"].to_pylist()
    _export(tmp_path, catalog, replace=True)
    assert 4 == catalog.load_table("out.home").scan().to_arrow().num_rows
    other = replace(DEFINITION, name="away")
    with pytest.raises(Conflict, match=r"export\.exists.*the export of sequence home"):
        _export(tmp_path, catalog, other)


def test_a_failed_export_leaves_nothing(tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """No table and no files when the second half of the rows cannot be made."""
    monkeypatch.setattr("nbplat.sequence.export._ROWS", 2)
    monkeypatch.setattr("nbplat.adapters.iceberg.export_tables._FILE_BYTES", 1)
    whole = Batches.__iter__

    def half(self: Batches) -> Iterator[Any]:
        yield next(whole(self))
        raise DataError("test", "no more", fix="-")

    monkeypatch.setattr(Batches, "__iter__", half)
    with pytest.raises(DataError, match="no more"):
        _export(tmp_path, catalog)
    assert not catalog.table_exists("out.home")
    assert not list((tmp_path / "lake").rglob("*.parquet"))


def test_a_table_that_moved_meanwhile_is_not_overwritten(tmp_path: Path, catalog: Catalog) -> None:
    """Somebody else's commit between reading and writing wins; our files are removed."""
    _export(tmp_path, catalog)

    def meddle(_progress: Any) -> None:
        catalog.load_table("out.home").delete("example_id == 0")

    with pytest.raises(Conflict, match=r"export\.moved"):
        _export(tmp_path, catalog, progress=meddle)
    assert 3 == catalog.load_table("out.home").scan().to_arrow().num_rows


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"form": "list"}, RequestError, r"export\.form"),
        ({"asked": []}, DataError, r"sequence\.no_examples"),
    ],
)
def test_what_cannot_be_exported_is_refused(
    tmp_path: Path, catalog: Catalog, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    """An unknown form, and no examples."""
    with pytest.raises(error, match=message):
        _export(tmp_path, catalog, **options)
