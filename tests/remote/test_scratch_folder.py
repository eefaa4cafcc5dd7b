"""Scratch folders: gone with their block, and with the next one where their process was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from nbplat.remote.scratch_folder import ScratchFolder

_HOLDS_ONE = """
import signal
from nbplat.remote.scratch_folder import ScratchFolder
kept = ScratchFolder(None, "test-scratch-")
print(kept.path, flush=True)
signal.pause()
"""


def test_what_nobody_holds_goes_when_the_next_is_made(tmp_path: Path) -> None:
    """Whoever makes a scratch folder takes away those that nobody holds, and no other."""
    (tmp_path / "tokens-dead").mkdir()
    (tmp_path / "tokens-dead" / "values.arrow").write_bytes(b"x")
    (tmp_path / "else").mkdir()
    first = ScratchFolder(tmp_path, "tokens-")
    second = ScratchFolder(tmp_path, "tokens-")
    assert {first.path, second.path, tmp_path / "else"} == set(tmp_path.iterdir())
    first.close()
    first.close()
    second.close()
    assert {tmp_path / "else"} == set(tmp_path.iterdir())


def test_a_link_of_that_name_is_not_followed(tmp_path: Path) -> None:
    """What a link of the prefix leads to stays."""
    target = tmp_path / "precious"
    target.mkdir()
    (tmp_path / "tokens-link").symlink_to(target)
    with ScratchFolder(tmp_path, "tokens-"):
        pass
    assert {"precious", "tokens-link"} == {path.name for path in tmp_path.iterdir()}


def test_a_killed_process_leaves_its_folder_to_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the system's folder: what is held stays, what is young stays, and what `kill -9` left goes once it is old."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    process = subprocess.Popen([sys.executable, "-c", _HOLDS_ONE], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        left = Path(process.stdout.readline().strip())
        (left / "auth.json").write_text("{}")
        long_ago = time.time() - 3600
        os.utime(left, (long_ago, long_ago))
        with ScratchFolder(None, "test-scratch-") as mine:
            assert {left, mine} == set(tmp_path.iterdir())
            assert 0o700 == mine.stat().st_mode & 0o777
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        os.utime(left)
        with ScratchFolder(None, "test-scratch-"):
            assert left.exists()
        os.utime(left, (long_ago, long_ago))
        with ScratchFolder(None, "test-scratch-"):
            assert not left.exists()
    finally:
        process.kill()
        process.wait(60)
        if process.stdout is not None:
            process.stdout.close()
    assert [] == list(tmp_path.iterdir())
