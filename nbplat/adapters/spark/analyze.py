"""What types a body gives, told by Spark itself: a session of its own in a child process, over no rows.

A child, since a process can have one Spark session only and the one that plans may hold its user's.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbplat.adapters.spark.failures import record_of
from nbplat.adapters.spark.session import SparkSettings, spark_session
from nbplat.errors import RemoteError, from_record

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["analyze", "main"]

_LIMIT_S = 180


def analyze(settings: SparkSettings, query: str, schemas: Mapping[str, pa.Schema]) -> pa.Schema:
    """The Arrow schema of a query's result.

    Args:
        schemas: Name in the query -> columns of the table.

    Raises:
        RequestError: ``body.types``, what Spark says of the query.
        RemoteError: ``spark.analysis``, when Spark gives no answer.
    """
    import pyarrow as pa

    asked = {
        "settings": {
            "master": "local[1]",
            "scratch": str(settings.scratch),
            "memory_bytes": settings.memory_bytes,
            "conf": {key: value for key, value in settings.conf.items() if key.startswith("spark.sql.")},
        },
        "query": query,
        "schemas": {name: _text(schema) for name, schema in schemas.items()},
    }
    command = [sys.executable, "-P", "-m", "nbplat.adapters.spark.analyze"]
    try:
        done = subprocess.run(
            command, input=json.dumps(asked), capture_output=True, text=True, timeout=_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise RemoteError(
            "spark.analysis", f"Spark gave no answer on the body's types in {_LIMIT_S} s", fix="run it again"
        ) from None
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        said = done.stderr.strip().splitlines()
        raise RemoteError(
            "spark.analysis",
            f"Spark ended without an answer on the body's types: {said[-1][:300] if said else 'it said nothing'}",
            fix="run `nbplat doctor`: it checks Java and pyspark",
        )
    answer = json.loads(lines[-1])
    if "error" in answer:
        raise from_record(answer["error"])
    schema: pa.Schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(answer["schema"])))
    return schema


def main() -> None:
    """Read a request from standard input and print the answer."""
    asked = json.load(sys.stdin)
    settings = asked["settings"]
    try:
        answer = _answer(
            SparkSettings(
                settings["master"],
                Path(settings["scratch"]),
                settings["memory_bytes"],
                conf=settings["conf"],
                quick=True,
            ),
            asked["query"],
            asked["schemas"],
        )
    except Exception as exc:  # noqa: BLE001 - told to the process that asked
        answer = {"error": record_of(exc)}
    sys.stdout.write(json.dumps(answer) + "\n")


def _answer(settings: SparkSettings, query: str, schemas: Mapping[str, str]) -> dict[str, Any]:
    import pyarrow as pa
    from pyspark.sql.pandas.types import to_arrow_schema

    with spark_session(settings, say=lambda line: None) as session:
        for name, text in schemas.items():
            columns = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text)))
            session.createDataFrame([], _columns(columns)).createOrReplaceTempView(name)
        try:
            return {"schema": _text(to_arrow_schema(session.sql(query).schema, timestamp_utc=True))}
        except Exception as exc:  # noqa: BLE001 - told in Spark's words, which only a living JVM knows
            return {"error": record_of(exc)}


def _columns(schema: pa.Schema) -> Any:
    from pyspark.sql.types import StructField, StructType

    return StructType([StructField(field.name, _type(field.type), field.nullable) for field in schema])


def _type(kind: pa.DataType) -> Any:
    """Spark's type; one that Spark does not have reads as binary, as in the planner."""
    from pyspark.errors import PySparkTypeError
    from pyspark.sql.pandas.types import from_arrow_type
    from pyspark.sql.types import BinaryType

    try:
        return from_arrow_type(kind, prefer_timestamp_ntz=True)
    except PySparkTypeError:
        return BinaryType()


def _text(schema: pa.Schema) -> str:
    return base64.b64encode(schema.serialize().to_pybytes()).decode()


if __name__ == "__main__":
    main()
