"""The three magics of Livy's interpreter: values as JSON, as a typed table, as a picture."""

from __future__ import annotations

import ast
import datetime as dt
import decimal
import json
from collections.abc import Collection
from typing import Any, NamedTuple

from .display import figure_png

__all__ = ["TABLE", "Piece", "run_magic", "split_lines", "split_magics", "table_of"]

TABLE = "application/vnd.livy.table.v1+json"


class Piece(NamedTuple):
    """A part of a cell.

    Attributes:
        line: Lines of the cell before it.
    """

    text: str
    is_magic: bool
    line: int


def split_magics(code: str) -> list[Piece]:
    """Cut a cell at its magic lines; code that is Python as it stands is one piece."""
    if not any(line.startswith("%") for line in code.splitlines()):
        return [Piece(code, False, 0)]
    try:
        ast.parse(code)
    except (SyntaxError, ValueError):
        pass
    else:
        return [Piece(code, False, 0)]
    return split_lines(code, ())


def split_lines(code: str, magics: Collection[str]) -> list[Piece]:
    """Cut a cell of any language at its magic lines.

    Args:
        magics: The names that make a line magic; empty: every line that begins with ``%`` is.
    """
    pieces: list[Piece] = []
    block: list[str] = []
    start = 0
    for number, line in enumerate(code.split("\n")):
        if not line.startswith("%") or (magics and line[1:].strip().partition(" ")[0] not in magics):
            if not block:
                start = number
            block.append(line)
            continue
        if "".join(block).strip():
            pieces.append(Piece("\n".join(block), False, start))
        block = []
        pieces.append(Piece(line, True, number))
    if "".join(block).strip():
        pieces.append(Piece("\n".join(block), False, start))
    return pieces


def run_magic(line: str, names: dict[str, Any]) -> dict[str, Any]:
    """Run ``%json NAME``, ``%table NAME`` or ``%matplot NAME``.

    Returns:
        The value by MIME type.

    Raises:
        NameError: an unknown magic or name.
        TypeError: a value that has no JSON form.
    """
    magic, _, rest = line[1:].strip().partition(" ")
    name = rest.strip()
    if magic not in ("json", "table", "matplot"):
        raise NameError(f"unknown magic command '{magic}'")
    if name not in names:
        raise NameError(f"name '{name}' is not defined")
    value = names[name]
    if magic == "json":
        # Here, where it is the cell's own error: nothing behind us could answer for it.
        return {"application/json": json.loads(json.dumps(value, allow_nan=False))}
    if magic == "table":
        return {TABLE: table_of(value)}
    figure = value.gcf() if hasattr(value, "gcf") else value
    if not hasattr(figure, "savefig"):
        raise TypeError(f"%matplot takes matplotlib.pyplot or a figure, not {type(value).__name__}")
    return {"image/png": figure_png(figure)}


def table_of(value: Any) -> dict[str, Any]:
    """Rows as headers with types and data.

    Args:
        value: One row or a list of rows; a row is a dict, a Spark ``Row``, a sequence or a single value.

    Returns:
        ``headers``, each with ``name`` and ``type``, and ``data``, a list a row, null where a row lacks a column.
    """
    rows = value if isinstance(value, (list, tuple)) and not hasattr(value, "asDict") else [value]
    types: dict[Any, str] = {}
    cells: list[dict[Any, Any]] = []
    for row in rows:
        found = _columns(row)
        cells.append(found)
        for key, item in found.items():
            kind = _type_of(item)
            known = types.get(key, "NULL_TYPE")
            # A column of mixed types is shown as text.
            types[key] = kind if known in ("NULL_TYPE", kind) else known if kind == "NULL_TYPE" else "STRING_TYPE"
    keys = sorted(types, key=lambda key: (not isinstance(key, int), key if isinstance(key, int) else str(key)))
    return {
        "headers": [{"name": str(key), "type": types[key]} for key in keys],
        "data": [[_cell(row.get(key), types[key]) for key in keys] for row in cells],
    }


def _columns(row: Any) -> dict[Any, Any]:
    if hasattr(row, "asDict"):
        row = row.asDict()
    if isinstance(row, dict):
        return dict(row)
    return dict(enumerate(row if isinstance(row, (list, tuple)) else [row]))


def _type_of(value: Any) -> str:
    if value is None:
        return "NULL_TYPE"
    if isinstance(value, bool):
        return "BOOLEAN_TYPE"
    for kinds, name in (
        ((int,), "INT_TYPE"),
        ((float,), "DOUBLE_TYPE"),
        ((decimal.Decimal,), "DECIMAL_TYPE"),
        ((dt.datetime,), "TIMESTAMP_TYPE"),
        ((dt.date,), "DATE_TYPE"),
        ((list, tuple), "ARRAY_TYPE"),
        ((dict,), "MAP_TYPE"),
    ):
        if isinstance(value, kinds):
            return name
    return "STRING_TYPE"


def _cell(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kind in ("BOOLEAN_TYPE", "INT_TYPE", "DOUBLE_TYPE"):
        return value if not isinstance(value, float) or value - value == 0 else str(value)
    if kind in ("ARRAY_TYPE", "MAP_TYPE"):
        return json.loads(json.dumps(value, default=str, allow_nan=True).replace("NaN", '"NaN"'))
    return str(value)
