"""Driver processes on this machine."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from nbplat.adapters.driver.line import Line
from nbplat.errors import SetupError
from nbplat.remote.bundle import write_bundle
from nbplat.remote.driver.event_log import read_events
from nbplat.session.ports import Ending

if TYPE_CHECKING:
    from nbplat.session.ports import Drivers
    from nbplat.session.records import Session

__all__ = ["FOLDER", "LocalDrivers"]

FOLDER = "{session folder}"
"""In a value of a session's conf: its own folder, which has a name only when its driver starts."""

_START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from nbplat.remote.driver.main import main; sys.exit(main())"
# A shell waits for the driver, whose parent may be gone when it ends: it writes the exit code down and ends whatever
# the driver leaves in the group (a JVM, processes of cells), itself included.
_WITNESS = '"$@"; echo $? > "$0.new"; mv "$0.new" "$0"; kill -KILL 0'
_TAIL_LINES = 20

# What this process started itself must be waited for, or it stays as a zombie.
_children: dict[int, subprocess.Popen[bytes]] = {}


class LocalDrivers:
    """Starts each driver in a process group of its own, with a folder of its own.

    Args:
        folder: Holds a folder a session; made when missing.
        sockets: Holds the sockets: short, and nobody else's.
        bundles: Where the code that a driver needs of us is kept.
        interpreter: The Python of a session.
    """

    def __init__(
        self,
        folder: Path,
        sockets: Path,
        bundles: Path,
        interpreter: Callable[[Session], str] = lambda _: sys.executable,
    ) -> None:
        self._folder = folder
        self._sockets = sockets
        self._bundles = bundles
        self._interpreter = interpreter

    def start(self, session: Session) -> dict[str, Any]:
        """Start a driver; see `nbplat.session.ports.Drivers`."""
        folder = self._folder / str(session.id)
        if folder.exists():
            # An earlier try of the same start, which was killed before its driver was known.
            _end_strays(folder)
            shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700, parents=True)
        work = folder / "work"
        work.mkdir()
        sock = str(self._sockets / f"s{session.id}-{secrets.token_hex(4)}")
        conf = {key: value.replace(FOLDER, str(folder)) for key, value in session.conf.items()}
        spec = {"kind": session.kind, "conf": conf, "socket": sock, "token": secrets.token_urlsafe(24)}
        handle = os.open(folder / "spec.json", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as out:
            json.dump(spec, out)
        interpreter = self._interpreter(session)
        command = [interpreter, "-I", "-c", _START, write_bundle(str(self._bundles)), str(folder)]
        log = os.open(folder / "driver.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            process = subprocess.Popen(
                ["/bin/sh", "-c", _WITNESS, str(folder / "exit"), *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=work,
            )
        except OSError as exc:
            raise SetupError(
                "session.interpreter",
                f"the driver cannot be started: {exc.strerror}",
                fix="check the session's environment",
                where=interpreter,
            ) from None
        finally:
            os.close(log)
        _children[process.pid] = process
        return {"pid": process.pid, "born": _born(process.pid), "folder": str(folder), "socket": sock}

    def lives(self, driver: Mapping[str, Any]) -> bool:
        """Whether the process is there, and the very same one."""
        if not driver:
            return False
        child = _children.get(driver["pid"])
        if child is not None and child.poll() is not None:
            del _children[driver["pid"]]
            return False
        try:
            process = psutil.Process(driver["pid"])
            return abs(process.create_time() - driver["born"]) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

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
        code: int | None = None
        with contextlib.suppress(OSError, ValueError):
            code = int(Path(driver["folder"], "exit").read_text())
            # A shell says 128 + n for signal n.
            code = 128 - code if code > 128 else code
        return Ending(code, self.log(driver, after=-_TAIL_LINES, limit=_TAIL_LINES)[1])

    def kill(self, driver: Mapping[str, Any]) -> None:
        """End the whole process group."""
        if not self.lives(driver):
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(driver["pid"], signal.SIGKILL)
        if (child := _children.pop(driver["pid"], None)) is not None:
            child.wait()

    def log(self, driver: Mapping[str, Any], *, after: int = 0, limit: int = 1000) -> tuple[int, list[str]]:
        """Lines of the driver's log."""
        try:
            lines = Path(driver["folder"], "driver.log").read_text(errors="replace").splitlines()
        except (OSError, KeyError):
            return 0, []
        start = max(0, len(lines) + after) if after < 0 else after
        return len(lines), lines[start : start + limit]

    def remove(self, driver: Mapping[str, Any]) -> None:
        """Delete the folder and the socket."""
        shutil.rmtree(driver["folder"], ignore_errors=True)
        Path(driver["socket"]).unlink(missing_ok=True)


def _end_strays(folder: Path) -> None:
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if str(folder) in process.cmdline()[-1:] and process.pid != os.getpid():
                os.killpg(os.getpgid(process.pid), signal.SIGKILL)


def _born(pid: int) -> float:
    return float(psutil.Process(pid).create_time())


if TYPE_CHECKING:
    _KEEPS_THE_PORT: type[Drivers] = LocalDrivers
