"""A DataFrame as a source of events: pinned by its content, readable in any process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from nbplat.errors import NotFound, RequestError
from nbplat.remote.failure import KernelError
from nbplat.remote.sequence.source_part import read_part
from nbplat.sequence import frame_source
from nbplat.sequence.frame_source import FrameSource
from nbplat.terms.frame import read_frame

COLUMNS: dict[str, list[Any]] = {"user": ["a", "b", None, "a"], "n": [1, 2, 3, 4], "f": [0.5, None, -1.0, 2.5]}


def source(frame: Any, folder: Path, name: str = "clicks") -> FrameSource:
    return FrameSource(name, read_frame(name, frame), folder)


def test_one_content_has_one_pin_whatever_holds_it(tmp_path: Path) -> None:
    """Arrow, pandas and Polars, chunked or not, dictionaries or texts: equal values in order are one state."""
    table = pa.table(COLUMNS)
    frames = [
        table,
        pa.concat_tables([table.slice(0, 1), table.slice(1)]),
        table.set_column(0, "user", table["user"].dictionary_encode()),
        pd.DataFrame(COLUMNS),
        pl.DataFrame(COLUMNS),
    ]
    assert 1 == len({source(frame, tmp_path).pin for frame in frames})
    assert ("frame", "clicks") == (source(table, tmp_path).pin.kind, source(table, tmp_path).pin.name)
    assert source(table, tmp_path).pin.identity != source(table.slice(0, 3), tmp_path).pin.identity
    assert source(table, tmp_path).pin.identity != source(table.rename_columns(["u", "n", "f"]), tmp_path).pin.identity


def test_rows_are_read_in_bounded_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exactly the columns that are asked for, in that order."""
    monkeypatch.setattr(frame_source, "_CHUNK_ROWS", 3)
    found = source(pl.DataFrame(COLUMNS), tmp_path)
    chunks = list(found.read(["n", "user"]))
    assert [3, 1] == [chunk.num_rows for chunk in chunks]
    assert [{"n": 1, "user": "a"}] == chunks[0].slice(0, 1).to_pylist()
    assert (4, 0) == (found.rows, sum(chunk.num_rows for chunk in source(pa.table({"n": []}), tmp_path).read(["n"])))


def test_parts_are_read_from_a_file_named_by_the_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written before they are asked for; asking again writes nothing; together they are the frame."""
    monkeypatch.setattr(frame_source, "_CHUNK_ROWS", 3)
    monkeypatch.setattr(frame_source, "_PART_CHUNKS", 2)
    columns = {"n": list(range(20)), "s": pa.array([str(n % 3) for n in range(20)]).dictionary_encode()}
    table = pa.table(columns)
    found = source(pa.concat_tables([table.slice(0, 7), table.slice(7)]), tmp_path / "frames")
    assert not (tmp_path / "frames").exists()
    parts = found.parts
    [stored] = (tmp_path / "frames").iterdir()
    assert [6, 6, 6, 2] == [part.rows for part in parts]
    assert 4 == len({part.id for part in parts})
    rows = [row for part in parts for chunk in read_part(part.task, ["s", "n"], 2) for row in chunk.to_pylist()]
    assert [{"s": str(n % 3), "n": n} for n in range(20)] == rows
    before = stored.stat().st_ino
    assert [part.task for part in parts] == [part.task for part in source(table, tmp_path / "frames").parts]
    assert before == stored.stat().st_ino


def test_frames_that_nobody_wanted_for_a_month_go(tmp_path: Path) -> None:
    """Storing a frame removes old ones, but none that was asked for since, and nothing else."""
    old, wanted = pa.table({"n": [1]}), pa.table({"n": [2]})
    _ = source(old, tmp_path).parts, source(wanted, tmp_path).parts
    (tmp_path / "notes.txt").touch()
    for path in tmp_path.iterdir():
        os.utime(path, (1000, 1000))
    _ = source(wanted, tmp_path).parts
    assert 3 == len(list(tmp_path.iterdir()))
    _ = source(pa.table({"n": [3]}), tmp_path).parts
    left = sorted(tmp_path.iterdir())
    assert 3 == len(left)
    assert not [path for path in left if path.name.startswith(source(old, tmp_path).pin.identity[:32])]


def test_a_frame_without_rows_has_no_parts(tmp_path: Path) -> None:
    """An empty source is a source."""
    assert () == source(pa.table({"n": pa.array([], pa.int64())}), tmp_path).parts


def test_a_frame_of_other_content_is_another_frame(tmp_path: Path) -> None:
    """What was added to it cannot be told."""
    first, second = source(pa.table({"n": [1]}), tmp_path), source(pa.table({"n": [1, 2]}), tmp_path)
    assert second.added_since(first.pin) is None
    assert () == second.added_since(second.pin)


def test_what_cannot_be_a_source_is_refused(tmp_path: Path) -> None:
    """Two columns of one name, a type without plain values, a column that is not there."""
    with pytest.raises(RequestError, match=r"frame\.column.*'x' more than once"):
        source(pa.table([[1], [2]], names=["x", "x"]), tmp_path)
    month = pa.array([(1, 2, 3)], pa.month_day_nano_interval())
    with pytest.raises(RequestError, match=r"frame\.column"):
        _ = source(pa.table({"m": month}), tmp_path).pin
    with pytest.raises(NotFound, match=r"column\.unknown.*did you mean user\?"):
        list(source(pa.table(COLUMNS), tmp_path).read(["usr"]))


def test_a_stored_frame_that_is_gone_is_told(tmp_path: Path) -> None:
    """Somebody cleaned the folder between the plan and the build."""
    [part] = source(pa.table(COLUMNS), tmp_path).parts
    for path in tmp_path.iterdir():
        path.unlink()
    with pytest.raises(KernelError, match=r"file\.gone"):
        list(read_part(part.task, ["n"]))
