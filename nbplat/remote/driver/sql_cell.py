"""Runs one SQL cell and gives its first rows as JSON with Spark's own schema."""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import json
import math
from typing import Any

from .exact_rows import exact_json

__all__ = ["json_value", "run_sql"]


def run_sql(session: Any, query: str, limit: int, *, exact: bool = False) -> dict[str, Any]:
    """Run a query.

    Args:
        limit: Rows given at most.
        exact: Values as `exact_json` writes them; otherwise as Livy's clients know them.

    Returns:
        ``application/json`` with ``schema`` (Spark's JSON) and ``data``, a list a row; ``exact`` when it was asked for.
    """
    frame = session.sql(query)
    rows = frame.take(limit) if frame.columns else []
    schema = json.loads(frame.schema.json())
    if exact:
        data = [exact_json(row, frame.schema) for row in rows]
        return {"application/json": {"schema": schema, "data": data, "exact": True}}
    data = [[json_value(cell) for cell in row] for row in rows]
    return {"application/json": {"schema": schema, "data": data}}


def json_value(value: Any) -> Any:
    """A value of a Spark row as JSON that loses nothing a reader needs.

    Decimals and infinities become text, NaN null, times ISO text with their microseconds, bytes base64, rows objects.
    """
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return value if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, (dt.datetime, dt.date)):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode("ascii")
    if hasattr(value, "asDict"):
        return {key: json_value(item) for key, item in value.asDict().items()}
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(json_value(key)): json_value(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_value(item) for item in value]
    return str(value)
