"""Examples and labels against an oracle of plain loops."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from nbplat.demo import build_examples, clean, invoices_of, read_sample
from nbplat.demo.examples import EXAMPLE_COLUMNS
from nbplat.errors import DataError

LABEL = timedelta(days=30)


@pytest.fixture(scope="module")
def events() -> pa.Table:
    return clean(read_sample())[0]


@pytest.fixture(scope="module")
def examples(events: pa.Table) -> pa.Table:
    return build_examples(invoices_of(events), pc.max(events["event_ts"]).value)


def _oracle(events: pa.Table) -> dict[int, dict[str, Any]]:
    rows = events.to_pylist()
    end = max(row["event_ts"] for row in rows)
    baskets: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if row["event_type"] == "purchase":
            baskets.setdefault(row["invoice_no"], []).append(row)
    at = {invoice: min(line["event_ts"] for line in lines) for invoice, lines in baskets.items()}
    by_customer: dict[int, list[datetime]] = {}
    for invoice, lines in baskets.items():
        by_customer.setdefault(lines[0]["customer_id"], []).append(at[invoice])
    expected = {}
    for invoice, lines in baskets.items():
        moment = at[invoice]
        if moment + LABEL > end:
            continue
        local = moment.astimezone(ZoneInfo("Europe/London"))
        again = [t for t in by_customer[lines[0]["customer_id"]] if moment < t <= moment + LABEL]
        expected[int(invoice)] = {
            "customer_id": lines[0]["customer_id"],
            "label_ts": moment,
            "basket_value": pytest.approx(sum(line["quantity"] * line["unit_price"] for line in lines), abs=0.01),
            "basket_lines": len(lines),
            "basket_quantity": sum(line["quantity"] for line in lines),
            "mean_price": pytest.approx(sum(line["unit_price"] for line in lines) / len(lines), abs=1e-5),
            "distinct_items": len({line["stock_code"] for line in lines}),
            "hour": local.hour,
            "weekday": local.weekday(),
            "is_uk": int(lines[0]["country"] == "United Kingdom"),
            "label": int(bool(again)),
        }
    return expected


def test_examples_equal_a_slow_independent_computation(events: pa.Table, examples: pa.Table) -> None:
    """Every column and label of every example equals what plain loops give, and no example is lost or added."""
    assert EXAMPLE_COLUMNS == examples.schema
    got = {row.pop("example_id"): row for row in examples.drop_columns(["invoice_no"]).to_pylist()}
    assert _oracle(events) == got
    assert 1_943 == examples.num_rows == len(got)


def test_examples_do_not_depend_on_the_order_of_the_events(events: pa.Table, examples: pa.Table) -> None:
    """Shuffled events give the same bytes."""
    shuffled = events.take(pa.array(np.random.default_rng(5).permutation(events.num_rows)))
    again = build_examples(invoices_of(shuffled), pc.max(events["event_ts"]).value)
    assert examples.equals(again)


def _events(rows: list[tuple[str, int, int]], events: pa.Table) -> pa.Table:
    """Purchases as (invoice, customer, day), on the pattern of the first real event."""
    first = events.slice(0, 1).to_pylist()[0]
    made = [
        first
        | {
            "event_id": f"{i:032d}",
            "invoice_no": n,
            "customer_id": c,
            "event_ts": first["event_ts"] + timedelta(days=d),
        }
        for i, (n, c, d) in enumerate(rows)
    ]
    return pa.Table.from_pylist(made, schema=events.schema)


def test_label_edges(events: pa.Table) -> None:
    """Day 30 counts, day 31 does not, another invoice at the same instant or of another customer does not."""
    made = _events(
        [("1", 1, 0), ("2", 1, 30), ("3", 2, 0), ("4", 2, 31), ("5", 3, 0), ("6", 3, 0), ("7", 4, 1), ("8", 9, 99)],
        events,
    )
    examples = build_examples(invoices_of(made), pc.max(made["event_ts"]).value)
    labels = dict(zip(examples["example_id"].to_pylist(), examples["label"].to_pylist(), strict=True))
    assert {1: 1, 2: 0, 3: 0, 4: 0, 5: 0, 6: 0, 7: 0} == labels


def test_bad_invoices_are_refused(events: pa.Table) -> None:
    """An invoice of two customers, one that is no number, and one given twice are each refused."""
    with pytest.raises(DataError, match="two customers"):
        invoices_of(_events([("1", 1, 0), ("1", 2, 0)], events))
    with pytest.raises(DataError, match="no integer"):
        invoices_of(_events([("A1", 1, 0)], events))
    once = invoices_of(_events([("1", 1, 0)], events))
    with pytest.raises(DataError, match="twice"):
        build_examples(pa.concat_tables([once, once]), 0)


def test_no_events_give_no_examples(events: pa.Table) -> None:
    """Empty in, empty out, with the full schema."""
    assert EXAMPLE_COLUMNS == build_examples(invoices_of(events.slice(0, 0)), 0).schema
