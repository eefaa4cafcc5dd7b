"""Tables in text and HTML from the same rows."""

from __future__ import annotations

import html
from collections.abc import Collection, Sequence
from typing import Any

__all__ = ["fields_html", "fields_text", "table_html", "table_text"]

_CELL = "padding:2px 10px;border-bottom:1px solid color-mix(in srgb,currentColor 20%,transparent)"


def table_text(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Columns in line, numbers to the right, no borders; a table without rows is its head and ``(none)``.

    Args:
        columns: Headings.
        rows: Cells in the headings' order; None shows as a dash.
    """
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(len(column), *(len(row[i]) for row in cells), 0) for i, column in enumerate(columns)]
    right = _right(columns, rows)

    def line(values: Sequence[str]) -> str:
        fitted = (v.rjust(w) if r else v.ljust(w) for v, w, r in zip(values, widths, right, strict=True))
        return "  ".join(fitted).rstrip()

    return "\n".join([line(columns), *(map(line, cells) if cells else ["(none)"])])


def table_html(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], *, caption: str = "", tight: Collection[str] = ()
) -> str:
    """The same as a ``<table>`` with inline styles that take their colours from the theme.

    Args:
        tight: Columns whose cells stay on one line.
    """
    right = _right(columns, rows)
    wraps = [";white-space:nowrap" if column in tight else "" for column in columns]

    def row_html(tag: str, values: Sequence[str]) -> str:
        cells = (
            f'<{tag} style="{_CELL};text-align:{"right" if r else "left"}{wrap}">{html.escape(v)}</{tag}>'
            for v, r, wrap in zip(values, right, wraps, strict=True)
        )
        return f'<tr style="background:transparent">{"".join(cells)}</tr>'

    head = f"<thead>{row_html('th', columns)}</thead>"
    body = "".join(row_html("td", [_cell(value) for value in row]) for row in rows)
    if not rows:
        body = f'<tr style="background:transparent"><td style="{_CELL}" colspan="{len(columns)}">none</td></tr>'
    title = f'<caption style="text-align:left;padding:4px 0">{html.escape(caption)}</caption>' if caption else ""
    return f'<table style="border-collapse:collapse;color:inherit">{title}{head}<tbody>{body}</tbody></table>'


def fields_text(fields: Sequence[tuple[str, Any]]) -> str:
    """``name  value``, a line each."""
    width = max((len(name) for name, _ in fields), default=0)
    return "\n".join(f"{name:<{width}}  {_cell(value)}".rstrip() for name, value in fields)


def fields_html(fields: Sequence[tuple[str, Any]]) -> str:
    """The same as a table of two columns with row headings."""
    rows = "".join(
        f'<tr style="background:transparent"><th scope="row" style="{_CELL};text-align:left">{html.escape(name)}</th>'
        f'<td style="{_CELL};text-align:left;white-space:pre-wrap">{html.escape(_cell(value))}</td></tr>'
        for name, value in fields
    )
    return f'<table style="border-collapse:collapse;color:inherit"><tbody>{rows}</tbody></table>'


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.1f}"
    return str(value)


def _right(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[bool]:
    """Which columns hold numbers only."""
    return [
        bool(rows)
        and all(row[i] is None or (isinstance(row[i], int | float) and not isinstance(row[i], bool)) for row in rows)
        and any(row[i] is not None for row in rows)
        for i in range(len(columns))
    ]
