"""The as-of rule of a spec: which column says when a feature must be known, and when a source's rows are."""

from __future__ import annotations

from collections.abc import Mapping

from nbplat.backfill.spec import BackfillSpec
from nbplat.backfill.table_facts import TableFacts
from nbplat.errors import RequestError, did_you_mean

__all__ = ["check_times"]


def check_times(spec: BackfillSpec, facts: TableFacts, sources: Mapping[str, TableFacts]) -> None:
    """Hold the declared times against the tables.

    Raises:
        RequestError: a column that the table does not have or that holds no time, a source that the
            body does not read, or times of sources without an as-of column to cut them at.
    """
    if spec.as_of is not None:
        _check_time(spec.as_of, facts, "--as-of")
    for table, column in spec.source_times.items():
        if table not in sources:
            raise RequestError(
                "asof.source",
                f"--source {table}={column}: the body does not read {table}",
                fix=did_you_mean(table, sources) or "leave it out",
            )
        _check_time(column, sources[table], f"--source {table}=")
    if spec.source_times and spec.as_of is None:
        raise RequestError(
            "asof.missing",
            "--source declares times of sources, and no column says as of when a row must be known",
            fix="name it: --as-of COLUMN",
        )


def _check_time(name: str, facts: TableFacts, flag: str) -> None:
    kinds = {column.name: column.type for column in facts.columns}
    if name not in kinds:
        raise RequestError(
            "asof.column", f"{facts.pin.table} has no column {name!r} ({flag})", fix=did_you_mean(name, kinds)
        )
    if not kinds[name].startswith(("timestamp", "date")):
        raise RequestError(
            "asof.column",
            f"{name} of {facts.pin.table} is of type {kinds[name]}, not a time ({flag})",
            fix="name a timestamp or date column",
        )
