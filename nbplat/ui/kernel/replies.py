"""Replies of Jupyter's messaging protocol from what a session says at the cursor."""

from __future__ import annotations

from typing import Any

from nbplat.ui.kernel.asking import Asked

__all__ = ["complete_reply", "inspect_reply"]


def complete_reply(asked: Asked | None, part: tuple[str, int], cursor: int) -> dict[str, Any]:
    """The content of a ``complete_reply``; no matches when there is no session.

    Args:
        part: The text that the session is asked about, and the cursor in it.
        cursor: The cursor in the cell.
    """
    code, at = part
    found: dict[str, Any] = {"matches": [], "start": at, "end": at}
    if asked is not None:
        found = asked.complete(code, at)
    return {
        "status": "ok",
        "matches": list(found["matches"]),
        "cursor_start": int(found["start"]) + cursor - at,
        "cursor_end": int(found["end"]) + cursor - at,
        "metadata": {},
    }


def inspect_reply(asked: Asked | None, part: tuple[str, int]) -> dict[str, Any]:
    """The content of an ``inspect_reply``."""
    text = "" if asked is None else asked.inspect(*part)
    return {"status": "ok", "found": bool(text), "data": {"text/plain": text} if text else {}, "metadata": {}}
