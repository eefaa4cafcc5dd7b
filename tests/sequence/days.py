"""A small lake whose events come over days, and an index that follows it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from nbplat.job import Job, JobState
from nbplat.remote.sequence.content import content_digest
from nbplat.sequence.amendments import Amendments
from nbplat.sequence.builds import Builds
from nbplat.sequence.definition import Definition
from nbplat.sequence.index_diff import IndexDiff
from nbplat.sequence.parse import parse_definition
from nbplat.sequence.stored_index import StoredIndex
from nbplat.terms import SnapshotPin
from tests.fixtures.lakehouse import Lake

__all__ = ["DAY_US", "SOURCE", "Days", "definition", "events", "us"]

SOURCE = "web.events"
DAY_US = 86_400_000_000
_START = dt.datetime(2024, 3, 1, tzinfo=dt.UTC)
_MOMENT = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    {
        "user_id": pa.string(),
        "event_ts": _MOMENT,
        "ingest_ts": _MOMENT,
        "event_id": pa.int64(),
        "event_type": pa.string(),
        "amount": pa.float64(),
    }
)


def us(day: float) -> int:
    """So many days after the first, in microseconds since 1970."""
    return int(_START.timestamp()) * 1_000_000 + int(day * DAY_US)


def events(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows of the source: ``user``, ``day``, and where they are given ``seen`` (day), ``id``, ``type``, ``amount``."""
    return pa.table(
        [
            pa.array([row["user"] for row in rows], pa.string()),
            pa.array([us(row["day"]) for row in rows], pa.int64()).cast(_MOMENT),
            pa.array([us(row.get("seen", row["day"])) for row in rows], pa.int64()).cast(_MOMENT),
            pa.array([row.get("id") for row in rows], pa.int64()),
            pa.array([row.get("type", "click") for row in rows], pa.string()),
            pa.array([row.get("amount", 1.0) for row in rows], pa.float64()),
        ],
        schema=SCHEMA,
    )


def definition(name: str = "clicks", **keys: Any) -> Definition:
    """A definition over the source, with more keys as YAML texts."""
    lines = {
        "source": SOURCE,
        "entity": "user_id",
        "time": "event_ts",
        "events": "{click: {last: 5}, buy: {last: 3, where: 'amount > 1'}}",
        "show": "[amount]",
        **keys,
    }
    return parse_definition("\n".join(f"{key}: {value}" for key, value in lines.items() if value is not None), name)


@dataclass
class Days:
    """A lake with the source, and what is asked of it."""

    lake: Lake

    def start(self, rows: pa.Table) -> None:
        self.lake.make(SOURCE, rows, partitioned=False)

    def add(self, rows: pa.Table) -> None:
        self.lake.table(SOURCE).append(rows)

    def build(self, of: Definition) -> Job | None:
        """Build, or bring up to date; the job must succeed."""
        _, job = Builds(self.lake.platform.sequences).queue(of, owner="me")
        return None if job is None else self._done(job)

    def correct(
        self, of: Definition, *, window: tuple[int | None, int | None] = (None, None), publish: bool = True
    ) -> IndexDiff:
        _, job = Amendments(self.lake.platform.sequences).correct(of, owner="me", window=window, publish=publish)
        done = self._done(job)
        assert done.result is not None
        return IndexDiff.from_record(done.result["diff"])

    def index(self, of: Definition, snapshot_id: int | None = None) -> StoredIndex:
        sequences = self.lake.platform.sequences
        found = sequences.find_index(sequences.bind(of), snapshot_id=snapshot_id)
        assert found is not None
        return found

    def pin(self, of: Definition) -> SnapshotPin:
        pin = self.index(of).pin
        assert pin is not None
        return pin

    def content(self, of: Definition, snapshot_id: int | None = None) -> list[str]:
        """Digest of the logical content, bucket by bucket, in the total order."""
        index = self.index(of, snapshot_id)
        return [_digest(index, bucket) for bucket in range(index.buckets)]

    def events(self, of: Definition) -> list[tuple[str, str, float]]:
        """User, type and day of every event."""
        index = self.index(of)
        found = []
        for bucket in range(index.buckets):
            each = index.events(bucket, ["user_id"])
            days = (each.time_us - us(0)) / DAY_US
            types = [each.types[code] for code in each.type]
            found += zip(each.rows["user_id"].to_pylist(), types, days.tolist(), strict=True)
        return found

    def _done(self, job: Job) -> Job:
        ended = {each.id: each for each in self.lake.platform.work_here("w")}[job.id]
        assert JobState.SUCCEEDED is ended.state, ended.error
        return ended


def _digest(index: StoredIndex, bucket: int) -> str:
    found = index.events(bucket, index.schema.names)
    never = np.full(len(found.time_us), np.iinfo(np.int64).max)
    own = {
        "type": pa.array([found.types[code] for code in found.type], pa.string()),
        "entity": pa.array(found.entity),
        "time": pa.array(found.time_us),
        "seen": pa.array(found.time_us if found.seen_us is None else found.seen_us),
        "until": pa.array(never if found.until_us is None else found.until_us),
        "where": pa.array(found.passes if found.passes is not None else found.time_us * 0),
    }
    rows = found.rows
    for name, values in own.items():
        rows = rows.append_column(f"own_{name}", values)
    return content_digest(rows)
