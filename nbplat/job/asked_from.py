"""Which notebook something is asked from: kept with the run, so that every list leads back to it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

__all__ = ["NOTEBOOK_VARIABLE", "asked_from", "asking_from"]

NOTEBOOK_VARIABLE = "JPY_SESSION_NAME"
"""Where a Jupyter server tells its kernels, and what they start, their notebook."""

_ENDING = ".ipynb"
_MOST_CHARS = 1000
_ASKED: ContextVar[str | None] = ContextVar("nbplat_asked_from", default=None)


def asked_from() -> str:
    """Path of the notebook on the asker's machine, as its front end told it when the kernel started; empty: none.

    In a service it is what the request says; elsewhere this process is the asker.
    """
    asked = _ASKED.get()
    return _checked(_told_here()) if asked is None else asked


@contextmanager
def asking_from(path: str) -> Iterator[None]:
    """What runs inside is asked for from this notebook; whatever is no path of one counts as none."""
    mark = _ASKED.set(_checked(path))
    try:
        yield
    finally:
        _ASKED.reset(mark)


def _told_here() -> str:
    # VS Code tells its notebooks by a variable in them, and starts kernels that have no other sign.
    shell: Any = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    told = getattr(shell, "user_ns", {}).get("__vsc_ipynb_file__")
    return told if isinstance(told, str) else os.environ.get(NOTEBOOK_VARIABLE, "")


def _checked(path: str) -> str:
    return path if path.endswith(_ENDING) and path.isprintable() and len(path) <= _MOST_CHARS else ""
