"""The join against a plain oracle: order kept, rows out == rows in, every value in its row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbplat.errors import DataError, NbplatError, NotFound, RequestError
from nbplat.terms import SnapshotPin, StagedColumns, StagedFile
from nbplat.training import (
    BaseFile,
    BaseTable,
    Coverage,
    TrainingSpec,
    explain_plan,
    iter_batches,
    plan_training,
)

PIN = SnapshotPin("retail.train", "uuid-1", 7, 0)
TYPES = (("id", "long"), ("value", "double"), ("note", "string"), ("label", "int"), ("label_ts", "long"))


@dataclass
class MemorySource:
    """Base and staged files in memory, by path."""

    base: dict[str, pa.Table]
    staged: dict[str, pa.Table] = field(default_factory=dict)
    types: tuple[tuple[str, str], ...] = TYPES
    deletes: int = 0
    positions: dict[str, np.ndarray] = field(default_factory=dict)

    def describe(self, table: str) -> BaseTable:
        files = tuple(BaseFile(p, t.num_rows, self.deletes, p, p.split("/")[0]) for p, t in self.base.items())
        return BaseTable(PIN, self.types, files)

    def read_base(self, pin: SnapshotPin, path: str, columns: Sequence[str]) -> pa.Table:
        assert pin == PIN
        return self.base[path].select(list(columns))

    def live_positions(self, pin: SnapshotPin, path: str) -> np.ndarray:
        return self.positions[path]

    def read_staged(self, pin: SnapshotPin, file: StagedFile, columns: Sequence[str]) -> pa.Table:
        return self.staged[file.path].select(list(columns))


@dataclass
class MemoryRuns:
    records: dict[str, StagedColumns]

    def staged_columns(self, run_id: str) -> StagedColumns:
        if run_id not in self.records:
            raise NotFound("backfill.unknown", f"there is no run {run_id}", fix="known: " + ", ".join(self.records))
        return self.records[run_id]


def _base(sizes: Sequence[int]) -> dict[str, pa.Table]:
    found, start = {}, 0
    for at, size in enumerate(sizes):
        ids = np.arange(start, start + size)
        start += size
        found[f"2011-{at % 12 + 1:02d}/{at}.parquet"] = pa.table(
            {
                "id": pa.array(ids, pa.int64()),
                "value": pa.array(ids / 2, pa.float64()),
                "note": pa.array([str(i) for i in ids], pa.string()),
                "label": pa.array(ids % 2, pa.int32()),
                "label_ts": pa.array(ids, pa.int64()),
            }
        )
    return found


def _run(source: MemorySource, name: str, paths: Sequence[str]) -> StagedColumns:
    files = []
    for path in paths:
        ids = source.base[path]["id"]
        values = [None if i % 3 == 0 else i * 10.0 for i in ids.to_pylist()]
        staged = pa.table(
            {"id": ids, "nb_pos": pa.array(range(len(ids)), pa.int64()), name: pa.array(values, "float64")}
        )
        source.staged[f"stg-{name}/{path}"] = staged
        files.append(StagedFile(path, f"stg-{name}/{path}", staged.num_rows, 1, True, "d"))
    return StagedColumns(f"{name}@1", PIN, ((name, "double"),), tuple(files), promoted=False)


@pytest.fixture
def source() -> MemorySource:
    return MemorySource(_base([4, 3, 5]))


@pytest.fixture
def runs(source: MemorySource) -> MemoryRuns:
    return MemoryRuns({"spend@1": _run(source, "spend", list(source.base))})


SPEC = TrainingSpec("t", "retail.train", ("spend@1",))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_files_batches_and_staged_orders_equal_the_oracle(data: st.DataObject) -> None:
    """Whatever the file sizes, batch size and order of staged files: base order, all rows, right values."""
    sizes = data.draw(st.lists(st.integers(0, 9), min_size=1, max_size=9).filter(any))
    batch_rows = data.draw(st.integers(1, 20))
    source = MemorySource(_base(sizes))
    records = {}
    for name in ("spend", "visits"):
        paths = data.draw(st.permutations(list(source.base)))
        records[f"{name}@1"] = _run(source, name, data.draw(st.sampled_from([paths, paths[1:]])))
    spec = TrainingSpec("t", "retail.train", tuple(records), uncovered="null")
    plan = plan_training(spec, source, MemoryRuns(records))
    got = list(iter_batches(plan, source, ["spend", "id", "visits", "note"], batch_rows))

    expected = []
    for path in sorted(source.base):
        for key in source.base[path]["id"].to_pylist():
            row: dict[str, object] = {"id": key, "note": str(key)}
            for name in ("spend", "visits"):
                covered = path in {file.base_path for file in records[f"{name}@1"].files}
                row[name] = key * 10.0 if covered and key % 3 else None
            expected.append(row)
    assert expected == [row for batch in got for row in batch.select(["id", "note", "spend", "visits"]).to_pylist()]
    assert [batch_rows] * (len(expected) // batch_rows) == [b.num_rows for b in got if b.num_rows == batch_rows]
    assert all(batch.num_rows == batch_rows for batch in got[:-1])


def test_the_plan_is_a_value_with_an_id(source: MemorySource, runs: MemoryRuns) -> None:
    """Planning twice gives the same id; another staged file or option gives another."""
    plan = plan_training(SPEC, source, runs)
    assert plan == plan_training(SPEC, source, runs)
    assert plan.plan_id == plan_training(SPEC, source, runs).plan_id
    assert plan.plan_id != plan_training(replace(SPEC, seed=8), source, runs).plan_id
    assert 12 == plan.rows
    assert ("value",) == plan.features


def test_coverage_counts_rows_by_period_from_metadata(source: MemorySource) -> None:
    """A period that a run has not staged shows 0 covered rows, and the text says so."""
    runs = MemoryRuns({"spend@1": _run(source, "spend", list(source.base)[:2])})
    plan = plan_training(replace(SPEC, uncovered="null"), source, runs)
    expected = [("2011-01", 4, 4), ("2011-02", 3, 3), ("2011-03", 5, 0)]
    assert tuple(Coverage("spend@1", *entry) for entry in expected) == plan.coverage()
    assert "coverage of spend@1: 7 of 12 rows (58.3%) · short in 2011-03 0/5" in explain_plan(plan)


def test_uncovered_files_are_refused_by_default(source: MemorySource) -> None:
    """A base file that no staged file belongs to stops the plan, naming period, file and mend."""
    runs = MemoryRuns({"spend@1": _run(source, "spend", list(source.base)[:2])})
    with pytest.raises(DataError, match=r"1 of 3 files .*2011-03; 2\.parquet.*%%backfill spend"):
        plan_training(SPEC, source, runs)


def test_promoted_columns_are_read_from_the_base(source: MemorySource, runs: MemoryRuns) -> None:
    """After promotion the base's own column is taken, and the text says so."""
    values = {path: table.append_column("spend", table["value"]) for path, table in source.base.items()}
    source = MemorySource(values, types=(*TYPES, ("spend", "double")))
    record = replace(runs.records["spend@1"], promoted=True)
    plan = plan_training(SPEC, source, MemoryRuns({"spend@1": record}))
    assert ("value",) == plan.features
    assert "spend@1 → spend · promoted: read from the base table" in explain_plan(plan)
    assert [i / 2 for i in range(12)] == [v for b in iter_batches(plan, source) for v in b["spend"].to_pylist()]


def test_a_staged_file_of_other_length_is_refused(source: MemorySource, runs: MemoryRuns) -> None:
    """Unequal row counts are refused from metadata, and while reading when the metadata did not show them."""
    record = runs.records["spend@1"]
    first = replace(record.files[0], rows=3)
    short = replace(record, files=(first, *record.files[1:]))
    with pytest.raises(DataError, match="3 rows for a base file of 4 rows"):
        plan_training(SPEC, source, MemoryRuns({"spend@1": short}))
    plan = plan_training(SPEC, source, runs)
    source.staged[record.files[1].path] = source.staged[record.files[1].path].slice(1)
    with pytest.raises(DataError, match="2 rows for a base file of 3 rows"):
        list(iter_batches(plan, source))


def test_rows_deleted_since_staging_are_left_out_by_position(source: MemorySource, runs: MemoryRuns) -> None:
    """Behind delete files a staged value goes to its physical row; a live row that was never staged is refused."""
    whole = pa.Table.from_batches(iter_batches(plan_training(SPEC, source, runs), source, ["id", "spend"]))
    source.deletes = 1
    plan = plan_training(SPEC, source, runs)
    first, second, _ = source.base
    source.positions = {path: np.arange(table.num_rows) for path, table in source.base.items()}
    source.base[first] = source.base[first].take([1, 3])
    source.positions[first] = np.array([1, 3])

    joined = pa.Table.from_batches(iter_batches(plan, source, ["id", "spend"]))

    assert whole.take([1, 3, *range(4, 12)]).equals(joined.combine_chunks())
    source.staged[f"stg-spend/{second}"] = source.staged[f"stg-spend/{second}"].slice(1)
    with pytest.raises(DataError, match=r"training\.rows"):
        list(iter_batches(plan, source))


def test_an_unknown_run_and_a_run_of_another_table_are_refused(source: MemorySource, runs: MemoryRuns) -> None:
    """Runs are looked up in the ledger and belong to one table."""
    with pytest.raises(NotFound, match="spent@1"):
        plan_training(replace(SPEC, stage=("spent@1",)), source, runs)
    other = replace(runs.records["spend@1"], base=replace(PIN, table="a.b", table_uuid="uuid-2"))
    with pytest.raises(RequestError, match=r"staged for a\.b"):
        plan_training(SPEC, source, MemoryRuns({"spend@1": other}))


@pytest.mark.parametrize("clash", ["base", "run", "feature"])
def test_clashing_columns_are_refused(source: MemorySource, runs: MemoryRuns, clash: str) -> None:
    """A name may come from one place only."""
    spec = SPEC
    if clash == "base":
        source.types = (*TYPES, ("spend", "double"))
    elif clash == "run":
        runs.records["again@1"] = replace(runs.records["spend@1"], run_id="again@1")
        spec = replace(SPEC, stage=("spend@1", "again@1"))
    else:
        source.types = (*TYPES, ("spend", "double"))
        runs.records["spend@1"] = replace(runs.records["spend@1"], promoted=True)
        spec = replace(SPEC, features=("spend",))
    with pytest.raises(RequestError, match=r"training\.clash.*spend"):
        plan_training(spec, source, runs)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"label": "lable"}, r"training\.column.*did you mean label"),
        ({"time": "note"}, r"training\.type"),
        ({"features": ("note",)}, r"training\.type"),
        ({"features": ("label",)}, r"training\.leak"),
        ({"keys": ("ident",)}, r"training\.column"),
    ],
)
def test_unfit_columns_are_refused(
    source: MemorySource, runs: MemoryRuns, change: dict[str, object], code: str
) -> None:
    """Unknown columns, texts as numbers, and the label as a feature are refused by name."""
    with pytest.raises(NbplatError, match=code):
        plan_training(replace(SPEC, **change), source, runs)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "change",
    [
        {"split": 1.0},
        {"batch_rows": 0},
        {"epochs": 0},
        {"seed": -1},
        {"uncovered": "skip"},
        {"features": ()},
        {"stage": ("a@1", "a@1")},
        {"table": "train"},
        {"name": "My Model"},
        {"time": "label"},
    ],
)
def test_options_out_of_range_are_refused(change: dict[str, object]) -> None:
    """A spec that cannot be trained cannot be made."""
    with pytest.raises(RequestError):
        replace(SPEC, **change)  # type: ignore[arg-type]


def test_an_empty_table_is_refused(runs: MemoryRuns) -> None:
    """There is nothing to train on without rows."""
    with pytest.raises(DataError, match=r"training\.empty"):
        plan_training(SPEC, MemorySource({}), runs)


def test_a_reader_that_stops_early_leaves_no_thread(source: MemorySource, runs: MemoryRuns) -> None:
    """Closing the iterator ends the prefetching thread."""
    import threading

    batches = iter_batches(plan_training(SPEC, source, runs), source, batch_rows=2)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert [] == [t.name for t in threading.enumerate() if t.name.startswith("nbplat-join")]
