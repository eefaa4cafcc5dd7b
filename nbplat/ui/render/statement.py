"""Sessions' statements in one line: where they are, and how far Spark is."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from nbplat.ui.render.figures import duration_text
from nbplat.ui.render.progress import bar_html
from nbplat.ui.render.result import Result

__all__ = ["statement_line", "title_of"]


def title_of(session: Mapping[str, Any]) -> str:
    """``etl (3)``, or ``3`` of a session without a name."""
    return f"{session['name']} ({session['id']})" if session["name"] else str(session["id"])


def statement_line(title: str, state: Mapping[str, Any], progress: Mapping[str, Any], elapsed_s: float) -> Result:
    """``etl[3] running 38 % 152/400 tasks stage 2 collect 1.2 s``, with a bar that never goes back.

    Args:
        title: Session and number.
        state: ``state``, of a statement that has ended its whole record.
        progress: ``fraction`` and, once Spark works, ``done``, ``total``, ``failed`` and ``stages``.
    """
    word = state["state"]
    ended = word in ("available", "cancelled")
    if word == "available":
        word = "failed" if (state.get("output") or {}).get("status") == "error" else "done"
    parts = [title, word]
    percent = 100 if word == "done" else int(100 * progress.get("fraction", 0.0)) if not ended else None
    if progress.get("total"):
        if percent is not None and not ended:
            parts.append(f"{percent} %")
        # The last look was a moment before the end.
        done = "" if word == "done" else f"{progress['done']:,}/"
        parts.append(f"{done}{progress['total']:,} tasks")
        if progress.get("failed"):
            parts.append(f"{progress['failed']:,} failed")
        running = [stage for stage in progress.get("stages", ()) if stage["active"]]
        if running and not ended:
            parts.append(f"stage {running[-1]['id']} {running[-1]['name']}")
    parts.append(duration_text(elapsed_s))
    text = " ".join(parts)
    bar = bar_html(title, percent) if progress.get("total") and percent is not None and not ended else ""
    return Result(
        text=text, html=f"<div>{html.escape(text)}{bar}</div>", data={"state": word, "progress": dict(progress)}
    )
