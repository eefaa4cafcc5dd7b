"""Values of Spark rows as JSON that can be turned back: null and NaN apart, times in UTC, typed keys of maps."""

from __future__ import annotations

import base64
import datetime as dt
import math
from collections.abc import Callable
from typing import Any

__all__ = ["exact_json"]


def exact_json(value: Any, kind: Any) -> Any:
    """A value as JSON that, with its type, gives the same value again.

    Doubles that JSON lacks become ``NaN``, ``Infinity`` and ``-Infinity``; decimals text; times ISO text, those of an
    instant in UTC; bytes base64; a struct the list of its fields, so that two of one name are kept; a map a list of
    pairs; a day-time interval its microseconds.

    Args:
        kind: The value's Spark type.
    """
    if value is None:
        return None
    convert = _CONVERT.get(kind.typeName())
    if convert is not None:
        return convert(value, kind)
    return value if isinstance(value, (bool, int, str)) else str(value)


def _float(value: float, _: Any) -> Any:
    if math.isnan(value):
        return "NaN"
    return value if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")


def _instant(value: dt.datetime, _: Any) -> str:
    # Spark's Python gives instants in this process's own time zone, without saying so.
    return value.astimezone(dt.timezone.utc).isoformat()


def _struct(value: Any, kind: Any) -> list[Any]:
    return [exact_json(item, field.dataType) for item, field in zip(value, kind.fields)]


def _array(value: Any, kind: Any) -> list[Any]:
    return [exact_json(item, kind.elementType) for item in value]


def _map(value: Any, kind: Any) -> list[Any]:
    return [[exact_json(key, kind.keyType), exact_json(item, kind.valueType)] for key, item in value.items()]


_CONVERT: dict[str, Callable[[Any, Any], Any]] = {
    "float": _float,
    "double": _float,
    "decimal": lambda value, _: str(value),
    "date": lambda value, _: value.isoformat(),
    "timestamp": _instant,
    "timestamp_ntz": lambda value, _: value.isoformat(),
    "binary": lambda value, _: base64.b64encode(value).decode("ascii"),
    "daytimeinterval": lambda value, _: value // dt.timedelta(microseconds=1),
    "interval day to second": lambda value, _: value // dt.timedelta(microseconds=1),
    "struct": _struct,
    "array": _array,
    "map": _map,
}
