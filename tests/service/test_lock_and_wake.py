"""The lock that a dead process cannot keep, and the socket that wakes the worker."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from nbplat.config import Config, load_config
from nbplat.errors import SetupError
from nbplat.service.discovery import environ_of
from nbplat.service.lock import FileLock, holder_of, process_of
from nbplat.service.wake import WakeSocket, notify_worker, runtime_folder


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_config({"home": str(tmp_path)}, environ={}, cwd=tmp_path, user_file=tmp_path / "none.toml")


def test_one_holds_the_lock_and_is_known(tmp_path: Path) -> None:
    """A second taker waits in vain, and can tell who has it; after release nobody has."""
    lock = FileLock(tmp_path / "lock")
    assert holder_of(lock.path) is None
    assert lock.take({"version": "1"})
    assert not FileLock(lock.path).take(wait_s=0)
    note = holder_of(lock.path) or {}
    assert ("1", os.getpid()) == (note["version"], note["pid"])
    assert os.getpid() == getattr(process_of(note), "pid", None)
    assert process_of({**note, "born": note["born"] - 60}) is None
    lock.release()
    assert holder_of(lock.path) is None
    assert lock.path.stat().st_mode & 0o777 == 0o600


def test_probes_do_not_hinder_a_taker(tmp_path: Path) -> None:
    """Looking at the lock at a high rate never makes a taker fail, nor two lookers see each other."""
    path = tmp_path / "lock"
    path.touch()
    done = threading.Event()
    seen: list[object] = []

    def look() -> None:
        while not done.is_set():
            seen.append(holder_of(path))

    lookers = [threading.Thread(target=look) for _ in range(3)]
    for looker in lookers:
        looker.start()
    taken = []
    for _ in range(20):
        lock = FileLock(path)
        taken.append(lock.take())
        lock.release()
    done.set()
    for looker in lookers:
        looker.join()
    assert all(taken)


def test_a_byte_wakes_the_worker(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call returns the wait at once; without a worker the call is lost and harmless."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    notify_worker(config)
    wake = WakeSocket(config)
    assert not wake.wait(0)
    notify_worker(config)
    notify_worker(config)
    assert wake.wait(30)
    assert not wake.wait(0)
    wake.close()
    assert [] == list(runtime_folder(config).iterdir())


def test_the_runtime_folder_is_ours_alone(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a runtime folder of the system one is made under the temporary folder; one open to others is refused."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = runtime_folder(config)
    assert tmp_path / f"nbplat-{os.getuid()}" == folder.parent
    assert {0o700} == {each.stat().st_mode & 0o777 for each in (folder, folder.parent)}
    folder.chmod(0o755)
    with pytest.raises(SetupError, match="not a private folder"):
        runtime_folder(config)
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(SetupError, match="not a private folder"):
        runtime_folder(config)


def test_a_started_process_reads_the_same_settings(config: Config, tmp_path: Path) -> None:
    """Settings reach a started process whatever they came from, and a client's own address does not."""
    options = {"home": str(tmp_path), "limits.threads": 3, "service.allow_plain": True, "service.url": "http://x"}
    given = load_config(options, environ={}, cwd=tmp_path, user_file=tmp_path / "none.toml")
    seen = load_config(environ=environ_of(given), cwd=tmp_path, user_file=tmp_path / "none.toml")
    assert (3, True, tmp_path, "") == (seen.threads, seen.service_allow_plain, seen.home, seen.service_url)
