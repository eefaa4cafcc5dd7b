"""What an amendment changes: counted, with examples, and row by row in a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa

from .difference import Difference
from .hashing import row_hash
from .spill import written_file
from .stored_rows import BUCKET, SEEN, TIME, TYPE, UNTIL, WHERE
from .stored_runs import StoredRows
from .tasks import Recipe

__all__ = ["ADDED", "CHANGED", "REMOVED", "Changes", "change_location", "read_changes", "write_changes"]

ADDED, REMOVED, CHANGED = "added", "removed", "changed"
_EXAMPLES = 3
_OWN = {UNTIL: "(replaced at)"}
# What follows from other columns, which are named.
_DERIVED = (TIME, SEEN, WHERE)
_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


def change_location(out: str, unit: str, fence: int) -> str:
    """Where a unit's change file goes."""
    return f"{out.rstrip('/')}/{unit}-{fence}.changes.arrow"


@contextmanager
def write_changes(location: str, storage: Mapping[str, str], schema: pa.Schema, recipe: Recipe) -> Iterator[Changes]:
    """A change file to fill; it appears when the block ends.

    Its rows have ``what``, the entity, ``nb_type``, ``nb_time`` and the id columns of each event, ``fields`` (that
    differ, of a changed event), ``run`` and ``position`` (of the row that goes; -1 of an added event).
    """
    shown = list(dict.fromkeys([*recipe["entity"], TYPE, TIME, *recipe["id"]]))
    whole = pa.schema(
        [
            pa.field("what", pa.string()),
            *(pa.field(name, schema.field(name).type) for name in shown),
            pa.field("fields", pa.list_(pa.string())),
            pa.field("run", pa.int32()),
            pa.field("position", pa.int64()),
        ]
    )
    with written_file(location, storage) as sink, pa.ipc.new_file(sink, whole, options=_OPTIONS) as arrow:
        yield Changes(location, arrow, whole, recipe)


def read_changes(location: str, storage: Mapping[str, str]) -> pa.Table:
    """Rows of a change file."""
    from nbplat.remote.storage import filesystem

    system, path = filesystem(location, storage)
    with system.open_input_file(path) as source:
        return pa.ipc.open_file(source).read_all()


class Changes:
    """Collects differences."""

    def __init__(self, location: str, sink: pa.ipc.RecordBatchFileWriter, schema: pa.Schema, recipe: Recipe) -> None:
        self._location, self._sink, self._schema, self._recipe = location, sink, schema, recipe
        self._users: set[int] = set()
        self._counts = {ADDED: 0, REMOVED: 0, CHANGED: 0}
        self._fields: dict[str, int] = {}
        self._examples: dict[str, list[dict[str, Any]]] = {ADDED: [], REMOVED: [], CHANGED: []}

    def take(self, old: StoredRows | None, new: pa.Table, found: Difference, fields: Mapping[str, Any]) -> None:
        """Take in how stored rows differ from new ones (see `difference`); without stored rows all are new."""
        fields = {self._named(name): differs for name, differs in fields.items() if name not in _DERIVED}
        added = np.setdiff1d(found.come, found.now)
        self._write(ADDED, new.take(pa.array(added)), None, None)
        if old is not None:
            removed = old.take(np.setdiff1d(found.gone, found.was))
            self._write(REMOVED, removed.rows, removed, None)
            changed = old.take(found.was)
            names = _lists(fields, len(found.was))
            self._write(CHANGED, changed.rows, changed, names)
            self._show_changed(changed.rows, new.take(pa.array(found.now)), names)
        for name, differs in fields.items():
            self._fields[name] = self._fields.get(name, 0) + int(differs.sum())

    def told(self) -> dict[str, Any]:
        """``{"path", "users", "added", "removed", "changed", "fields", "examples"}``, as JSON.

        ``users`` counts entities; ``fields`` maps a column to the changed events whose value differs; an example has
        ``what``, ``entity``, ``type``, ``time_us``, and ``was`` and ``now``, column -> text: all columns of an added or
        a removed event, those that differ of a changed one.
        """
        examples = [each for found in self._examples.values() for each in found]
        return {
            "path": self._location,
            "users": len(self._users),
            **self._counts,
            "fields": dict(sorted(self._fields.items())),
            "examples": examples,
        }

    def _write(self, what: str, rows: pa.Table, at: StoredRows | None, fields: pa.Array | None) -> None:
        count = rows.num_rows
        if not count:
            return
        self._counts[what] += count
        self._users.update(np.unique(row_hash(rows.select(self._recipe["entity"]))).tolist())
        own = [
            pa.nulls(count, pa.list_(pa.string())) if fields is None else fields,
            pa.array(np.full(count, -1, np.int32) if at is None else at.run),
            pa.array(np.full(count, -1, np.int64) if at is None else at.position),
        ]
        shown = rows.select(self._schema.names[1:-3]).columns
        self._sink.write_table(
            pa.Table.from_arrays([pa.repeat(pa.scalar(what, pa.string()), count), *shown, *own], schema=self._schema)
        )
        if what != CHANGED:
            side = "now" if what == ADDED else "was"
            for row in self._some(what, rows):
                values = {name: _text(value) for name, value in row.items() if name not in (BUCKET, TYPE, *_DERIVED)}
                self._examples[what].append({**self._event(what, row), side: values})

    def _show_changed(self, was: pa.Table, now: pa.Table, fields: pa.Array) -> None:
        for place, row in enumerate(self._some(CHANGED, was)):
            after = now.slice(place, 1).to_pylist()[0]
            found = fields[place].as_py()
            differ = [name for name in row if self._named(name) in found]
            both = {
                side: {self._named(name): _text(values[name]) for name in differ}
                for side, values in (("was", row), ("now", after))
            }
            self._examples[CHANGED].append({**self._event(CHANGED, row), **both})

    def _some(self, what: str, rows: pa.Table) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = rows.slice(0, _EXAMPLES - len(self._examples[what])).to_pylist()
        return found

    def _event(self, what: str, row: Mapping[str, Any]) -> dict[str, Any]:
        entity = {name: _text(row[name]) for name in self._recipe["entity"]}
        return {"what": what, "entity": entity, "type": row[TYPE], "time": _text(row[TIME])}

    def _named(self, name: str) -> str:
        return _OWN.get(name, name)


def _lists(fields: Mapping[str, Any], count: int) -> pa.Array:
    """Names of the fields that differ, a list a row; few combinations occur, and each is made once."""
    code = np.zeros(count, np.uint64)
    for place, differs in enumerate(fields.values()):
        # Beyond 64 columns combinations would share a code.
        if place and place % 64 == 0:
            return pa.array([[n for n, d in fields.items() if d[row]] for row in range(count)], pa.list_(pa.string()))
        code |= differs.astype(np.uint64) << np.uint64(place)
    codes, inverse = np.unique(code, return_inverse=True)
    names = list(fields)
    found = [[name for place, name in enumerate(names) if int(each) >> place & 1] for each in codes]
    return pa.array(found, pa.list_(pa.string())).take(pa.array(inverse))


def _text(value: Any) -> str | None:
    """As a person reads it; moments as ISO."""
    if value is None:
        return None
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
