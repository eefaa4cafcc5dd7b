"""Iceberg types that a new column may have now, with their Spark names and plain widths."""

from __future__ import annotations

__all__ = ["WIDTH_BYTES", "spark_type"]

# Iceberg -> Spark SQL; decimals are spelled alike in both.
_SPARK_TYPES = {
    "boolean": "boolean",
    "int": "int",
    "long": "bigint",
    "float": "float",
    "double": "double",
    "string": "string",
    "date": "date",
    "timestamp": "timestamp_ntz",
    "timestamptz": "timestamp",
    "binary": "binary",
}

# Bytes per value in memory; strings by a cautious guess. Feeds the estimate when nothing was sampled.
WIDTH_BYTES = {
    "boolean": 1,
    "int": 4,
    "long": 8,
    "float": 4,
    "double": 8,
    "string": 16,
    "date": 4,
    "timestamp": 8,
    "timestamptz": 8,
}


def spark_type(iceberg_type: str) -> str:
    """The Spark SQL type of an Iceberg type.

    Types that no function of the local subset takes (structs, lists, maps, fixed, uuid) read as
    ``binary``: they may be carried along and are refused wherever something is computed with them.
    """
    if iceberg_type.startswith("decimal"):
        return iceberg_type
    return _SPARK_TYPES.get(iceberg_type, "binary")
