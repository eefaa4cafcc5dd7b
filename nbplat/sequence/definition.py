"""The definition of a sequence as a frozen value; equal content, equal version."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from nbplat.declared.key_path import join_path
from nbplat.terms import content_hash

__all__ = [
    "MAX_LAST",
    "AsOf",
    "Definition",
    "Enrichment",
    "EventRule",
    "Feature",
    "Nearest",
    "Size",
    "Zone",
]

MAX_LAST = 20_000


@dataclass(frozen=True, slots=True)
class Zone:
    """How a naive time column is read.

    Attributes:
        name: IANA zone, ``Europe/London``.
        ambiguous: Of an hour that the clock shows twice: ``earliest``, ``latest`` or ``refuse``.
        missing: Of an hour that the clock skips: ``earliest``, ``latest`` (the moments beside the gap) or ``refuse``.
    """

    name: str
    ambiguous: str = "refuse"
    missing: str = "refuse"


@dataclass(frozen=True, slots=True)
class Nearest:
    """Of what a rule retrieves keep the `count` events whose vector has the largest dot product with the example's.

    Attributes:
        column: List of numbers: a column of the events, or an enrichment.
        count: How many to keep.
        to: Column of the examples that holds the vector to compare with.
    """

    column: str
    count: int
    to: str


@dataclass(frozen=True, slots=True)
class EventRule:
    """Which events of one type a sequence holds; the newest ones before the as-of instant.

    Attributes:
        event_type: Value of the type column, as text.
        last: How many at most, from 1.
        within_us: How old at most, microseconds before the cutoff; None is any age.
        where: Condition in Spark SQL over the columns of the events and the enrichments at index; None takes all.
        select: None keeps what was retrieved.
    """

    event_type: str
    last: int = MAX_LAST
    within_us: int | None = None
    where: str | None = None
    select: Nearest | None = None

    @property
    def most(self) -> int:
        """How many events it gives at most, the selection included."""
        return self.last if self.select is None else self.select.count


@dataclass(frozen=True, slots=True)
class Enrichment:
    """A column that another table adds to each event.

    Attributes:
        name: What it is called beside the columns of the events.
        table: Iceberg table that it comes from.
        column: Its name there.
        at: Which of several values holds: ``event_time``, ``request_time`` (the as-of instant) or ``latest``.
        on: Pairs of event column and column of `table` that must be equal; empty: not written, and binding tells.
        time: Column of `table` from which a value holds; None: not written, or, once bound, there is one row per key
            and `at` is ``latest``.
    """

    name: str
    table: str
    column: str
    at: str
    on: tuple[tuple[str, str], ...] = ()
    time: str | None = None


@dataclass(frozen=True, slots=True)
class Size:
    """How long the model's input is, and how it is filled.

    Attributes:
        length: Tokens an example; None: in a mixed layout the sum of the rules' numbers, per type each rule's own.
        lengths: Event type -> tokens, for the layout ``per_type``; wins over `length`.
        order: ``newest_first`` or ``oldest_first``.
        pad: Side that is filled up: ``right`` or ``left``.
        truncate: Which tokens go when there are too many: ``oldest`` or ``newest``.
    """

    length: int | None = None
    lengths: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    order: str = "newest_first"
    pad: str = "right"
    truncate: str = "oldest"


@dataclass(frozen=True, slots=True)
class Feature:
    """One number, or one vector, a token.

    Attributes:
        name: What the batch calls it.
        function: ``vocab``, ``hash``, ``age``, ``age_log``, ``bucket``, ``quantile``, ``number`` or ``embedding``.
        column: Of the events or an enrichment.
        options: By name, sorted; every option of the function is there, with its default where none was written:
            vocab ``min_count``, ``max_size`` (None: no limit); hash ``buckets``; age ``unit`` (``s m h d``); bucket
            ``edges`` (ascending); quantile ``count``; number ``type`` (``float32 float64 int32 int64``), ``fill``;
            embedding ``size`` (None: not written, and binding tells).
    """

    name: str
    function: str
    column: str
    options: tuple[tuple[str, Any], ...] = ()

    def option(self, name: str) -> Any:
        """Value of an option."""
        return dict(self.options)[name]


@dataclass(frozen=True, slots=True)
class AsOf:
    """Up to which moment an example sees.

    Attributes:
        time: Time column of the examples.
        strict: True: only events before the cutoff; False lets in those at the very moment, which leaks.
        gap_us: The cutoff is so much before the example's time. The arrival is held against the example's time itself.
        at: ``example``; or ``end``: every example gets its entity's final history, which leaks.
    """

    time: str = "label_ts"
    strict: bool = True
    gap_us: int = 0
    at: str = "example"


@dataclass(frozen=True, slots=True)
class Definition:
    """A sequence as declared. Two with the same content have the same `version`.

    Attributes:
        name: Lower-case identifier; not part of the version.
        source: ``namespace.table``, a path or glob of Parquet files, or the name of a DataFrame in the notebook.
        entity: Columns that say whose event it is; the examples have columns of the same names.
        time: Column of the event's time.
        events: Rules, one a type, in the order written; the order does not count.
        arrival: Column of the moment at which the event was known; None: at its time.
        early: Of an arrival before the event's time: ``refuse``, or ``clip`` to the event's time.
        id: Columns that tell one event of an entity and type from another; also the first tie-break.
        dedupe: ``none``; ``exact`` drops rows that are equal in all declared columns; ``first`` and ``last`` keep one
            copy an `id`, by arrival (without an arrival by time), then by the hash of the declared columns.
        type: Column of the event's type.
        time_unit: ``s``, ``ms`` or ``us`` since 1970 of integer time columns; None: they are refused.
        zone: How naive time columns are read; None: they are refused.
        enrich_index: Added when the index is built, and stored.
        enrich_read: Added when sequences are read.
        layout: ``mixed`` is one sequence of all types by time; ``per_type`` one for each.
        features: In the order written.
        show: Further columns of the events that are carried along.
        variants: Name -> path -> value in its shortest form: ``{"short": {"size.length": 50}}``; see `variants`.
        lines: Where each key was written, ``{"events.click.last": "line 2, column 1"}``: the value's place, the key's
            of a mapping; in the Python form the path itself. Empty without either. See `place`.
        defaults: What was not written and is taken, ``("type: event_type",)``.
    """

    name: str
    source: str
    entity: tuple[str, ...]
    time: str
    events: tuple[EventRule, ...]
    arrival: str | None = None
    early: str = "refuse"
    id: tuple[str, ...] = ()
    dedupe: str = "none"
    type: str = "event_type"
    time_unit: str | None = None
    zone: Zone | None = None
    enrich_index: tuple[Enrichment, ...] = ()
    enrich_read: tuple[Enrichment, ...] = ()
    layout: str = "mixed"
    size: Size = Size()
    features: tuple[Feature, ...] = ()
    show: tuple[str, ...] = ()
    as_of: AsOf = AsOf()
    variants: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: MappingProxyType({}))
    lines: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), compare=False, repr=False)
    defaults: tuple[str, ...] = field(default=(), compare=False, repr=False)

    def place(self, *path: str) -> str:
        """Where a key was written, or else the nearest key around it; empty when nothing is known.

        Args:
            path: Names from the top: ``("events", "click", "last")``.
        """
        for end in range(len(path), 0, -1):
            if found := self.lines.get(join_path(*path[:end])):
                return found
        return ""

    @property
    def version(self) -> str:
        """SHA-256 of the definition with its variants, without its name."""
        return content_hash(self.record())

    def record(self) -> dict[str, Any]:
        """Canonical JSON form, every default filled in; the order of types and options does not show."""
        return {
            "source": self.source,
            "entity": list(self.entity),
            "time": self.time,
            "arrival": self.arrival,
            "early": self.early,
            "id": list(self.id),
            "dedupe": self.dedupe,
            "type": self.type,
            "time_unit": self.time_unit,
            "zone": None if self.zone is None else _plain(self.zone),
            "events": {rule.event_type: _rule_record(rule) for rule in self.events},
            "enrich": {
                "index": {each.name: _enrichment_record(each) for each in self.enrich_index},
                "read": {each.name: _enrichment_record(each) for each in self.enrich_read},
            },
            "layout": self.layout,
            "size": {**_plain(self.size), "lengths": dict(self.size.lengths)},
            "features": {
                each.name: {"function": each.function, "column": each.column, **_options_record(each)}
                for each in self.features
            },
            "show": list(self.show),
            "as_of": _plain(self.as_of),
            "variants": {name: dict(paths) for name, paths in self.variants.items()},
        }


def _plain(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__slots__}


def _rule_record(rule: EventRule) -> dict[str, Any]:
    record = _plain(rule)
    del record["event_type"]
    return {**record, "select": None if rule.select is None else _plain(rule.select)}


def _options_record(feature: Feature) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in feature.options}


def _enrichment_record(each: Enrichment) -> dict[str, Any]:
    record = _plain(each)
    del record["name"]
    return {**record, "on": [list(pair) for pair in each.on]}
