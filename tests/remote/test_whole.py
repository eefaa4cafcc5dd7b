"""Bodies that see the whole window: equal to one query over all of it, however files are grouped, in bounded memory."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbplat.remote.kernel import compute, probe, stage
from nbplat.remote.task import FileTask, Task
from nbplat.terms import local_path

SCHEMA = pa.schema(
    [
        pa.field("id", pa.int64(), metadata={b"PARQUET:field_id": b"1"}),
        pa.field("who", pa.string(), metadata={b"PARQUET:field_id": b"2"}),
        pa.field("x", pa.int64(), metadata={b"PARQUET:field_id": b"3"}),
    ]
)
BODIES = [
    "select id, row_number() over (partition by who order by x, id) as f from base",
    "select id, sum(x) over (partition by who order by id rows between 2 preceding and current row)::bigint as f"
    " from base",
    "select id, (x - (select min(x) from base))::bigint as f from base",
    "select b.id, a.n as f from base b join (select who as w, count(*) as n from base group by who) a"
    " on a.w is not distinct from b.who",
    "select a.id, count(b.id) as f from base a left join base b on b.who = a.who and b.id < a.id group by a.id",
    "select id, lag(x, 1) over (order by x, id) as f from base qualify true",
]
QUICK = {"threads": 1, "memory_bytes": 256 << 20, "spill_folder": None}


def files_of(
    rows: pa.Table, cuts: Sequence[int], folder: Path, deleted: Sequence[int] = (), *, group_rows: int = 7
) -> list[FileTask]:
    """The rows cut into files; `deleted` are row numbers over all of them."""
    folder.mkdir(exist_ok=True, parents=True)
    edges = [0, *sorted(cut % (rows.num_rows + 1) for cut in cuts), rows.num_rows]
    files = []
    for number, (start, end) in enumerate(itertools.pairwise(edges)):
        path = folder / f"{number:03d}.parquet"
        pq.write_table(rows.slice(start, end - start), path, row_group_size=group_rows)
        gone = np.array(sorted({n - start for n in deleted if start <= n < end}), "<i8")
        files.append(
            FileTask(
                unit=f"{number:05d}",
                fence=1,
                path=str(path),
                rows=end - start,
                constants={},
                deleted=gone.tobytes(),
            )
        )
    return files


def task(files: list[FileTask], query: str, out: Path, **options: Any) -> Task:
    given: dict[str, Any] = {
        "run": "f@1",
        "out": str(out),
        "storage": {},
        "files": files,
        "columns": SCHEMA.serialize().to_pybytes(),
        "names": {},
        "sources": {},
        "body": {"lang": "sql", "query": query},
        "base": "base",
        "whole": True,
        "keys": ["id"],
        "keys_unique": False,
        "hand_keys": False,
        "kept": [],
        "new": pa.schema([("f", pa.int64())]).serialize().to_pybytes(),
        "window": None,
        "replace": [],
        "settings": QUICK,
    }
    return Task(**{**given, **options})  # type: ignore[typeddict-item]


def by_id(parts: Sequence[pa.Table]) -> list[tuple[int, int | None]]:
    table = pa.concat_tables([part.select(["id", "f"]) for part in parts]).sort_by("id")
    return list(zip(table["id"].to_pylist(), table["f"].to_pylist(), strict=True))


def made(count: int, seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    who = [None if n == 0 else f"w{n}" for n in rng.integers(0, 5, count)]
    return pa.table({"id": rng.permutation(count), "who": who, "x": rng.integers(-9, 9, count)}).cast(SCHEMA)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 60),
    st.lists(st.integers(0, 60), max_size=5),
    st.sets(st.integers(0, 59), max_size=20),
    st.sampled_from(BODIES),
    st.integers(0, 9),
)
def test_a_body_over_the_window_never_depends_on_files(
    tmp_path_factory: pytest.TempPathFactory, count: int, cuts: list[int], deleted: set[int], body: str, seed: int
) -> None:
    """Cut into files anywhere, with rows deleted anywhere, it is one query over the live rows."""
    rows = made(count, seed)
    live = rows.take(pa.array([n for n in range(count) if n not in deleted], pa.int64()))
    with duckdb.connect() as db:
        db.register("base", live)
        expected = by_id([db.sql(body).to_arrow_table()])
    folder = tmp_path_factory.mktemp("files")
    files = files_of(rows, cuts, folder, sorted(deleted))
    results = stage(task(files, body, folder / "out"))
    assert [None] * len(files) == [result.get("error") for result in results]
    staged = [pq.read_table(local_path(result["file"]["path"])) for result in results]
    assert expected == by_id(staged)
    for file, part in zip(files, staged, strict=True):
        base = pq.read_table(file["path"])
        assert base["id"].take(part["nb_pos"]).to_pylist() == part["id"].to_pylist()
        assert part["nb_pos"].to_pylist() == sorted(part["nb_pos"].to_pylist())


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("select id, x as f from base where id <> 3", "body.missing_keys"),
        ("select id, x as f from base union all select 3, 0", "body.duplicate_keys"),
        ("select id, x as f from base union all select 100, 0", "body.extra_keys"),
        ("select nullif(id, 3) as id, x as f from base", "key.null"),
        ("select id, x as g from base", "body.column_missing"),
        ("select id, error('no') as f from base", "body.values"),
        ("select id, x * 9223372036854775807 * 3 as f from base", "body.values"),
    ],
)
def test_a_result_that_does_not_fit_the_window_fails_every_file(tmp_path: Path, body: str, code: str) -> None:
    """Lost, doubled, foreign and null keys, missing columns and bad values are found before a file is written."""
    results = stage(
        task(
            files_of(made(10).set_column(2, SCHEMA.field(2), pa.array([9] * 10)), [4], tmp_path), body, tmp_path / "out"
        )
    )
    assert [code] * 2 == [result["error"]["code"] for result in results]
    assert not (tmp_path / "out").exists()


def test_doubled_keys_of_the_table_are_named(tmp_path: Path) -> None:
    """Two rows with one key, in different files, fail the window."""
    rows = pa.concat_tables([made(5), made(5)])
    results = stage(task(files_of(rows, [5], tmp_path), "select id, x as f from base", tmp_path / "out"))
    assert ["key.duplicate"] * 2 == [result["error"]["code"] for result in results]
    assert "id=0" in results[0]["error"]["message"]


def test_only_the_files_that_are_asked_for_are_written(tmp_path: Path) -> None:
    """A file that is done already is still part of the window."""
    files = files_of(made(20), [5, 10], tmp_path)
    files[1] = {**files[1], "fence": 0}
    work = task(files, "select id, count(*) over () as f from base", tmp_path / "out")
    results = stage(work)
    assert ["00000", "00002"] == [result["unit"] for result in results]
    assert {20} == {value for _, value in by_id([columns for _, columns in compute(work)])}
    rows, size = probe(work)
    assert (15, True) == (rows, size > 0)


def test_more_than_fits_in_memory_is_spilled(tmp_path: Path) -> None:
    """With a tenth of the memory that the rows take, the body runs, and its values are right."""
    count = 1_000_000
    rng = np.random.default_rng(3)
    wide = pa.table(
        {
            "id": rng.permutation(count),
            "who": pa.array(rng.integers(0, 1 << 60, count)).cast(pa.string()),
            "x": rng.integers(0, 1 << 40, count),
        }
    ).cast(SCHEMA)
    files = files_of(wide, [300_000, 700_000], tmp_path, group_rows=100_000)
    small = {"threads": 1, "memory_bytes": 64 << 20, "spill_folder": str(tmp_path / "spill")}
    body = "select id, row_number() over (order by who, id) + length(max(who) over ()) * 0 as f from base"
    results = stage(task(files, body, tmp_path / "out", settings=small))
    assert [None] * 3 == [result.get("error") for result in results]
    made_ = pa.concat_tables([pq.read_table(local_path(r["file"]["path"]), columns=["id", "f"]) for r in results])
    order = wide.sort_by([("who", "ascending"), ("id", "ascending")])["id"].to_numpy()
    expected = np.empty(count, np.int64)
    expected[order] = np.arange(1, count + 1)
    assert np.array_equal(expected[made_["id"].to_numpy()], made_["f"].to_numpy())
