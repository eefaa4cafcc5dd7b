"""The local repartition of a plan: staged rows that share no bucket with the base, dealt to files on this machine."""

from __future__ import annotations

from collections.abc import Sequence
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

    def deal(self) -> dict[str, list[str]]:
        """Deal every side that shares no bucket; side's ref -> folder of each of its groups.

        Raises:
            KernelError: what reading the staged files breaks.
        """
        found = {}
        for at, side in enumerate(self._plan.sides):
            if side.dealt:
                if self._made is None:
                    self._made = ScratchFolder(self._folder, "nbplat-deal-")
                folders = [self._made.path / f"{at}-{number}" for number in range(len(side.dealt))]
                self._deal_side(side, self._plan.spec.stage[at].order_by, folders)
                found[side.ref] = [str(folder) for folder in folders]
        return found

    def close(self) -> None:
        """Take the files away."""
        if self._made is not None:
            self._made.close()
        self._made = None

    def _deal_side(self, side: PlanSide, order_by: str, folders: Sequence[Path]) -> None:
        assert side.pin is not None  # noqa: S101 - a side that is dealt has a table
        state = self._source.state(side.pin.table, pin=side.pin)
        read = dict.fromkeys([*side.keys, *([order_by] if order_by else []), *(v.column for v in side.values)])
        kinds = dict(state.columns)
        columns = [(name, kinds[name]) for name in read]
        sizes = {file.path: decoded_bytes(file, file.rows, columns) for file in state.files}
        schema = self._source.schema(side.pin, list(read)).serialize().to_pybytes()
        names, storage = self._source.names(side.pin), self._source.storage(side.pin)
        for group, folder in zip(side.dealt, folders, strict=True):
            size = sum(sizes[file.path] for file in group)
            parts = min(max(size // max(self._plan.spec.max_unit_bytes // 4, 1), 1), _MOST_PARTS)
            files: list[JoinFile] = self._source.recipes(side.pin, [file.path for file in group])
            folder.mkdir()
            deal(files, schema, names, storage, side.keys, str(folder), int(parts))
