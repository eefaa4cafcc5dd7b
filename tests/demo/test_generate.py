"""The generator: exact, stable, dirty in the known ways, and learnable."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pytest

from nbplat.demo import CleaningReport, clean, generate_months
from nbplat.demo.clean import RAW_COLUMNS
from nbplat.errors import RequestError


def _digest(table: pa.Table) -> str:
    return hashlib.sha256(str(table.to_pylist()).encode()).hexdigest()


def test_rows_are_exact_and_shaped_like_the_sample() -> None:
    """The months add up to the rows asked for, in the sample's columns, each kind of dirt present."""
    months = list(generate_months(20_000, seed=1))
    assert 20_000 == sum(month.num_rows for month in months)
    assert {RAW_COLUMNS} == {month.schema for month in months}
    assert 13 == len(months)
    report = sum((clean(month)[1] for month in months), CleaningReport())
    assert all(report.record()[k] > 0 for k in ("exact_duplicates", "without_customer", "fees", "zero_price"))
    assert 0 == report.adjustments
    assert report.rows_kept > 17_000


def test_a_seed_names_its_rows() -> None:
    """The same rows and seed give the same tables, on any day; another seed gives others."""
    first = pa.concat_tables(generate_months(5_000, seed=7))
    assert _digest(first) == _digest(pa.concat_tables(generate_months(5_000, seed=7)))
    assert _digest(first) != _digest(pa.concat_tables(generate_months(5_000, seed=8)))


def test_few_customers_do_much_of_the_buying() -> None:
    """The tenth of the customers who buy most have over a third of the lines."""
    table = pa.concat_tables(generate_months(30_000))
    lines = np.sort(np.unique(np.asarray(table["customer_id"].drop_null()), return_counts=True)[1])
    assert lines[-len(lines) // 10 :].sum() > lines.sum() / 3


@pytest.mark.parametrize("rows", [0, 999, 3_000_000_000])
def test_rows_out_of_range_are_refused(rows: int) -> None:
    """Too few or too many rows are refused by name."""
    with pytest.raises(RequestError, match=str(rows)):
        next(generate_months(rows))


def test_a_negative_seed_is_refused() -> None:
    """Seeds start at 0."""
    with pytest.raises(RequestError, match="-1"):
        next(generate_months(5_000, seed=-1))
