"""What was done with each file of a landing, as its unit in the ledger keeps it and the run's outputs sum it up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from nbplat.backfill.landing import Action, FileAction
from nbplat.backfill.ports import Addition, FileChange
from nbplat.job import JobStore, UnitState

__all__ = ["file_change", "kept", "landed_units", "outcome_of", "report_of"]


def landed_units(store: JobStore, scope: str, live: Collection[str]) -> list[dict[str, Any]]:
    """Results of the scope's files that are among `live`; with an empty `live`, of all that were made."""
    done = [dict(unit.result) for unit in store.units(scope) if unit.state is UnitState.DONE and unit.result]
    return [result for result in done if result.get("new_path") and (not live or result["new_path"] in live)]


def outcome_of(
    action: FileAction,
    new_path: str,
    rows: int,
    additions: Sequence[Addition],
    drop: frozenset[int],
    report: Mapping[str, int],
) -> dict[str, Any]:
    """What was done with a file, as its unit keeps it."""
    return {
        "action": str(action.action),
        "reason": action.reason,
        "live_path": action.file.path,
        "new_path": new_path,
        "rows": rows,
        "additions": [{"path": each.path, "field_ids": dict(each.field_ids)} for each in additions],
        "drop": sorted(drop),
        "runs": [part.run_id for part in action.parts],
        **report,
    }


def kept(action: FileAction, reason: str) -> dict[str, Any]:
    """Nothing was done."""
    return {"action": str(Action.KEEP), "reason": reason, "live_path": action.file.path, "runs": []}


def file_change(outcome: Mapping[str, Any]) -> FileChange:
    """What the committer is told of it."""
    return FileChange(
        outcome["live_path"],
        outcome["new_path"],
        outcome["action"],
        outcome["rows"],
        tuple(Addition(**addition) for addition in outcome["additions"]),
        frozenset(outcome["drop"]),
    )


def report_of(outcomes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Counts per action and reason, and bytes, for the run's outputs."""
    counts = Counter((str(outcome["action"]), str(outcome["reason"])) for outcome in outcomes)
    sums = {
        name: sum(int(outcome.get(name, 0)) for outcome in outcomes)
        for name in ("copied_bytes", "added_bytes", "dead_bytes", "file_bytes")
    }
    return {
        "actions": [
            {"action": action, "reason": reason, "files": files} for (action, reason), files in sorted(counts.items())
        ],
        **sums,
    }
