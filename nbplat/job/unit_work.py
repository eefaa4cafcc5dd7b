"""Do every unit of a scope once, on a task farm; what is done stands in the ledger, whatever dies."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from nbplat.errors import Conflict, NbplatError, from_record
from nbplat.job.beat import beating
from nbplat.job.farm import Farm
from nbplat.job.ports import JobStore
from nbplat.job.record import Unit, UnitState
from nbplat.job.states import JobState
from nbplat.job.step import JobPaused, StepContext

__all__ = ["UnitWork"]

# What every other unit would meet as well: the step ends at once, and no unit counts as tried.
_ENDS_THE_STEP = frozenset({"disk.full", "local.disk"})


@dataclass(frozen=True, slots=True)
class UnitWork:
    """One kind of units of one job.

    Attributes:
        scope: Of the units in the ledger.
        lease_ms, max_attempts: Of a unit.
        what: The units in words, plural: ``buckets``.
        retry: Command that goes on with what is left.
    """

    store: JobStore
    context: StepContext
    scope: str
    lease_ms: int
    max_attempts: int
    what: str
    retry: str

    def run(
        self,
        farm: Farm,
        work: Callable[[Any], dict[str, Any]],
        units: Sequence[str],
        make: Callable[[str, int], Any],
        *,
        finished: Callable[[str, Mapping[str, Any]], None] | None = None,
        known: Callable[[int], None] | None = None,
    ) -> dict[str, Mapping[str, Any]]:
        """Do the units that are not done yet.

        Args:
            work: Module-level function of `nbplat.remote`; its result has ``unit`` and ``fence``, and ``error`` or
                what the ledger is to keep.
            make: Makes the task of a unit and its fence.
            finished: Told of each unit that this call has done, with its result.
            known: Told at the start how many were done before.

        Returns:
            Unit id -> result, of all `units`.

        Raises:
            NbplatError: the first unit's error, when units failed for good.
            Conflict: ``job.stopped``, when the job was cancelled; ``unit.leased``.
            JobPaused: a person asked to pause.
        """
        self.store.plan_units(self.scope, sorted(units))
        self._release_dead_tries()
        states = [unit.state for unit in self.store.units(self.scope)]
        if known is not None:
            known(states.count(UnitState.DONE))
        if any(state is not UnitState.DONE for state in states):
            renew = functools.partial(self.store.renew_units, self.scope, self.context.worker, lease_ms=self.lease_ms)
            with beating(renew, lease_ms=self.lease_ms, name=f"renew-{self.context.worker}"):
                self._work(farm, work, make, finished)
        return self._results()

    def _work(
        self,
        farm: Farm,
        work: Callable[[Any], dict[str, Any]],
        make: Callable[[str, int], Any],
        finished: Callable[[str, Mapping[str, Any]], None] | None,
    ) -> None:
        claims = _Claims(self)
        try:
            # A unit that fails while the last ones run is claimed again in another round.
            while claims.more:
                for result in farm.run(work, (make(unit.id, unit.fence) for unit in claims.units())):
                    self._settle(result, claims, finished)
        finally:
            # A store that is away gives them back when the next try asks for it.
            with suppress(NbplatError):
                self.store.release_units(self.scope, self.context.worker)
        if claims.error is not None:
            raise from_record(claims.error)
        if claims.pause is not None:
            raise claims.pause
        if claims.stopped:
            units = self.store.units(self.scope)
            done = sum(unit.state is UnitState.DONE for unit in units)
            raise Conflict(
                "job.stopped", f"the job was stopped with {done} of {len(units)} {self.what} done", fix=self.retry
            )

    def _settle(
        self,
        result: Mapping[str, Any],
        claims: _Claims,
        finished: Callable[[str, Mapping[str, Any]], None] | None,
    ) -> None:
        unit, fence = result["unit"], result["fence"]
        if "error" not in result:
            kept = {name: value for name, value in result.items() if name not in ("unit", "fence")}
            if self.store.finish_unit(self.scope, unit, fence, kept) and finished is not None:
                finished(unit, kept)
        elif result["error"]["code"] in _ENDS_THE_STEP:
            claims.error = result["error"]
        else:
            self.store.fail_unit(self.scope, unit, fence, result["error"])
            self.context.report.log(f"{unit} failed: {from_record(result['error'])}")

    def _results(self) -> dict[str, Mapping[str, Any]]:
        units = self.store.units(self.scope)
        failed = [unit for unit in units if unit.state is UnitState.FAILED]
        if failed:
            first = {"kind": "DataError", "code": "unit.failed", **(failed[0].error or {})}
            if len(units) > 1:
                said = first.get("message", "no reason kept")
                first["message"] = f"{len(failed)} of {len(units)} {self.what} failed; the first: {said}"
            raise from_record(first)
        waiting = [unit for unit in units if unit.state is not UnitState.DONE]
        if waiting:
            message = f"{len(waiting)} of {len(units)} {self.what} are held by another worker"
            raise Conflict("unit.leased", message, fix=self.retry)
        return {unit.id: unit.result or {} for unit in units}

    def _release_dead_tries(self) -> None:
        """Give back what earlier tries held: a run has one live job, and the fence makes this its only try."""
        if all(unit.state is not UnitState.LEASED for unit in self.store.units(self.scope)):
            return
        for job in self.store.jobs(run_id=self.context.job.run_id):
            for fence in range(1, job.fence + 1):
                if (worker := f"{job.id}/{fence}") != self.context.worker:
                    self.store.release_units(self.scope, worker)


class _Claims:
    """Hands out units, claiming each in the ledger only when there is a slot for it.

    Attributes:
        more: False once a round found nothing to claim.
        error: The error that ends the step; None while it goes on.
        pause: What a person's asking to pause raises; None while nobody did.
        stopped: True when the job was cancelled or taken over.
    """

    def __init__(self, work: UnitWork) -> None:
        self._unit_work = work
        self.more = True
        self.error: Mapping[str, Any] | None = None
        self.pause: JobPaused | None = None
        self.stopped = False

    @property
    def _ended(self) -> bool:
        return self.stopped or self.pause is not None or self.error is not None

    def units(self) -> Iterator[Unit]:
        """Claim until nothing is left to claim, or the step has to end."""
        self.more = False
        while not self._ended:
            self._look()
            claimed = [] if self._ended else self._claim(died=False)
            if not claimed:
                break
            self.more = True
            yield claimed[0]
        if not self.more and not self._ended and (alone := self._claim(died=True)):
            # Nothing else runs in this round: should the process die again, it is this unit's doing.
            self.more = True
            yield alone[0]
        self.more = self.more and not self._ended

    def _look(self) -> None:
        work = self._unit_work
        try:
            work.context.report.checkpoint()
        except JobPaused as pause:
            # What is under way ends first.
            self.pause = pause
        job = work.store.job(work.context.job.id)
        taken_over = job.state is not JobState.RUNNING or job.fence != work.context.job.fence
        self.stopped = job.cancel_requested or taken_over

    def _claim(self, *, died: bool) -> list[Unit]:
        work = self._unit_work
        return work.store.claim_units(
            work.scope,
            work.context.worker,
            limit=1,
            lease_ms=work.lease_ms,
            max_attempts=work.max_attempts,
            died=died,
        )
