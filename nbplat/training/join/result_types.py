"""The Arrow type of a joined column."""

from __future__ import annotations

import re

import pyarrow as pa

from nbplat.errors import RequestError

__all__ = ["result_type"]

_PLAIN = {
    "boolean": pa.bool_(),
    "int": pa.int32(),
    "long": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", tz="UTC"),
    "string": pa.string(),
    "binary": pa.binary(),
    "uuid": pa.binary(16),
}
_DECIMAL = re.compile(r"decimal\((\d+), *(\d+)\)")
_FIXED = re.compile(r"fixed\[(\d+)\]")
_LIST = re.compile(r"list<(.+)>")


def result_type(kind: str) -> pa.DataType:
    """The Arrow type of an Iceberg type: a primitive, or a list of them, however deep.

    Raises:
        RequestError: ``training.type``, for structs and maps.
    """
    if kind in _PLAIN:
        return _PLAIN[kind]
    if found := _DECIMAL.fullmatch(kind):
        return pa.decimal128(int(found[1]), int(found[2]))
    if found := _FIXED.fullmatch(kind):
        return pa.binary(int(found[1]))
    if found := _LIST.fullmatch(kind):
        return pa.list_(result_type(found[1]))
    raise RequestError(
        "training.type",
        f"a column of type {kind} cannot be joined",
        fix="join its fields as columns of their own: numbers, texts, times, and lists of them",
    )
