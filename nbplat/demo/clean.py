"""From the shop's raw lines to `retail.events`: typed, in UTC, one row per line, every row left out counted."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nbplat.errors import DataError

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["EVENT_COLUMNS", "RAW_COLUMNS", "SAMPLE", "CleaningReport", "clean", "read_sample"]

SAMPLE = Path(__file__).parent / "data" / "online_retail_sample.parquet"

SHOP_TIME_ZONE = "Europe/London"

RAW_COLUMNS = pa.schema(
    {
        "invoice_no": pa.string(),
        "stock_code": pa.string(),
        "description": pa.string(),
        "quantity": pa.int64(),
        "invoice_ts": pa.timestamp("us"),
        "unit_price": pa.float64(),
        "customer_id": pa.int64(),
        "country": pa.string(),
    }
)

EVENT_COLUMNS = pa.schema(
    {
        "event_id": pa.string(),
        "event_type": pa.string(),
        "customer_id": pa.int64(),
        "invoice_no": pa.string(),
        "stock_code": pa.string(),
        "description": pa.string(),
        "quantity": pa.int32(),
        "unit_price": pa.float64(),
        "amount": pa.float64(),
        "country": pa.string(),
        "event_ts": pa.timestamp("us", tz="UTC"),
        "ingest_ts": pa.timestamp("us", tz="UTC"),
    }
)

# Items have five digits and a colour or size; the DCGS codes are items of a partner. All else (POST, DOT, M, D, C2,
# BANK CHARGES, AMAZONFEE, gift vouchers …) is money moved, nothing bought.
_MERCHANDISE = r"^(\d{5}|DCGS)"

_MINUTE_US = 60_000_000
_LATE_SHARE = 0.02
_LATEST_US = 36 * 60 * _MINUTE_US


@dataclass(frozen=True, slots=True)
class CleaningReport:
    """What cleaning took out; each row counts under the first reason it meets, in this order.

    Attributes:
        rows_in: Raw rows.
        exact_duplicates: Further copies of a row that is equal in every column.
        without_customer: No customer id.
        fees: Codes that are no merchandise: postage, bank charges, manual entries.
        zero_price: Price zero or below, or none.
        adjustments: A quantity whose sign contradicts the invoice's kind, or zero.
        rows_kept: ``rows_in`` less all of the above.
    """

    rows_in: int = 0
    exact_duplicates: int = 0
    without_customer: int = 0
    fees: int = 0
    zero_price: int = 0
    adjustments: int = 0
    rows_kept: int = 0

    def __add__(self, other: CleaningReport) -> CleaningReport:
        return CleaningReport(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def record(self) -> dict[str, Any]:
        return asdict(self)


def read_sample() -> pa.Table:
    """The shipped sample as raw rows (`RAW_COLUMNS`); see data/ATTRIBUTION.md for its source and licence."""
    import pyarrow.parquet as pq

    return pq.read_table(SAMPLE).select(RAW_COLUMNS.names).cast(RAW_COLUMNS)


def clean(raw: pa.Table, *, ambiguous: str = "raise", nonexistent: str = "raise") -> tuple[pa.Table, CleaningReport]:
    """Clean raw rows.

    Args:
        raw: Columns as in `RAW_COLUMNS`, in any order of rows; ``invoice_ts`` is naive UK local time.
        ambiguous: What to do with the hour that October shows twice: ``raise``, ``earliest`` or ``latest``.
        nonexistent: What to do with the hour that March leaves out: the same choices.

    Returns:
        The events (`EVENT_COLUMNS`, sorted by event_ts and event_id, the same for any input order) and the counts.
        ``ingest_ts`` is made up, as the source has none: 1 to 15 minutes after the event, and up to 36 hours after
        it for one event in fifty, both taken from the event id.

    Raises:
        DataError: a column is missing or of another type, or a local time is ambiguous or does not exist.
    """
    raw = _typed(raw)
    digests = _row_digests(raw)
    _, first = np.unique(digests, return_index=True)
    single = np.zeros(len(digests), dtype=bool)
    single[first] = True

    def mask(expression: Any) -> npt.NDArray[np.bool_]:
        return np.asarray(pc.fill_null(expression, False))

    cancel = mask(pc.starts_with(raw["invoice_no"], "C"))
    quantity = np.asarray(pc.fill_null(raw["quantity"], 0))
    reasons = (
        ("exact_duplicates", ~single),
        ("without_customer", ~mask(pc.is_valid(raw["customer_id"]))),
        ("fees", ~mask(pc.match_substring_regex(raw["stock_code"], _MERCHANDISE))),
        ("zero_price", ~mask(pc.greater(raw["unit_price"], 0))),
        ("adjustments", np.where(cancel, quantity >= 0, quantity <= 0)),
    )
    kept = np.ones(len(digests), dtype=bool)
    counts = {}
    for reason, hit in reasons:
        counts[reason] = int((kept & hit).sum())
        kept &= ~hit
    report = CleaningReport(rows_in=raw.num_rows, rows_kept=int(kept.sum()), **counts)
    events = _events(raw.filter(pa.array(kept)), digests[kept], cancel[kept], ambiguous, nonexistent)
    return events, report


def _typed(raw: pa.Table) -> pa.Table:
    missing = [name for name in RAW_COLUMNS.names if name not in raw.column_names]
    if missing:
        raise DataError(
            "demo.columns", f"the raw rows have no column {missing[0]!r}", fix=f"give {', '.join(RAW_COLUMNS.names)}"
        )
    try:
        return raw.select(RAW_COLUMNS.names).cast(RAW_COLUMNS).combine_chunks()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as exc:
        raise DataError(
            "demo.columns", f"the raw rows have another shape: {exc}", fix=f"cast to {RAW_COLUMNS}"
        ) from exc


def _row_digests(raw: pa.Table) -> npt.NDArray[np.void]:
    """BLAKE2b-128 of every column's value; equal rows, and only those, have equal digests."""
    # Separators that no value holds keep ("a", "bc") and ("ab", "c") apart, and a null apart from an empty text.
    texts = [pc.fill_null(pc.cast(raw[name], pa.string()), "\x00") for name in RAW_COLUMNS.names]
    joined = pc.binary_join_element_wise(*texts, "\x1f").to_pylist()
    digest = b"".join(hashlib.blake2b(text.encode(), digest_size=16).digest() for text in joined)
    return np.frombuffer(digest, dtype="V16") if joined else np.empty(0, dtype="V16")


def _events(
    raw: pa.Table, digests: npt.NDArray[np.void], cancel: npt.NDArray[np.bool_], ambiguous: str, nonexistent: str
) -> pa.Table:
    try:
        local = pc.assume_timezone(raw["invoice_ts"], SHOP_TIME_ZONE, ambiguous=ambiguous, nonexistent=nonexistent)
    except pa.ArrowInvalid as exc:
        raise DataError(
            "demo.local_time",
            f"a time of the shop's clock is no single moment: {exc}",
            fix="decide with ambiguous= and nonexistent= (earliest or latest)",
        ) from exc
    event_us = np.asarray(local.cast(pa.int64()))
    quantity = np.asarray(raw["quantity"])
    price = np.asarray(raw["unit_price"])
    columns = {
        "event_id": pa.array([digest.tobytes().hex() for digest in digests], pa.string()),
        "event_type": pa.array(np.where(cancel, "cancel", "purchase"), pa.string()),
        "quantity": pa.array(quantity, pa.int32()),
        # To a tenth of a penny, the finest price in the source: no float noise in what people compare.
        "amount": pa.array(np.round(quantity * price, 3), pa.float64()),
        "event_ts": pa.array(event_us, EVENT_COLUMNS.field("event_ts").type),
        "ingest_ts": pa.array(event_us + _delay_us(digests), EVENT_COLUMNS.field("ingest_ts").type),
    }
    table = pa.table([columns[n] if n in columns else raw[n] for n in EVENT_COLUMNS.names], schema=EVENT_COLUMNS)
    return table.sort_by([("event_ts", "ascending"), ("event_id", "ascending")]).combine_chunks()


def _delay_us(digests: npt.NDArray[np.void]) -> npt.NDArray[np.int64]:
    words = np.frombuffer(digests.tobytes(), dtype="<u4").reshape(-1, 4) if len(digests) else np.empty((0, 4), "<u4")
    chance, share = words[:, 0] / 2**32, words[:, 1] / 2**32
    usual = (1 + 14 * share) * _MINUTE_US
    return np.where(chance < _LATE_SHARE, share * _LATEST_US, usual).astype(np.int64)
