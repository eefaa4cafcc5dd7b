"""Log files of the service and the worker; no request's query string and no token gets near them."""

from __future__ import annotations

import logging
import logging.handlers
import os
import time
from pathlib import Path

__all__ = ["last_lines", "log_to"]

_MAX_BYTES = 5 << 20


class _Private(logging.handlers.RotatingFileHandler):
    """Opens its file 0600, at first and after each turn."""

    def _open(self):  # type: ignore[no-untyped-def]
        return os.fdopen(os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a")


def log_to(path: Path, *, echo: bool = False) -> None:
    """Send every log record of this process to `path`, turned over at 5 MB, three kept.

    Args:
        echo: Show them on standard error too.
    """
    handlers: list[logging.Handler] = [_Private(path, maxBytes=_MAX_BYTES, backupCount=3, delay=True)]
    if echo:
        handlers.append(logging.StreamHandler())
    form = logging.Formatter("%(asctime)sZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
    form.converter = time.gmtime
    for handler in handlers:
        handler.setFormatter(form)
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
    # httpx and friends write whole URLs at INFO.
    for chatty in ("httpx", "httpcore", "urllib3", "alembic", "uvicorn.access"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def last_lines(path: Path, count: int = 8) -> str:
    """The end of a log; empty when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 8192))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-count:])
    except OSError:
        return ""
