"""Replies of Jupyter's messaging protocol from what a session says at the cursor."""

from __future__ import annotations

from typing import Any

from nbplat.ui.kernel.asking import Asked

__all__ = ["complete_reply", "inspect_reply"]


def complete_reply(asked: Asked | None, code: str, cursor: int) -> dict[str, Any]:
    """The content of a ``complete_reply``; no matches when there is no session."""
    none: dict[str, Any] = {"matches": [], "start": cursor, "end": cursor}
    found = none if asked is None else asked.complete(code, cursor)
    return {
        "status": "ok",
        "matches": list(found["matches"]),
        "cursor_start": int(found["start"]),
        "cursor_end": int(found["end"]),
        "metadata": {},
    }


def inspect_reply(asked: Asked | None, code: str, cursor: int) -> dict[str, Any]:
    """The content of an ``inspect_reply``."""
    text = "" if asked is None else asked.inspect(code, cursor)
    return {"status": "ok", "found": bool(text), "data": {"text/plain": text} if text else {}, "metadata": {}}
