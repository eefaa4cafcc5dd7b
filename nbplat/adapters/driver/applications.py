"""What became of the application that a submission made: its manager is asked, and what it says is written down."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nbplat.adapters.driver.managers import Manager, Standing, manager_of
from nbplat.adapters.driver.submission import CONF, SUBMIT_LOG, Program, launcher_variables
from nbplat.errors import RemoteError

__all__ = ["Applications", "submitted", "write_standing", "written_standing"]

_log = logging.getLogger("nbplat.session")

_STANDING = "standing.json"
_ASK_LIMIT_S = 90.0
# A pod that is deleted has half a minute to end, and runs as far as Kubernetes says.
_GRACE_S = 45.0
_LOOK_AGAIN_S = 1.0
# An application ends within seconds of its driver.
_OWN_END_S = 30.0
_OWN_END_LOOK_S = 2.0


class Applications:
    """Asks managers; each answer takes a JVM of its own, and seconds.

    Args:
        program: Makes the command of a program of Spark's.
    """

    def __init__(self, program: Program) -> None:
        self._program = program

    def name(self, driver: Mapping[str, Any]) -> str:
        """Id of the application that a driver's submission made; empty when it has not."""
        folder = Path(driver["folder"])
        # Without spec or log nothing was submitted, or the session was deleted meanwhile.
        with contextlib.suppress(OSError, ValueError):
            spec = json.loads((folder / "spec.json").read_text())
            if spec["master"].startswith("k8s://") and submitted(driver) not in (0, None):
                return ""
            text = (folder / SUBMIT_LOG).read_text(errors="replace")
            return manager_of(spec["master"], "").application(text, spec)
        return ""

    def look(self, driver: Mapping[str, Any]) -> None:
        """Ask how it stands, and write its end down.

        Raises:
            OSError: the session's folder is gone.
        """
        manager, spec = _manager(driver)
        standing = self._standing(driver, manager, spec, self.name(driver))
        if standing is not None and standing.ended:
            write_standing(driver, standing)

    def end(self, driver: Mapping[str, Any], application: str) -> None:
        """End it, and wait until it has ended.

        Raises:
            RemoteError: ``session.driver``: the cluster does not end it, or does not answer.
            OSError: as `look`.
        """
        manager, spec = _manager(driver)
        answer = self._run(driver, spec, manager.kill(application))
        limit = time.monotonic() + _GRACE_S
        standing = self._standing(driver, manager, spec, application)
        while standing is not None and not standing.ended and time.monotonic() < limit:
            time.sleep(_LOOK_AGAIN_S)
            standing = self._standing(driver, manager, spec, application)
        if standing is None or not standing.ended:
            raise RemoteError(
                "session.driver",
                f"the cluster does not end {application}: {answer.strip()[-300:]}",
                fix="stop the session again when the cluster answers, or end the application there",
            )

    def end_late(self, driver: Mapping[str, Any]) -> None:
        """Wait for the end of an application whose driver has ended; it is ended when it does not come.

        Raises:
            RemoteError, OSError: as `end`.
        """
        manager, spec = _manager(driver)
        application = self.name(driver)
        deadline = time.monotonic() + _OWN_END_S
        while application and time.monotonic() < deadline:
            standing = self._standing(driver, manager, spec, application)
            if standing is None or standing.ended:
                return
            time.sleep(_OWN_END_LOOK_S)
        if application:
            self.end(driver, application)

    def end_earlier(self, folder: Path) -> None:
        """What an earlier try of the same start has submitted is ended, or the session would have two drivers."""
        driver = {"folder": str(folder), "session": int(folder.name)}
        application = self.name(driver)
        if application and written_standing(driver) is None:
            self.end(driver, application)

    def _standing(
        self, driver: Mapping[str, Any], manager: Manager, spec: Mapping[str, Any], application: str
    ) -> Standing | None:
        return manager.standing(self._run(driver, spec, manager.status(application)))

    def _run(self, driver: Mapping[str, Any], spec: Mapping[str, Any], words: Sequence[str]) -> str:
        """What a program of Spark's says."""
        # Hadoop's own way to ask for another user, under this one's right to do so.
        whose = {"HADOOP_PROXY_USER": spec["user"]} if spec.get("user") else {}
        try:
            done = subprocess.run(
                self._program(spec["pyspark"], words),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_ASK_LIMIT_S,
                check=False,
                env={**os.environ, **launcher_variables(Path(driver["folder"])), **whose},
            )
        except (OSError, subprocess.TimeoutExpired) as exc:
            _log.warning("session %d: %s", driver["session"], exc)
            return ""
        return done.stdout + done.stderr


def submitted(driver: Mapping[str, Any]) -> int | None:
    """Exit code of the submission; None while it runs."""
    with contextlib.suppress(OSError, ValueError):
        return int(Path(driver["folder"], "exit").read_text())
    return None


def written_standing(driver: Mapping[str, Any]) -> Standing | None:
    """What is written down of its end; None while it lives."""
    with contextlib.suppress(OSError, ValueError):
        return Standing(*json.loads(Path(driver["folder"], _STANDING).read_text()))
    return None


def write_standing(driver: Mapping[str, Any], standing: Standing) -> None:
    """Write an end down; nothing happens when the folder is gone: the session was deleted meanwhile."""
    with contextlib.suppress(OSError):
        fresh = Path(driver["folder"], f".{_STANDING}")
        fresh.write_text(json.dumps(list(standing)))
        fresh.replace(Path(driver["folder"], _STANDING))


def _manager(driver: Mapping[str, Any]) -> tuple[Manager, dict[str, Any]]:
    folder = Path(driver["folder"])
    spec: dict[str, Any] = json.loads((folder / "spec.json").read_text())
    return manager_of(spec["master"], str(folder / CONF)), spec
