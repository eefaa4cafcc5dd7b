"""A full disk stops a run with a clear error; with room again the same run goes on."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nbplat.adapters.files.local import LocalFiles
from nbplat.backfill.states import Step
from nbplat.errors import SetupError
from tests.fixtures.lakehouse import Lake

SQL = "select id, x * 2D as f from base"


class FullFile(io.FileIO):
    """A file on a disk without room."""

    def write(self, data: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fill(monkeypatch: pytest.MonkeyPatch, how: str, suffix: str) -> Callable[[], None]:
    """From now on files of that suffix meet a full disk when written or when synced; returns how to make room."""
    open_ = Path.open

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def open_full(path: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if path.name.endswith(suffix) and ("w" in mode or "x" in mode):
            return FullFile(path, mode)
        return open_(path, mode, *args, **kwargs)

    if how == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(Path, "open", open_full)
        monkeypatch.setattr(os, "copy_file_range", full, raising=False)
    return monkeypatch.undo


@pytest.mark.parametrize("how", ["fsync", "write"])
def test_staging_on_a_full_disk(lake: Lake, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """The job fails with disk.full, nothing half-written is left, and the same cell goes on when there is room."""
    lake.submit("f", SQL)
    make_room = fill(monkeypatch, how, ".partial")
    error = lake.fail()
    make_room()
    assert ("SetupError", "disk.full", "planned") == (error["kind"], error["code"], lake.state("f@1"))
    assert [] == [path for path in (lake.home / "warehouse" / "staged").rglob("*") if path.is_file()]
    assert lake.submit("f", SQL).attached
    lake.work()
    assert "awaiting_promotion" == lake.state("f@1")
    assert 60 == len(lake.staged("f@1"))


@pytest.mark.parametrize("how", ["fsync", "write"])
def test_promotion_on_a_full_disk(lake: Lake, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """The job fails with disk.full, main and its files stay, and promoting again works when there is room."""
    run_id, before = lake.stage("f", SQL), lake.table()
    lake.backfills.step(run_id, Step.PROMOTE, owner="me")
    make_room = fill(monkeypatch, how, ".partial")
    error = lake.fail()
    make_room()
    assert ("SetupError", "disk.full", "awaiting_promotion") == (error["kind"], error["code"], lake.state(run_id))
    after = lake.table()
    assert (before.current_snapshot(), before.schema()) == (after.current_snapshot(), after.schema())
    assert {"main"} == set(after.metadata.refs)
    assert [] == list((lake.home / "warehouse" / "shop").rglob("*--nb-*"))
    lake.promote(run_id)
    rows = lake.rows()
    assert (rows["x"] * 2).equals(rows["f"].rename("x"))


def test_a_disk_without_room_is_refused_before_any_effect(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a run nor a file comes of it, at staging and at promotion alike."""
    monkeypatch.setattr(LocalFiles, "free_bytes", lambda *_: 10)
    before = lake.picture()
    with pytest.raises(SetupError) as refused:
        lake.submit("doubled", "select id, x * 2 as doubled from base")
    assert "disk.full" == refused.value.code
    assert before == lake.picture()
    monkeypatch.undo()
    run_id = lake.stage("doubled", "select id, x * 2 as doubled from base")
    monkeypatch.setattr(LocalFiles, "free_bytes", lambda *_: 10)
    before = lake.picture()
    with pytest.raises(SetupError) as refused:
        lake.backfills.step(run_id, Step.PROMOTE, owner="me")
    assert "disk.full" == refused.value.code
    assert before == lake.picture()
