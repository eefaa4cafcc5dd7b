"""Brings a killed service back; the worker does it, which outlives the service."""

from __future__ import annotations

import logging
import subprocess
import threading

from nbplat.config import Config
from nbplat.service.discovery import run_start, service_lock
from nbplat.service.lock import holder_of

__all__ = ["Reviver"]

_log = logging.getLogger("nbplat.worker")

_TRIES = 5
_START_S = 60.0


class Reviver:
    """Starts a service in place of one that was killed, unless somebody else was quicker.

    Args:
        factory: The platform factory of that service.
    """

    def __init__(self, config: Config, *, factory: str) -> None:
        self._config = config
        self._factory = factory
        self._ending = threading.Event()
        self._starting = threading.Lock()

    def revive(self) -> None:
        """Start it; a start that fails is tried again, more and more slowly, five times."""
        with self._starting:
            for tried in range(_TRIES):
                if self._ending.is_set() or holder_of(service_lock(self._config)) is not None:
                    return
                if self._started():
                    _log.info("the service is back")
                    return
                self._ending.wait(2.0**tried)
        _log.error("the service cannot be brought back; the next command starts it")

    def end(self) -> None:
        """Start none any more; a start under way is awaited, so that whoever ends us finds its service."""
        self._ending.set()
        if self._starting.acquire(timeout=_START_S):
            self._starting.release()

    def _started(self) -> bool:
        try:
            done = run_start(self._config, self._factory, _START_S)
        except (OSError, subprocess.TimeoutExpired) as exc:
            _log.warning("the service does not start: %s", exc)
            return False
        if done.returncode:
            _log.warning("the service does not start: %s", (done.stdout or done.stderr).strip()[-500:])
        return done.returncode == 0
