"""Iceberg types that a new column may have now, with their Spark names and plain widths."""

from __future__ import annotations

__all__ = ["NEW_COLUMN_TYPES", "SPARK_TYPES", "WIDTH_BYTES"]

# Iceberg -> Spark SQL; used to qualify names and judge types. Decimals keep their own spelling.
SPARK_TYPES = {
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

NEW_COLUMN_TYPES = tuple(WIDTH_BYTES)
