"""Which columns and files of two runs, or of a run and its table, are compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nbplat.backfill.diff import DiffReport, Piece, compare_pieces, root_of
from nbplat.backfill.plan import BackfillPlan
from nbplat.backfill.ports import StagedWriter, Tables
from nbplat.backfill.table_facts import Column
from nbplat.backfill.types import IcebergType, Primitive, parse_type
from nbplat.errors import RequestError, did_you_mean
from nbplat.terms import StagedFile, TableName

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["diff_live", "diff_runs"]


def diff_runs(
    run_id: str,
    other_id: str,
    plans: tuple[BackfillPlan, BackfillPlan],
    staged: tuple[Sequence[StagedFile], Sequence[StagedFile]],
    writer: StagedWriter,
    *,
    columns: Sequence[str] = (),
    memory_bytes: int,
) -> DiffReport:
    """Compare a run (now) with another (before).

    Args:
        plans, staged: Of the run, then of the other.
        columns: Only these columns of the run; empty takes all.

    Raises:
        RequestError: runs of other tables or keys, no column in common, an unknown column.
    """
    plan, other = plans
    if plan.base.table_uuid != other.base.table_uuid:
        raise RequestError(
            "diff.tables",
            f"{run_id} is of {plan.base.table}, {other_id} of {other.base.table}",
            fix="compare runs of one table",
        )
    if set(plan.keys) != set(other.keys):
        raise RequestError(
            "diff.keys",
            f"{run_id} has the keys {', '.join(plan.keys)}, {other_id} {', '.join(other.keys)}",
            fix="compare runs with the same --key",
        )
    matched = _matched(plan, other.columns, columns, other_id)
    pieces = [[_staged_piece(file, writer) for file in files] for files in staged]
    found = compare_pieces(pieces[1], pieces[0], plan.keys, matched, memory_bytes=memory_bytes)
    return DiffReport(plan.base.table, other_id, run_id, plan.keys, *found)


def diff_live(
    run_id: str,
    plan: BackfillPlan,
    staged: Sequence[StagedFile],
    tables: Tables,
    writer: StagedWriter,
    *,
    columns: Sequence[str] = (),
    memory_bytes: int,
) -> DiffReport:
    """Compare a run (after) with the columns of those names in its table now (before).

    Raises:
        RequestError: the table has no such column, or an unknown one was asked for.
        NotFound: the table is gone.
    """
    name = TableName.parse(plan.base.table)
    facts = tables.describe(name)
    matched = _matched(plan, facts.columns, columns, f"the table {name}")
    live = tables.live(name)

    def piece(path: str) -> Piece:
        def read(wanted: Sequence[str]) -> pa.Table:
            return tables.read(live.pin, wanted, paths=[path])

        return Piece(root_of(path), read)

    before = [piece(file.path) for file in live.files]
    after = [_staged_piece(file, writer) for file in staged]
    found = compare_pieces(before, after, plan.keys, matched, memory_bytes=memory_bytes)
    return DiffReport(plan.base.table, f"live {name}", run_id, plan.keys, *found)


def _matched(plan: BackfillPlan, others: Sequence[Column], columns: Sequence[str], where: str) -> dict[str, str]:
    """Column of the run -> the column of the other side."""
    own = {column.name: parse_type(column.type) for column in plan.columns}
    theirs = {column.name: parse_type(column.type) for column in others}
    for column in columns:
        if column not in own:
            raise RequestError("diff.column", f"the run makes no column {column!r}", fix=did_you_mean(column, own))
    wanted = list(columns) or list(own)
    matched = {name: name for name in wanted if name in theirs}
    if not matched and len(wanted) == 1 and len(theirs) == 1:
        matched = {wanted[0]: next(iter(theirs))}  # a feature under a new name
    if not matched:
        raise RequestError(
            "diff.nothing",
            f"{where} has none of the columns {', '.join(wanted)}",
            fix="compare with a run that makes one of them: %backfill diff RUN OTHER",
        )
    for new, old in matched.items():
        if own[new] != theirs[old] and not (_number(own[new]) and _number(theirs[old])):
            raise RequestError(
                "diff.types", f"{new} is {own[new]}, and {old} in {where} is {theirs[old]}", fix="compare equal types"
            )
    return matched


def _number(kind: IcebergType) -> bool:
    return isinstance(kind, Primitive) and (kind.name in ("int", "long", "float", "double") or kind.decimal is not None)


def _staged_piece(file: StagedFile, writer: StagedWriter) -> Piece:
    return Piece(root_of(file.base_path), lambda columns: writer.read(file, columns))
