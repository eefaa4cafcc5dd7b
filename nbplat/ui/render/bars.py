"""Small pictures as inline SVG without a script: bars beside one another, in the theme's own colours."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence

__all__ = ["histogram", "paired_bars"]

_ROW, _BAR, _GAP = 22, 8, 2
_LABEL, _WIDTH, _VALUE = 290, 300, 150
_COLOURS = ("#4c78a8", "#f58518")
_FONT = "font:12px system-ui,sans-serif"


def paired_bars(
    rows: Sequence[tuple[str, float, float]],
    names: tuple[str, str],
    *,
    title: str,
    shown: Callable[[float], str] = lambda value: f"{value:g}",
    most: int = 24,
) -> str:
    """Two horizontal bars a row, on one scale.

    Args:
        rows: Label and the two values, none negative.
        names: What the two values are, for the legend.
        shown: A value as text.
        most: Of further rows only the sum is told.
    """
    kept, rest = list(rows[:most]), rows[most:]
    top = max((max(one, two) for _, one, two in kept), default=0) or 1
    height = 26 + _ROW * (len(kept) + bool(rest))
    parts = [_legend(names)]
    for number, (label, *values) in enumerate(kept):
        y = 26 + number * _ROW
        parts.append(_text(0, y + 13, _short(label), title=label))
        for side, value in enumerate(values):
            width = _WIDTH * value / top
            at = y + side * (_BAR + _GAP)
            parts.append(
                f'<rect x="{_LABEL}" y="{at}" width="{width:.1f}" height="{_BAR}" fill="{_COLOURS[side]}">'
                f"<title>{html.escape(f'{label}: {names[side]} {shown(value)}')}</title></rect>"
            )
        parts.append(_text(_LABEL + _WIDTH + 8, y + 13, f"{shown(values[0])} / {shown(values[1])}"))
    if rest:
        summed = [sum(row[1] for row in rest), sum(row[2] for row in rest)]
        y = 26 + len(kept) * _ROW + 13
        parts.append(_text(0, y, f"{len(rest)} more: {shown(summed[0])} / {shown(summed[1])}"))
    return _svg(_LABEL + _WIDTH + _VALUE, height, title, parts)


def histogram(
    edges: Sequence[str], before: Sequence[float], after: Sequence[float], names: tuple[str, str], *, title: str
) -> str:
    """Two distributions over the same bins, as vertical bars beside one another.

    Args:
        edges: A label for each bin.
        before, after: Shares, from 0 to 1.
    """
    top = max([*before, *after, 0.0]) or 1.0
    slot = max(10.0, min(36.0, 640 / max(len(edges), 1)))
    floor = 126
    parts = [_legend(names)]
    for number, (label, *shares) in enumerate(zip(edges, before, after, strict=True)):
        for side, share in enumerate(shares):
            tall = 96 * share / top
            x = number * slot + side * (slot / 2 - 1)
            parts.append(
                f'<rect x="{x:.1f}" y="{floor - tall:.1f}" width="{slot / 2 - 1.5:.1f}" height="{tall:.1f}" '
                f'fill="{_COLOURS[side]}"><title>{html.escape(f"{label}: {names[side]} {share:.2%}")}</title></rect>'
            )
    width = max(slot * len(edges), 320)
    parts.append(f'<line x1="0" y1="{floor}" x2="{slot * len(edges):.0f}" y2="{floor}" stroke="currentColor"/>')
    if edges:
        parts += [_text(0, floor + 16, edges[0]), _text(slot * len(edges), floor + 16, edges[-1], anchor="end")]
    return _svg(width, floor + 24, title, parts)


def _legend(names: tuple[str, str]) -> str:
    spots = (
        f'<rect x="{150 * side}" y="4" width="10" height="10" fill="{_COLOURS[side]}"/>'
        + _text(150 * side + 15, 13, name)
        for side, name in enumerate(names)
    )
    return "".join(spots)


def _text(x: float, y: float, text: str, *, anchor: str = "start", title: str = "") -> str:
    tip = f"<title>{html.escape(title)}</title>" if title else ""
    return f'<text x="{x:.0f}" y="{y:.0f}" fill="currentColor" text-anchor="{anchor}">{tip}{html.escape(text)}</text>'


def _short(label: str, most: int = 40) -> str:
    return label if len(label) <= most else f"{label[: most - 1]}…"


def _svg(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg role="img" width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'style="{_FONT};color:inherit;max-width:100%" xmlns="http://www.w3.org/2000/svg">'
        f"<title>{html.escape(title)}</title>{''.join(parts)}</svg>"
    )
