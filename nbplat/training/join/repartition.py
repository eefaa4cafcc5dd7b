"""The local repartition of a plan: staged rows that share no bucket with the base, dealt to files on this machine."""

from __future__ import annotations

from pathlib import Path

from nbplat.remote.scratch_folder import ScratchFolder
from nbplat.remote.training.deal import deal
from nbplat.remote.training.task import JoinFile
from nbplat.training.join.plan import JoinPlan, PlanSide
from nbplat.training.join.ports import JoinSource
from nbplat.training.join.width import decoded_bytes

__all__ = ["Repartition"]

_MOST_PARTS = 256


class Repartition:
    """Files of dealt rows, in a folder of their own; nothing is there for a plan that deals nothing.

    Args:
        folder: Where that folder is made; None for the temporary folder.
    """

    def __init__(self, plan: JoinPlan, source: JoinSource, folder: Path | None = None) -> None:
        self._plan, self._source, self._folder = plan, source, folder
        self._made: ScratchFolder | None = None

    def deal(self) -> dict[str, str]:
        """Deal every side that shares no bucket; side's ref -> folder.

        Raises:
            KernelError: what reading the staged files breaks.
        """
        found = {}
        for at, side in enumerate(self._plan.sides):
            if any(unit.sides[at].how == "dealt" for unit in self._plan.units):
                if self._made is None:
                    self._made = ScratchFolder(self._folder, "nbplat-deal-")
                folder = self._made.path / str(at)
                folder.mkdir()
                self._deal_side(side, self._plan.spec.stage[at].order_by, folder)
                found[side.ref] = str(folder)
        return found

    def close(self) -> None:
        """Take the files away."""
        if self._made is not None:
            self._made.close()
        self._made = None

    def _deal_side(self, side: PlanSide, order_by: str, folder: Path) -> None:
        assert side.pin is not None  # noqa: S101 - a side that is dealt has a table
        state = self._source.state(side.pin.table, pin=side.pin)
        read = dict.fromkeys([*side.keys, *([order_by] if order_by else []), *(v.column for v in side.values)])
        kinds = dict(state.columns)
        size = sum(decoded_bytes(file, file.rows, [(name, kinds[name]) for name in read]) for file in state.files)
        parts = min(max(size // max(self._plan.spec.max_unit_bytes // 4, 1), 1), _MOST_PARTS)
        files: list[JoinFile] = self._source.recipes(side.pin, [file.path for file in state.files])
        deal(
            files,
            self._source.schema(side.pin, list(read)).serialize().to_pybytes(),
            self._source.names(side.pin),
            self._source.storage(side.pin),
            side.keys,
            str(folder),
            int(parts),
        )
