"""What of ours nothing needs any more: decided over records of the ledger, the catalog and the stores, without effects.

A file goes only when no snapshot of any table uses it and no run that stays refers to it. Everything else is kept,
with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from nbplat.backfill.states import RunState
from nbplat.terms import StoredFile

__all__ = ["EXPIRABLE", "Leftover", "RunTrace", "Sweep", "TableTrace", "candidates", "plan_sweep", "run_of_name"]

# A run may be expired from these; promoted runs keep their column and stay promoted.
EXPIRABLE = frozenset(
    {
        RunState.PLANNED,
        RunState.REJECTED,
        RunState.AWAITING_PROMOTION,
        RunState.PROMOTED,
        RunState.ROLLED_BACK,
        RunState.SUPERSEDED,
        RunState.EXPIRED,
    }
)
# A person still has to decide on these, so a sweep without names leaves them.
_DECIDING = frozenset({RunState.AWAITING_PROMOTION})

# Their spliced files may be published yet.
_LANDING = frozenset({RunState.AWAITING_PROMOTION, RunState.PROMOTING})

_REF = re.compile(r"nb-(?:pre-)?([a-z0-9_]+)-(\d+)(?:-\d+)*\Z")
_SPLICED = re.compile(r"--nb-([a-z0-9_]+)-(\d+)(?:-[a-z0-9]+)+\.parquet(?:\.partial)?\Z")


@dataclass(frozen=True, slots=True)
class RunTrace:
    """A run as a sweep sees it.

    Attributes:
        busy: It has a live job, paused ones included.
        staged: Locations of the staged files that its finished units name.
        named: A person named it, so its age does not count.
        swept: A sweep has taken it before; what is left of it was left by a kill.
        held: Tags of training plans on its staging table: they read its staged files.
    """

    id: str
    state: RunState
    table: str
    updated_ms: int
    busy: bool
    staged: frozenset[str]
    named: bool = False
    swept: bool = False
    held: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TableTrace:
    """A base table as a sweep sees it.

    Attributes:
        refs: Its branches and tags.
        spliced: Files below its data folders whose name says that a promotion made them.
        folders: Its data folders.
    """

    name: str
    refs: tuple[str, ...]
    spliced: tuple[StoredFile, ...]
    folders: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something to delete.

    Attributes:
        kind: ``staging table``, ``staged file``, ``spliced file``, ``branch``, ``tag`` or ``frame``.
        run: The run that made it; empty when the ledger knows none.
        name: A table, a location, or the name of a branch or tag.
        table: The base table of a spliced file, a branch or a tag; empty otherwise.
        file_bytes: What its files take; 0 for what has none of its own.
    """

    kind: str
    run: str
    name: str
    table: str = ""
    file_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep deletes (or would).

    Attributes:
        runs: Run -> the state it gets; promoted ones stay ``promoted``.
        kept: What looks like ours and stays: name -> reason.
        done: False for a dry run.
    """

    leftovers: tuple[Leftover, ...]
    runs: Mapping[str, str]
    kept: Mapping[str, str] = field(default_factory=dict)
    done: bool = False

    @property
    def file_bytes(self) -> int:
        """Bytes that are freed."""
        return sum(leftover.file_bytes for leftover in self.leftovers)

    def record(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "leftovers": [asdict(leftover) for leftover in self.leftovers],
            "runs": dict(self.runs),
            "kept": dict(self.kept),
            "done": self.done,
            "file_bytes": self.file_bytes,
        }


def candidates(runs: Sequence[RunTrace], *, now_ms: int, older_than_ms: int) -> list[RunTrace]:
    """The runs that a sweep takes: named ones, else those that have rested long enough and need no decision.

    What a training plan holds stays whatever its age.
    """
    return [
        run
        for run in runs
        if not run.busy
        and not run.swept
        and not run.held
        and run.state in EXPIRABLE
        and (run.named or (run.state not in _DECIDING and now_ms - run.updated_ms >= older_than_ms))
    ]


def plan_sweep(
    runs: Sequence[RunTrace],
    taken: Collection[str],
    *,
    staging_tables: Mapping[str, str],
    staged: Sequence[StoredFile],
    tables: Sequence[TableTrace],
    used: Collection[str],
    frames: Sequence[str] = (),
    now_ms: int,
    older_than_ms: int,
) -> Sweep:
    """Decide.

    Args:
        runs: Every run of the ledger.
        taken: Ids of those that the sweep takes (see `candidates`).
        staging_tables: Staging table -> run, from the catalog.
        staged: Every file below our staging folders.
        tables: The base tables of the runs.
        used: Locations that a snapshot of some table uses, staging tables of taken runs aside.
        frames: Stored DataFrames that no run reads, runs that are expired aside.
    """
    by_id = {run.id: run for run in runs}
    leftovers: list[Leftover] = []
    kept: dict[str, str] = {}
    needed = {path: run.id for run in runs if run.id not in taken for path in run.staged}
    over = {*taken, *(run.id for run in runs if run.swept)}

    def judged(kind: str, file: StoredFile, run_id: str, reason: str, table: str = "") -> None:
        if reason:
            kept[file.location] = reason
        else:
            known = run_id if run_id in by_id else ""
            leftovers.append(Leftover(kind, known, file.location, table, file.file_bytes))

    for name, run_id in sorted(staging_tables.items()):
        if run_id in over:
            leftovers.append(Leftover("staging table", run_id, name))
    for file in staged:
        run_id = run_of_folder(file.location)
        reason = _why_kept(file, by_id.get(run_id), used, needed, now_ms - older_than_ms)
        judged("staged file", file, run_id, reason)
    for table in tables:
        for file in table.spliced:
            run_id = run_of_name(_SPLICED, file.location)
            run = by_id.get(run_id)
            # The ledger may name it as done: the next try of the promotion goes on with it.
            lands = run is not None and run.id not in taken and run.state in _LANDING
            reason = _NEEDED if lands else _why_kept(file, run, used, {}, now_ms - older_than_ms)
            judged("spliced file", file, run_id, reason, table.name)
        for ref in table.refs:
            run_id = run_of_name(_REF, ref)
            if run_id in over:
                leftovers.append(Leftover("tag" if ref.startswith("nb-pre-") else "branch", run_id, ref, table.name))
    leftovers += [Leftover("frame", "", name) for name in frames]
    after = {
        run_id: str(RunState.PROMOTED if by_id[run_id].state == RunState.PROMOTED else RunState.EXPIRED)
        for run_id in sorted(taken)
    }
    held = {run.id: f"the training plan of {run.held[0]} reads it: %training release" for run in runs if run.held}
    return Sweep(tuple(leftovers), after, held | {name: why for name, why in kept.items() if why != _NEEDED})


_NEEDED = "a run that stays refers to it"


def _why_kept(
    file: StoredFile, run: RunTrace | None, used: Collection[str], needed: Mapping[str, str], before_ms: int
) -> str:
    """Why a file stays; empty when it may go."""
    if file.location in needed:
        return _NEEDED
    if file.location in used:
        return "a snapshot uses it" if run is None else _NEEDED
    if run is not None and run.busy:
        return f"{run.id} has a live job"
    if run is None and file.modified_ms > before_ms:
        return "no run of this ledger made it, and it is young"
    return ""


def run_of_folder(location: str) -> str:
    """The run whose staging folder holds a file: ``…/spend_90d-1/00000-1.parquet`` is of ``spend_90d@1``."""
    parts = location.rsplit("/", 2)
    name, _, number = parts[-2].rpartition("-") if len(parts) == 3 else ("", "", "")
    return f"{name}@{number}" if name and number.isdigit() else ""


def run_of_name(pattern: re.Pattern[str], name: str) -> str:
    """The run in the name of a branch, tag or spliced file; empty when there is none."""
    found = pattern.search(name)
    return f"{found[1]}@{found[2]}" if found else ""
