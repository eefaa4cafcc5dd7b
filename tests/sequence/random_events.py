"""Random events, declarations and questions: few values of each kind, so that ties and copies are common."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from nbplat.remote.sequence.deal import Dealt
from nbplat.remote.sequence.events import Events, Rule
from nbplat.remote.sequence.order import Counts, order_events

LEAST, MOST = -(1 << 63), (1 << 63) - 1
TYPES = ("click", "repin", "Été")
CONDITIONS = (lambda row: row["v"] is not None and row["v"] > 0, lambda row: row["v"] is None)

_DAYS = [dt.date(1969, 12, 31), dt.date(1970, 1, 1), dt.date(2024, 2, 29)]
_NOON = [dt.datetime.fromisoformat(text) for text in ("1969-12-31T23:59:59.999", "2024-02-29T12:00:00")]
VALUES: dict[str, tuple[pa.DataType, list[Any]]] = {
    "int64": (pa.int64(), [LEAST, -1, 0, 1, MOST]),
    "int16": (pa.int16(), [-3, 0, 7]),
    "uint64": (pa.uint64(), [0, 5, (1 << 64) - 1]),
    "string": (pa.string(), ["", "a", "b", "a much longer name", "é"]),
    "large_string": (pa.large_string(), ["a", "aa", "b"]),
    "dictionary": (pa.dictionary(pa.int8(), pa.string()), ["x", "y", "z"]),
    "binary": (pa.binary(), [b"", b"\x00", b"\xff"]),
    "bool": (pa.bool_(), [False, True]),
    "float64": (pa.float64(), [0.0, -0.0, math.nan, -math.inf, 1.5]),
    "decimal": (pa.decimal128(20, 2), [Decimal("-1.50"), Decimal("0.00"), Decimal("123456789012345678.90")]),
    "date": (pa.date32(), _DAYS),
    "timestamp": (pa.timestamp("ms"), _NOON),
}
_MOMENTS = {
    "near": [0, 1, 2, 3, 5, 8],
    "far": [LEAST, LEAST + 1, -(1 << 62), 0, 1 << 62, MOST - 1],
    "wide": [0, 1_000_000, 86_400_000_000, 1_700_000_000_000_000],
}
_SPANS = [0, 1, 2, 5, 86_400_000_000, 1 << 62, MOST]


@dataclass(frozen=True)
class Case:
    """Events and how they are declared."""

    rows: pa.Table
    entity: tuple[str, ...]
    types: tuple[str, ...]
    arrival: bool
    id: tuple[str, ...]
    dedupe: str

    @property
    def hashed(self) -> tuple[str, ...]:
        return tuple(self.rows.column_names)

    def ordered(self, rows: pa.Table | None = None) -> tuple[Events, Counts]:
        """The kernels' answer for these rows, all of them when none are given."""
        rows = self.rows if rows is None else rows
        return order_events(rows, **self._declared(rows))

    def in_buckets(self, bucket: Any, buckets: int) -> list[Events]:
        """All rows dealt to buckets in two goes, then each bucket ordered."""
        dealt, half = Dealt(self.rows.schema, buckets), self.rows.num_rows // 2
        dealt.take(self.rows.slice(0, half), bucket[:half])
        dealt.take(self.rows.slice(half), bucket[half:])
        return [self.ordered(dealt.of(number))[0] for number in range(buckets)]

    def _declared(self, rows: pa.Table) -> dict[str, Any]:
        return {
            "entity": self.entity,
            "type": "k",
            "types": self.types,
            "time_us": rows["t"],
            "id": self.id,
            "hashed": self.hashed,
            "seen_us": rows["s"] if self.arrival else None,
            "passes": passes(rows),
            "dedupe": self.dedupe,
        }


@dataclass(frozen=True)
class Question:
    """What is asked of the events."""

    rules: tuple[tuple[str, int, int | None, int | None], ...]
    examples: pa.Table
    as_of: tuple[int, ...]
    strict: bool
    gap: int
    end: bool
    order: str
    limit: int | None
    truncate: str

    def kernel_rules(self, types: tuple[str, ...]) -> list[Rule]:
        return [
            Rule(types.index(name) if name in types else -1, last, within, bit)
            for name, last, within, bit in self.rules
        ]


def passes(rows: pa.Table) -> Any:
    """Bit k where condition k holds, as an engine would give it."""
    return np.array(
        [sum(bool(holds(row)) << bit for bit, holds in enumerate(CONDITIONS)) for row in rows.to_pylist()],
        dtype=np.int64,
    )


@st.composite
def cases(draw: st.DrawFn, most: int = 24) -> Case:
    # Half of the cases are one or two entities with one type and many copies: there rows hide behind rows.
    crowded = draw(st.booleans())
    kinds = st.sampled_from(sorted(VALUES))
    entity = ["bool"] if crowded else draw(st.lists(kinds, min_size=1, max_size=2))
    number = ["int64"] if crowded else draw(st.lists(kinds, max_size=2))
    arrival = crowded or draw(st.booleans())
    moments = _MOMENTS[draw(st.sampled_from(sorted(_MOMENTS)))]
    count = draw(st.integers(most // 2 if crowded else 0, most))
    holes = not crowded and draw(st.booleans())
    names = TYPES[:1] if crowded else (*TYPES, "other")

    def column(kind: pa.DataType, values: list[Any], nulls: bool) -> pa.Array:
        choice = st.sampled_from([*values, None] if nulls else values)
        return pa.array(draw(st.lists(choice, min_size=count, max_size=count)), kind)

    columns = {f"e{at}": column(*VALUES[name], holes) for at, name in enumerate(entity)}
    columns |= {f"i{at}": column(*VALUES[name], True) for at, name in enumerate(number)}
    columns["k"] = column(pa.string(), list(names), holes)
    columns["t"] = column(pa.int64(), moments, holes)
    columns["s"] = column(pa.int64(), moments, holes)
    columns["v"] = column(pa.int32(), [-1, 0, 1, 2], True)
    columns["w"] = column(pa.list_(pa.float32()), [[], [0.0, 1.0], [1.0, 0.0]], True)
    types = draw(st.lists(st.sampled_from([*TYPES, "never"]), min_size=1, max_size=4, unique=True))
    types = list(TYPES) if crowded else types
    return Case(
        rows=pa.table(columns),
        entity=tuple(f"e{at}" for at in range(len(entity))),
        types=tuple(sorted(types)),
        arrival=arrival,
        id=tuple(f"i{at}" for at in range(len(number))),
        dedupe=draw(st.sampled_from(["last", "none"] if crowded else ["none", "exact", "first", "last"])),
    )


@st.composite
def questions(draw: st.DrawFn, case: Case, most: int = 8) -> Question:
    """Rules, and examples of known and unknown entities at the events' own moments and between them."""
    known = case.rows.select(list(case.entity))
    moments = {*case.rows["t"].to_pylist(), *case.rows["s"].to_pylist(), 0} - {None}
    near = st.sampled_from(sorted(moments))
    count = draw(st.integers(min(known.num_rows, most // 2), most))
    picked = draw(st.lists(st.integers(0, known.num_rows), min_size=count, max_size=count))
    asked = known.take(pa.array([None if at == known.num_rows else at for at in picked], pa.int64()))
    as_of = draw(st.lists(near | st.sampled_from([LEAST, -1, 4, 9, MOST]), min_size=count, max_size=count))
    names = draw(
        st.lists(st.sampled_from([*TYPES, "never"]), max_size=2, unique=True).map(lambda more: {*more, TYPES[0]})
    )
    rules = [
        (
            name,
            draw(st.sampled_from([1, 2, 3, 100])),
            draw(st.none() | st.sampled_from(_SPANS)),
            draw(st.none() | st.sampled_from([0, 1])),
        )
        for name in sorted(names)
    ]
    return Question(
        rules=tuple(rules),
        examples=asked,
        as_of=tuple(as_of),
        strict=draw(st.booleans()),
        gap=draw(st.just(0) | st.sampled_from(_SPANS)),
        end=draw(st.integers(0, 7)) == 0,
        order=draw(st.sampled_from(["newest_first", "oldest_first"])),
        limit=draw(st.none() | st.integers(1, 5)),
        truncate=draw(st.sampled_from(["oldest", "newest"])),
    )
