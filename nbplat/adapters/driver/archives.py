"""Has class-data archives written, one at a time, in a process that gives way."""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
import shutil
import threading
from pathlib import Path
from typing import Any

from nbplat.adapters.driver.command import archive_command, in_folder
from nbplat.adapters.driver.kept import fresh_folder, kept_lives, kill_kept, start_kept, write_private
from nbplat.errors import NbplatError
from nbplat.session.warm import Recipe

__all__ = ["ArchiveWriter"]

_log = logging.getLogger("nbplat.session")

_LOG = "archive.log"


class ArchiveWriter:
    """Writes the archive of each kind of driver once; safe between threads.

    Args:
        folder: Where it works.
        bundles: Where our code is kept that runs there.
        archives: Where the archives are kept.
    """

    def __init__(self, folder: Path, bundles: Path, archives: Path) -> None:
        self._folder = folder
        self._bundles = bundles
        self._archives = archives
        self._lock = threading.Lock()
        self._done: set[str] = set()
        self._now: tuple[str, dict[str, Any]] | None = None

    @property
    def writes(self) -> bool:
        """Whether one is being written."""
        with self._lock:
            return self._now is not None

    def begin(self, key: str, recipe: Recipe) -> bool:
        """Write the archive of a kind; False when it has been looked after, or another is being written."""
        with self._lock:
            if key in self._done or self._now is not None:
                return False
            try:
                self._now = (key, self._start(recipe, {}))
            except NbplatError as exc:
                _log.warning("no class archive: %s", exc)
                self._done.add(key)
                return False
            return True

    def look(self) -> None:
        """Take what has been written."""
        with self._lock:
            if self._now is None or kept_lives(self._now[1]):
                return
            key, process = self._now
            self._now = None
            # Once: what went wrong would go wrong again.
            self._done.add(key)
            about = _result(process)
            if about.get("failed"):
                _log.warning("no class archive: %s", about["failed"])
            shutil.rmtree(process["folder"], ignore_errors=True)

    def stop(self) -> None:
        """End what is being written; it is begun again some other time."""
        with self._lock:
            if self._now is not None:
                kill_kept(self._now[1])
                shutil.rmtree(self._now[1]["folder"], ignore_errors=True)
                self._now = None

    def write(self, recipe: Recipe) -> dict[str, Any]:
        """Write one now, and measure it; see `nbplat.remote.driver.write_archive.write_archive`."""
        process = self._start(recipe, {"measure": True, "again": True})
        waiting = threading.Event()
        try:
            while kept_lives(process):
                waiting.wait(0.1)
            return _result(process)
        finally:
            kill_kept(process)
            shutil.rmtree(process["folder"], ignore_errors=True)

    def _start(self, recipe: Recipe, more: dict[str, Any]) -> dict[str, Any]:
        folder = self._folder / f"warm-{secrets.token_hex(8)}"
        fresh_folder(folder)
        conf = in_folder({**recipe.hints, **recipe.conf}, folder)
        write_private(folder / "spec.json", json.dumps({"conf": conf, "archives": str(self._archives), **more}))
        # Somebody waits for what is measured.
        command = archive_command(recipe.interpreter, self._bundles, folder, aside=not more)
        return start_kept(folder, _LOG, command)


def _result(process: dict[str, Any]) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        found: dict[str, Any] = json.loads(Path(process["folder"], "result.json").read_text())
        return found
    tail = ""
    with contextlib.suppress(OSError):
        tail = Path(process["folder"], _LOG).read_text(errors="replace")[-1000:].strip()
    return {"failed": f"the process that writes it ended early: {tail}", "fresh": False}
