"""Generated events and examples of users with a heavy tail: some late, some sent twice; the same for a seed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["LISTED", "World", "make_world"]

LISTED = ("event_ts", "action", "item_id", "price", "shop", "score")
"""The columns that become lists."""

_FIRST_US = 1_700_000_000_000_000
_SPAN_US = 90 * 86_400_000_000
_LATE_SHARE, _LATE_MEAN_US = 0.02, 6 * 3_600_000_000
_TWICE_SHARE = 0.01
_GROUP_ROWS = 1_000_000


@dataclass(frozen=True, slots=True)
class World:
    """Two Parquet files.

    Attributes:
        events: ``user_id`` int32, ``event_ts`` timestamp, ``kind`` (one value: the type that a definition names),
            ``action`` int8, ``item_id`` int32, ``price`` float32, ``shop`` int32, ``score`` float32; rows in the order
            in which they arrived: 2 % of them late by six hours in the mean, 1 % sent a second time.
        examples: ``example_id``, ``user_id`` and ``label_ts``, of the last two thirds of the time, in no order.
    """

    events: Path
    examples: Path


def make_world(folder: Path, *, events: int, users: int, examples: int, seed: int = 7) -> World:
    """Write the files; a user's events follow a power law, the heaviest has some 0.07 % of all."""
    rng = np.random.default_rng(seed)
    weight = np.cumsum(1 / (np.arange(users) + 200.0) ** 1.05)
    number = rng.permutation(users).astype(np.int32)

    def some_users(count: int) -> np.ndarray:
        return number[np.searchsorted(weight, rng.random(count) * weight[-1])]

    twice = int(events * _TWICE_SHARE)
    fresh = events - twice
    # No two events share a moment: what is last does not hang on how a contender breaks ties.
    step = rng.random(fresh) + 1e-3
    moment = _FIRST_US + np.arange(fresh) + (np.cumsum(step) * ((_SPAN_US - fresh) / step.sum())).astype(np.int64)
    del step
    again = np.sort(rng.choice(fresh, twice, replace=False))
    row = np.concatenate([np.arange(fresh, dtype=np.int32), again.astype(np.int32)])
    late = np.where(rng.random(events) < _LATE_SHARE, rng.exponential(_LATE_MEAN_US, events), 0).astype(np.int64)
    late[fresh:] += rng.integers(1, 60_000_000, twice)
    row = row[np.argsort(moment[row] + late, kind="stable")]
    del late
    columns = {
        "user_id": some_users(fresh),
        "event_ts": moment,
        "kind": np.zeros(fresh, np.int8),
        "action": rng.choice(4, fresh, p=[0.7, 0.2, 0.07, 0.03]).astype(np.int8),
        "item_id": (rng.zipf(1.3, fresh) % 2_000_000).astype(np.int32),
        "price": np.round(rng.gamma(2.0, 20.0, fresh), 2).astype(np.float32),
        "shop": rng.integers(0, 500, fresh).astype(np.int32),
        "score": rng.random(fresh, dtype=np.float32),
    }
    found = World(folder / "events.parquet", folder / "examples.parquet")
    _write_events(found.events, columns, row)
    table = {
        "example_id": np.arange(examples, dtype=np.int32),
        "user_id": some_users(examples),
        "label_ts": pa.array(_FIRST_US + rng.integers(_SPAN_US // 3, _SPAN_US, examples), _MOMENT),
    }
    pq.write_table(pa.table(table), found.examples, compression="zstd", compression_level=1)
    return found


_MOMENT = pa.timestamp("us", tz="UTC")


def _write_events(path: Path, columns: dict[str, np.ndarray], row: np.ndarray) -> None:
    kind = pa.array(["event"])
    writer = None
    for begin in range(0, len(row), _GROUP_ROWS):
        at = row[begin : begin + _GROUP_ROWS]
        taken = {name: pa.array(values[at]) for name, values in columns.items()}
        taken["event_ts"] = taken["event_ts"].view(_MOMENT)
        taken["kind"] = pa.DictionaryArray.from_arrays(taken["kind"].cast(pa.int32()), kind).cast(pa.string())
        table = pa.table(taken)
        if writer is None:
            writer = pq.ParquetWriter(path, table.schema, compression="zstd", compression_level=1)
        writer.write_table(table, row_group_size=_GROUP_ROWS)
    if writer is not None:
        writer.close()
