"""A seeded shop of any size, in the raw shape of the sample: heavy-tailed customers, dirt included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from nbplat.demo.clean import RAW_COLUMNS
from nbplat.errors import RequestError

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["GENERATOR_VERSION", "MAX_ROWS", "MIN_ROWS", "generate_months"]

# Part of the content's name: a change of what is generated for a seed must change it.
GENERATOR_VERSION = 1
MIN_ROWS = 1_000
MAX_ROWS = 2_000_000_000

_FIRST_DAY = np.datetime64("2010-12-01", "D")
_DAYS = 374
_OPEN_MINUTE, _OPEN_MINUTES = 7 * 60, 13 * 60
_ROWS_PER_CUSTOMER = 90
_ITEMS = 3_600
_FIRST_INVOICE = 536_365
_COUNTRIES = ("United Kingdom", "Germany", "France", "EIRE", "Spain", "Belgium", "Switzerland", "Portugal")
_COUNTRY_SHARES = (0.91, 0.025, 0.02, 0.015, 0.01, 0.01, 0.005, 0.005)
_FEES = ("POST", "M", "DOT", "C2", "BANK CHARGES")


@dataclass(frozen=True, slots=True)
class _Invoices:
    """Headers of all invoices in time order; `rows` are their line counts."""

    customer: npt.NDArray[np.int64]
    minute: npt.NDArray[np.int64]
    number: npt.NDArray[np.int64]
    cancel: npt.NDArray[np.bool_]
    rows: npt.NDArray[np.int64]


def generate_months(rows: int, *, seed: int = 7) -> Iterator[pa.Table]:
    """Generate raw lines, one table a calendar month, oldest first.

    Customers alternate between a busy and a quiet mood, and the busier a customer is by nature, the longer the busy
    mood lasts: recent orders therefore foretell the next one, a basket alone hardly does. The same `rows` and `seed`
    give the same tables. Memory is one month of rows plus about 40 bytes an invoice (some 20 rows).

    Args:
        rows: Raw rows in all months together, exact; `MIN_ROWS` to `MAX_ROWS`.
        seed: Any integer from 0.

    Yields:
        Tables of `RAW_COLUMNS` for December 2010 to December 2011, in invoice order, with about 1.3 % exact
        duplicates, 6 % of the invoices without a customer, 1.8 % cancellations, some fee lines and zero prices.

    Raises:
        RequestError: `rows` or `seed` is out of range.
    """
    if not MIN_ROWS <= rows <= MAX_ROWS:
        raise RequestError(
            "demo.rows", f"{rows} rows cannot be generated", fix=f"give --rows from {MIN_ROWS} to {MAX_ROWS}"
        )
    if seed < 0:
        raise RequestError("demo.seed", f"the seed {seed} is negative", fix="give --seed 0 or above")
    invoices = _invoices(rows, np.random.default_rng([GENERATOR_VERSION, seed, 0]))
    month = (_FIRST_DAY + (invoices.minute // 1440).astype("m8[D]")).astype("M8[M]").astype(np.int64)
    items = _Items(np.random.default_rng([GENERATOR_VERSION, seed, 1]))
    edges = np.searchsorted(month, np.arange(month[0], month[-1] + 2))
    for number, (start, stop) in enumerate(pairwise(edges)):
        table = items.lines(invoices, slice(start, stop), np.random.default_rng([GENERATOR_VERSION, seed, 2, number]))
        if table.num_rows:
            yield table


def _invoices(rows: int, rng: np.random.Generator) -> _Invoices:
    customers = max(rows // _ROWS_PER_CUSTOMER, 1)
    zeal = rng.beta(0.5, 1.6, customers)
    quiet_days = np.minimum(rng.lognormal(4.6, 0.6, customers), 400)
    # Lines of a customer's usual basket: a few dealers buy most of what is sold.
    basket = rng.lognormal(2.2, 0.9, customers)
    last = rng.uniform(-60, _DAYS, customers)
    busy = rng.random(customers) < zeal
    buyer = np.arange(customers)
    who: list[npt.NDArray[np.int64]] = []
    when: list[npt.NDArray[np.float64]] = []
    while len(buyer):
        seen = last[buyer] >= 0
        who.append(buyer[seen])
        when.append(last[buyer[seen]])
        # The mood persists, the longer the greater the zeal.
        stays = np.where(busy[buyer], 0.45 + 0.5 * zeal[buyer], 0.5 * zeal[buyer])
        busy[buyer] = rng.random(len(buyer)) < stays
        mean_days = np.where(busy[buyer], 11.0, quiet_days[buyer])
        last[buyer] += np.maximum(rng.exponential(1.0, len(buyer)) * mean_days, 0.05)
        buyer = buyer[last[buyer] < _DAYS]
    customer, at = np.concatenate(who), np.concatenate(when)
    day = at.astype(np.int64)
    minute = day * 1440 + _OPEN_MINUTE + ((at - day) * _OPEN_MINUTES).astype(np.int64)
    order = np.lexsort((customer, minute))
    customer, minute = customer[order], minute[order]
    cancel = rng.random(len(order)) < 0.16
    bought = 1 + np.minimum(basket[customer] * rng.lognormal(0.0, 0.6, len(order)), 500)
    weight = np.where(cancel, rng.geometric(0.4, len(order)), bought)
    # Cumulative rounding makes the line counts add up to exactly `rows`.
    ends = np.rint(np.cumsum(weight) / weight.sum() * rows).astype(np.int64)
    number = _FIRST_INVOICE + np.arange(len(order))
    return _Invoices(customer + 12_346, minute, number, cancel, np.diff(np.r_[0, ends]))


class _Items:
    """The shop's range: a popularity, a name and a price for each item."""

    def __init__(self, rng: np.random.Generator) -> None:
        popularity = 1 / (np.arange(_ITEMS) + 20) ** 0.8
        self.popularity = np.cumsum(popularity / popularity.sum())
        code = np.sort(rng.choice(np.arange(10_000, 90_000), _ITEMS, replace=False))
        suffix = np.where(rng.random(_ITEMS) < 0.3, rng.choice(list("ABCDEF"), _ITEMS), "")
        rng.shuffle(order := np.arange(_ITEMS))
        self.codes = pa.array([f"{c}{s}" for c, s in zip(code[order], suffix[order], strict=True)] + list(_FEES))
        names = [f"{color} {thing} No {i}" for i, (color, thing) in enumerate(zip(*_names(rng), strict=True))]
        self.names = pa.array([name.upper() for name in names] + list(_FEES))
        self.prices = np.r_[np.round(np.clip(rng.lognormal(0.7, 0.8, _ITEMS), 0.1, 60), 2), np.full(len(_FEES), 18.0)]

    def lines(self, invoices: _Invoices, part: slice, rng: np.random.Generator) -> pa.Table:
        counts = invoices.rows[part]
        rows = int(counts.sum())
        invoice = np.repeat(np.arange(len(counts)), counts)
        cancel = invoices.cancel[part][invoice]
        item = np.minimum(np.searchsorted(self.popularity, rng.random(rows)), _ITEMS - 1)
        fee = rng.random(rows) < 0.004
        item[fee] = _ITEMS + rng.integers(0, len(_FEES), int(fee.sum()))
        quantity = np.minimum(rng.geometric(0.12, rows), 5_000) * np.where(cancel, -1, 1)
        price = np.where(rng.random(rows) < 0.001, 0.0, self.prices[item])
        # A copy of the line above, when it is of the same invoice, is an exact duplicate.
        copy = np.flatnonzero((rng.random(rows) < 0.0135) & (np.r_[-1, invoice[:-1]] == invoice))
        for column in (item, quantity, price):
            column[copy] = column[copy - 1]
        customer = invoices.customer[part]
        country = np.searchsorted(np.cumsum(_COUNTRY_SHARES), (customer * 2_654_435_761 % 2**32) / 2**32)
        unknown = rng.random(len(counts)) < 0.06
        numbers = pa.array(
            [f"C{n}" if c else str(n) for n, c in zip(invoices.number[part], invoices.cancel[part], strict=True)]
        )
        base_us = _FIRST_DAY.astype("M8[us]").astype(np.int64)
        columns = (
            numbers.take(pa.array(invoice)),
            self.codes.take(pa.array(item)),
            self.names.take(pa.array(item)),
            pa.array(quantity, pa.int64()),
            pa.array(base_us + invoices.minute[part][invoice] * 60_000_000, pa.timestamp("us")),
            pa.array(price, pa.float64()),
            pa.array(customer, pa.int64(), mask=unknown).take(pa.array(invoice)),
            pa.array(_COUNTRIES).take(pa.array(np.minimum(country, len(_COUNTRIES) - 1))).take(pa.array(invoice)),
        )
        return pa.table(list(columns), schema=RAW_COLUMNS)


def _names(rng: np.random.Generator) -> tuple[list[str], list[str]]:
    colors = ("red", "blue", "ivory", "retro", "vintage", "pink", "wooden", "silver", "paper", "jumbo")
    things = ("lantern", "cake case", "lunch bag", "bunting", "mug", "alarm clock", "tea towel", "heart", "box", "sign")
    return [str(c) for c in rng.choice(colors, _ITEMS)], [str(t) for t in rng.choice(things, _ITEMS)]
