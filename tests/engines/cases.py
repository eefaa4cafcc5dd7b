"""What every engine must stage alike: bodies of each shape, over tables with what is hard to keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["CASES", "DEMO_CASES", "HARD", "SKEWED", "Case"]

HARD = "eng.hard"
SKEWED = "eng.skewed"
EVENTS = "eng.events"
DELETED = "eng.deleted"


@dataclass(frozen=True)
class Case:
    """A body.

    Attributes:
        tolerance: Relative, for floating sums whose order engines choose.
    """

    name: str
    table: str
    sql: str
    options: Mapping[str, Any] = field(default_factory=dict)
    tolerance: float = 0.0


CASES = [
    Case(
        "values",
        HARD,
        "SELECT id, f AS kept, -f AS minus, isnan(f) AS odd, f * 2 AS doubled, n AS n2, d AS d2, ts AS ts2, "
        "wall AS w2, date_add(d, 1) AS next, year(ts) AS y, upper(s) AS big, length(s) AS len, "
        "concat(s, '·', s) AS twice, coalesce(s, 'none') AS s2, id % 7 AS rest, "
        "CASE WHEN f IS NULL THEN 1 END AS gap FROM base",
    ),
    Case(
        "group_join",
        HARD,
        f"SELECT base.id, sum(e.amount) AS spent, count(e.amount) AS n_events FROM base "
        f"LEFT JOIN {EVENTS} e ON e.customer = base.customer AND e.at < base.ts GROUP BY base.id",
        tolerance=1e-9,
    ),
    Case("over_window", HARD, "SELECT id, row_number() OVER (PARTITION BY customer ORDER BY ts, id) AS nth FROM base"),
    Case(
        "aggregate",
        HARD,
        "SELECT base.id, t.n AS per_customer FROM base "
        "JOIN (SELECT customer, count(*) AS n FROM base GROUP BY customer) t ON t.customer = base.customer",
    ),
    Case(
        "self_join",
        HARD,
        "SELECT a.id, max(b.id) AS latest FROM base a JOIN base b ON b.customer = a.customer AND b.id <= a.id "
        "GROUP BY a.id",
    ),
    Case(
        "in_window",
        HARD,
        "SELECT id, count(*) OVER (PARTITION BY customer) AS n_in FROM base",
        {"start": "2024-01-10", "end": "2024-02-20"},
    ),
    Case("row_window", HARD, "SELECT id, f + 1 AS up FROM base", {"start": "2024-02-03", "end": "2024-02-04"}),
    Case("two_keys", HARD, "SELECT id, ts, max(f) AS top FROM base GROUP BY id, ts", {"keys": ("id", "ts")}),
    Case("deletes", DELETED, "SELECT id, x * 2 AS doubled FROM base"),
    Case("deletes_whole", DELETED, "SELECT id, count(*) OVER (PARTITION BY customer) AS n_live FROM base"),
    Case(
        "skewed",
        SKEWED,
        f"SELECT base.id, count(e.amount) AS n_events, max(e.amount) AS top FROM base "
        f"LEFT JOIN {EVENTS} e ON e.customer = base.customer AND e.at < base.ts GROUP BY base.id",
    ),
    Case("skewed_whole", SKEWED, "SELECT id, sum(id) OVER (PARTITION BY customer ORDER BY id) AS running FROM base"),
]

DEMO_CASES = [
    Case(
        "spend",
        "retail.train",
        "SELECT b.example_id, sum(e.amount) AS spend_90d FROM base b LEFT JOIN retail.events e "
        "ON e.customer_id = b.customer_id AND e.event_ts < b.label_ts "
        "AND e.event_ts >= b.label_ts - INTERVAL 90 DAYS "
        "GROUP BY b.example_id",
        tolerance=1e-9,
    ),
    Case(
        "nth_basket",
        "retail.train",
        "SELECT example_id, row_number() OVER (PARTITION BY customer_id ORDER BY label_ts, example_id) AS nth "
        "FROM base",
    ),
]
