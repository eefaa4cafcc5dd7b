"""One body, three engines: equal columns, in the same rows of the same files."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
import pytest

from tests.engines.cases import CASES, DEMO_CASES, HARD, SKEWED, Case
from tests.fixtures.engines import ENGINES, EngineLab

_OTHERS = ENGINES[1:]
_PYTHON = """
import pyarrow.compute as pc

def feature(batch):
    return {"doubled": pc.multiply(batch["f"], 2.0), "size": pc.utf8_length(batch["s"])}
"""
_GROUPED = """
import pyarrow.compute as pc

def feature(batch):
    return {"mean_id": [pc.mean(batch["id"]).as_py()] * batch.num_rows}
"""


def _named(case: Case) -> str:
    return case.name


def _assert_alike(lab: EngineLab, expected: str, found: str, tolerance: float) -> None:
    """Both runs staged the same rows of the same files, in the same row groups, with equal values."""
    left, right = lab.files(expected), lab.files(found)
    assert [(f.base_path, f.rows, f.dense, f.key_digest) for f in left] == [
        (f.base_path, f.rows, f.dense, f.key_digest) for f in right
    ]
    assert lab.row_groups(expected) == lab.row_groups(found)
    want, have = lab.tables(expected), lab.tables(found)
    for path, table in want.items():
        assert table.schema.equals(have[path].schema, check_metadata=True)
        for name in table.column_names:
            _assert_equal(table[name], have[path][name], tolerance, f"{name} of {path}")


def _assert_equal(want: pa.ChunkedArray, have: pa.ChunkedArray, tolerance: float, what: str) -> None:
    for row, (left, right) in enumerate(zip(want.to_pylist(), have.to_pylist(), strict=True)):
        assert _same(left, right, tolerance), f"{what}, row {row}: {left!r} is not {right!r}"


def _same(left: Any, right: Any, tolerance: float) -> bool:
    if not isinstance(left, float) or not isinstance(right, float):
        return bool(left == right and type(left) is type(right))
    if math.isnan(left) or math.isnan(right):
        return math.isnan(left) and math.isnan(right)
    # 0.0 and -0.0 are two values here: nothing may wash the sign off.
    exact = left == right and math.copysign(1, left) == math.copysign(1, right)
    # A sum that comes out near 0 has the error of what was added.
    return exact or (tolerance > 0 and math.isclose(left, right, rel_tol=tolerance, abs_tol=tolerance))


@pytest.mark.parametrize("engine", _OTHERS)
@pytest.mark.parametrize("case", CASES, ids=_named)
def test_an_engine_stages_what_local_does(lab: EngineLab, case: Case, engine: str) -> None:
    """Values, rows, order, positions, row groups and key digests of every staged file are those of `local`."""
    expected = lab.stage(case.name, "local", case.table, case.sql, **case.options)
    found = lab.stage(case.name, engine, case.table, case.sql, **case.options)

    assert engine == lab.lake.backfills.find(found).plan["engine"]
    _assert_alike(lab, expected, found, case.tolerance)


@pytest.mark.parametrize("engine", _OTHERS)
@pytest.mark.parametrize(
    ("name", "source", "grouped"), [("py_rows", _PYTHON, ()), ("py_groups", _GROUPED, ("customer",))]
)
def test_an_engine_runs_a_python_body_as_local_does(
    lab: EngineLab, name: str, source: str, grouped: tuple[str, ...], engine: str
) -> None:
    """A Python body, by rows or by groups, gives equal columns wherever it runs."""
    options = {"keys": ("id",), "python": {"source": source, "group_by": grouped}}
    expected = lab.stage(name, "local", HARD, "", **options)
    found = lab.stage(name, engine, HARD, "", **options)

    _assert_alike(lab, expected, found, 0.0)


@pytest.mark.parametrize("engine", _OTHERS)
@pytest.mark.parametrize("case", DEMO_CASES, ids=_named)
def test_an_engine_stages_the_retail_demo_as_local_does(demo_lab: EngineLab, case: Case, engine: str) -> None:
    """On the retail table the columns are equal, sums to 1e-9 of their value."""
    expected = demo_lab.stage(case.name, "local", case.table, case.sql)
    found = demo_lab.stage(case.name, engine, case.table, case.sql)

    _assert_alike(demo_lab, expected, found, case.tolerance)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("name", "sql", "code", "said"),
    [
        ("lost", "SELECT id, f AS f2 FROM base WHERE id <> 7", "body.missing_keys", "id=7"),
        (
            "fanned",
            "SELECT base.id, t.k AS k FROM base JOIN (SELECT 1 AS k UNION ALL SELECT 2) t ON true",
            "body.duplicate_keys",
            "more than once",
        ),
        ("extra", "SELECT id + 1 AS id, f AS f2 FROM base", "body.extra_keys|body.missing_keys", ""),
        ("divided", "SELECT id, CAST(1 / (id - 7) AS double) AS r FROM base", "body.values", "(?i)zero"),
    ],
)
def test_an_engine_refuses_what_local_refuses(
    lab: EngineLab, name: str, sql: str, code: str, said: str, engine: str
) -> None:
    """Lost, doubled and foreign keys and impossible values end the job with the same code on every engine."""
    import re

    error = lab.fail(name, engine, SKEWED if name == "divided" else HARD, sql, keys=("id",))

    assert re.fullmatch(code, error["code"]), error
    assert re.search(said, error["message"]), error
