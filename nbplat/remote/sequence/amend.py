"""Amend: bring the stored events of a bucket to what the source says, writing what has come and naming what has gone.

One piece of work serves three ends. An increment has only rows that were added to the source; a correction of a window
has all rows whose time lies in it; a correction of everything is one whose window has no ends.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from nbplat.remote.failure import failed

from .among import among
from .change_file import Changes, change_location, write_changes
from .difference import Difference, changed_fields, difference, identity_of
from .hashing import row_hash
from .heavy import WORKING, entity_ranges
from .index_file import index_location, write_index_file
from .sift import entity_hashes, inside_window, sifted_hashes, write_hashes
from .sorting import sort_events
from .spill import read_bucket
from .stored_order import deduped_together
from .stored_rows import TIME, TYPE, to_stored
from .stored_runs import StoredRows, read_runs
from .tally import add, new_tally
from .tasks import AmendTask, Recipe

__all__ = ["amend"]


def amend(task: AmendTask) -> dict[str, Any]:
    """Compare a bucket with the fresh events of the source.

    Returns:
        ``{"unit", "fence", "files", "changes", "tally", "fresh", "ms"}``: ``files`` as of `shard.shard`, none or one;
        ``changes`` as `Changes.told` gives it; ``tally`` what is to be added to that of the index, also numbers below
        zero; ``fresh`` the tally of the source's rows by themselves; or ``{"unit", "fence", "error"}``.
    """
    began = time.monotonic()
    try:
        done = _amended(task)
    except Exception as exc:  # noqa: BLE001 - every failure becomes the record of a unit
        return failed(task, exc)
    spent = round((time.monotonic() - began) * 1000)
    return {"unit": task["unit"], "fence": task["fence"], **done, "ms": spent}


def _amended(task: AmendTask) -> dict[str, Any]:
    schema = pa.ipc.read_schema(pa.py_buffer(task["stored"]))
    bucket = _Bucket(task, schema)
    path = index_location(task["out"], task["bucket"], task["stem"], task["unit"], task["fence"])
    location = change_location(task["scratch"], task["unit"], task["fence"])
    with write_changes(location, task["scratched"], schema, task["recipe"]) as changes:
        added = bucket.added(changes)
        first = next(added, None)
        files = []
        if first is not None:
            rows, size = write_index_file(path, task["storage"], schema, itertools.chain([first], added))
            files = [{"path": path, "bucket": task["bucket"], "rows": rows, "file_bytes": size}]
    told = {"files": files, "changes": changes.told(), "tally": bucket.tally, "fresh": bucket.fresh}
    deferred = bucket.deferred()
    if len(deferred):
        again = f"{task['scratch'].rstrip('/')}/{task['unit']}-{task['fence']}.again.arrow"
        write_hashes(again, task["scratched"], deferred)
        told["again"] = {"path": again, "users": len(deferred)}
    return told


class _Keys(NamedTuple):
    """Of every live row of the bucket.

    Attributes:
        entity: ``uint64[rows]``, hash of the entity.
        identity: ``uint64[rows]``, what copies of one event share; None when copies are kept.
        inside: ``bool[rows]``: the row is compared whatever the source has.
    """

    entity: Any
    identity: Any | None
    inside: Any


class _Bucket:
    """The stored side, and the comparison with it."""

    def __init__(self, task: AmendTask, schema: pa.Schema) -> None:
        self._task, self._schema, self._recipe = task, schema, task["recipe"]
        # As rows that were read have it: what a table requires is not required of what is made of it.
        self._plain = pa.schema([pa.field(field.name, field.type) for field in schema])
        self.tally, self.fresh = new_tally(), new_tally()
        self._deferred: list[Any] = []
        self._keys = self._read_keys()

    def added(self, changes: Changes) -> Iterator[pa.Table]:
        """Rows to add, in the total order; what goes is put into `changes` on the way."""
        met = []
        for rows in self._fresh():
            events, tally = sort_events(rows, self._recipe)
            fresh = to_stored(events, self._task["bucket"], self._schema).cast(self._plain)
            self.fresh = add([self.fresh, tally])
            self.tally["dropped"] += rows.num_rows
            met.append(np.unique(entity_hashes(fresh, self._recipe)))
            added = self._compared(fresh, met[-1], changes)
            if added.num_rows:
                yield added
        lost = self._keys.inside.copy()
        if met:
            lost &= ~among(self._keys.entity, np.sort(np.concatenate(met)))
        if lost.any():
            # Of these entities the source has nothing: all that is compared has gone.
            old = self._read(lost)
            self._note(old, old.rows.slice(0, 0), changes)

    def deferred(self) -> Any:
        """``uint64[...]``: hashes of the entities whose whole history has to be looked at."""
        return np.unique(np.concatenate([np.empty(0, np.uint64), *self._deferred]))

    def _fresh(self) -> Iterator[pa.Table]:
        """Screened rows of the source, whole entities at a time, the entities ascending."""
        task = self._task

        def batches(only: list[str] | None) -> Iterator[pa.RecordBatch]:
            for spill in task["spills"]:
                yield from read_bucket(
                    spill["path"],
                    task["scratched"],
                    task["bucket"],
                    self._recipe["buckets"],
                    spill["rounds"],
                    only=only,
                )

        rows, size = (sum(spill[what] for spill in task["spills"]) for what in ("rows", "bytes"))
        if rows:
            # Beside the fresh rows the stored ones of the same entities are held, about as many.
            yield from entity_ranges(batches, self._recipe, rows, size, task["memory_bytes"] // (2 * WORKING))

    def _read_keys(self) -> _Keys:
        task, recipe = self._task, self._recipe
        if not task["runs"]:
            none = np.empty(0, np.uint64)
            return _Keys(none, none, np.empty(0, bool))
        names = [*recipe["entity"], TYPE, TIME, *(recipe["id"] if recipe["dedupe"] != "none" else [])]
        keys = read_runs(task["runs"], list(dict.fromkeys(names))).rows
        entity = entity_hashes(keys, recipe)
        if task["entities"] is not None:
            inside = among(entity, sifted_hashes(task["entities"], task["scratched"]))
        elif task["window"] is None:
            inside = np.zeros(len(entity), bool)
        else:
            inside = inside_window(keys.column(TIME).cast(pa.int64()).to_numpy(), task["window"])
        return _Keys(entity, _copy_key(keys, recipe), inside)

    def _compared(self, fresh: pa.Table, entities: Any, changes: Changes) -> pa.Table:
        keys, recipe = self._keys, self._recipe
        wanted = keys.inside & among(keys.entity, entities) if keys.inside.any() else keys.inside
        mine = _copy_key(fresh, recipe)
        copies = np.zeros(len(wanted), bool)
        if mine is not None and keys.identity is not None:
            # Rows outside the window that are copies of fresh ones: which of them stays is decided together.
            rest = np.flatnonzero(~wanted & (keys.identity != 0))
            copies[rest] = among(keys.identity[rest], np.sort(mine))
        if not (wanted.any() or copies.any()):
            return self._note(None, fresh, changes)
        old = self._read(wanted | copies)
        if copies.any():
            stay = old.rows.filter(pa.array(copies[wanted | copies]))
            fresh = deduped_together(pa.concat_tables([stay, fresh]), recipe)
        return self._note(old, fresh, changes)

    def _read(self, keep: Any) -> StoredRows:
        return read_runs(self._task["runs"], self._schema.names, keep)

    def _note(self, old: StoredRows | None, new: pa.Table, changes: Changes) -> pa.Table:
        """Count and keep how they differ; returns the rows that have come."""
        recipe = self._recipe
        none = np.empty(0, np.int64)
        if old is None:
            found, rows = Difference(none, np.arange(new.num_rows), none, none), new.slice(0, 0)
        else:
            found, rows = difference(old.rows, new, recipe["entity"], recipe["id"]), old.rows
        if self._task["defer"] and len(found.gone):
            found = self._without_losers(rows, new, found)
        gone, come = rows.take(pa.array(found.gone)), new.take(pa.array(found.come))
        changes.take(old, new, found, changed_fields(rows, new, found))
        self._count(gone, come)
        return come.cast(self._schema)

    def _without_losers(self, rows: pa.Table, new: pa.Table, found: Difference) -> Difference:
        """Leave out the entities that lose an event, and remember them."""
        before, after = entity_hashes(rows, self._recipe), entity_hashes(new, self._recipe)
        losers = np.unique(before[found.gone])
        self._deferred.append(losers)
        none = np.empty(0, np.int64)
        return Difference(none, found.come[~among(after[found.come], losers)], none, none)

    def _count(self, gone: pa.Table, come: pa.Table) -> None:
        tally = self.tally
        net = come.num_rows - gone.num_rows
        tally["rows"] += net
        tally["dropped"] -= net
        by_type: dict[str, int] = tally["by_type"]
        for rows, sign in ((come, 1), (gone, -1)):
            for each in rows.column(TYPE).value_counts().to_pylist():
                by_type[each["values"]] = by_type.get(each["values"], 0) + sign * each["counts"]
        tally["entities"] += self._more_entities(gone, come)
        if come.num_rows:
            at = come.column(TIME).cast(pa.int64()).to_numpy()
            for name, least, found in (("first_us", min, at.min()), ("last_us", max, at.max())):
                tally[name] = int(found) if tally[name] is None else int(least(tally[name], found))

    def _more_entities(self, gone: pa.Table, come: pa.Table) -> int:
        """Entities that now have events and had none, less those that had some and have none any more."""
        lost, lost_rows = np.unique(entity_hashes(gone, self._recipe), return_counts=True)
        new = np.unique(entity_hashes(come, self._recipe))
        touched = np.unique(np.concatenate([lost, new]))
        mine = self._keys.entity[among(self._keys.entity, touched)]
        had, rows = np.unique(mine, return_counts=True)
        left = rows.copy()
        left[np.searchsorted(had, lost)] -= lost_rows
        return int(np.isin(new, had, invert=True).sum() - ((left == 0) & ~np.isin(had, new)).sum())


def _copy_key(rows: pa.Table, recipe: Recipe) -> Any | None:
    """What copies of one event share, 0 for rows that are copies of none; None when nobody looks for copies."""
    if recipe["dedupe"] == "exact":
        return identity_of(rows, recipe["entity"], [])
    if recipe["dedupe"] == "none" or not recipe["id"]:
        return None
    found = row_hash(rows.select([*recipe["entity"], TYPE, *recipe["id"]]))
    for name in recipe["id"]:
        found[rows.column(name).is_null().to_numpy()] = 0
    return found
