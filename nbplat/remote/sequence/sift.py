"""Which rows of a part are wanted, when not all are: those of a window, those outside of it, those of some entities."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from nbplat.remote.storage import filesystem

from .among import among
from .hashing import row_hash
from .spill import written_file
from .stored_rows import TIME
from .tasks import Recipe, Sieve

__all__ = ["entity_hashes", "inside_window", "read_hashes", "sift", "sifted_hashes", "write_hashes"]


def sift(rows: pa.Table, part: Mapping[str, Any], recipe: Recipe) -> pa.Table:
    """The wanted ones of screened rows.

    Args:
        part: Its ``sieve`` is a `tasks.Sieve`; without one all are wanted.
    """
    sieve: Sieve | None = part.get("sieve")
    if sieve is None or not rows.num_rows:
        return rows
    if sieve["entities"] is not None:
        wanted = sifted_hashes(sieve["entities"], sieve["storage"])
        return rows.filter(pa.array(among(entity_hashes(rows, recipe), wanted)))
    inside = inside_window(rows.column(TIME).to_numpy(), sieve["window"])
    return rows.filter(pa.array(inside if sieve["inside"] else ~inside))


def inside_window(time_us: Any, window: tuple[int | None, int | None]) -> Any:
    """``bool[rows]``: from the first to before the second moment, None without an end."""
    start, end = window
    inside = np.ones(len(time_us), bool)
    if start is not None:
        inside &= time_us >= start
    if end is not None:
        inside &= time_us < end
    return inside


def entity_hashes(rows: pa.Table, recipe: Recipe) -> Any:
    """``uint64[rows]``; two entities share one about never, and then both are looked at."""
    return row_hash(rows.select(recipe["entity"]))


def write_hashes(location: str, storage: Mapping[str, str], hashes: Any) -> None:
    """Keep entity hashes in a file."""
    table = pa.table({"entity": pa.array(hashes, pa.uint64())})
    with written_file(location, storage) as sink, pa.ipc.new_file(sink, table.schema) as arrow:
        arrow.write_table(table)


def read_hashes(location: str, storage: Mapping[str, str]) -> Any:
    """``uint64[...]``, as `write_hashes` kept them."""
    system, path = filesystem(location, storage)
    with system.open_input_file(path) as source:
        return pa.ipc.open_file(source).read_all().column("entity").to_numpy()


def sifted_hashes(locations: list[str], storage: Mapping[str, str]) -> Any:
    """``uint64[...]``, ascending: of several files together; the newest ones asked for are held."""
    return _held(tuple(locations), tuple(sorted(storage.items())))


@lru_cache(maxsize=2)
def _held(locations: tuple[str, ...], storage: tuple[tuple[str, str], ...]) -> Any:
    """Read once for all parts of a task."""
    return np.unique(np.concatenate([read_hashes(each, dict(storage)) for each in locations]))
