"""A plan that is being read: batches in any format, coverage, tags that keep its snapshots."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbplat.clock import Clock
from nbplat.errors import InternalError, NotFound, RequestError, SetupError, did_you_mean, from_record
from nbplat.remote.failure import KernelError
from nbplat.remote.training import batches as kernel
from nbplat.remote.training.batches import FORMATS, form_of
from nbplat.remote.training.epoch import Epoch, Pace, Share, Sides
from nbplat.remote.training.join import Joined, join
from nbplat.remote.training.memory import Budget, check_pass
from nbplat.remote.training.ray_shard import Shard, ShardUnit
from nbplat.terms import HOLD_PREFIX
from nbplat.training.join.coverage import Cover, coverage
from nbplat.training.join.explain import explain_join
from nbplat.training.join.order import Order
from nbplat.training.join.plan import JoinPlan, Unit
from nbplat.training.join.ports import JoinSource, Pool
from nbplat.training.join.repartition import Repartition
from nbplat.training.join.sequence_use import OpenSequences, SequenceSource
from nbplat.training.join.shipped import pieces_of, shipped_unit, shipped_units
from nbplat.training.join.tasks import TaskMaker

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["FORMATS", "Batches", "OpenJoin", "tag_of"]

RUNNERS = ("local", "ray")

Tensors = Callable[[Mapping[str, "npt.NDArray[Any]"]], dict[str, Any]]


class Batches(kernel.Batches):
    """One pass; iterate it once.

    Attributes:
        counts: Rows, batches, and how long the caller waited.
        seen: Per side what was matched, exact for what was read so far.
    """

    def __iter__(self) -> Iterator[Any]:
        reading = super().__iter__()
        while True:
            try:
                batch = next(reading)
            except StopIteration:
                return
            except KernelError as error:
                raise from_record(error.record()) from None
            yield batch


class OpenJoin:
    """Reads a plan. Close it, or use it as a context, when the plan deals rows to local files.

    Args:
        tensors: Arrays as tensors.
        trees: Batches of arrays, features and label as an iterator of XGBoost.
        sequences: Where the plan's sequences are kept.
        folder: Where local files of a repartition go, in a folder of their own; None for the temporary folder.
        memory_bytes: What this process may use; windows that need more are refused. 0 sets no bound.
        pool: Where units of a plan are joined when Ray is asked for, in an environment by its name (empty: in none);
            refuses a cluster that cannot read the files.
        runtime_env: What has workers of a trainer run in an environment, by its name.
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
        memory_bytes: int = 0,
        pool: Callable[[JoinPlan, str], Pool] | None = None,
        runtime_env: Callable[[str], dict[str, Any]] | None = None,
        sequences: SequenceSource | None = None,
    ) -> None:
        self.plan = plan
        self._source, self._tensors, self._trees = source, tensors, trees
        self._clock, self._threads = clock, threads
        self._pool, self._repartition = pool, Repartition(plan, source, folder)
        self._runtime_env = runtime_env
        self.memory_bytes = memory_bytes
        self._made: TaskMaker | None = None
        self._sequences = sequences
        self._opened: OpenSequences | None = None
        # Threads join units; what is made once is made by the first of them.
        self._once = threading.RLock()

    def __repr__(self) -> str:
        return f"join of {explain_join(self.plan)[0]}\n" + "; ".join(
            [f"{side.ref} → {', '.join(value.name for value in side.values)}" for side in self.plan.sides]
            + ["explain() says how they meet, batches() reads"]
        )

    def explain(self) -> str:
        """Which files meet which, and why."""
        return "\n".join(explain_join(self.plan))

    def check_snapshots(self) -> None:
        """Return when every snapshot that the plan reads is there; no data file is opened.

        Raises:
            Conflict: ``snapshot.expired``, ``table.replaced``.
        """
        for pin in self.plan.pins:
            self._source.recipes(pin, ())

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
        ahead_bytes: int | None = None,
        memory_bytes: int | None = None,
        runner: str = "local",
        env: str = "",
        pin: bool = False,
    ) -> Batches:
        """An epoch's batches, read ahead of need by threads of this process or by tasks of Ray.

        Args:
            batch_rows: Rows in a batch; only the last one may hold fewer.
            format: ``arrow`` (record batches), ``pandas``, ``numpy`` or ``torch`` (name -> array, see
                `arrays.as_arrays`).
            shuffle, seed, window: See `order.Order`; the same plan, seed and epoch give the same batches everywhere.
            rank, world, equal: See `epoch.Share`.
            drop_last: Leave a batch of fewer rows out.
            resume: What `Batches.state` gave: of this rank, or a list of all ranks' for another world size.
            threads: Units joined at once; 0 takes the platform's limit, or with Ray the cluster's CPUs.
            ahead_bytes: Bound on what is joined before it is asked for; None takes 256 MiB, or what the memory leaves.
            memory_bytes: What this pass may hold, where several are open at once; None takes `limits.memory_bytes`.
            runner: ``local``, or ``ray``: units are joined on a Ray cluster and come back in their order; the batches
                are the same. Trainers of Ray Train read without the detour: see `shard`.
            env: The declared environment that the workers of Ray join in; empty leaves them as the cluster's are.
            pin: Put tensors in page-locked memory where there is CUDA; for the format ``torch``.

        Raises:
            RequestError: an option that is not possible; tokens that do not fit.
            Conflict: a token of another plan; a snapshot or file that is gone.
            SetupError: a window, a batch or what runs ahead does not fit in memory (``training.memory``).
            DataError: what the data breaks: duplicate keys, too little coverage.
        """
        if runner not in RUNNERS:
            raise RequestError(
                "training.option", f"runner={runner!r} is not possible", fix=f"give {', '.join(RUNNERS)}"
            )
        if env and runner != "ray":
            raise RequestError(
                "training.option",
                f"env={env!r} is for workers of Ray, and runner={runner!r} joins in this process",
                fix="give runner='ray', or leave env out",
            )
        try:
            form, share = form_of(format, self._tensors, pin=pin), Share(rank, world, equal)
            epoch_ = Epoch(
                self.plan,
                self._sides,
                self.read,
                self.exact_rows,
                batch_rows=batch_rows,
                order=Order(shuffle, seed, window),
                epoch=epoch,
                share=share,
                pace=Pace(threads or self._threads),
                drop_last=drop_last,
                resume=resume,
                **({} if self._clock is None else {"monotonic_s": self._clock.monotonic_s}),
            )
            ahead = check_pass(
                self.plan,
                epoch_.order,
                Budget(self.memory_bytes if memory_bytes is None else memory_bytes),
                max_unit_bytes=self.plan.spec.max_unit_bytes,
                batch_rows=batch_rows,
                ahead_bytes=ahead_bytes,
                threads=threads or self._threads,
            )
            slots = self._threads
            if runner == "ray":
                epoch_.read, slots = self._pool_reader(env)
            epoch_.pace = Pace(threads or slots, ahead)
        except KernelError as error:
            raise from_record(error.record()) from None
        return Batches(epoch_, form)

    def data_iter(self, label: str, features: Sequence[str] = (), batch_rows: int = 131_072) -> Any:
        """The join as an `xgboost.DataIter`: ``xgboost.QuantileDMatrix(join.data_iter("label"), max_bin=64)``.

        Args:
            label: Column of the labels.
            features: Columns that are learned from; empty takes the joined ones.

        Raises:
            NotFound: a column that the result does not have.
            SetupError: XGBoost is not installed; a pass does not fit in memory (``training.memory``).
        """
        chosen = tuple(features) or tuple(value.name for side in self.plan.sides for value in side.values)
        for name in (label, *chosen):
            if name not in self.plan.columns:
                raise NotFound(
                    "training.column", f"the join has no column {name!r}", fix=did_you_mean(name, self.plan.columns)
                )
        # XGBoost begins its first pass when a matrix is made of it: what does not fit is said now.
        self.batches(batch_rows, format="numpy")
        return self._trees(lambda: self.batches(batch_rows, format="numpy"), chosen, label)

    def shard(self, rank: int | None = None, world: int | None = None) -> Shard:
        """A rank's part as a value: pickle it to a worker, and ask for its ``batches(…)`` there.

        The worker reads the files itself. The options are those of `batches`, and so are the batches.

        Args:
            rank, world: Left out, the Ray Train worker that opens it says which it is.

        Raises:
            RequestError: ``training.not_shipped``: sequences are joined in this process alone.
            Conflict: a snapshot that is gone.
        """
        return Shard(
            self.plan.plan_id,
            self._units(),
            self._sides,
            rank=rank,
            world=world,
            threads=self._threads,
            max_unit_bytes=self.plan.spec.max_unit_bytes,
        )

    def to_ray(self, *, shuffle: str = "none", seed: int = 0, window: int = 4, epoch: int = 0, env: str = "") -> Any:
        """The joined rows as a `ray.data.Dataset`, in the order of `batches` with the same options.

        One read task per unit (with ``window``, per window) joins files to rows; nothing is shuffled. The dataset
        keeps its order (``preserve_order``), and a task whose worker dies is tried a bounded number of times.

        Args:
            env: The declared environment that the read tasks run in, which must hold ``ray[data]``; empty leaves the
                workers as the cluster's are. What follows in the dataset (``map_batches``) takes
                ``runtime_env=join.runtime_env(…)`` for itself.

        Raises:
            RequestError: an option that is not possible; ``training.not_shipped``.
            NotFound: ``env.unknown``.
            SetupError: Ray is not installed; its workers do not reach the files, or cannot run in the environment
                (``env.check``); a window does not fit in a worker's share of a node (``training.memory``).
            RemoteError: the cluster does not answer, or is of another version.
        """
        order = Order(shuffle, seed, window)
        pool, units = self._pool_of(self.plan, env), self._units()
        self._check_workers(pool, order)
        return pool.dataset(pieces_of(units, order, epoch))

    def runtime_env(self, env: str) -> dict[str, Any]:
        """What has workers of Ray run in a declared environment, and join there: Ray's own ``runtime_env``.

        For ranks of Ray Train that open a `shard`: ``RunConfig(worker_runtime_env=join.runtime_env("ranker"))``.
        Workers on this machine run in the environment's folder; elsewhere they unpack its archive from `env.archives`.
        The environment needs ``ray[train]`` of this process's version and numpy, and no nbplat: what joins goes along.

        Raises:
            NotFound: ``env.unknown``.
            SetupError: ``env.check``; ``env.archives``, ``env.unshipped``: a cluster elsewhere has nowhere to get it.
        """
        if self._runtime_env is None:
            raise _without_ray()
        return self._runtime_env(env)

    def start_ray(self, env: str = "") -> str:
        """Connect to the Ray cluster that `to_ray` and ``runner="ray"`` use; returns a line that says which.

        ``RAY_ADDRESS`` (or ``ray.address``) names it; else a small one is started here, and ended with this process.

        Args:
            env: Have workers start in this environment.

        Raises:
            NotFound, SetupError, RemoteError: as `to_ray`.
        """
        return self._pool_of(self.plan, env).start()

    def read(self, unit: Unit) -> Joined:
        """Join one unit, in this thread."""
        return self._with_sequences(unit, join(self._maker.task(unit)))

    def _with_sequences(self, unit: Unit, joined: Joined) -> Joined:
        if not self.plan.sequences:
            return joined
        table, opened = joined.table, self._open_sequences()
        for use in self.plan.sequences:
            columns = opened.columns(use, _key(unit))
            if columns.num_rows != table.num_rows:
                raise InternalError(
                    "training.sequence_rows",
                    f"{use.ref} has {columns.num_rows} rows for {table.num_rows} of {unit.name}",
                    fix="report this",
                )
            for name, column in zip(columns.column_names, columns.columns, strict=True):
                table = table.append_column(name, column)
        return joined._replace(table=table)

    def exact_rows(self, unit: Unit) -> int:
        """Live rows of a unit inside the dates; from metadata where no delete file and no date applies."""
        if not self.plan.time and not any(file.deletes for file in unit.files):
            return unit.rows
        return sum(join(self._maker.counting(unit)).counts)

    def _units(self) -> list[ShardUnit]:
        return shipped_units(self.plan, self._maker)

    def _pool_of(self, plan: JoinPlan, env: str) -> Pool:
        if self._pool is None:
            raise _without_ray()
        return self._pool(plan, env)

    def _check_workers(self, pool: Pool, order: Order) -> None:
        """Return when what one task of the pool holds fits where it runs."""
        budget = Budget(
            pool.memory_bytes,
            "a worker's share of the smallest Ray node is",
            "give the nodes more memory, or fewer CPUs (num_cpus of ray start)",
        )
        try:
            check_pass(self.plan, order, budget, max_unit_bytes=self.plan.spec.max_unit_bytes)
        except KernelError as error:
            raise from_record(error.record()) from None

    def _pool_reader(self, env: str) -> tuple[Callable[[Unit], Joined], int]:
        pool, maker = self._pool_of(self.plan, env), self._maker
        self._check_workers(pool, Order())

        def read(unit: Unit) -> Joined:
            return self._with_sequences(unit, pool.join(shipped_unit(self.plan, maker, unit)))

        return read, pool.slots

    @contextmanager
    def held(self) -> Iterator[list[str]]:
        """Tag every snapshot of the plan while the block runs, so that expiring keeps its files.

        Yields:
            The tables whose catalog does not allow a tag; empty when all are safe.
        """
        unsafe = self.hold()
        try:
            yield unsafe
        finally:
            self.release()

    def hold(self) -> list[str]:
        """Tag every snapshot of the plan until `release`, staging tables included; again is the same.

        Returns:
            The tables whose catalog does not allow a tag; empty when all are safe.
        """
        name = tag_of(self.plan.plan_id)
        return [pin.table for pin in self.plan.held_pins if not self._source.tag(pin, name)]

    def release(self) -> None:
        """Take the tags away; nothing happens where there is none."""
        for pin in self.plan.held_pins:
            self._source.untag(pin, tag_of(self.plan.plan_id))

    def close(self) -> None:
        """Take local files away."""
        if self._opened is not None:
            self._opened.close()
        self._opened = None
        self._repartition.close()
        self._made = None

    def __enter__(self) -> OpenJoin:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _sides(self) -> Sides:
        plan = self.plan
        runs = {side.ref: side.run for side in plan.sides if side.run}
        return Sides(tuple(side.ref for side in plan.sides), runs, plan.spec.min_coverage, plan.rows)

    @property
    def _maker(self) -> TaskMaker:
        with self._once:
            if self._made is None:
                try:
                    self._made = TaskMaker(self.plan, self._source, self._repartition.deal())
                except KernelError as error:
                    raise from_record(error.record()) from None
            return self._made

    def _open_sequences(self) -> OpenSequences:
        """The sequences of all rows, found once: one pass over the columns that say whose and as of when."""
        with self._once:
            if self._opened is None:
                assert self._sequences is not None  # noqa: S101 - a plan with sequences is opened where they are kept
                reads = tuple(dict.fromkeys(name for use in self.plan.sequences for name in use.reads))
                maker = self._maker
                parts = ((_key(unit), join(maker.bare(unit, reads)).table) for unit in self.plan.units)
                self._opened = self._sequences.open(self.plan.sequences, parts)
            return self._opened


def tag_of(plan_id: str) -> str:
    """The tag that holds the snapshots of a plan."""
    return f"{HOLD_PREFIX}{plan_id[:16]}"


def _without_ray() -> SetupError:
    return SetupError("ray.missing", "this join was opened without Ray", fix="open it with nb.training_join")


def _key(unit: Unit) -> tuple[Any, ...]:
    """Tells a unit from the others of its plan."""
    return tuple((file.path, file.groups) for file in unit.files)
