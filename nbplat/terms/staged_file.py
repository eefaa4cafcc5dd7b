from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["StagedFile"]


@dataclass(frozen=True, slots=True)
class StagedFile:
    """The result of one backfill unit: a Parquet file aligned to one base data file.

    Row i of the file belongs to the i-th live row of the base file; row groups are cut alike.

    Attributes:
        base_path: The base data file, as its manifest spells it.
        path: The staged Parquet file, spelled the same way (a URI).
        rows: Row count; equals the base file's live rows at the planned snapshot.
        file_bytes: Size of the staged file.
        dense: True when the base file had no deletes, so that row i is physical row i; only dense
            files are attached by position or spliced.
        key_digest: BLAKE2b-128 over the key columns' values in order, hex; says whether the rows of
            a base file are still the rows this was computed for.
    """

    base_path: str
    path: str
    rows: int
    file_bytes: int
    dense: bool
    key_digest: str

    def record(self) -> dict[str, Any]:
        return asdict(self)
