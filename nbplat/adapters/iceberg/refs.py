"""Names of a promotion's branches and tags, and what main's history says of promotions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyiceberg.table import Table
    from pyiceberg.table.snapshots import Snapshot

__all__ = ["MAIN", "history", "promotion_branches", "runs_of", "set_ref", "step_of"]

MAIN = "main"


def promotion_branches(table: Table, run_id: str | None = None) -> list[str]:
    """Branches that promotions and roll backs have made and not taken away: a run's, or with None everyone's."""
    from pyiceberg.table.refs import SnapshotRefType

    run = r".+-\d+" if run_id is None else re.escape(run_id.replace("@", "-"))
    branch = re.compile(rf"nb-{run}-\d+-\d+")
    return [
        name
        for name, ref in table.metadata.refs.items()
        if ref.snapshot_ref_type == SnapshotRefType.BRANCH and branch.fullmatch(name)
    ]


def set_ref(name: str, snapshot_id: int, *, tag: bool = False) -> Any:
    """The update that makes or moves a branch or tag."""
    from pyiceberg.table.refs import SnapshotRefType
    from pyiceberg.table.update import SetSnapshotRefUpdate

    return SetSnapshotRefUpdate(
        ref_name=name,
        type=SnapshotRefType.TAG if tag else SnapshotRefType.BRANCH,
        snapshot_id=snapshot_id,
        max_ref_age_ms=None,
        max_snapshot_age_ms=None,
        min_snapshots_to_keep=None,
    )


def history(table: Table, head: Snapshot | None) -> Iterator[Snapshot]:
    """Snapshots from `head` back to the oldest that is kept."""
    while head is not None:
        yield head
        head = table.metadata.snapshot_by_id(head.parent_snapshot_id) if head.parent_snapshot_id else None


def step_of(snapshot: Snapshot) -> str:
    """``promote`` or ``rollback``; empty for a snapshot that is not ours."""
    return str((snapshot.summary["nbplat.step"] if snapshot.summary else None) or "")


def runs_of(snapshot: Snapshot) -> dict[str, dict[str, int]]:
    """The runs of one of our snapshots -> the columns it added, took out or filled, with their field ids."""
    if snapshot.summary is None or not snapshot.summary["nbplat.run"]:
        return {}
    if told := snapshot.summary["nbplat.runs"]:
        return {run: dict(about["columns"]) for run, about in json.loads(told).items()}
    return {snapshot.summary["nbplat.run"]: json.loads(snapshot.summary["nbplat.field_ids"] or "{}")}
