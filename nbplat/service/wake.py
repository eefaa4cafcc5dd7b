"""Wake the worker: one byte to a datagram socket, so that an idle worker sleeps and a queued job starts at once."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import stat
import tempfile
from pathlib import Path

from nbplat.config import Config
from nbplat.errors import SetupError
from nbplat.service.discovery import home_hash

__all__ = ["WakeSocket", "notify_worker", "runtime_folder"]


def runtime_folder(config: Config) -> Path:
    """A short 0700 folder for sockets: ``$XDG_RUNTIME_DIR/nbplat-<hash>``, else one of ours under the temporary folder.

    Never under the state folder: a socket's path holds about 100 bytes, and a state folder may be a network one.

    Raises:
        SetupError: the folder belongs to somebody else or is open to others.
    """
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    if base and os.access(base, os.W_OK):
        return _owned(Path(base) / f"nbplat-{home_hash(config)}")
    return _owned(_owned(Path(tempfile.gettempdir()) / f"nbplat-{os.getuid()}") / home_hash(config))


def _owned(folder: Path) -> Path:
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise SetupError(
            "runtime.folder",
            f"{folder} is not a private folder of yours",
            fix=f"remove it (ls -ld {folder}), or set XDG_RUNTIME_DIR to a folder of your own",
            where=str(folder),
        )
    return folder


def notify_worker(config: Config) -> None:
    """Tell the worker to look now. Nothing happens when none runs: the next one looks when it starts."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        with contextlib.suppress(OSError):
            sender.sendto(b"!", str(runtime_folder(config) / "worker.sock"))


class WakeSocket:
    """The worker's end; signals wake it too."""

    def __init__(self, config: Config) -> None:
        path = runtime_folder(config) / "worker.sock"
        path.unlink(missing_ok=True)  # the holder of the worker's lock owns this name
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)
        self._signals, self._raised = socket.socketpair()
        for end in (self._signals, self._raised):
            end.setblocking(False)
        signal.set_wakeup_fd(self._raised.fileno(), warn_on_full_buffer=False)

    def wait(self, seconds: float) -> bool:
        """Sleep until `seconds` have passed, a signal came, or somebody called; True when somebody called."""
        ready, _, _ = select.select([self._socket, self._signals], [], [], seconds)
        for end in ready:
            with contextlib.suppress(BlockingIOError):
                while end.recv(4096):
                    pass
        return self._socket in ready

    def close(self) -> None:
        signal.set_wakeup_fd(-1)
        for end in (self._socket, self._signals, self._raised):
            end.close()
        self._path.unlink(missing_ok=True)
