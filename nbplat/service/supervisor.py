"""Keeps one worker alive beside the service: adopts a living one, starts one when there is none."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil

from nbplat.config import Config
from nbplat.service.discovery import environ_of, log_file, module_command, settings_hash, worker_lock
from nbplat.service.lock import holder_of, process_of

__all__ = ["Supervisor", "stop_holder"]

_ROUND_S = 0.5
_REPLACE_S = 8.0
_MAX_DELAY_S = 30.0

_log = logging.getLogger("nbplat.supervisor")


def stop_holder(note: dict[str, Any] | None, *, grace_s: float) -> bool:
    """Ask the process that holds a lock to end, and kill it after `grace_s`; False when it had gone already."""
    process = process_of(note or {})
    if process is None:
        return False
    with contextlib.suppress(psutil.NoSuchProcess):
        process.terminate()
        if not _ended(process, grace_s):
            process.kill()
            _ended(process, 5.0)
    return True


def _ended(process: psutil.Process, limit_s: float) -> bool:
    # Not psutil's wait: it takes a dead process that init has not collected yet for a living one.
    deadline = time.monotonic() + limit_s
    while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


class Supervisor:
    """A thread that looks twice a second whether the worker's lock is held.

    Args:
        factory: The platform factory, passed on to the worker.
        hand_over: Called now and then while a worker lives: it keeps our listening socket.
    """

    def __init__(self, config: Config, *, factory: str, hand_over: Callable[[], None]) -> None:
        self._config = config
        self._factory = factory
        self._hand_over = hand_over
        self._lock_path = worker_lock(config)
        self._process: subprocess.Popen[bytes] | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._starts = 0
        self._failures = 0

    def start(self) -> None:
        self._thread.start()

    def status(self) -> dict[str, Any]:
        """State, process id and how often this service had to start one."""
        note = holder_of(self._lock_path)
        return {
            "state": "starting" if note is None else "running",
            "pid": (note or {}).get("pid"),
            "starts": self._starts,
        }

    def stop(self, *, grace_s: float = 7.0) -> None:
        """Stop watching and end the worker; it gives its jobs back to the queue first."""
        self._stop.set()
        if self._thread.ident is None:
            return  # never started: the service failed before it could serve
        self._thread.join()
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(grace_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        # One that an earlier service started is no child of ours.
        stop_holder(holder_of(self._lock_path), grace_s=grace_s)

    def _watch(self) -> None:
        note = holder_of(self._lock_path)
        if note and note.get("settings") != settings_hash(self._config):
            # It would use another store, or another version's code; its jobs go back to the queue.
            _log.info("the worker runs under other settings; replacing it")
            stop_holder(note, grace_s=_REPLACE_S)
        delay = 0.0
        while not self._stop.wait(delay):
            if self._alive():
                self._hand_over()
                delay = _ROUND_S
                continue
            try:
                self._spawn()
                # A worker that fails at once (a full disk, a database away) is tried less and less often.
                delay = min(_MAX_DELAY_S, _ROUND_S * 2**self._failures)
            except OSError:
                _log.exception("the worker cannot be started")
                delay = _MAX_DELAY_S

    def _alive(self) -> bool:
        if self._process is not None and self._process.poll() is None:
            return True
        return holder_of(self._lock_path) is not None

    def _spawn(self) -> None:
        if self._process is not None:
            code = self._process.returncode
            self._failures = min(self._failures + 1, 6) if code > 0 else 0
            _log.warning("the worker ended with code %s; starting another", code)
        self._starts += 1
        err = os.open(log_file(self._config, "worker.err"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            # A session of its own: it outlives this service, and the next one adopts it.
            self._process = subprocess.Popen(
                module_command("nbplat.service.worker", "--attached", "--platform", self._factory),
                stdin=subprocess.DEVNULL,
                stdout=err,
                stderr=err,
                start_new_session=True,
                cwd=self._config.home,
                env=environ_of(self._config),
            )
        finally:
            os.close(err)
