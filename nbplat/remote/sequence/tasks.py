"""What a piece of building an index is told: plain dicts, so that any pickle carries them."""

from __future__ import annotations

from typing import Any, TypedDict

__all__ = ["AmendTask", "CompactTask", "Recipe", "ScatterTask", "ShardTask", "Sieve", "SpillFile"]


class Recipe(TypedDict):
    """How rows of a source become sorted events; made of an index record, the source's schema and the conditions.

    Attributes:
        entity: Columns that say whose event it is.
        type: Column of the event's type.
        types: The declared types as text, sorted; other rows are left out.
        time: Column of the event's time.
        arrival: Column of the moment at which it was known, or None.
        early: Of an arrival before the event's time: ``refuse`` or ``clip``.
        id: Columns that tell one event of an entity and type from another.
        dedupe: ``none``, ``exact``, ``first`` or ``last``.
        time_unit: Of integer times, or None.
        zone: ``{"name", "ambiguous", "missing"}`` of naive times, or None.
        read: Columns read from the source, sorted.
        columns: Columns that an event has: `read` and the enrichments, sorted.
        hashed: Columns of the source that go into the tie-break's hash, sorted.
        schema: Serialized Arrow schema of `columns`, in the types that the index has.
        conditions: What `conditions.passes` evaluates, in the order of their bits.
        enrich: What `enriched` joins to each event.
        buckets: Into how many the entities are dealt.
    """

    entity: list[str]
    type: str
    types: list[str]
    time: str
    arrival: str | None
    early: str
    id: list[str]
    dedupe: str
    time_unit: str | None
    zone: dict[str, str] | None
    read: list[str]
    columns: list[str]
    hashed: list[str]
    schema: bytes
    conditions: list[dict[str, Any]]
    enrich: list[dict[str, Any]]
    buckets: int


class UnitTask(TypedDict):
    """What every unit is told.

    Attributes:
        unit, fence: They name its files, so that tries never meet.
        recipe: See `Recipe`.
        out: Folder of the files that it is for; a location.
        storage: Options to open `out` with (see `nbplat.remote.storage`).
        memory_bytes: What it may hold.
    """

    unit: str
    fence: int
    recipe: Recipe
    out: str
    storage: dict[str, str]
    memory_bytes: int


class BucketTask(UnitTask):
    """What a unit is told that writes a data file of one bucket of the index, into `out`.

    Attributes:
        stem: First part of the file's name; the plan's.
        bucket: Which one.
        stored: Serialized Arrow schema of the data file (see `stored_rows`).
    """

    stem: str
    bucket: int
    stored: bytes


class ScatterTask(UnitTask):
    """Deal the rows of some parts of the source to buckets, into one spill file in `out`.

    Attributes:
        parts: What `source_part.read_part` reads.
    """

    parts: list[dict[str, Any]]


class SpillFile(TypedDict):
    """A spill file: an Arrow file of `rounds` times `buckets` record batches, one a bucket in each round.

    Attributes:
        rows: Of each bucket, all rounds together; ``len == buckets``.
        bytes: The same in memory.
    """

    path: str
    rounds: int
    rows: list[int]
    bytes: list[int]


class ShardTask(BucketTask):
    """Sort the events of one bucket and write them as one data file of the index.

    Attributes:
        bucket: -1: all of them, read from `parts` without spill files.
        spills: ``path``, ``rounds``, and of the bucket ``rows`` and ``bytes``, of each spill file that has rows of it.
        parts: What `source_part.read_part` reads, when there are no spill files.
        spilled: Options to open the spill files with.
    """

    spills: list[dict[str, Any]]
    parts: list[dict[str, Any]]
    spilled: dict[str, str]


class Sieve(TypedDict):
    """Which rows of a part are wanted; lies in the part's task under ``sieve``.

    Attributes:
        window: From the first to before the second moment, microseconds since 1970 UTC; None without an end.
        inside: True takes the rows in the window, False the others.
        entities: Locations of files of entity hashes (see `sift`): only rows of these, whatever their time; None: all.
        storage: Options to open them with.
    """

    window: tuple[int | None, int | None]
    inside: bool
    entities: list[str] | None
    storage: dict[str, str]


class AmendTask(BucketTask):
    """Bring the stored events of one bucket to what the source says.

    Attributes:
        spills: Spill files with the fresh rows of the source: what was added to it, and all whose time is in `window`.
        runs: What `source_part.read_part` reads: the data files of the bucket in the index, base first.
        window: Of which stored events the source has to have a copy: those from the first to before the second moment,
            microseconds since 1970 UTC, None without an end. None altogether: of none; the source was only added to.
        entities: Files of entity hashes: every stored event of these has to be in the source, and of no others.
            None: the window says it.
        defer: True: of an entity that loses an event nothing is amended; it is named in a file, and the whole of its
            history has to be looked at, because a copy of that event may lie outside the window.
        scratch: Folder of the change file; a location.
        scratched: Options to open the spill files and the change file with.
    """

    spills: list[dict[str, Any]]
    runs: list[dict[str, Any]]
    window: tuple[int | None, int | None] | None
    entities: list[str] | None
    defer: bool
    scratch: str
    scratched: dict[str, str]


class CompactTask(BucketTask):
    """Write the data files of one bucket as one.

    Attributes:
        runs: What `source_part.read_part` reads: the data files of the bucket.
    """

    runs: list[dict[str, Any]]
