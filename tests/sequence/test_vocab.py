"""What features learn: frozen once, kept beside the index, named by its content."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from nbplat.adapters.iceberg.catalog import open_catalog
from nbplat.adapters.iceberg.vocab_tables import IcebergVocabTables
from nbplat.config import load_config
from nbplat.sequence.definition import Definition, EventRule, Feature
from nbplat.sequence.vocab import Fitted, Vocabulary, fit, fit_key
from tests.sequence.token_world import EVENTS, World

ITEM = Feature("item_id", "vocab", "item", (("max_size", None), ("min_count", 1)))
TITLE = Feature("words", "vocab", "title", (("max_size", None), ("min_count", 9)))
PART = Feature("part", "quantile", "amount", (("count", 2),))
KIND = Feature("kind", "vocab", "kind", (("max_size", None), ("min_count", 1)))
DEFINITION = Definition(
    "home",
    "events",
    ("user",),
    "ts",
    (EventRule("view"), EventRule("buy")),
    time_unit="us",
    type="kind",
    features=(ITEM, TITLE, PART, KIND),
)


@pytest.fixture
def tables(tmp_path: Path) -> Iterator[IcebergVocabTables]:
    catalog = open_catalog(load_config({"home": str(tmp_path / "lake")}))
    yield IcebergVocabTables(catalog)
    catalog.close()


def _fit(folder: Path, items: list[int], tables: IcebergVocabTables | None, **options: bool) -> Fitted:
    rows = [("ann", at, 0, None, "view", item, item / 2, "t", None) for at, item in enumerate(items)]
    events = pa.Table.from_pylist([dict(zip(EVENTS.names, row, strict=True)) for row in rows], schema=EVENTS)
    index = World(folder, events, {}).index(DEFINITION)
    return fit(DEFINITION, index, "index1", stored=tables, table="nb_sequences.home__1", **options)


def _values(fitted: Fitted) -> Mapping[str, list[object]]:
    return {name: each.values.to_pylist() for name, each in fitted.by_feature.items()}


def test_what_was_learned_first_holds(tmp_path: Path, tables: IcebergVocabTables) -> None:
    """Later events change nothing until it is asked for; then the version is another and the kept one stays."""
    first = _fit(tmp_path, [7, 7, 9], tables)
    assert {"item_id": [7, 9], "words": [], "part": [3.5], "kind": ["buy", "view"]} == _values(first)
    later = _fit(tmp_path, [9, 9, 8], tables)
    assert (first.version, _values(first)) == (later.version, _values(later))
    anew = _fit(tmp_path, [9, 9, 8], tables, again=True)
    assert [9, 8] == anew.by_feature["item_id"].values.to_pylist()
    assert first.version != anew.version
    assert first.version == _fit(tmp_path, [1], tables).version


def test_the_declared_types_are_closed(tmp_path: Path) -> None:
    """Sorted, whether they occur or not, with their counts; nothing is learned of them."""
    kind = _fit(tmp_path, [7], None).by_feature["kind"]
    assert (["buy", "view"], [0, 1], True, 4) == (
        kind.values.to_pylist(),
        kind.counts.to_pylist(),
        kind.closed,
        kind.size,
    )


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["b", "", "é"], pa.large_string()),
        pa.array([2**62, -1], pa.int64()),
        pa.array([0.1, -1e300], pa.float64()),
        pa.array([True, False]),
        pa.array([], pa.large_string()),
    ],
)
def test_a_vocabulary_comes_back_as_it_was_kept(tables: IcebergVocabTables, values: pa.Array) -> None:
    """Values of every type, their order and counts; of two that keep one at once the first holds."""
    kept = Vocabulary("k1", "vocab", values, pa.array(range(len(values), 0, -1), pa.int64()))
    tables.store("nb_sequences.home__1", kept.key, kept.stored())
    other = Vocabulary("k1", "vocab", pa.array([5]), pa.array([1]))
    tables.store("nb_sequences.home__1", other.key, other.stored())
    back = Vocabulary.from_stored("k1", "vocab", tables.load("nb_sequences.home__1", "k1") or {})
    assert (kept.digest, kept.counts) == (back.digest, back.counts)


def test_the_key_names_all_that_decides() -> None:
    """Index, function, column and options; the feature's own name does not count, so that variants share it."""
    key = fit_key("index1", ITEM)
    assert key == fit_key("index1", replace(ITEM, name="other"))
    for changed in (replace(ITEM, column="title"), replace(ITEM, options=(("max_size", 5), ("min_count", 1)))):
        assert key != fit_key("index1", changed)
    assert key != fit_key("index2", ITEM)
