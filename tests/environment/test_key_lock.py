"""Locks by name: one at a time, or several that share."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from nbplat.environment.key_lock import hold, holder, try_hold


class Waits(Exception):
    """Raised instead of waiting."""


def _refuse(who: str) -> None:
    raise Waits(who)


def test_second_is_told_who_holds_it(tmp_path: Path) -> None:
    """Threads of one process exclude each other too, and the waiting one learns the holder's process."""
    path = tmp_path / "locks" / "key"
    with hold(path):
        with pytest.raises(Waits) as caught, hold(path, waiting=_refuse):
            pass
        assert f"process {os.getpid()}" == str(caught.value)
        with try_hold(path) as held:
            assert not held
    with try_hold(path) as held:
        assert held


def test_those_who_share_keep_out_who_wants_it_alone(tmp_path: Path) -> None:
    """Several may share; nobody is named for them, least of all who held it before."""
    path = tmp_path / "store"
    with hold(path):
        pass
    with hold(path, shared=True), hold(path, shared=True, waiting=_refuse):
        with pytest.raises(Waits) as caught, hold(path, waiting=_refuse):
            pass
        assert "another process" == str(caught.value)
    assert "another process" == holder(path)


def test_lock_of_a_removed_file_is_not_taken_for_the_new_one(tmp_path: Path) -> None:
    """Who waited for a file that its holder removed holds the file that is there now, with all who come after."""
    path = tmp_path / "key"
    waiting, inside, leave = threading.Event(), threading.Event(), threading.Event()

    def second() -> None:
        with hold(path, waiting=lambda _: waiting.set()):
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=second)
    with hold(path):
        thread.start()
        assert waiting.wait(10)
        path.unlink()
    assert inside.wait(10)
    with try_hold(path) as held:
        assert not held
    leave.set()
    thread.join(10)
