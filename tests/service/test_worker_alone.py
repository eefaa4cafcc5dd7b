"""When a worker whose service is gone ends itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from nbplat.config import load_config
from nbplat.service.discovery import private_folder, service_lock
from nbplat.service.lock import FileLock
from nbplat.service.wake import WakeSocket
from nbplat.service.worker import Worker
from nbplat.testing import FakeClock
from tests.fixtures.toy_platform import ToyPlatform

SERVED = 119


class Ticks:
    """Stands for the socket that the worker waits at: each wait is a second, and after some the service is killed."""

    def __init__(self, clock: FakeClock, service: FileLock) -> None:
        self.count = 0
        self._clock = clock
        self._service = service

    def wait(self, seconds: float) -> bool:
        self.count += 1
        self._clock.advance(seconds)
        if self.count == SERVED:
            self._service.release()
        return False


def test_a_worker_ends_a_minute_after_its_service_and_not_at_its_death(tmp_path: Path) -> None:
    """However long the service has lived, its worker stays for a minute: it is the one that brings it back."""
    config = load_config({"home": str(tmp_path)}, environ={}, cwd=tmp_path, user_file=tmp_path / "none.toml")
    private_folder(config.home / "run")
    platform: Any = ToyPlatform(config)
    platform.clock = clock = FakeClock()
    service = FileLock(service_lock(config))
    assert service.take()
    ticks = Ticks(clock, service)
    Worker(platform, cast("WakeSocket", ticks), factory="", attached=True).run()
    platform.store.close()
    assert SERVED + 60 <= ticks.count + 1 <= SERVED + 62
