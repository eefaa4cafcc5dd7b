"""The declared subset of Spark SQL that the local engine runs, and its way into DuckDB.

Everything is refused that is not in the tables of this package (`numbers`, `text`, `times`, `conditions`,
`aggregates`, `operators`, `casts`, `structure`): a function stands there only when the conformance suite
(tests/spark/test_sql_subset.py) has shown equal types, values and errors against Spark, nulls, NaN and ANSI
included.
"""

from __future__ import annotations

from nbplat.backfill.dialect.casts import CAST_ENTRIES
from nbplat.backfill.dialect.declaration import SubsetEntry
from nbplat.backfill.dialect.operators import OPERATOR_ENTRIES
from nbplat.backfill.dialect.rewrite import DECLARED, to_duckdb
from nbplat.backfill.dialect.structure import QUERY_ENTRIES

__all__ = ["FUNCTIONS", "SUBSET", "SubsetEntry", "to_duckdb"]

_FUNCTIONS = tuple(declared for declared in DECLARED if declared.group in ("function", "aggregate", "window"))

# Every name a person may write, in lower case.
FUNCTIONS: frozenset[str] = frozenset(name for declared in _FUNCTIONS for name in declared.names)

# What docs/sql-subset.md is made from, in its order.
SUBSET: tuple[SubsetEntry, ...] = (
    *(declared.entry() for declared in _FUNCTIONS),
    *OPERATOR_ENTRIES,
    *CAST_ENTRIES,
    *QUERY_ENTRIES,
)
