"""Compiled loops, when numba is there and there is enough to do; the results are the same without."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from .loops import LOOPS

__all__ = ["compiled", "forced"]

# Nanoseconds that loading numba and its cache takes; it is loaded when so much could have been saved already.
_WORTH = 1_000_000_000
# Nanoseconds a row that each loop saves over its numpy form, roughly.
_SAVED = {"bisect": 150, "merge": 10}

_state: dict[str, Any] = {"mode": None, "saved": 0.0, "loops": {}}


def compiled(name: str, rows: int) -> Callable[..., Any] | None:
    """A loop of `loops.LOOPS` in machine code; None where its numpy form is to be used.

    The environment variable ``NBPLAT_NUMBA`` decides: ``0`` never, ``1`` always; without it when numba can be imported
    and what was asked for so far in this process was worth loading it.

    Args:
        rows: How much there is to do.
    """
    mode = _state["mode"] if _state["mode"] is not None else os.environ.get("NBPLAT_NUMBA", "")
    if mode == "0":
        return None
    if mode != "1" and not _state["loops"]:
        _state["saved"] += rows * _SAVED[name]
        if _state["saved"] < _WORTH:
            return None
    if name not in _state["loops"]:
        _state["loops"][name] = _compile(name)
    found: Callable[..., Any] | None = _state["loops"][name]
    return found


@contextmanager
def forced(mode: str | None) -> Iterator[None]:
    """Within it: ``0`` never, ``1`` always, None as the environment says."""
    before = _state["mode"]
    _state["mode"] = mode
    try:
        yield
    finally:
        _state["mode"] = before


def _compile(name: str) -> Callable[..., Any] | None:
    if "numba" not in sys.modules and importlib.util.find_spec("numba") is None:
        return None
    import numba

    loop: Any = LOOPS[name]
    try:
        found: Callable[..., Any] = numba.njit(cache=True, nogil=True)(loop)
    except RuntimeError:
        # In a zip there is no place for a cache.
        found = numba.njit(nogil=True)(loop)
    return found
