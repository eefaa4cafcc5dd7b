"""Small inline SVG charts: no script, colours that hold on light and dark pages, a title on every part."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["ACCENT", "WARNING", "Bar", "bars_svg"]

# Both keep a contrast of 3 : 1 and more on white and on the dark themes' greys.
ACCENT = "#3f83c5"
WARNING = "#d1742a"

_WIDTH, _HEIGHT = 270, 130
_LEFT, _RIGHT, _TOP, _BOTTOM = 34, 6, 22, 18


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar.

    Attributes:
        value: Its height; None leaves the place empty.
        outline: Height of a frame drawn over it, e.g. what it was before; None draws none.
        title: What a pointer and a screen reader are told.
        warns: Drawn in the warning colour; where there is no height, the whole place is shaded.
    """

    value: float | None
    title: str
    outline: float | None = None
    warns: bool = False


def bars_svg(
    heading: str,
    bars: Sequence[Bar],
    *,
    ends: tuple[str, str] = ("", ""),
    top: float | None = None,
    top_text: str = "",
    line: float | None = None,
    line_title: str = "",
) -> str:
    """Bars from left to right over a base line.

    Args:
        heading: Stands over the chart and is its accessible name.
        ends: Texts below the first and the last bar.
        top: The value at the upper edge; None takes the largest.
        top_text: The text beside the upper edge.
        line: A dashed line at this value; None draws none.
    """
    heights = [height for bar in bars for height in (bar.value, bar.outline) if height is not None]
    most = top if top is not None else max([*heights, line or 0.0], default=0.0)
    floor, room = _HEIGHT - _BOTTOM, _HEIGHT - _BOTTOM - _TOP
    step = (_WIDTH - _LEFT - _RIGHT) / max(1, len(bars))
    gap = min(2.0, step * 0.15)

    def high(value: float) -> float:
        return room * min(1.0, value / most) if most > 0 else 0.0

    parts = []
    for number, bar in enumerate(bars):
        left, wide = _LEFT + number * step, max(0.5, step - gap)
        drawn = ""
        if bar.value:
            fill = WARNING if bar.warns else ACCENT
            drawn += _rect(left, floor - high(bar.value), wide, high(bar.value), f'fill="{fill}"')
        elif bar.warns:
            drawn += _rect(left, _TOP, wide, room, f'fill="{WARNING}" opacity=".3"')
        if bar.outline:
            frame = 'fill="none" stroke="currentColor" stroke-width="1"'
            drawn += _rect(left, floor - high(bar.outline), wide, high(bar.outline), frame)
        # An unseen bar of full height, so that small values can be pointed at as well.
        drawn += _rect(left, _TOP, step, room, 'fill="transparent"')
        parts.append(f"<g><title>{html.escape(bar.title)}</title>{drawn}</g>")
    if line is not None and most > 0:
        y = f"{floor - high(line):.1f}"
        parts.append(
            f'<g><title>{html.escape(line_title)}</title><line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y}" y2="{y}" '
            f'stroke="{WARNING}" stroke-dasharray="4 3"/></g>'
        )
    parts.append(
        f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{floor}" y2="{floor}" stroke="currentColor" opacity=".5"/>'
    )
    parts += [
        _text(0, 12, heading, "start", weight="600"),
        _text(_LEFT - 4, _TOP + 8, top_text, "end"),
        _text(_LEFT - 4, floor, "0" if top_text else "", "end"),
        _text(_LEFT, _HEIGHT - 5, ends[0], "start"),
        _text(_WIDTH - _RIGHT, _HEIGHT - 5, ends[1], "end"),
    ]
    return (
        f'<svg role="img" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" '
        'xmlns="http://www.w3.org/2000/svg" style="color:inherit;max-width:100%">'
        f"<title>{html.escape(heading)}</title>{''.join(parts)}</svg>"
    )


def _rect(x: float, y: float, width: float, height: float, look: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" {look}/>'


def _text(x: float, y: float, text: str, anchor: str, *, weight: str = "400") -> str:
    if not text:
        return ""
    return (
        f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="10" font-weight="{weight}" '
        f'font-family="sans-serif" fill="currentColor">{html.escape(text)}</text>'
    )
