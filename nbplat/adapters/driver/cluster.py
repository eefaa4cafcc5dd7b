"""Drivers inside a cluster: submitted by spark-submit, which ends; they call back over TLS."""

from __future__ import annotations

import functools
import json
import logging
import shutil
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbplat.adapters.driver.applications import Applications, submitted, write_standing, written_standing
from nbplat.adapters.driver.command import DRIVER_LOG
from nbplat.adapters.driver.dialled import DialledLine
from nbplat.adapters.driver.hub import Hub, write_spec
from nbplat.adapters.driver.kept import fresh_folder, kept_lives, kill_kept, log_of
from nbplat.adapters.driver.kept_rows import KeptRows
from nbplat.adapters.driver.managers import Standing
from nbplat.adapters.driver.spark_program import spark_program
from nbplat.adapters.driver.submission import SUBMIT_LOG, Program, submit
from nbplat.errors import RemoteError
from nbplat.session.ports import Ending

if TYPE_CHECKING:
    from nbplat.session.ports import Drivers
    from nbplat.session.records import Session

__all__ = ["CLUSTER_PLACE", "ClusterDrivers"]

CLUSTER_PLACE = "cluster"
"""In a driver's record, as ``place``."""

_log = logging.getLogger("nbplat.session")

# A driver that lost its line calls again within seconds; asking the cluster's manager takes a whole JVM.
_QUIET_S = 15.0
_ASK_AGAIN_S = 30.0
_TAIL_LINES = 20


class ClusterDrivers(KeptRows):
    """Starts drivers on YARN and Kubernetes, and takes their calls; rows and uploads go by a driver's line.

    Args:
        folder: Holds a folder a session; made when missing.
        hub: Where they call.
        alone_s: A driver that no service spoke to for so long ends itself.
        quiet_s: Without a line for so long the cluster's manager is asked what became of a driver.
        program: Makes the command of a program of Spark's; None: those of this interpreter's pyspark.
    """

    def __init__(
        self,
        folder: Path,
        hub: Hub,
        alone_s: float = 86_400.0,
        *,
        quiet_s: float = _QUIET_S,
        program: Program | None = None,
    ) -> None:
        self._folder = folder
        self._hub = hub
        self._alone_s = alone_s
        self._quiet_s = quiet_s
        self._program = program or functools.partial(spark_program, sys.executable)
        self._applications = Applications(self._program)
        self._changing = threading.Lock()
        self._asking: set[int] = set()
        # Sessions whose end is being made sure of, and whether their folder is to go then.
        self._ensuring: dict[int, bool] = {}
        # Per session, by monotonic time: when its line was there last, and when the manager was asked last.
        self._heard: dict[int, float] = {}
        self._asked: dict[int, float] = {}

    def start(self, session: Session) -> dict[str, Any]:
        """Submit a driver; see `nbplat.session.ports.Drivers`."""
        where = self._hub.open()
        folder = self._folder / str(session.id)
        if folder.exists():
            self._applications.end_earlier(folder)
        fresh_folder(folder)
        found = submit(folder, session, where, self._alone_s, self._program)
        self._heard[session.id] = time.monotonic()
        return {**found, "place": CLUSTER_PLACE, "session": session.id}

    def lives(self, driver: Mapping[str, Any]) -> bool:
        """Whether it is there, for all that is known: its line, the submission, and at last the manager's word."""
        if not driver or not Path(driver["folder"]).is_dir():
            return False
        if written_standing(driver) is not None:
            return False
        if kept_lives(driver):
            return True
        if not self._applications.name(driver):
            # The submission has ended and made nothing.
            return False
        number = driver["session"]
        now = time.monotonic()
        with self._changing:
            quiet = now - self._heard.setdefault(number, now) > self._quiet_s
            due = now - self._asked.get(number, -_ASK_AGAIN_S) >= _ASK_AGAIN_S
            if not (quiet and due) or number in self._asking:
                return True
            self._asking.add(number)
        threading.Thread(target=self._look, args=(dict(driver),), name="standing", daemon=True).start()
        return True

    def open(self, driver: Mapping[str, Any], after: int) -> DialledLine | None:
        """The line that the driver has made; None while it has made none."""
        self._hub.open()
        number = driver["session"]
        connection = self._hub.take(number)
        if connection is None:
            return None
        folder = Path(driver["folder"])
        spec = json.loads((folder / "spec.json").read_text())
        try:
            line = DialledLine(connection, spec["token"], after, folder, ended=lambda: self._ended(driver))
        except OSError:
            # It calls again.
            return None
        _renew(folder)
        line.left = lambda: self._hear(number)
        self._heard[number] = float("inf")
        return line

    def left_behind(self, driver: Mapping[str, Any], after: int) -> list[dict[str, Any]]:
        """Nothing: a driver that ends keeps its events until they are taken; one that is killed takes them along."""
        return []

    def ending(self, driver: Mapping[str, Any]) -> Ending:
        """How it came to its end, by the manager's word or the submission's log."""
        _, lines = self.log(driver, after=-_TAIL_LINES, limit=_TAIL_LINES)
        standing = written_standing(driver)
        if standing is None:
            return Ending(submitted(driver), lines)
        return Ending(standing.code, [*lines, standing.said])

    def kill(self, driver: Mapping[str, Any]) -> None:
        """End submission and application."""
        if not driver or not Path(driver["folder"]).is_dir():
            return
        if written_standing(driver) is not None:
            return
        application = self._applications.name(driver)
        kill_kept(driver)
        if application:
            self._applications.end(driver, application)
        write_standing(driver, Standing(True, None, "the session was ended"))

    def log(self, driver: Mapping[str, Any], *, after: int = 0, limit: int = 1000) -> tuple[int, list[str]]:
        """Lines of the submission, then those of the driver."""
        lines = log_of(driver, SUBMIT_LOG, limit=sys.maxsize)[1] + log_of(driver, DRIVER_LOG, limit=sys.maxsize)[1]
        start = max(0, len(lines) + after) if after < 0 else after
        return len(lines), lines[start : start + limit]

    def remove(self, driver: Mapping[str, Any]) -> None:
        """Delete the folder."""
        self._hub.forget(driver["session"])
        with self._changing:
            if driver["session"] in self._ensuring:
                self._ensuring[driver["session"]] = True  # whoever makes sure of its end needs the folder
                return
        shutil.rmtree(driver["folder"], ignore_errors=True)

    def close(self) -> None:
        """Take no more calls."""
        self._hub.close()

    def _look(self, driver: Mapping[str, Any]) -> None:
        number = driver["session"]
        try:
            self._applications.look(driver)
        except OSError as exc:
            _log.warning("session %d: its cluster's manager is not asked: %s", number, exc)
        finally:
            with self._changing:
                self._asked[number] = time.monotonic()
                self._asking.discard(number)

    def _ended(self, driver: Mapping[str, Any]) -> None:
        """It has said its end, and all that it told is stored."""
        write_standing(driver, Standing(False, 0, "the driver has ended"))
        with self._changing:
            self._ensuring[driver["session"]] = False
        # A little later nothing of the application may be left; nobody waits for that.
        threading.Thread(target=self._make_sure, args=(dict(driver),), name="making sure", daemon=True).start()

    def _make_sure(self, driver: Mapping[str, Any]) -> None:
        try:
            self._applications.end_late(driver)
        except (OSError, RemoteError) as exc:
            _log.warning("session %d: nobody knows whether its application has ended: %s", driver["session"], exc)
        finally:
            with self._changing:
                remove = self._ensuring.pop(driver["session"], False)
            if remove:
                shutil.rmtree(driver["folder"], ignore_errors=True)

    def _hear(self, number: int) -> None:
        self._heard[number] = time.monotonic()


def _renew(folder: Path) -> None:
    """The token that came by the cluster's files is worth nothing from now on."""
    spec = json.loads((folder / "spec.json").read_text())
    if not spec["renewed"]:
        write_spec(folder, {**spec, "renewed": True, "dial_tokens": spec["dial_tokens"][-1:]})


if TYPE_CHECKING:
    _KEEPS_THE_PORT: type[Drivers] = ClusterDrivers
