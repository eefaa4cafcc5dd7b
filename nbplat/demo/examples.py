"""From events to `retail.train`: one row per customer and purchase invoice, labelled by what came after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nbplat.demo.clean import SHOP_TIME_ZONE
from nbplat.errors import DataError

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["EXAMPLE_COLUMNS", "LABEL_DAYS", "build_examples", "invoices_of"]

LABEL_DAYS = 30
_LABEL_US = LABEL_DAYS * 86_400_000_000

INVOICE_COLUMNS = pa.schema(
    {
        "example_id": pa.int64(),
        "customer_id": pa.int64(),
        "invoice_no": pa.string(),
        "label_ts": pa.timestamp("us", tz="UTC"),
        "basket_value": pa.float64(),
        "basket_lines": pa.int32(),
        "basket_quantity": pa.int32(),
        "mean_price": pa.float64(),
        "distinct_items": pa.int32(),
        "hour": pa.int32(),
        "weekday": pa.int32(),
        "is_uk": pa.int32(),
    }
)
EXAMPLE_COLUMNS = INVOICE_COLUMNS.append(pa.field("label", pa.int32()))


def invoices_of(events: pa.Table) -> pa.Table:
    """Sum up each purchase invoice; cancellations are left out.

    Args:
        events: As `nbplat.demo.clean.clean` gives them, in any order; an invoice must be whole in one call.

    Returns:
        One row per invoice, sorted by label_ts and example_id: example_id is the invoice number as an integer,
        label_ts its first line's time, value and prices in pounds, hour (0 to 23) and weekday (0 is Monday) by the
        shop's clock, is_uk 0 or 1.

    Raises:
        DataError: an invoice number is no integer, or one invoice names two customers.
    """
    bought = events.filter(pc.equal(events["event_type"], "purchase"))
    # A fixed order inside an invoice: float sums then do not depend on the order of the input.
    bought = bought.sort_by([("invoice_no", "ascending"), ("event_id", "ascending")]).combine_chunks()
    if not bought.num_rows:
        return INVOICE_COLUMNS.empty_table()
    numbers = _invoice_numbers(bought["invoice_no"])
    starts = np.flatnonzero(np.r_[True, numbers[1:] != numbers[:-1]])
    lines = np.diff(np.r_[starts, len(numbers)])

    def per_invoice(ufunc: Any, values: Any) -> npt.NDArray[Any]:
        return np.asarray(ufunc.reduceat(np.asarray(values), starts))

    customer = bought["customer_id"]
    if (per_invoice(np.minimum, customer) != per_invoice(np.maximum, customer)).any():
        raise DataError("demo.invoice", "an invoice names two customers", fix="load data with one customer an invoice")
    label_ts = pa.array(per_invoice(np.minimum, bought["event_ts"].cast(pa.int64())), pa.timestamp("us", tz="UTC"))
    local = label_ts.cast(pa.timestamp("us", tz=SHOP_TIME_ZONE))
    code = np.asarray(bought["stock_code"].combine_chunks().dictionary_encode().indices)
    by_code = np.lexsort((code, numbers))
    new_item = np.r_[True, (np.diff(numbers[by_code]) != 0) | (np.diff(code[by_code]) != 0)]
    columns: dict[str, Any] = {
        "example_id": numbers[starts],
        "customer_id": per_invoice(np.minimum, customer),
        "invoice_no": bought["invoice_no"].take(pa.array(starts)),
        "label_ts": label_ts,
        "basket_value": np.round(per_invoice(np.add, bought["amount"]), 3),
        "basket_lines": lines,
        "basket_quantity": per_invoice(np.add, bought["quantity"]),
        "mean_price": np.round(per_invoice(np.add, bought["unit_price"]) / lines, 6),
        "distinct_items": per_invoice(np.add, new_item.astype(np.int64)),
        "hour": pc.hour(local),
        "weekday": pc.day_of_week(local),
        "is_uk": np.asarray(pc.equal(bought["country"], "United Kingdom")).astype(np.int32)[starts],
    }
    arrays = [columns[field.name] for field in INVOICE_COLUMNS]
    table = pa.table(
        [
            values.cast(field.type) if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, field.type)
            for values, field in zip(arrays, INVOICE_COLUMNS, strict=True)
        ],
        schema=INVOICE_COLUMNS,
    )
    return table.sort_by([("label_ts", "ascending"), ("example_id", "ascending")])


def build_examples(invoices: pa.Table, end_us: int) -> pa.Table:
    """Label invoices: 1 when the customer has another purchase in ``(label_ts, label_ts + 30 days]``, else 0.

    Args:
        invoices: All invoices of the data, as `invoices_of` gives them, in any order.
        end_us: Time of the last event in the data, microseconds since the epoch, UTC. An invoice whose 30 days
            are not over by then is left out, though it may still label earlier ones.

    Returns:
        `EXAMPLE_COLUMNS`, sorted by label_ts and example_id; possibly empty.

    Raises:
        DataError: two invoices have the same number.
    """
    ids = np.asarray(invoices["example_id"])
    if len(np.unique(ids)) != len(ids):
        raise DataError("demo.invoice", "an invoice number occurs twice", fix="give each invoice whole, and once")
    customer = np.asarray(invoices["customer_id"])
    at_us = np.asarray(invoices["label_ts"].cast(pa.int64()))
    order = np.lexsort((at_us, customer))
    customer, at_us = customer[order], at_us[order]
    again_us = _next_later(customer, at_us)
    label = np.empty(len(ids), dtype=np.int32)
    label[order] = (again_us >= 0) & (again_us - at_us <= _LABEL_US)
    labelled = invoices.append_column(EXAMPLE_COLUMNS.field("label"), pa.array(label))
    over = pc.less_equal(labelled["label_ts"].cast(pa.int64()), end_us - _LABEL_US)
    return labelled.filter(over).sort_by([("label_ts", "ascending"), ("example_id", "ascending")]).combine_chunks()


def _next_later(customer: npt.NDArray[np.int64], at_us: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The same customer's next strictly later time, -1 where there is none; input sorted by customer and time."""
    if not len(at_us):
        return at_us
    new = np.r_[True, (np.diff(customer) != 0) | (np.diff(at_us) != 0)]
    run = np.cumsum(new) - 1
    first = np.flatnonzero(new)
    following = np.r_[first[1:], 0]
    later = np.where(customer[following] == customer[first], at_us[following], -1)
    later[-1] = -1
    return np.asarray(later[run])


def _invoice_numbers(invoice_no: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    try:
        return np.asarray(pc.cast(invoice_no, pa.int64()))
    except pa.ArrowInvalid as exc:
        raise DataError(
            "demo.invoice", f"a purchase invoice's number is no integer: {exc}", fix="number invoices by integers"
        ) from exc
