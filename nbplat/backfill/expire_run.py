"""Expire: look at ledger, catalog and stores, decide what nothing needs, and delete just that."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from nbplat.backfill.expire import EXPIRABLE, RunTrace, Sweep, TableTrace, candidates, plan_sweep
from nbplat.backfill.frames import Frames
from nbplat.backfill.ports import Sweeper
from nbplat.backfill.stage import stage_scope
from nbplat.backfill.states import KIND, RunState
from nbplat.clock import Clock
from nbplat.errors import Conflict
from nbplat.job import END_STATES, JobState, JobStore, Run, UnitState
from nbplat.terms import HOLD_PREFIX, Files, TableName

__all__ = ["Expirer"]

_ALL = 1_000_000

# What was begun longer ago than this is nobody's work under way.
_LONGEST_WRITE_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class Expirer:
    """Sweeps one state folder.

    Attributes:
        staging_folders: Base tables of the runs -> locations of the folders that hold our staged files.
        find: Finds a run by ``name@number`` or the newest of a name.
    """

    store: JobStore
    sweeper: Sweeper
    files: Files
    frames: Frames
    clock: Clock
    staging_folders: Callable[[Collection[str]], Collection[str]]
    find: Callable[[str], Run]

    def expire(self, run_ids: Sequence[str] = (), *, older_than_ms: int, dry_run: bool) -> Sweep:
        """Delete what no run needs and no snapshot of any table uses.

        Args:
            run_ids: Runs to take whatever their age; empty takes all that have rested for `older_than_ms` and need
                no decision. Files of killed tries go in either case.
            dry_run: Only tell.

        Raises:
            Conflict: a named run has a live job, is in a state that cannot be expired, or is held by a training plan
                (``expire.held``); or a run was taken on meanwhile.
            NotFound: an unknown run.
        """
        named = {self.find(run_id).id for run_id in run_ids}
        # The order matters: what was listed before its run was seen to rest is no file of a try under way, and what
        # was published before that shows in the snapshots that are read last.
        tables = self._tables()
        folders = self.staging_folders([table.name for table in tables])
        staged = [file for folder in folders for file in self.files.list(folder)]
        staging = self.sweeper.staging_tables()
        held = self._held(staging)
        runs = [self._trace(run, named, held.get(run.id, ())) for run in self.store.runs(KIND, limit=_ALL)]
        for run in runs:
            _refuse(run)
        now_ms = self.clock.now_ms()
        chosen = [run for run in runs if run.named] if named else runs
        taken = {run.id for run in candidates(chosen, now_ms=now_ms, older_than_ms=older_than_ms)}
        swept = {run.id for run in runs if run.swept}
        listed = {file.location for file in (*staged, *(each for table in tables for each in table.spliced))}
        skip = [name for name, run_id in staging.items() if run_id in taken | swept]
        ending = {run.id for run in runs if run.id in taken | swept and run.state != RunState.PROMOTED}
        sweep = plan_sweep(
            runs,
            taken,
            staging_tables=staging,
            staged=staged,
            tables=tables,
            used=self.sweeper.used(listed, skip=skip),
            frames=self._frames(ending),
            now_ms=now_ms,
            older_than_ms=older_than_ms,
        )
        if dry_run:
            return sweep
        self._delete(sweep, runs)
        # What a kill left of a write is no file yet on some stores, and is paid for all the same.
        begun_before = now_ms - max(older_than_ms, _LONGEST_WRITE_MS)
        for folder in folders:
            self.files.sweep(folder, begun_before)
        for folder in (folder for table in tables for folder in table.folders):
            self.files.sweep(folder, begun_before, named="--nb-")
        return replace(sweep, done=True)

    def _tables(self) -> list[TableTrace]:
        """The base tables of all runs, with what promotions left beside their files."""
        traces = []
        for name in sorted({str(run.plan["base"]["table"]) for run in self.store.runs(KIND, limit=_ALL)}):
            folders = self.sweeper.data_folders(name)
            spliced = [
                file
                for folder in folders
                for file in self.files.list(folder)
                if "--nb-" in file.location.rpartition("/")[2]
            ]
            traces.append(TableTrace(name, self.sweeper.refs(name), tuple(spliced), folders))
        return traces

    def _held(self, staging: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
        """Run -> tags of training plans on its staging table."""
        found: dict[str, tuple[str, ...]] = {}
        for table, run_id in staging.items():
            tags = tuple(ref for ref in self.sweeper.refs(table) if ref.startswith(HOLD_PREFIX))
            if tags:
                found[run_id] = tags
        return found

    def _trace(self, run: Run, named: set[str], held: tuple[str, ...]) -> RunTrace:
        live = frozenset(JobState) - END_STATES
        staged = {
            str(unit.result["path"])
            for unit in self.store.units(stage_scope(run.id))
            if unit.state is UnitState.DONE and unit.result
        }
        gone = run.state == RunState.EXPIRED or bool(run.outputs.get("expired"))
        return RunTrace(
            id=run.id,
            state=RunState(run.state),
            table=str(run.plan["base"]["table"]),
            updated_ms=run.updated_ms,
            busy=bool(self.store.jobs(run_id=run.id, states=live, limit=1)),
            staged=frozenset() if gone else frozenset(staged),
            named=run.id in named,
            # One that was promoted when it was swept, and rolled back since, is taken once more.
            swept=gone and run.state in (RunState.EXPIRED, RunState.PROMOTED),
            held=held,
        )

    def _frames(self, expired: set[str]) -> list[str]:
        named = {table: set(runs) - expired for table, runs in self.frames.named().items()}
        # A frame that no run names at all may belong to a request under way.
        return sorted(table for table in self.frames.tables.stored() if table in named and not named[table])

    def _delete(self, sweep: Sweep, runs: Sequence[RunTrace]) -> None:
        # First the ledger: a kill from here on leaves files that no run names, which the next sweep takes.
        for run_id, state in sweep.runs.items():
            [was] = [str(run.state) for run in runs if run.id == run_id]
            self.store.move_run(KIND, run_id, state, frm=[was], outputs={"expired": True})
        refs: dict[str, list[str]] = {}
        for leftover in sweep.leftovers:
            match leftover.kind:
                case "branch" | "tag":
                    refs.setdefault(leftover.table, []).append(leftover.name)
                case "staging table":
                    self.sweeper.drop_staging(leftover.name)
                case "frame":
                    self.frames.tables.drop(TableName.parse(leftover.name))
                case _:
                    self.files.delete(leftover.name)
        for table, names in refs.items():
            self.sweeper.drop_refs(table, names)


def _refuse(run: RunTrace) -> None:
    """A named run that cannot be expired."""
    if run.named and run.busy:
        raise Conflict(
            "expire.busy", f"{run.id} has a live job", fix=f"`%backfill cancel {run.id}`, or wait until it has ended"
        )
    if run.named and run.held:
        raise Conflict(
            "expire.held",
            f"the staged files of {run.id} are read by a training plan that holds them ({', '.join(run.held)})",
            fix="`%training list` shows which runs hold snapshots, `%training release RUN` lets them go",
        )
    if run.named and run.state not in EXPIRABLE:
        raise Conflict(
            "backfill.state",
            f"{run.id} is {run.state.replace('_', ' ')} and cannot be expired",
            fix=f"`%backfill attach {run.id}` follows it until it rests",
        )
