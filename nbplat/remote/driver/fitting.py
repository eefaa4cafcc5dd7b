"""Keeps what a statement shows to a size that a store, a line and a browser can carry."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

__all__ = ["MOST_CHARS", "Shown", "fitting"]

MOST_CHARS = 32 << 20
"""Of one value or result as JSON, and of all that one statement displays."""


def fitting(data: dict[str, Any]) -> dict[str, Any]:
    """A value by MIME type; forms that are too large are left out, and ``text/plain`` says so.

    Raises:
        ValueError: rows as JSON are too large: there is nothing else to show of them.
    """
    sizes = {mime: _size(item) for mime, item in data.items()}
    if sum(sizes.values()) <= MOST_CHARS:
        return data
    if "schema" in (data.get("application/json") or ()):
        raise ValueError(f"the rows take {sizes['application/json']:,} characters as JSON: take fewer, or as Arrow")
    kept = {mime: item for mime, item in data.items() if sizes[mime] <= MOST_CHARS // 4}
    left = ", ".join(f"{mime} of {sizes[mime]:,} characters" for mime in data if mime not in kept)
    return {**kept, "text/plain": f"{kept.get('text/plain', '')}\n… left out: {left} …".lstrip()}


class Shown:
    """What one statement displays before its end.

    Args:
        send: Takes a bundle.
    """

    def __init__(self, send: Callable[[dict[str, Any]], Any]) -> None:
        self._send = send
        self._taken = 0
        self._left_out = 0

    def show(self, bundle: dict[str, Any]) -> None:
        """Send a bundle, unless too much was displayed before."""
        fit = fitting(bundle)
        self._taken += sum(map(_size, fit.values()))
        if self._taken <= MOST_CHARS:
            self._send(fit)
        else:
            self._left_out += 1

    def close(self) -> None:
        """Say what was left out."""
        if self._left_out:
            self._send({"text/plain": f"… {self._left_out:,} more displays were left out …"})


def _size(item: Any) -> int:
    return len(item) if isinstance(item, str) else len(json.dumps(item, default=str))
