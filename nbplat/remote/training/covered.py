"""What reading tells of coverage, and the least share that is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nbplat.remote.failure import KernelError

__all__ = ["SeenCover", "check_seen", "too_few"]

_SHOWN = 5


class SeenCover:
    """What reading has told of one side so far.

    Attributes:
        nulls: Column of the result -> nulls before filling.
        missed: Unit -> up to five keys without a staged row.
    """

    def __init__(self, ref: str) -> None:
        self.ref = ref
        self.rows = self.matched = self.null_keys = self.dropped = 0
        self.nulls: dict[str, int] = {}
        self.missed: dict[str, str] = {}

    def __repr__(self) -> str:
        void = f", {self.null_keys:,} without a key" if self.null_keys else ""
        return f"{self.ref}: {self.matched:,} of {self.rows:,} rows met ({self.share:.1%}){void}"

    @property
    def share(self) -> float:
        """Share of the rows that have a staged row; 1 before any was read."""
        return self.matched / self.rows if self.rows else 1.0

    def record(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "ref": self.ref,
            "rows": self.rows,
            "matched": self.matched,
            "null_keys": self.null_keys,
            "dropped": self.dropped,
            "nulls": dict(self.nulls),
            "missed": dict(list(self.missed.items())[:_SHOWN]),
        }


def check_seen(seen: Iterable[SeenCover], least: float, rows: int, runs: Mapping[str, str], *, ended: bool) -> None:
    """Return while what was read can still reach the share that is asked for.

    Args:
        rows: Of the whole plan.
        runs: Ref of a side -> its run, where it is one.
        ended: True when everything was read.

    Raises:
        KernelError: ``training.coverage``, naming partitions and up to five keys.
    """
    for each in seen:
        gone = each.rows - each.matched
        if (ended and each.share < least) or gone > (1 - least) * rows:
            keys = next(iter(each.missed.values()), "")
            run = runs.get(each.ref, "")
            raise too_few(each.ref, run, least, each.matched, each.rows, list(each.missed), keys)


def too_few(ref: str, run: str, least: float, covered: int, rows: int, units: Sequence[str], keys: str) -> KernelError:
    """The error of a side that covers too few rows."""
    named = "; ".join(units[:_SHOWN]) + (f" and {len(units) - _SHOWN} more" if len(units) > _SHOWN else "")
    mend = f"`%backfill extend {run.partition('@')[0]}` fills them" if run else f"write the missing rows of {ref}"
    return KernelError(
        "training.coverage",
        f"{ref} covers {covered:,} of {rows:,} rows ({covered / max(rows, 1):.2%}), asked for are"
        f" {least:.2%}; short in {named or 'some partitions'}" + (f", e.g. {keys}" if keys else ""),
        fix=f"{mend}; or lower min_coverage (--min-coverage)",
    )
