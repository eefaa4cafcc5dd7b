"""Functions of dates and timestamps. A timestamp is Spark's: an instant, shown in UTC."""

from __future__ import annotations

from nbplat.backfill.dialect.declaration import Call, Declared
from nbplat.backfill.dialect.kinds import BIGINT, DATE, INT, INTEGER, TIME, TIMESTAMP

__all__ = ["TIMES"]

_STAMP = frozenset({TIMESTAMP})
_WHOLE_DAYS = frozenset({INT})

_UNITS = ("YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "HOUR", "MINUTE", "SECOND")
_TRUNC = {"YEAR": "year", "YYYY": "year", "YY": "year", "QUARTER": "quarter", "MONTH": "month", "MM": "month"}
_TRUNC |= {"MON": "month", "WEEK": "week"}
_DIFFERENCES = {
    "WEEK": 604_800_000_000,
    "DAY": 86_400_000_000,
    "HOUR": 3_600_000_000,
    "MINUTE": 60_000_000,
    "SECOND": 1_000_000,
}


def _part(*names: str, node: str, duckdb: str, of: frozenset[str] = TIME, note: str = "") -> Declared:
    takes = "timestamp" if of is _STAMP else "date | timestamp"
    slots = ("expressions",) if node == "Anonymous" else ("this",)
    return Declared(
        names, node, f"{names[0]}({takes}) -> int", (of,), INT, duckdb, cast="INTEGER", slots=slots, note=note
    )


def _floor_units(micros: int) -> str:
    # Integer division goes to zero; Spark floors.
    return (
        f"CASE WHEN EPOCH_US({{0}}) >= 0 THEN EPOCH_US({{0}}) // {micros} "
        f"ELSE (EPOCH_US({{0}}) - {micros - 1}) // {micros} END"
    )


def _difference(call: Call) -> str:
    if call.unit in _DIFFERENCES:
        return f"((EPOCH_US({{1}}) - EPOCH_US({{0}})) // {_DIFFERENCES[call.unit]})"
    return f"DATE_SUB('{call.unit.lower()}', {{0}}, {{1}})"


def _difference_refuses(call: Call) -> str | None:
    known = (*_DIFFERENCES, "MONTH", "YEAR")
    return None if call.unit in known else f"the unit must be one of {', '.join(known)}"


def _days_refuse(call: Call) -> str | None:
    return None if call.unit in ("", "DAY") else "only whole days: use ± INTERVAL"


def _from_epoch(name: str, micros: int) -> Declared:
    return Declared(
        (name,),
        "Anonymous",
        f"{name}(integer) -> timestamp",
        (INTEGER,),
        TIMESTAMP,
        f"MAKE_TIMESTAMPTZ(CAST({{0}} AS BIGINT) * {micros})",
        slots=("expressions",),
    )


TIMES: tuple[Declared, ...] = (
    _part("year", node="Year", duckdb="YEAR({0})"),
    _part("quarter", node="Quarter", duckdb="QUARTER({0})"),
    _part("month", node="Month", duckdb="MONTH({0})"),
    _part("weekofyear", node="WeekOfYear", duckdb="WEEKOFYEAR({0})", note="ISO weeks."),
    _part("day", node="Day", duckdb="DAY({0})"),
    _part("dayofmonth", node="DayOfMonth", duckdb="DAY({0})"),
    _part("dayofyear", node="DayOfYear", duckdb="DAYOFYEAR({0})"),
    _part("dayofweek", node="DayOfWeek", duckdb="(DAYOFWEEK({0}) + 1)", note="Sunday is 1."),
    _part("weekday", node="Anonymous", duckdb="(ISODOW({0}) - 1)", note="Monday is 0."),
    _part("hour", node="Hour", duckdb="HOUR({0})", of=_STAMP, note="In UTC."),
    _part("minute", node="Minute", duckdb="MINUTE({0})", of=_STAMP),
    _part("second", node="Second", duckdb="SECOND({0})", of=_STAMP),
    Declared(
        ("datediff", "date_diff"),
        "DateDiff",
        "datediff(end, start) -> int",
        (TIME,),
        INT,
        "(CAST({0} AS DATE) - CAST({1} AS DATE))",
        cast="INTEGER",
        slots=("this", "expression"),
        refuse=lambda call: "with a unit, write timestampdiff(unit, start, end)" if call.unit else None,
        ignore=("unit",),
        note="Calendar days between two dates, in UTC.",
    ),
    Declared(
        ("date_add", "date_sub"),
        "TsOrDsAdd",
        "date_add(date | timestamp, int) -> date",
        (TIME, _WHOLE_DAYS),
        DATE,
        "(CAST({0} AS DATE) + CAST({1} AS INTEGER))",
        slots=("this", "expression"),
        ignore=("unit",),
        refuse=_days_refuse,
    ),
    Declared(
        ("add_months",),
        "AddMonths",
        "add_months(date | timestamp, int) -> date",
        (TIME, _WHOLE_DAYS),
        DATE,
        "CAST(CAST({0} AS DATE) + INTERVAL ({1}) MONTH AS DATE)",
        slots=("this", "expression"),
    ),
    Declared(("last_day",), "LastDay", "last_day(date | timestamp) -> date", (TIME,), DATE, "LAST_DAY({0})"),
    Declared(
        ("date_trunc",),
        "TimestampTrunc",
        "date_trunc(unit, date | timestamp) -> timestamp",
        (TIME,),
        TIMESTAMP,
        lambda call: f"CAST(DATE_TRUNC('{call.unit.lower()}', {{0}}) AS TIMESTAMPTZ)",
        ignore=("unit",),
        refuse=lambda call: None if call.unit in _UNITS else f"the unit must be one of {', '.join(_UNITS)}",
        note=f"Units: {', '.join(_UNITS)}.",
    ),
    Declared(
        ("trunc",),
        "DateTrunc",
        "trunc(date | timestamp, unit) -> date",
        (TIME,),
        DATE,
        lambda call: f"CAST(DATE_TRUNC('{_TRUNC[call.unit]}', {{0}}) AS DATE)",
        ignore=("unit",),
        refuse=lambda call: None if call.unit in _TRUNC else f"the unit must be one of {', '.join(_TRUNC)}",
        note=f"Units: {', '.join(_TRUNC)}.",
    ),
    Declared(
        ("timestampdiff",),
        "TimestampDiff",
        "timestampdiff(unit, start, end) -> bigint",
        (TIME,),
        BIGINT,
        _difference,
        slots=("expression", "this"),
        ignore=("unit",),
        refuse=_difference_refuses,
        note="Whole units, towards zero: WEEK, DAY, HOUR, MINUTE, SECOND, MONTH, YEAR.",
    ),
    Declared(
        ("unix_timestamp", "to_unix_timestamp"),
        "StrToUnix",
        "unix_timestamp(timestamp) -> bigint",
        (_STAMP,),
        BIGINT,
        "(EPOCH_US({0}) // 1000000)",
        ignore=("format",),
        note="Seconds, towards zero.",
    ),
    Declared(
        ("unix_seconds",),
        "UnixSeconds",
        "unix_seconds(timestamp) -> bigint",
        (_STAMP,),
        BIGINT,
        _floor_units(1_000_000),
        note="Seconds, rounded down.",
    ),
    Declared(
        ("unix_millis",),
        "UnixMillis",
        "unix_millis(timestamp) -> bigint",
        (_STAMP,),
        BIGINT,
        _floor_units(1000),
        note="Milliseconds, rounded down.",
    ),
    Declared(("unix_micros",), "UnixMicros", "unix_micros(timestamp) -> bigint", (_STAMP,), BIGINT, "EPOCH_US({0})"),
    _from_epoch("timestamp_seconds", 1_000_000),
    _from_epoch("timestamp_millis", 1000),
)
