"""Columns of other tables: what workers are told to join when an index is built, and what is joined when it is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nbplat.errors import SetupError, from_record
from nbplat.remote.failure import KernelError
from nbplat.remote.sequence.enriching import EnrichTask, columns_of, loaded_values
from nbplat.remote.sequence.lookup import Values, find, number_keys
from nbplat.sequence.definition import Definition, Enrichment

if TYPE_CHECKING:
    import numpy.typing as npt

    from nbplat.sequence.ports import EventSource

__all__ = ["Joined", "ReadTable", "enrich_tasks", "read_tables"]


@dataclass(frozen=True, slots=True)
class ReadTable:
    """A table that enriches when sequences are read, sorted for look-ups.

    Attributes:
        names: Name beside the events' columns -> column of `values`.
        at: ``event_time``, ``request_time`` or ``latest``.
        on: Event columns of the key, in its order.
        values: Its rows.
        table: Its name.
    """

    names: Mapping[str, str]
    at: str
    on: tuple[str, ...]
    values: Values
    table: str

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader should know of its rows; empty when all is well."""
        values, found = self.values, []
        if values.tied is not None:
            found.append(
                f"{int(values.tied.sum()):,} rows of {self.table} share key and moment with another and differ:"
                " the one with the greatest hash of its values holds"
            )
        for count, why in ((values.keyless, "a null key"), (values.timeless, "a null moment")):
            if count:
                found.append(f"{count:,} rows of {self.table} have {why} and are left out")
        return tuple(found)

    def keys(self, rows: pa.Table) -> npt.NDArray[np.int64]:
        """Number of each event's key, ``int64[events]``; -1 where the table has no row of it.

        Args:
            rows: Events; `on` are among the columns.
        """
        return number_keys(self.values.keys, rows.select(list(self.on)))  # type: ignore[no-any-return]

    def rows(
        self, keys: npt.NDArray[np.int64], time_us: Any = None, cutoff_us: Any = None, *, strict: bool = True
    ) -> npt.NDArray[np.int64]:
        """Row of `values` that holds for each key, ``int64[...]`` in the shape of `keys`; -1 where none does.

        Args:
            time_us: When the event happened; asked for where `at` is ``event_time``: a value that holds from that
                very moment on holds.
            cutoff_us: The example's cutoff, asked for where `at` is ``request_time``; None takes the latest value.
            strict: Whether a value that holds from the cutoff on is left out.
        """
        shape = keys.shape
        at = {"event_time": time_us, "request_time": cutoff_us, "latest": None}[self.at]
        if at is not None:
            at = np.broadcast_to(at, shape).reshape(-1)
        found = find(self.values, keys.reshape(-1), at, strict=strict and self.at == "request_time")
        return found.reshape(shape)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Joined:
    """Where the values of one enrichment come from.

    Attributes:
        table: Sorted rows.
        column: Name in `table.values.rows`.
    """

    table: ReadTable
    column: str


def enrich_tasks(
    enrichments: Sequence[Enrichment], sources: Mapping[str, EventSource], definition: Definition
) -> tuple[EnrichTask, ...]:
    """What workers are told: one task for the enrichments that look the same table up in the same way.

    Args:
        enrichments: With `on` and `time` filled in, as `bind` leaves them.
        sources: Table name -> its rows, pinned.
        definition: Says how integer and naive times are read.
    """
    zone = definition.zone
    tasks: dict[Any, EnrichTask] = {}
    for each in enrichments:
        key = (each.table, each.at, each.on, each.time)
        if key in tasks:
            tasks[key]["names"][each.name] = each.column
            continue
        tasks[key] = {
            "names": {each.name: each.column},
            "at": each.at,
            "on": [list(pair) for pair in each.on],
            "time": each.time,
            "time_unit": definition.time_unit,
            "zone": None if zone is None else {"name": zone.name, "ambiguous": zone.ambiguous, "missing": zone.missing},
            "parts": [dict(part.task) for part in sources[each.table].parts],
            "schema": b"",
            "table": each.table,
        }
    for task in tasks.values():
        schema = sources[task["table"]].schema
        task["schema"] = pa.schema([schema.field(name) for name in columns_of(task)]).serialize().to_pybytes()
    return tuple(tasks.values())


def read_tables(
    enrichments: Sequence[Enrichment],
    sources: Mapping[str, EventSource],
    definition: Definition,
    *,
    keep_bytes: int | None = None,
) -> dict[str, Joined]:
    """Read and sort the tables that enrich when sequences are read.

    Args:
        keep_bytes: How much of one table may be held; None: any amount.

    Returns:
        Name of the enrichment -> where its values come from.

    Raises:
        SetupError: ``sequence.enrich_memory``, a table is larger than `keep_bytes`.
        NbplatError: keys that are there twice, times that cannot be read.
    """
    found: dict[str, Joined] = {}
    for task in enrich_tasks(enrichments, sources, definition):
        chunks = _bounded(sources[task["table"]].read(columns_of(task)), task["table"], keep_bytes)
        try:
            values = loaded_values(task, chunks)
        except KernelError as exc:
            raise from_record(exc.record()) from None
        table = ReadTable(task["names"], task["at"], tuple(pair[0] for pair in task["on"]), values, task["table"])
        found |= {name: Joined(table, column) for name, column in task["names"].items()}
    return found


def _bounded(chunks: Iterable[pa.Table], table: str, keep_bytes: int | None) -> Iterator[pa.Table]:
    held = 0
    for chunk in chunks:
        held += chunk.nbytes
        if keep_bytes is not None and held > keep_bytes:
            raise SetupError(
                "sequence.enrich_memory",
                f"{table} takes more than {keep_bytes:,} bytes to look up when sequences are read",
                fix="join it when the index is built (enrich: {index: …}), or raise limits.memory_bytes",
            )
        yield chunk
