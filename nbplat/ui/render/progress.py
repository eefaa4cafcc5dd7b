"""How far a job is, in one greppable line and as a bar."""

from __future__ import annotations

import html

from nbplat.terms import Progress
from nbplat.ui.render.figures import duration_text

__all__ = ["bar_html", "progress_html", "progress_text"]


def progress_text(title: str, state: str, progress: Progress, *, elapsed_s: float | None = None) -> str:
    """``spend_90d@1 stage running 12/40 units 30 % 4.2 s``.

    Args:
        title: What it is: run and step.
        elapsed_s: Seconds since it started; None when it has not.
    """
    parts = [title, state]
    if progress.total and progress.unit == "‰":
        parts.append(f"{_percent(progress)} %")
    elif progress.total:
        parts.append(f"{progress.done:,}/{progress.total:,} {progress.unit} {_percent(progress)} %")
    elif progress.done:
        parts.append(f"{progress.done:,} {progress.unit}")
    if progress.what and state == "running":
        parts.append(progress.what)
    if elapsed_s is not None:
        parts.append(duration_text(elapsed_s))
    return " ".join(parts)


def progress_html(title: str, state: str, progress: Progress, *, elapsed_s: float | None = None) -> str:
    """The line with a bar below; no colour carries meaning that the words do not."""
    text = html.escape(progress_text(title, state, progress, elapsed_s=elapsed_s))
    if not progress.total:
        return f"<div>{text}</div>"
    return f"<div>{text}{bar_html(title, _percent(progress))}</div>"


def bar_html(title: str, percent: int) -> str:
    """A bar; `title` names it for those who hear it."""
    return (
        f'<div role="progressbar" aria-valuemin="0" aria-valuemax="100" aria-valuenow="{percent}" '
        f'aria-label="{html.escape(title, quote=True)}" style="width:min(100%,420px);height:6px;margin-top:4px;'
        'border:1px solid currentColor;border-radius:4px;background:transparent;overflow:hidden">'
        f'<div style="width:{percent}%;height:100%;background:currentColor;opacity:.6"></div></div>'
    )


def _percent(progress: Progress) -> int:
    # Rounded down: 100 % is said only when all is done.
    return min(100, 100 * progress.done // progress.total)
