"""What an amendment changes in an index: users, events, fields, with examples; printed before it is published."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from nbplat.terms import counted

__all__ = ["IndexDiff", "diff_of", "explain_diff", "explain_window", "iso_moment"]

_EXAMPLES = 5
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class IndexDiff:
    """Events of the index against those of the source.

    An event is the same when entity, type and id are; without an id, when entity, type and time are.

    Attributes:
        kind: ``increment``, ``window`` or ``everything``: what was compared.
        window: Microseconds since 1970 UTC, from the first to before the second; None without an end. Of a window.
        users: Entities of which an event was added, removed or changed.
        added, removed, changed: Events.
        fields: Column -> changed events whose value differs.
        rows: Events in the index before.
        rows_after: And after.
        added_bytes: Of the files to add.
        removed_rows: Rows of the present index that go; a changed event is one that goes and one that comes.
        examples: ``what``, ``entity``, ``type``, ``time``, ``was``, ``now``; see `nbplat.remote.sequence.change_file`.
        reason: Why so much was compared; empty when it was asked for.
    """

    kind: str
    window: tuple[int | None, int | None] | None
    users: int
    added: int
    removed: int
    changed: int
    fields: Mapping[str, int]
    rows: int
    rows_after: int
    added_bytes: int
    removed_rows: int
    examples: tuple[Mapping[str, Any], ...] = ()
    reason: str = ""
    parent: int | None = field(default=None)

    @property
    def empty(self) -> bool:
        """True when the index is what it should be."""
        return not (self.added or self.removed or self.changed)

    def record(self) -> dict[str, Any]:
        """JSON form; `from_record` reads it."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        window = None if self.window is None else list(self.window)
        return {**plain, "window": window, "fields": dict(self.fields), "examples": [dict(e) for e in self.examples]}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> IndexDiff:
        """Read what `record` wrote."""
        window = record["window"]
        return cls(
            **{
                **record,
                "window": None if window is None else (window[0], window[1]),
                "fields": MappingProxyType(dict(record["fields"])),
                "examples": tuple(record["examples"]),
            }
        )


def diff_of(
    units: Iterable[Mapping[str, Any]],
    *,
    kind: str,
    window: tuple[int | None, int | None] | None,
    rows: int,
    parent: int | None,
    reason: str = "",
) -> IndexDiff:
    """Add up the results of the units (see `nbplat.remote.sequence.amend.amend`), each of other entities."""
    counts = dict.fromkeys(("users", "added", "removed", "changed", "size", "net"), 0)
    fields: dict[str, int] = {}
    examples: dict[str, list[Mapping[str, Any]]] = {"added": [], "removed": [], "changed": []}
    for unit in units:
        told = unit["changes"]
        for name in ("users", "added", "removed", "changed"):
            counts[name] += told[name]
        counts["size"] += sum(file["file_bytes"] for file in unit["files"])
        counts["net"] += unit["tally"]["rows"]
        for name, count in told["fields"].items():
            fields[name] = fields.get(name, 0) + count
        for each in told["examples"]:
            found = examples[each["what"]]
            if len(found) < _EXAMPLES:
                found.append(each)
    return IndexDiff(
        kind=kind,
        window=window,
        users=counts["users"],
        added=counts["added"],
        removed=counts["removed"],
        changed=counts["changed"],
        fields=MappingProxyType(dict(sorted(fields.items(), key=lambda pair: (-pair[1], pair[0])))),
        rows=rows,
        rows_after=rows + counts["net"],
        added_bytes=counts["size"],
        removed_rows=counts["removed"] + counts["changed"],
        examples=tuple(each for found in examples.values() for each in found),
        reason=reason,
        parent=parent,
    )


def explain_diff(diff: IndexDiff) -> Iterator[str]:
    """Lines for a person, the counts first."""
    if diff.reason:
        yield diff.reason
    what = "what was added to the source" if diff.kind == "increment" else explain_window(diff.window)
    yield f"compared: {what}"
    if diff.empty:
        yield f"no difference: the index has the events of the source, {diff.rows:,}"
        return
    yield (
        f"{counted(diff.users, 'user')}: {counted(diff.added, 'event')} added, {diff.removed:,} removed,"
        f" {diff.changed:,} changed; {counted(diff.rows, 'event')} before, {diff.rows_after:,} after"
    )
    if diff.fields:
        yield "fields changed: " + ", ".join(f"{name} of {count:,}" for name, count in diff.fields.items())
    yield f"to publish: {diff.added_bytes:,} bytes added, {counted(diff.removed_rows, 'row')} removed by position"
    for each in diff.examples:
        yield f"  {_example(each)}"


def explain_window(window: tuple[int | None, int | None] | None) -> str:
    """Which events a window has, in words; None has all."""
    if window is None or window == (None, None):
        return "every event"
    start, end = (None if at is None else iso_moment(at) for at in window)
    if start is None:
        return f"the events before {end}"
    return f"the events from {start}" if end is None else f"the events from {start} to before {end}"


def _example(each: Mapping[str, Any]) -> str:
    who = ", ".join(f"{name} {value}" for name, value in each["entity"].items())
    head = f"{each['what']}: {who}, {each['type']} at {each['time']}"
    if each["what"] == "changed":
        return head + "; " + ", ".join(f"{n}: {each['was'][n]} -> {each['now'][n]}" for n in each["was"])
    values = each.get("now") or each.get("was") or {}
    rest = {name: value for name, value in values.items() if name not in each["entity"] and value is not None}
    return head + (f" ({', '.join(f'{name} {value}' for name, value in rest.items())})" if rest else "")


def iso_moment(us: int) -> str:
    """Microseconds since 1970 UTC as an ISO moment."""
    return (_EPOCH + timedelta(microseconds=us)).isoformat()
