"""A planned join as a value that a training worker opens: it reads the files itself, nothing passes the driver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from nbplat.remote.failure import KernelError
from nbplat.remote.tensors import as_tensors

from .batches import Batches, form_of
from .epoch import Epoch, Pace, Share, Sides
from .join import Joined, join
from .memory import check_pass, rank_budget
from .order import Order
from .task import JoinTask
from .trees import data_iter

__all__ = ["Shard", "ShardUnit"]


class ShardUnit(NamedTuple):
    """One unit of a plan with all that reading it takes.

    Attributes:
        rows: Physical rows.
        files: Its base files, as in `JoinTask`.
        counting: Tells the live rows inside the dates; None where they are all of `rows`.
    """

    name: str
    rows: int
    decoded_bytes: int
    files: list[Any]
    task: JoinTask
    counting: Any


class Shard:
    """A rank's part of a join. Pickle it to a worker, and ask for its batches there; it needs `nbplat.remote` only.

    The same plan, seed, epoch, rank and world give the batches that `OpenJoin.batches` gives for them.

    Args:
        units: All units of the plan: another epoch deals a rank others.
        rank, world: None takes those of the Ray Train worker that it is opened in.
        threads: Units joined at once, unless `batches` says otherwise.
        max_unit_bytes: By which the units were planned.
    """

    def __init__(
        self,
        plan_id: str,
        units: Sequence[ShardUnit],
        sides: Sides,
        *,
        rank: int | None = None,
        world: int | None = None,
        threads: int = 2,
        max_unit_bytes: int = 256 << 20,
    ) -> None:
        self.plan_id, self.units, self.sides = plan_id, tuple(units), sides
        self.rank, self.world, self.threads, self.max_unit_bytes = rank, world, threads, max_unit_bytes

    def batches(
        self,
        batch_rows: int = 8192,
        *,
        format: str = "arrow",
        shuffle: str = "none",
        seed: int = 0,
        window: int = 4,
        epoch: int = 0,
        equal: str = "",
        drop_last: bool = False,
        resume: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        threads: int = 0,
        ahead_bytes: int | None = None,
        memory_bytes: int | None = None,
        pin: bool = False,
    ) -> Batches:
        """This rank's batches of an epoch, read by threads of this process; options as of `OpenJoin.batches`.

        Args:
            memory_bytes: What the rank may hold; None takes its share of this machine, 0 sets no bound.

        Raises:
            KernelError: an option that is not possible, tokens that do not fit (``training.token``,
                ``training.world``), rows that do not fit in memory (``training.memory``), a file that is gone
                (``training.file_gone``), what the data breaks.
        """
        rank, world, ranks_here = self._place()
        form, slots = form_of(format, as_tensors, pin=pin), threads or self.threads
        epoch_ = Epoch(
            self,
            self.sides,
            _joined,
            _live_rows,
            batch_rows=batch_rows,
            order=Order(shuffle, seed, window),
            epoch=epoch,
            share=Share(rank, world, equal),
            pace=Pace(slots),
            drop_last=drop_last,
            resume=resume,
        )
        ahead = check_pass(
            self,
            epoch_.order,
            rank_budget(ranks_here, memory_bytes),
            max_unit_bytes=self.max_unit_bytes,
            batch_rows=batch_rows,
            ahead_bytes=ahead_bytes,
            threads=slots,
        )
        epoch_.pace = Pace(slots, ahead)
        return Batches(epoch_, form)

    def data_iter(self, label: str, features: Sequence[str], batch_rows: int = 131_072) -> Any:
        """This rank's rows as an `xgboost.DataIter`, for a `QuantileDMatrix` in each worker of an `XGBoostTrainer`.

        Args:
            label: Column of the labels.
            features: Columns that are learned from; a matrix column brings all of its own.

        Raises:
            KernelError: ``training.xgboost``, XGBoost is not installed here; ``training.memory``, as of `batches`;
                while it is read ``training.column``.
        """
        self.batches(batch_rows, format="numpy")
        return data_iter(lambda: self.batches(batch_rows, format="numpy"), features, label)

    def _place(self) -> tuple[int, int, int]:
        """Rank, world, and the ranks on this machine (0 where nobody says)."""
        if self.rank is not None and self.world is not None:
            return self.rank, self.world, 0
        try:
            import ray.train

            context = ray.train.get_context()
            here = int(context.get_local_world_size())
            return int(context.get_world_rank()), int(context.get_world_size()), here
        except Exception:  # noqa: BLE001 - Ray says in several ways that this is no worker of a trainer
            raise KernelError(
                "training.option",
                "nobody says which rank this is: this is no worker of a Ray Train trainer",
                fix="give both: join.shard(rank, world)",
                kind="RequestError",
            ) from None


def _joined(unit: ShardUnit) -> Joined:
    return join(unit.task)


def _live_rows(unit: ShardUnit) -> int:
    return unit.rows if unit.counting is None else sum(join(unit.counting).counts)
