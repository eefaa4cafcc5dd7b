"""A stored index and its source as it is now -> a plan of what has to be compared. No effects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nbplat.errors import Conflict, InternalError
from nbplat.sequence.bound import Bound
from nbplat.sequence.index_diff import explain_window, iso_moment
from nbplat.sequence.ports import EventSource, IndexState, SourcePart, SourcePin
from nbplat.terms import SnapshotPin, content_hash

__all__ = [
    "EVERYTHING",
    "AmendPlan",
    "AmendUnit",
    "amend_units",
    "explain_amendment",
    "plan_correction",
    "plan_increment",
]

EVERYTHING = (None, None)
Window = tuple[int | None, int | None]
_UNIT_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class AmendUnit:
    """Parts of the source that become one spill file.

    Attributes:
        parts: Ids.
        side: Which of their rows: ``all``, ``inside`` the window, ``outside`` of it.
        bytes: To read at most.
    """

    id: str
    parts: tuple[str, ...]
    side: str
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class AmendPlan:
    """Everything an amendment will compare, as a value.

    Attributes:
        name: Of the sequence.
        version: Of the definition.
        index: The index at the snapshot that is amended.
        before: What that was made from.
        source: What it is compared with, pinned.
        enrich: Table that enriches at index -> its pin.
        kind: ``increment``: only what was added to the source; ``window``: all events of a window as well;
            ``everything``.
        window: Of kind ``window``, microseconds since 1970 UTC.
        defer: True: copies of an event may lie outside the window, so that users who lose an event are looked at whole.
        units: Parts of the source to read.
        buckets: Of the index.
        engine: ``local``, ``ray`` or ``spark``.
        memory_bytes: What all tasks of this machine may hold together.
        reason: Why more is compared than was added; empty when it was asked for.
    """

    name: str
    version: str
    index: SnapshotPin
    before: SourcePin
    source: SourcePin
    enrich: Mapping[str, SourcePin]
    kind: str
    window: Window | None
    defer: bool
    units: tuple[AmendUnit, ...]
    buckets: int
    engine: str
    memory_bytes: int
    reason: str = ""

    @property
    def plan_hash(self) -> str:
        """SHA-256 over what decides the units and their content."""
        record = self.record()
        for aside in ("name", "version", "engine", "memory_bytes", "reason"):
            del record[aside]
        return content_hash(record)

    @property
    def read_bytes(self) -> int:
        """Of the source, at most."""
        return sum(unit.bytes for unit in self.units)

    def record(self) -> dict[str, Any]:
        """JSON form; `from_record` reads it."""
        return {
            "name": self.name,
            "version": self.version,
            "index": self.index.record(),
            "before": self.before.record(),
            "source": self.source.record(),
            "enrich": {name: pin.record() for name, pin in self.enrich.items()},
            "kind": self.kind,
            "window": None if self.window is None else list(self.window),
            "defer": self.defer,
            "units": [
                {"id": unit.id, "parts": list(unit.parts), "side": unit.side, "rows": unit.rows, "bytes": unit.bytes}
                for unit in self.units
            ],
            "buckets": self.buckets,
            "engine": self.engine,
            "memory_bytes": self.memory_bytes,
            "reason": self.reason,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> AmendPlan:
        """Read what `record` wrote."""
        window = record["window"]
        return cls(
            **{
                **record,
                "index": SnapshotPin(**record["index"]),
                "before": SourcePin.from_record(record["before"]),
                "source": SourcePin.from_record(record["source"]),
                "enrich": {name: SourcePin.from_record(pin) for name, pin in record["enrich"].items()},
                "window": None if window is None else (window[0], window[1]),
                "units": tuple(AmendUnit(**{**unit, "parts": tuple(unit["parts"])}) for unit in record["units"]),
            }
        )


def plan_increment(
    bound: Bound,
    state: IndexState,
    source: EventSource,
    enrich: Mapping[str, EventSource],
    *,
    engine: str,
    memory_bytes: int,
    slots: int,
) -> AmendPlan | None:
    """Bring an index to the present source; None when it is there already.

    Where the source was not only appended to, the events of the times that changed are compared, or all of them when
    nobody can say which times those are.
    """
    before = _published(state)
    base = _base(bound, state, source, enrich, engine, memory_bytes)
    if before == source.pin:
        return None
    added = source.added_since(before)
    if added is not None:
        return replace(base, units=tuple(amend_units(added, "all", slots))) if added else None
    window = _changed(bound, source, before) or EVERYTHING
    why = f"{source.pin.name} was not only appended to since the index was made of it"
    return _over(bound, base, source, window, (), slots, reason=why)


def plan_correction(
    bound: Bound,
    state: IndexState,
    source: EventSource,
    enrich: Mapping[str, EventSource],
    *,
    window: Window = EVERYTHING,
    engine: str,
    memory_bytes: int,
    slots: int,
) -> AmendPlan:
    """Compare the events of a window, and what was added to the source besides, with the index.

    Args:
        window: From the first to before the second moment, microseconds since 1970 UTC; None without an end.

    Raises:
        Conflict: ``sequence.window_narrow``: the source has changed outside of the window.
    """
    before = _published(state)
    base = _base(bound, state, source, enrich, engine, memory_bytes)
    added: tuple[SourcePart, ...] | None = ()
    if window != EVERYTHING and before != source.pin:
        added = source.added_since(before)
        changed = None if added is not None else _changed(bound, source, before)
        if added is None and (changed is None or not _covers(window, changed)):
            raise _narrow(source, changed)
    return _over(bound, base, source, window, added or (), slots)


def _base(
    bound: Bound,
    state: IndexState,
    source: EventSource,
    enrich: Mapping[str, EventSource],
    engine: str,
    memory_bytes: int,
) -> AmendPlan:
    return AmendPlan(
        name=bound.declared.name,
        version=bound.declared.version,
        index=state.pin,
        before=_published(state),
        source=source.pin,
        enrich={name: each.pin for name, each in sorted(enrich.items())},
        kind="increment",
        window=None,
        defer=False,
        units=(),
        buckets=state.buckets,
        engine=engine,
        memory_bytes=memory_bytes,
    )


def _over(
    bound: Bound,
    base: AmendPlan,
    source: EventSource,
    window: Window,
    added: Sequence[SourcePart],
    slots: int,
    reason: str = "",
) -> AmendPlan:
    if window == EVERYTHING:
        return replace(
            base, kind="everything", window=window, units=tuple(amend_units(source.parts, "all", slots)), reason=reason
        )
    definition = bound.declared
    inside = source.parts_within(definition.time, window, definition.time_unit)
    units = [*amend_units(inside, "inside", slots)]
    units += amend_units(added, "outside", slots, first=len(units))
    copies = definition.dedupe in ("first", "last") and bool(definition.id)
    return replace(base, kind="window", window=window, defer=copies, units=tuple(units), reason=reason)


def _changed(bound: Bound, source: EventSource, before: SourcePin) -> Window | None:
    return source.changed_span(before, bound.declared.time, bound.declared.time_unit)


def _covers(window: Window, changed: Window) -> bool:
    (start, end), (first, last) = window, changed
    begins = start is None or (first is not None and start <= first)
    return begins and (end is None or (last is not None and last <= end))


def amend_units(parts: Sequence[SourcePart], side: str, slots: int, first: int = 0) -> Iterator[AmendUnit]:
    """Parts in their order, about as many bytes in each unit."""
    total = sum(part.bytes for part in parts)
    target = max(min(total // (slots * 4), _UNIT_BYTES), 1)
    held: list[SourcePart] = []
    for place, part in enumerate(parts):
        held.append(part)
        if sum(each.bytes for each in held) >= target or place == len(parts) - 1:
            rows, size = sum(each.rows for each in held), sum(each.bytes for each in held)
            yield AmendUnit(f"p{first:05d}", tuple(each.id for each in held), side, rows, size)
            first, held = first + 1, []


def _published(state: IndexState) -> SourcePin:
    if state.source is None:
        raise InternalError(
            "sequence.unpublished", f"{state.pin.table} has no index yet", fix="build it: %sequence build NAME"
        )
    return state.source


def _narrow(source: EventSource, changed: Window | None) -> Conflict:
    if changed is None:
        return Conflict(
            "sequence.window_narrow",
            f"{source.pin.name} was changed since the index was made of it, and its files do not say at which times",
            fix="correct everything: leave --from and --to out",
        )
    first, last = (None if at is None else iso_moment(at) for at in changed)
    return Conflict(
        "sequence.window_narrow",
        f"{source.pin.name} was changed outside of the window as well: from {first} to before {last}",
        fix=f"give --from {first} --to {last}, or leave both out to correct everything",
    )


def explain_amendment(plan: AmendPlan) -> Iterator[str]:
    """Lines that tell what an amendment will do."""
    yield f"sequence {plan.name}, definition {plan.version[:12]}, index {plan.index.table}"
    yield f"amends snapshot {plan.index.snapshot_id}, made of {_state_of(plan.before)}"
    if plan.reason:
        yield plan.reason
    if plan.kind == "increment":
        yield f"reads what was added to {_state_of(plan.source)} since"
    else:
        yield f"compares {explain_window(plan.window)} with {_state_of(plan.source)}"
    rows = sum(unit.rows for unit in plan.units)
    units = f"{len(plan.units)} unit{'s' * (len(plan.units) != 1)}"
    yield f"reads at most {rows:,} rows, {plan.read_bytes:,} bytes, in {units} on {plan.engine}"
    if plan.defer:
        yield "users who lose an event are compared with all of their events: a copy may lie outside of the window"


def _state_of(pin: SourcePin) -> str:
    return f"{pin.name}, snapshot {pin.table.snapshot_id}" if pin.table is not None else pin.name
