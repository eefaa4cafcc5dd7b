"""A plan that is being read: batches in any format, coverage, tags that keep its snapshots, the local repartition."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from nbplat.clock import Clock
from nbplat.errors import NotFound, RequestError, did_you_mean, from_record
from nbplat.remote.failure import KernelError
from nbplat.remote.training.deal import deal
from nbplat.remote.training.join import Joined, join
from nbplat.remote.training.task import JoinFile
from nbplat.training.join.arrays import as_arrays
from nbplat.training.join.coverage import Cover, SeenCover, coverage
from nbplat.training.join.explain import explain_join
from nbplat.training.join.iteration import Counts, Iteration, Pace, Share
from nbplat.training.join.order import Order
from nbplat.training.join.plan import JoinPlan, PlanSide, Unit
from nbplat.training.join.ports import JoinSource
from nbplat.training.join.tasks import TaskMaker
from nbplat.training.join.token import Token
from nbplat.training.join.width import decoded_bytes

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["FORMATS", "Batches", "OpenJoin"]

FORMATS = ("arrow", "numpy", "pandas", "torch")
_MOST_PARTS = 256

Tensors = Callable[[Mapping[str, "npt.NDArray[Any]"]], dict[str, Any]]


class Batches:
    """One pass; iterate it once.

    Attributes:
        counts: Rows, batches, and how long the caller waited.
        seen: Per side what was matched, exact for what was read so far.
    """

    def __init__(self, iteration: Iteration, form: Callable[[pa.RecordBatch], Any]) -> None:
        self._iteration, self._form = iteration, form

    def __iter__(self) -> Iterator[Any]:
        return map(self._form, self._iteration)

    @property
    def counts(self) -> Counts:
        """So far."""
        return self._iteration.counts

    @property
    def seen(self) -> list[SeenCover]:
        """So far."""
        return self._iteration.seen

    def state(self) -> dict[str, Any]:
        """A token as JSON: what was handed out is behind it. Give it as ``resume``, with the same batch size."""
        return self._iteration.token.record()


class OpenJoin:
    """Reads a plan. Close it, or use it as a context, when the plan deals rows to local files.

    Args:
        tensors: Arrays as tensors.
        trees: Batches of arrays, features and label as an iterator of XGBoost.
        folder: Where local files of a repartition go, in a folder of their own; None for the temporary folder.
    """

    def __init__(
        self,
        plan: JoinPlan,
        source: JoinSource,
        *,
        tensors: Tensors,
        trees: Callable[..., Any],
        clock: Clock | None = None,
        folder: Path | None = None,
        threads: int = 2,
    ) -> None:
        self.plan = plan
        self._source, self._tensors, self._trees = source, tensors, trees
        self._clock, self._threads = clock, threads
        self._folder = folder
        self._made: TaskMaker | None = None
        self._dealt: Path | None = None

    def explain(self) -> str:
        """Which files meet which, and why."""
        return "\n".join(explain_join(self.plan))

    def coverage(self) -> tuple[Cover, ...]:
        """Per side and unit, from metadata."""
        return coverage(self.plan)

    def batches(
        self,
        batch_rows: int = 8192,
        *,
        format: str = "arrow",
        shuffle: str = "none",
        seed: int = 0,
        window: int = 4,
        epoch: int = 0,
        rank: int = 0,
        world: int = 1,
        equal: str = "",
        drop_last: bool = False,
        resume: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        threads: int = 0,
        ahead_bytes: int = 256 << 20,
    ) -> Batches:
        """An epoch's batches, read by threads of this process.

        Args:
            batch_rows: Rows in a batch; only the last one may hold fewer.
            format: ``arrow`` (record batches), ``pandas``, ``numpy`` or ``torch`` (name -> array, see
                `arrays.as_arrays`).
            shuffle, seed, window: See `order.Order`; the same plan, seed and epoch give the same batches everywhere.
            rank, world, equal: See `iteration.Share`.
            drop_last: Leave a batch of fewer rows out.
            resume: What `Batches.state` gave: of this rank, or a list of all ranks' for another world size.
            threads: Units joined at once; 0 takes the platform's limit.
            ahead_bytes: Bound on what is joined before it is asked for.

        Raises:
            RequestError: an option that is not possible; tokens that do not fit.
            Conflict: a token of another plan; a snapshot or file that is gone.
            DataError: what the data breaks: duplicate keys, too little coverage.
        """
        if format not in FORMATS:
            raise RequestError(
                "training.option", f"format={format!r} is not possible", fix=f"give {', '.join(FORMATS)}"
            )
        tokens: Token | list[Token] | None = None
        if resume is not None:
            tokens = (
                Token.from_record(resume)
                if isinstance(resume, Mapping)
                else [Token.from_record(each) for each in resume]
            )
        iteration = Iteration.begin(
            self.plan,
            self.read,
            self.exact_rows,
            batch_rows=batch_rows,
            order=Order(shuffle, seed, window),
            epoch=epoch,
            share=Share(rank, world, equal),
            pace=Pace(threads or self._threads, ahead_bytes),
            drop_last=drop_last,
            resume=tokens,
            clock=self._clock,
        )
        return Batches(iteration, self._form(format))

    def data_iter(self, label: str, features: Sequence[str] = (), batch_rows: int = 131_072) -> Any:
        """The join as an `xgboost.DataIter`: ``xgboost.QuantileDMatrix(join.data_iter("label"), max_bin=64)``.

        Args:
            label: Column of the labels.
            features: Columns that are learned from; empty takes the joined ones.

        Raises:
            NotFound: a column that the result does not have.
            SetupError: XGBoost is not installed.
        """
        chosen = tuple(features) or tuple(value.name for side in self.plan.sides for value in side.values)
        for name in (label, *chosen):
            if name not in self.plan.output:
                raise NotFound(
                    "training.column", f"the join has no column {name!r}", fix=did_you_mean(name, self.plan.output)
                )
        return self._trees(lambda: self.batches(batch_rows, format="numpy"), chosen, label)

    def read(self, unit: Unit) -> Joined:
        """Join one unit, in this thread."""
        return join(self._maker.task(unit))

    def exact_rows(self, unit: Unit) -> int:
        """Live rows of a unit inside the dates; from metadata where no delete file and no date applies."""
        if not self.plan.time and not any(file.deletes for file in unit.files):
            return unit.rows
        return sum(join(self._maker.counting(unit)).counts)

    @contextmanager
    def held(self) -> Iterator[list[str]]:
        """Tag every snapshot of the plan while the block runs, so that expiring keeps its files.

        Yields:
            The tables whose catalog does not allow a tag; empty when all are safe.
        """
        name = f"nb-join-{self.plan.plan_id[:16]}"
        unsafe = [pin.table for pin in self.plan.pins if not self._source.tag(pin, name)]
        try:
            yield unsafe
        finally:
            for pin in self.plan.pins:
                self._source.untag(pin, name)

    def close(self) -> None:
        """Take local files away."""
        if self._dealt is not None:
            shutil.rmtree(self._dealt, ignore_errors=True)
        self._dealt = self._made = None

    def __enter__(self) -> OpenJoin:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _form(self, name: str) -> Callable[[pa.RecordBatch], Any]:
        if name == "arrow":
            return lambda batch: batch
        if name == "pandas":
            return lambda batch: batch.to_pandas()
        if name == "numpy":
            return as_arrays
        return lambda batch: self._tensors(as_arrays(batch))

    @property
    def _maker(self) -> TaskMaker:
        if self._made is None:
            try:
                self._made = TaskMaker(self.plan, self._source, self._deal())
            except KernelError as error:
                raise from_record(error.record()) from None
        return self._made

    def _deal(self) -> dict[str, str]:
        """Deal every side that shares no bucket; side's ref -> folder."""
        found = {}
        for at, side in enumerate(self.plan.sides):
            if any(unit.sides[at].how == "dealt" for unit in self.plan.units):
                if self._dealt is None:
                    self._dealt = Path(tempfile.mkdtemp(prefix="nbplat-deal-", dir=self._folder))
                folder = self._dealt / str(at)
                folder.mkdir()
                self._deal_side(side, self.plan.spec.stage[at].order_by, folder)
                found[side.ref] = str(folder)
        return found

    def _deal_side(self, side: PlanSide, order_by: str, folder: Path) -> None:
        assert side.pin is not None  # noqa: S101 - a side that is dealt has a table
        state = self._source.state(side.pin.table, pin=side.pin)
        read = dict.fromkeys([*side.keys, *([order_by] if order_by else []), *(v.column for v in side.values)])
        kinds = dict(state.columns)
        size = sum(decoded_bytes(file, file.rows, [(name, kinds[name]) for name in read]) for file in state.files)
        parts = min(max(size // max(self.plan.spec.max_unit_bytes // 4, 1), 1), _MOST_PARTS)
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
