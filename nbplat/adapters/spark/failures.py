"""Spark's exceptions as our error records."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from nbplat.errors import NbplatError
from nbplat.remote.failure import KernelError

__all__ = ["record_of"]

# Of a failed job's conditions these say that a value is impossible; the rest is the environment's.
_OF_THE_DATA = (
    "DIVIDE_BY_ZERO",
    "REMAINDER_BY_ZERO",
    "ARITHMETIC_OVERFLOW",
    "BINARY_ARITHMETIC_OVERFLOW",
    "CAST_OVERFLOW",
    "CAST_INVALID_INPUT",
    "NUMERIC_VALUE_OUT_OF_RANGE",
    "INVALID_ARRAY_INDEX",
    "INVALID_FRACTION_OF_SECOND",
    "CANNOT_PARSE_TIMESTAMP",
    "DATETIME_OVERFLOW",
    "INTERVAL_ARITHMETIC_OVERFLOW",
    "SCALAR_SUBQUERY_TOO_MANY_ROWS",
    "USER_RAISED_EXCEPTION",
)


def record_of(exc: Exception) -> dict[str, Any]:
    """The record of an exception that came out of Spark.

    Returns:
        The JSON form of a DataError for what the data makes impossible, of a RequestError for what Spark
        cannot analyse, of a RemoteError for all else.
    """
    if isinstance(exc, NbplatError | KernelError):
        return exc.record()
    from pyspark.errors import AnalysisException, ParseException

    condition, said = _condition(exc), _said(exc)
    if condition.startswith(_OF_THE_DATA):
        return KernelError(
            "body.values", f"the body fails on this data: {said}", fix="guard the expression (CASE, NULLIF, try_cast)"
        ).record()
    if isinstance(exc, AnalysisException | ParseException):
        return KernelError(
            "body.types",
            f"Spark cannot run the body: {said}",
            fix="mend the names or types it names",
            kind="RequestError",
        ).record()
    return KernelError(
        "spark.job", f"the Spark job failed: {said}", fix="read the job's log, then run it again", kind="RemoteError"
    ).record()


def _condition(exc: Exception) -> str:
    found = None
    # The exception asks the JVM, which may be gone.
    with suppress(Exception):
        found = exc.getCondition()  # type: ignore[attr-defined]
    if found:
        return str(found)
    # A failure inside a task arrives as text: "… SparkArithmeticException: [DIVIDE_BY_ZERO] Division by zero …".
    text = str(exc)
    return next((name for name in _OF_THE_DATA if f"[{name}" in text), "")


def _said(exc: Exception) -> str:
    """The line that says what went wrong, without Java's frames."""
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    told = next(
        (
            line[line.index("[") :]
            for line in lines
            if "[" in line and "] " in line and line[line.index("[") + 1].isupper()
        ),
        "",
    )
    return (told or (lines[0] if lines else type(exc).__name__))[:400]
