"""Rows that a session keeps as pages of Arrow, and frames that it is sent, without Spark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from nbplat.remote.driver.arrow_pages import page_path, results_of
from nbplat.remote.driver.rows import ROWS, Limits, limits_of, write_rows
from tests.fixtures.drivers import Talk

TABLE = pa.table({"n": list(range(25_000)), "s": [f"row {n}" for n in range(25_000)]})


def read(folder: Path, statement: int, found: dict[str, Any]) -> pa.Table:
    """Every page of a result, each read by itself."""
    pages = [
        pa.ipc.open_stream(page_path(str(folder), statement, n).read_bytes()).read_all()
        for n in range(len(found["pages"]))
    ]
    assert [page.num_rows for page in pages] == [rows for rows, _ in found["pages"]]
    return pa.concat_tables(pages)


def test_pages_hold_every_row_in_order(tmp_path: Path) -> None:
    """Each page is a whole stream of about the size asked for; together they are the table."""
    found = write_rows(TABLE, str(tmp_path), 3, Limits(page_bytes=300_000))[ROWS]
    assert (25_000, False, None) == (found["rows"], found["more"], found["limited"])
    assert [20_000, 5_000] == [rows for rows, _ in found["pages"]]
    assert TABLE.equals(read(tmp_path, 3, found))
    sizes = [page_path(str(tmp_path), 3, n).stat().st_size for n in range(2)]
    assert sizes == [size for _, size in found["pages"]]
    assert sum(sizes) == found["bytes"]


@pytest.mark.parametrize(
    ("limits", "rows", "limited"),
    [
        (Limits(rows=25_000), 25_000, None),
        (Limits(rows=24_999), 24_999, "rows"),
        (Limits(rows=10_000), 10_000, "rows"),
        (Limits(rows=0), 0, "rows"),
        (Limits(bytes=1), 10_000, "bytes"),
    ],
)
def test_limits_cut_a_result_and_say_so(tmp_path: Path, limits: Limits, rows: int, limited: str | None) -> None:
    """Rows are cut exactly, bytes after the batch that reaches them; a result that fits is not called cut."""
    found = write_rows(TABLE, str(tmp_path), 0, limits)[ROWS]
    assert (rows, limited is not None, limited) == (found["rows"], found["more"], found["limited"])
    assert TABLE.slice(0, rows).equals(read(tmp_path, 0, found))


def test_a_result_without_rows_keeps_its_types(tmp_path: Path) -> None:
    """One page without rows tells the schema."""
    found = write_rows(TABLE.slice(0, 0), str(tmp_path), 0, Limits())[ROWS]
    assert TABLE.schema == read(tmp_path, 0, found).schema


def test_old_results_make_room(tmp_path: Path) -> None:
    """The oldest results are dropped when all together pass the cap; the newest stays whatever its size."""
    for statement in range(4):
        write_rows(TABLE, str(tmp_path), statement, Limits(keep_bytes=1_500_000))
    assert ["2", "3"] == sorted(path.name for path in (tmp_path / "results").iterdir())
    found = write_rows(TABLE, str(tmp_path), 4, Limits(keep_bytes=1))[ROWS]
    assert ["4"] == [path.name for path in (tmp_path / "results").iterdir()]
    assert TABLE.equals(read(tmp_path, 4, found))


def test_a_result_that_fails_leaves_no_page(tmp_path: Path) -> None:
    """What was written before a failure is taken away."""

    class Broken:
        def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
            def batches() -> Any:
                yield TABLE.to_batches()[0]
                raise KeyboardInterrupt

            return pa.RecordBatchReader.from_batches(TABLE.schema, batches()).__arrow_c_stream__()

    with pytest.raises((KeyboardInterrupt, pa.ArrowException, OSError)):
        write_rows(Broken(), str(tmp_path), 0, Limits())
    assert not results_of(str(tmp_path), 0).exists()


def test_only_frames_have_rows(tmp_path: Path) -> None:
    """Another value is refused by its type, and nothing is left of it."""
    with pytest.raises(TypeError, match="int is no DataFrame"):
        write_rows(5, str(tmp_path), 0, Limits())
    assert not (tmp_path / "results").exists()
    assert Limits(rows=7, bytes=9) == limits_of({"rows": 7, "bytes": 9, "code": "x", "keep_bytes": None})


@pytest.mark.process
def test_a_driver_takes_frames_and_gives_them_back(talk: Talk) -> None:
    """A frame sent in a file is bound to its name, the file is gone, and its rows come back in pages."""
    folder = Path(talk.driver["folder"])
    (folder / "frames").mkdir()
    with pa.OSFile(str(folder / "frames" / "f"), "wb") as out, pa.ipc.new_stream(out, TABLE.schema) as stream:
        stream.write_table(TABLE)
    talk.ask("run", id=0, runner="put", body={"code": "sent", "file": "f"})
    assert "ok" == talk.until("done", id=0)["status"]
    assert [] == list((folder / "frames").iterdir())
    assert {"text/plain": "25000"} == talk.run(1, "sent.num_rows")["output"]["data"]
    talk.ask("run", id=2, runner="take", body={"code": "sent", "rows": 20_000})
    found = talk.until("done", id=2)["output"]["data"][ROWS]
    assert TABLE.slice(0, 20_000).equals(read(folder, 2, found))
    talk.ask("run", id=3, runner="take", body={"code": "nothing"})
    assert "NameError" == talk.until("done", id=3)["output"]["ename"]
