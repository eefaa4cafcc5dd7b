"""What a person sees of staging while it runs: files done, a line per unit, one per complete partition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from nbplat.backfill.plan import BackfillPlan
from nbplat.errors import from_record
from nbplat.job import StepContext, Unit, UnitState
from nbplat.terms import Progress

__all__ = ["Board"]


class Board:
    """Counts what is done and tells it.

    Args:
        before: The ledger's units at the start.
    """

    def __init__(self, plan: BackfillPlan, context: StepContext, before: Sequence[Unit]) -> None:
        done = {unit.id for unit in before if unit.state is UnitState.DONE}
        self._units = {unit.id: unit for unit in plan.units}
        self._left = Counter(unit.partition for unit in plan.units if unit.id not in done)
        self._report = context.report
        self.done = len(done)
        self.show()

    @property
    def complete(self) -> bool:
        """True when every unit is done."""
        return self.done == len(self._units)

    def finished(self, result: Mapping[str, Any], *, counts: bool) -> None:
        """Tell of a unit whose file is written; it counts unless another worker was faster."""
        unit, file = self._units[result["unit"]], result["file"]
        if not counts:
            self._report.log(f"{self._name(unit.id)}: another worker finished it first; this file is left out")
            return
        self.done += 1
        self._left[unit.partition] -= 1
        written = f"{file['rows']:,} rows, {file['file_bytes']:,} bytes written of {unit.read_bytes:,} read"
        self._report.log(f"{self._name(unit.id)}: {written}, {result['ms']} ms")
        if unit.partition and not self._left[unit.partition]:
            self._report.log(f"partition {unit.partition} is complete")

    def failed(self, result: Mapping[str, Any]) -> None:
        """Tell of a try of a unit that failed."""
        self._report.log(f"{self._name(result['unit'])} failed: {from_record(result['error'])}")

    def suspected(self, unit: Unit, max_attempts: int) -> None:
        """Tell of a unit that was under way when the process died."""
        tries = f"{unit.attempts} of {max_attempts} tries"
        self._report.log(
            f"{self._name(unit.id)}: the process died while it was under way, {tries}; it runs alone, last"
        )

    def show(self) -> None:
        """Report progress."""
        self._report.progress(Progress(self.done, len(self._units), "files"))

    def _name(self, unit_id: str) -> str:
        partition = self._units[unit_id].partition
        return f"unit {unit_id} ({partition})" if partition else f"unit {unit_id}"
