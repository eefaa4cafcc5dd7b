"""One pass over a plan: batches of even size in a seeded order, with a token after each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pyarrow as pa

from nbplat.clock import Clock, SystemClock
from nbplat.errors import Conflict, RequestError
from nbplat.remote.training.join import Joined
from nbplat.training.join.coverage import SeenCover, check_seen
from nbplat.training.join.mix import Mixed
from nbplat.training.join.order import Order, row_order, windows_of
from nbplat.training.join.plan import JoinPlan, Unit
from nbplat.training.join.reader import UnitReader
from nbplat.training.join.token import Part, Token, parts_left

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["EQUAL", "Iteration", "Pace", "Share"]

EQUAL = ("", "trim", "pad")


@dataclass(frozen=True, slots=True)
class Share:
    """Whose rows of a pass are wanted.

    Attributes:
        equal: ``trim``: every rank gets as many whole batches as the one with fewest; ``pad``: as many as the one with
            most, short ranks begin again. Empty: each rank gets all rows of its windows.
    """

    rank: int = 0
    world: int = 1
    equal: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world:
            raise RequestError(
                "training.option",
                f"rank={self.rank} of world={self.world} is not possible",
                fix="ranks count from 0 to world - 1",
            )
        if self.equal not in EQUAL:
            raise RequestError("training.option", f"equal={self.equal!r} is not possible", fix="give trim or pad")


@dataclass(frozen=True, slots=True)
class Pace:
    """How far reading may run ahead.

    Attributes:
        threads: Units joined at once.
        ahead_bytes: Estimated bytes of joined units that wait for their turn.
    """

    threads: int = 2
    ahead_bytes: int = 256 << 20


@dataclass(slots=True)
class Counts:
    """What an iteration has done so far; times in seconds."""

    rows: int = 0
    batches: int = 0
    bytes: int = 0
    first_batch_s: float = 0.0
    wait_s: float = 0.0
    seconds: float = 0.0

    @property
    def wait_share(self) -> float:
        """Share of the time that the caller waited for data; near 1: the loader is slow, near 0: the model is."""
        return self.wait_s / self.seconds if self.seconds else 0.0


@dataclass(slots=True)
class Iteration:
    """Iterate it once for an epoch's batches; `token` then says where it stands.

    Attributes:
        read: Joins one unit; called from several threads.
        exact_rows: Live rows of a unit; asked only where `share.equal` needs them.
        batch_rows: Rows in a batch; only the last of an epoch may hold fewer.
        drop_last: True leaves that one out.
        earlier: Tokens of all ranks of another world size that this takes over from.
        token: Where it stands; before the first batch, where it begins.
        seen: What was read of each side.
        progress: Called after each batch with rows handed out.
    """

    plan: JoinPlan
    read: Callable[[Unit], Joined]
    exact_rows: Callable[[Unit], int]
    token: Token
    order: Order
    share: Share
    pace: Pace
    batch_rows: int
    drop_last: bool
    earlier: tuple[Token, ...]
    clock: Clock = field(default_factory=SystemClock)
    counts: Counts = field(default_factory=Counts)
    seen: list[SeenCover] = field(default_factory=list)

    @classmethod
    def begin(
        cls,
        plan: JoinPlan,
        read: Callable[[Unit], Joined],
        exact_rows: Callable[[Unit], int],
        *,
        batch_rows: int,
        order: Order | None = None,
        epoch: int = 0,
        share: Share | None = None,
        pace: Pace | None = None,
        drop_last: bool = False,
        resume: Token | Sequence[Token] | None = None,
        clock: Clock | None = None,
    ) -> Iteration:
        """Begin an epoch, or go on where a token stands.

        Args:
            resume: A token of this rank; or, to go on with another number of ranks, those of all ranks. Order and
                epoch are then theirs.

        Raises:
            Conflict: ``training.token``: it is of another plan.
            RequestError: it is of another rank or world size, or tokens are missing.
        """
        share = share or Share()
        if batch_rows < 1:
            raise RequestError("training.option", f"batch_rows={batch_rows} is not possible", fix="give 1 or more")
        tokens = () if resume is None else (resume,) if isinstance(resume, Token) else tuple(resume)
        for each in tokens:
            _check_plan(each, plan)
        order = order or Order()
        plan_id = plan.plan_id
        start = Token(plan_id, order.shuffle, order.seed, order.window_units, epoch, share.rank, share.world, 0, 0, 0)
        earlier: tuple[Token, ...] = ()
        if tokens:
            start, earlier = _taken_over(tokens, share, start)
            order = Order(start.shuffle, start.seed, start.window_units)
        return cls(
            plan=plan,
            read=read,
            exact_rows=exact_rows,
            token=start,
            order=order,
            share=share,
            pace=pace or Pace(),
            batch_rows=batch_rows,
            drop_last=drop_last,
            earlier=earlier,
            clock=clock or SystemClock(),
            seen=[SeenCover(side.ref, 0, 0, 0, 0, {}, {}) for side in plan.sides],
        )

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        limit = self._limit() if self.share.equal else None
        parts = self._parts(self.share.rank)
        began = self.clock.monotonic_s()
        source = self._batches(parts)
        if limit is not None:
            source = self._evened(source, parts, limit)
        for batch, token in source:
            self.counts.batches += 1
            self.counts.rows += batch.num_rows
            self.counts.bytes += batch.nbytes
            self.counts.seconds = self.clock.monotonic_s() - began
            self.counts.first_batch_s = self.counts.first_batch_s or self.counts.seconds
            self.token = token
            yield batch
            self.counts.seconds = self.clock.monotonic_s() - began

    def _parts(self, rank: int) -> list[Part]:
        windows = windows_of(self.plan, self.order, self.token.epoch)
        return parts_left(self.plan, self.order, windows, rank, self.share.world, self.earlier)

    def _limit(self) -> int:
        """Batches that every rank gets in the whole epoch."""
        counts = []
        known: dict[int, int] = {}
        for rank in range(self.share.world):
            rows = 0
            for part in self._parts(rank):
                for at in part.window.units:
                    if at not in known:
                        known[at] = self.exact_rows(self.plan.units[at])
                rows += sum(known[at] for at in part.window.units) - part.skip
            counts.append(rows // self.batch_rows if self.share.equal == "trim" else -(-rows // self.batch_rows))
        if self.share.equal == "trim":
            return min(counts)
        if not min(counts):
            raise RequestError(
                "training.option",
                f"equal='pad' is not possible: a rank of {self.share.world} has no rows",
                fix="use fewer ranks, or equal='trim'",
            )
        return max(counts)

    def _evened(
        self, source: Iterator[tuple[pa.RecordBatch, Token]], parts: list[Part], limit: int
    ) -> Iterator[tuple[pa.RecordBatch, Token]]:
        while self.token.batch < limit:
            for batch, token in source:
                yield batch, token
                if token.batch >= limit:
                    return
            # A rank that is padded goes over its rows again, and counts on.
            self.token = replace(self.token, part=0, row=0)
            source = self._batches(parts)

    def _batches(self, parts: list[Part]) -> Iterator[tuple[pa.RecordBatch, Token]]:
        held: list[pa.Table] = []
        held_rows, size, token = 0, self.batch_rows, self.token
        whole = self.share.world == 1 and not token.part and not token.row and not self.earlier
        for at, first, rows in self._tables(parts):
            start = 0
            while held_rows + rows.num_rows - start >= size:
                taken = size - held_rows
                held.append(rows.slice(start, taken))
                start += taken
                token = replace(token, part=at, row=first + start, batch=token.batch + 1)
                batch, held, held_rows = _one_batch(held), [], 0
                yield batch, token
            if start < rows.num_rows:
                held.append(rows.slice(start))
                held_rows += rows.num_rows - start
        if held_rows and not (self.drop_last or self.share.equal == "trim"):
            yield _one_batch(held), replace(token, part=len(parts), row=0, batch=token.batch + 1)
        check_seen(self.plan, self.seen, ended=whole)

    def _tables(self, parts: list[Part]) -> Iterator[tuple[int, int, _Rows]]:
        """Place of each part, the first row of it that is wanted, and the rows from there in their order."""
        begin = self.token.part
        reader = UnitReader(self.read, threads=self.pace.threads, ahead_bytes=self.pace.ahead_bytes, clock=self.clock)
        wanted = [self.plan.units[at] for part in parts[begin:] for at in part.window.units]
        reading = reader.units(wanted)
        before = self.counts.wait_s
        try:
            for number, part in enumerate(parts[begin:], begin):
                tables = []
                for _ in part.window.units:
                    unit, joined = next(reading)
                    tables.append(joined.table)
                    self._count(unit, joined)
                    self.counts.wait_s = before + reader.wait_s
                skip = max(self.token.row, part.skip) if number == begin else part.skip
                yield number, skip, self._in_order(part, tables, skip)
        finally:
            reading.close()  # type: ignore[attr-defined]

    def _in_order(self, part: Part, tables: list[pa.Table], skip: int) -> _Rows:
        table = pa.concat_tables(tables) if len(tables) > 1 else tables[0]
        places = row_order(self.order, self.token.epoch, part.window.number, table.num_rows)
        if places is None:
            return _Rows(table.slice(skip), None)
        return _Rows(table.slice(0, 0), places[skip:], Mixed(table))

    def _count(self, unit: Unit, joined: Joined) -> None:
        for so_far, report in zip(self.seen, joined.reports, strict=True):
            so_far.rows += report.rows
            so_far.matched += report.matched
            so_far.null_keys += report.null_keys
            so_far.dropped += report.dropped
            for name, count in report.nulls.items():
                so_far.nulls[name] = so_far.nulls.get(name, 0) + count
            if report.matched < report.rows:
                so_far.missed[unit.name] = report.missed
        check_seen(self.plan, self.seen, ended=False)


@dataclass(frozen=True, slots=True)
class _Rows:
    """A window's rows in their order; they are put in it batch by batch, so that no second copy of it is held."""

    table: pa.Table
    places: npt.NDArray[np.int64] | None
    mixed: Mixed | None = None

    @property
    def num_rows(self) -> int:
        return self.table.num_rows if self.places is None else len(self.places)

    def slice(self, start: int, count: int | None = None) -> pa.Table:
        """Some of them; None takes all from there on."""
        if self.places is None or self.mixed is None:
            return self.table.slice(start, count)
        return self.mixed.at(self.places[start : None if count is None else start + count])


def _check_plan(token: Token, plan: JoinPlan) -> None:
    if token.plan_id != plan.plan_id:
        raise Conflict(
            "training.token",
            f"the token is of plan {token.plan_id[:12]}, this is plan {plan.plan_id[:12]}",
            fix="load the plan that was logged with the checkpoint: JoinPlan.from_record, or nb.training_join(plan=…)",
        )


def _taken_over(tokens: Sequence[Token], share: Share, start: Token) -> tuple[Token, tuple[Token, ...]]:
    """Where to go on, and the tokens of another world size that it rests on."""
    first = tokens[0]
    if len({(each.shuffle, each.seed, each.window_units, each.epoch) for each in tokens}) > 1:
        raise RequestError(
            "training.token", "the tokens are of several epochs or orders", fix="give those of one moment"
        )
    same = [each for each in tokens if each.world == share.world and each.rank == share.rank]
    if first.world == share.world and same:
        return same[0], tuple(Token.from_record(each) for each in same[0].earlier)
    if len(tokens) != first.world:
        raise RequestError(
            "training.world",
            f"the token is of rank {first.rank} of {first.world}, this is rank {share.rank} of {share.world}",
            fix="give the tokens of all ranks, resume=[…]: what is left is dealt anew, in another order",
        )
    earlier = tuple(sorted(tokens, key=lambda each: each.rank))
    fresh = replace(
        start,
        shuffle=first.shuffle,
        seed=first.seed,
        window_units=first.window_units,
        epoch=first.epoch,
        earlier=tuple(each.record() for each in earlier),
    )
    return fresh, earlier


def _one_batch(tables: list[pa.Table]) -> pa.RecordBatch:
    table = pa.concat_tables(tables) if len(tables) > 1 else tables[0]
    if not table.num_columns:
        return pa.RecordBatch.from_arrays([], names=[])
    return table.combine_chunks().to_batches()[0]
