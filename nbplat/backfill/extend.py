"""Extend: which files a promoted column does not reach yet, and the run that fills them with the same body."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from nbplat.backfill.plan import BackfillPlan
from nbplat.backfill.ports import TableFile
from nbplat.backfill.spec import BackfillSpec
from nbplat.backfill.table_facts import BaseFile
from nbplat.errors import RequestError
from nbplat.terms import Window, root_of

__all__ = ["Coverage", "Gap", "coverage_of", "extension_spec", "uncovered"]


@dataclass(frozen=True, slots=True)
class Gap:
    """Files of one partition that a promoted column does not reach.

    Attributes:
        partition: In words, ``ts_month=2024-04``.
    """

    partition: str
    files: int
    rows: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """How far a promoted run's columns reach into the table as it is now.

    Attributes:
        files, rows: Of the table (physical rows).
        covered_files, covered_rows: Of those that hold the columns.
        gaps: The rest, by partition; empty when nothing is left to extend.
    """

    run_id: str
    columns: tuple[str, ...]
    files: int
    covered_files: int
    rows: int
    covered_rows: int
    gaps: tuple[Gap, ...]

    def record(self) -> dict[str, Any]:
        return asdict(self)


def uncovered(files: Sequence[TableFile], field_ids: Collection[int], ours: Collection[str]) -> frozenset[str]:
    """Paths of the files that lack one of the columns.

    A file that holds nothing but nulls in it lacks it too (a compaction writes those for rows that never
    had a value), unless it is one that the column was promoted into.

    Args:
        ours: Paths of files that the column's runs have made, at any time.
    """
    roots = {root_of(path) for path in ours}
    wanted = frozenset(field_ids)
    return frozenset(
        file.path
        for file in files
        if not wanted <= file.columns or (wanted & file.nulls and root_of(file.path) not in roots)
    )


def coverage_of(
    run_id: str, columns: Sequence[str], files: Sequence[BaseFile], view: Sequence[TableFile], lacking: Collection[str]
) -> Coverage:
    """Sum up by partition.

    Args:
        files: Of the table now; for their partitions.
        lacking: Paths, see `uncovered`.
    """
    partition = {file.path: file.partition for file in files}
    gaps: dict[str, Gap] = {}
    for file in view:
        if file.path in lacking:
            name = partition.get(file.path, "")
            before = gaps.get(name, Gap(name, 0, 0))
            gaps[name] = Gap(name, before.files + 1, before.rows + file.rows)
    left = [gaps[name] for name in sorted(gaps)]
    rows = sum(file.rows for file in view)
    return Coverage(
        run_id=run_id,
        columns=tuple(columns),
        files=len(view),
        covered_files=len(view) - sum(gap.files for gap in left),
        rows=rows,
        covered_rows=rows - sum(gap.rows for gap in left),
        gaps=tuple(left),
    )


def extension_spec(
    spec: BackfillSpec, plan: BackfillPlan, run_id: str, to: str | None, *, promote: bool
) -> BackfillSpec:
    """The request that computes a promoted run's columns for what it does not reach.

    The body is the same. A run that had an end goes on from there; one without an end takes the files that
    lack the columns, whatever their time.

    Args:
        to: First moment that is left out; None for no end.

    Raises:
        RequestError: ``extend.whole``, a body whose old values change with new rows; ``window.empty``.
    """
    if not plan.row_wise:
        raise RequestError(
            "extend.whole",
            f"the body of {run_id} sees the whole window ({plan.why}), so new rows change the values of old ones",
            fix="compute all of them again: the cell with --replace " + ",".join(c.name for c in plan.columns),
        )
    before = plan.window
    start = before.end or before.start
    window = Window.parse(start.isoformat() if start else None, to)
    record = spec.record()
    record |= {
        "name": spec.name,
        "from": window.record()["from"],
        "to": window.record()["to"],
        "keys": list(plan.keys),
        "replace": [column.name for column in plan.columns],
        "types": {column.name: column.type for column in plan.columns},
        "extends": run_id,
        "promote": promote,
    }
    return BackfillSpec.from_record(record)
