"""The picture of a comparison: both ROC curves, both AUCs with their intervals, and who waited for whom."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nbplat.ui.render.charts import ACCENT, WARNING

if TYPE_CHECKING:
    from nbplat.training.evaluate import Estimate
    from nbplat.training.result import TrainingResult

__all__ = ["training_svg"]

_WIDTH, _HEIGHT = 640, 236
_LEFT, _TOP, _SIDE = 34, 26, 176
_RIGHT, _WIDE = 286, 320
_WITHOUT, _WITH = WARNING, ACCENT


def training_svg(result: TrainingResult) -> str:
    """Both curves and intervals; without joined columns the one there is. Colours hold on light and dark pages."""
    parts = [*_axes(), *_curves(result.curves), *_intervals(result), *_waiting(result)]
    label = f"AUC without {result.auc_without}" + (f", with {result.auc_with}" if result.auc_with else "")
    return (
        f'<svg role="img" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" '
        'xmlns="http://www.w3.org/2000/svg" style="color:inherit;max-width:100%;height:auto;display:block">'
        f"<title>{html.escape(label)}</title>{''.join(parts)}</svg>"
    )


def _axes() -> list[str]:
    floor, right = _TOP + _SIDE, _LEFT + _SIDE
    pale = 'fill="none" stroke="currentColor" opacity=".35"'
    frame = f'<rect x="{_LEFT}" y="{_TOP}" width="{_SIDE}" height="{_SIDE}" {pale}/>'
    chance = _line(_LEFT, floor, right, _TOP, 'stroke="currentColor" opacity=".35" stroke-dasharray="3 3"')
    return [
        _text(0, 14, "ROC on the test rows", weight=600),
        frame,
        chance,
        _text(_LEFT - 4, _TOP + 8, "1", anchor="end"),
        _text(_LEFT - 4, floor, "0", anchor="end"),
        _text(_LEFT, floor + 14, "false positive share"),
        f'<g transform="translate({_LEFT - 6} {floor - 12}) rotate(-90)">{_text(0, 0, "true positive share")}</g>',
        _text(right, floor + 14, "1", anchor="end"),
    ]


def _curves(curves: Sequence[Sequence[tuple[float, float]]]) -> list[str]:
    found = []
    for (name, colour), curve in zip((("without", _WITHOUT), ("with", _WITH)), curves, strict=False):
        points = " ".join(f"{_LEFT + x * _SIDE:.1f},{_TOP + (1 - y) * _SIDE:.1f}" for x, y in curve)
        found.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2">'
            f"<title>ROC {name}</title></polyline>"
        )
    return found


def _intervals(result: TrainingResult) -> list[str]:
    """AUCs on one scale from the least bound to the greatest, a coin's 0.5 in it; the gain below."""
    rows: list[tuple[str, Estimate, str]] = [("without", result.auc_without, _WITHOUT)]
    if result.auc_with is not None:
        rows.append(("with", result.auc_with, _WITH))
    least = min(0.5, *(each.low for _, each, _ in rows)) - 0.01
    most = max(0.5, *(each.high for _, each, _ in rows)) + 0.01

    def at(value: float) -> float:
        return _RIGHT + 50 + (value - least) / (most - least) * (_WIDE - 130)

    coin = at(0.5)
    parts = [
        _text(_RIGHT, 14, "AUC with its 95 % interval", weight=600),
        _line(coin, 26, coin, 92, 'stroke="currentColor" opacity=".35" stroke-dasharray="3 3"'),
        _text(coin, 104, "0.5, a coin", anchor="middle"),
    ]
    for number, (name, each, colour) in enumerate(rows):
        y = 42 + number * 32
        told = f"{name}: {each}"
        parts.append(
            f"<g><title>{html.escape(told)}</title>"
            + _line(at(each.low), y, at(each.high), y, f'stroke="{colour}" stroke-width="3"')
            + "".join(_line(at(end), y - 5, at(end), y + 5, f'stroke="{colour}"') for end in (each.low, each.high))
            + f'<circle cx="{at(each.value):.1f}" cy="{y}" r="5" fill="{colour}"/></g>'
        )
        parts += [_text(_RIGHT, y + 4, name), _text(_RIGHT + _WIDE, y + 4, f"{each.value:.3f}", anchor="end")]
    if result.gain is not None:
        gain = result.gain
        sure = "" if not gain.low <= 0 <= gain.high else " · holds 0: no gain is shown"
        parts.append(
            _text(_RIGHT, 128, f"gain {gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]{sure}", weight=600)
        )
    return parts


def _waiting(result: TrainingResult) -> list[str]:
    """One bar of two parts: seconds waited for batches, seconds computed."""
    share = min(max(result.wait_share, 0.0), 1.0)
    y, wide = 172, _WIDE * share
    return [
        _text(_RIGHT, 162, f"wait share {share:.0%}", weight=600),
        f"<g><title>waited {result.join_seconds:.2f} s for batches, computed {result.compute_seconds:.2f} s</title>"
        f'<rect x="{_RIGHT}" y="{y}" width="{_WIDE}" height="12" fill="currentColor" opacity=".2"/>'
        f'<rect x="{_RIGHT}" y="{y}" width="{wide:.1f}" height="12" fill="currentColor" opacity=".6"/></g>',
        _text(_RIGHT, 200, f"waiting for batches {result.join_seconds:.2f} s"),
        _text(_RIGHT + _WIDE, 200, f"models {result.compute_seconds:.2f} s", anchor="end"),
        _text(_RIGHT, 216, f"{result.rows_per_second:,.0f} joined rows/s while reading"),
    ]


def _line(x1: float, y1: float, x2: float, y2: float, look: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {look}/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: int = 400) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="11" font-weight="{weight}" '
        f'font-family="sans-serif" fill="currentColor">{html.escape(text)}</text>'
    )
