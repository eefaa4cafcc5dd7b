"""Driver processes on this machine."""

from __future__ import annotations

import json
import secrets
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbplat.adapters.driver.command import DRIVER_LOG, FOLDER, driver_command, in_folder
from nbplat.adapters.driver.kept import (
    ending_of,
    fresh_folder,
    kept_lives,
    kill_kept,
    log_of,
    start_kept,
    write_private,
)
from nbplat.adapters.driver.kept_rows import KeptRows
from nbplat.adapters.driver.line import Line
from nbplat.remote.driver.event_log import read_events

if TYPE_CHECKING:
    from nbplat.adapters.driver.warm import WarmPool
    from nbplat.session.ports import Drivers, Ending
    from nbplat.session.records import Session

__all__ = ["FOLDER", "LocalDrivers"]


class LocalDrivers(KeptRows):
    """Starts each driver in a process group of its own, with a folder of its own.

    Args:
        folder: Holds a folder a session; made when missing.
        sockets: Holds the sockets: short, and nobody else's.
        bundles: Where the code that a driver needs of us is kept.
        interpreter: The Python of a session.
        alone_s: A driver that no service spoke to for so long ends itself.
        warm: Drivers that are there before a session asks; None: each is started for its session.
        archives: Folder of class-data archives that drivers use; None: none.
    """

    def __init__(
        self,
        folder: Path,
        sockets: Path,
        bundles: Path,
        interpreter: Callable[[Session], str] = lambda _: sys.executable,
        alone_s: float = 86_400.0,
        warm: WarmPool | None = None,
        archives: Path | None = None,
    ) -> None:
        self._folder = folder
        self._sockets = sockets
        self._bundles = bundles
        self._interpreter = interpreter
        self._alone_s = alone_s
        self._warm = warm
        self._archives = archives

    def start(self, session: Session) -> dict[str, Any]:
        """Start a driver; see `nbplat.session.ports.Drivers`."""
        interpreter = self._interpreter(session)
        if self._warm is not None:
            self._warm.abandon(session.id)
            # For another user it needs a process of its own: a warm one is ours.
            claimed = None if session.proxy_user else self._warm.claim(session, interpreter, self._alone_s)
            if claimed is not None:
                return claimed
        folder = self._folder / str(session.id)
        fresh_folder(folder)
        sock = str(self._sockets / f"s{session.id}-{secrets.token_hex(4)}")
        spec = {
            "kind": session.kind,
            "conf": in_folder(dict(session.conf), folder),
            "socket": sock,
            "token": secrets.token_urlsafe(24),
            "alone_s": self._alone_s,
            "archives": "" if self._archives is None else str(self._archives),
        }
        write_private(folder / "spec.json", json.dumps(spec))
        command = driver_command(interpreter, self._bundles, folder)
        # Hadoop's own way to do all for another user, under this one's right to do so.
        whose = {"HADOOP_PROXY_USER": session.proxy_user} if session.proxy_user else None
        return {**start_kept(folder, DRIVER_LOG, command, environ=whose), "socket": sock}

    def lives(self, driver: Mapping[str, Any]) -> bool:
        """Whether the process is there, and the very same one."""
        return kept_lives(driver)

    def open(self, driver: Mapping[str, Any], after: int) -> Line | None:
        """A line to a driver; None while it does not listen yet."""
        spec = json.loads(Path(driver["folder"], "spec.json").read_text())
        try:
            return Line(driver["socket"], spec["token"], after)
        except OSError:
            return None

    def left_behind(self, driver: Mapping[str, Any], after: int) -> list[dict[str, Any]]:
        """Events in the folder of a driver that has ended."""
        return read_events(str(Path(driver["folder"]) / "events"), after)

    def ending(self, driver: Mapping[str, Any]) -> Ending:
        """How one that has ended came to its end."""
        return ending_of(driver, DRIVER_LOG)

    def kill(self, driver: Mapping[str, Any]) -> None:
        """End the whole process group."""
        kill_kept(driver)

    def log(self, driver: Mapping[str, Any], *, after: int = 0, limit: int = 1000) -> tuple[int, list[str]]:
        """Lines of the driver's log."""
        return log_of(driver, DRIVER_LOG, after=after, limit=limit)

    def remove(self, driver: Mapping[str, Any]) -> None:
        """Delete the folder and the socket."""
        shutil.rmtree(driver["folder"], ignore_errors=True)
        Path(driver["socket"]).unlink(missing_ok=True)

    def close(self) -> None:
        """Nothing is held open."""


if TYPE_CHECKING:
    _KEEPS_THE_PORT: type[Drivers] = LocalDrivers
