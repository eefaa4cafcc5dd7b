"""One pass over a plan: batches of even size in a seeded order, with a token after each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from nbplat.remote.failure import KernelError

from .ahead import Ahead
from .covered import SeenCover, check_seen
from .join import Joined
from .mix import mixed
from .option import at_least, refused
from .order import Order, row_order, windows_of
from .token import Part, Token, parts_left

__all__ = ["EQUAL", "Counts", "Epoch", "Pace", "Share", "Sides"]

EQUAL = ("", "trim", "pad")


class Share:
    """Whose rows of a pass are wanted.

    Attributes:
        equal: ``trim``: every rank gets as many whole batches as the one with fewest; ``pad``: as many as the one with
            most, short ranks begin again. Empty: each rank gets all rows of its windows.

    Raises:
        KernelError: ``training.option``: a value that is not possible.
    """

    __slots__ = ("equal", "rank", "world")

    def __init__(self, rank: int = 0, world: int = 1, equal: str = "") -> None:
        rank, world = at_least(0, "rank", rank), at_least(1, "world", world)
        if rank >= world:
            raise refused(f"rank={rank} of world={world} is not possible", "ranks count from 0 to world - 1")
        if equal not in EQUAL:
            raise refused(f"equal={equal!r} is not possible", "give trim or pad")
        self.rank, self.world, self.equal = rank, world, equal


class Pace(NamedTuple):
    """How far reading may run ahead.

    Attributes:
        threads: Units joined at once.
        ahead_bytes: Estimated bytes of joined units that wait for their turn.
    """

    threads: int = 2
    ahead_bytes: int = 256 << 20


class Sides(NamedTuple):
    """What is joined, as far as its coverage is watched.

    Attributes:
        refs: Of the sides, in order.
        runs: Ref -> its run, where it is one.
        least: Share of the rows that must have a staged row.
        rows: Physical rows of the whole plan.
    """

    refs: tuple[str, ...]
    runs: Mapping[str, str]
    least: float
    rows: int


class Counts:
    """What an iteration has done so far; times in seconds."""

    def __init__(self) -> None:
        self.rows = self.batches = self.bytes = 0
        self.first_batch_s = self.wait_s = self.seconds = 0.0

    def __repr__(self) -> str:
        return (
            f"{self.rows:,} rows in {self.batches:,} batches, {self.bytes:,} bytes, {self.seconds:.2f} s:"
            f" first batch after {self.first_batch_s:.2f} s, waited {self.wait_share:.0%}"
        )

    @property
    def wait_share(self) -> float:
        """Share of the time that the caller waited for data; near 1: the loader is slow, near 0: the model is."""
        return self.wait_s / self.seconds if self.seconds else 0.0


class Epoch:
    """Iterate it once for an epoch's batches; `token` then says where it stands.

    Args:
        plan: Has ``plan_id`` and ``units``, each with ``name``, ``rows``, ``decoded_bytes`` and ``files``.
        read: Joins one unit; called from several threads.
        exact_rows: Live rows of a unit; asked only where `share.equal` needs them.
        batch_rows: Rows in a batch; only the last of an epoch may hold fewer.
        drop_last: True leaves that one out.
        resume: A token of this rank; or, to go on with another number of ranks, those of all ranks. Order and
            epoch are then theirs.

    Attributes:
        token: Where it stands; before the first batch, where it begins.
        seen: What was read of each side.

    Raises:
        KernelError: ``training.token``: a token is of another plan, rank or world size, or some are missing; when it
            is iterated again after its end, ``training.option``.
    """

    def __init__(
        self,
        plan: Any,
        sides: Sides,
        read: Callable[[Any], Joined],
        exact_rows: Callable[[Any], int],
        *,
        batch_rows: int,
        order: Order,
        epoch: int = 0,
        share: Share,
        pace: Pace,
        drop_last: bool = False,
        resume: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        batch_rows, epoch = at_least(1, "batch_rows", batch_rows), at_least(0, "epoch", epoch)
        at_least(1, "threads", pace.threads)
        given = () if resume is None else (resume,) if isinstance(resume, Mapping) else tuple(resume)
        if resume is not None and not given:
            raise refused("resume=[] is no place to go on from", "give None to begin, or the tokens of all ranks")
        tokens = [Token.from_record(each) for each in given]
        plan_id = plan.plan_id
        for each in tokens:
            _check_plan(each, plan_id)
        start = Token(plan_id, order.shuffle, order.seed, order.window_units, epoch, share.rank, share.world, 0, 0, 0)
        self.earlier: tuple[Token, ...] = ()
        if tokens:
            start, self.earlier = _taken_over(tokens, share, start)
            order = Order(start.shuffle, start.seed, start.window_units)
        self.plan, self.sides, self.read, self.exact_rows = plan, sides, read, exact_rows
        self.token, self.order, self.share, self.pace = start, order, share, pace
        self.batch_rows, self.drop_last, self._monotonic_s = batch_rows, drop_last, monotonic_s
        self.counts = Counts()
        self.seen = [SeenCover(ref) for ref in sides.refs]
        self._ended = False

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        if self._ended:
            # A loop over epochs that makes them once would learn from the first one alone.
            raise refused("these batches are one pass, which is over", "ask for another: batches(…, epoch=1)")
        limit = self._limit() if self.share.equal else None
        parts = self._parts(self.share.rank)
        began = self._monotonic_s()
        source = self._batches(parts)
        if limit is not None:
            source = self._evened(source, parts, limit)
        for batch, token in source:
            self.counts.batches += 1
            self.counts.rows += batch.num_rows
            self.counts.bytes += batch.nbytes
            self.counts.seconds = self._monotonic_s() - began
            self.counts.first_batch_s = self.counts.first_batch_s or self.counts.seconds
            self.token = token
            yield batch
            self.counts.seconds = self._monotonic_s() - began
        self._ended = True

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
            raise refused(
                f"equal='pad' is not possible: a rank of {self.share.world} has no rows",
                "use fewer ranks, or equal='trim'",
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
            self.token = self.token._replace(part=0, row=0)
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
                token = token._replace(part=at, row=first + start, batch=token.batch + 1)
                batch, held, held_rows = _one_batch(held), [], 0
                if len(parts[at].window.units) > 1 and rows.num_rows - start < size:
                    batch = _alone(batch)
                yield batch, token
                del batch
            if start < rows.num_rows:
                held.append(_alone(rows.slice(start)))
                held_rows += rows.num_rows - start
            # Nothing of this part may live while the next one is read and mixed: a window is many units.
            del rows
        if held_rows and not (self.drop_last or self.share.equal == "trim"):
            yield _one_batch(held), token._replace(part=len(parts), row=0, batch=token.batch + 1)
        self._check(ended=whole)

    def _tables(self, parts: list[Part]) -> Iterator[tuple[int, int, pa.Table]]:
        """Place of each part, the first row of it that is wanted, and the rows from there in their order."""
        begin = self.token.part
        wanted = [self.plan.units[at] for part in parts[begin:] for at in part.window.units]
        before, mixing_s = self.counts.wait_s, 0.0
        with Ahead(
            self.read,
            wanted,
            threads=self.pace.threads,
            ahead_bytes=self.pace.ahead_bytes,
            monotonic_s=self._monotonic_s,
        ) as reader:
            for number, part in enumerate(parts[begin:], begin):
                skip = max(self.token.row, part.skip) if number == begin else part.skip
                tables = []
                for left in reversed(range(len(part.window.units))):
                    unit, joined = reader.take()
                    # Units of the next window begin when this one is mixed, which takes the threads and memory.
                    reader.start(unit.decoded_bytes, most=left)
                    tables.append(joined.table)
                    self._count(unit, joined)
                    del joined
                began = self._monotonic_s()
                rows = self._in_order(part, tables, skip, reader)
                reader.start(unit.decoded_bytes)
                mixing_s += self._monotonic_s() - began
                self.counts.wait_s = before + reader.wait_s + mixing_s
                yield number, skip, rows
                # The generator's frame would hold them while the next part is read.
                del rows

    def _in_order(self, part: Part, tables: list[pa.Table], skip: int, reader: Ahead) -> pa.Table:
        """The rows of a part from `skip` on; empties the list, so that they are held once."""
        rows = sum(table.num_rows for table in tables)
        places = row_order(self.order, self.token.epoch, part.window.number, rows)
        if places is not None:
            return mixed(tables, places[skip:], reader.each)
        table = pa.concat_tables(tables) if len(tables) > 1 else tables[0]
        tables.clear()
        return table.slice(skip)

    def _count(self, unit: Any, joined: Joined) -> None:
        for so_far, report in zip(self.seen, joined.reports):
            so_far.rows += report.rows
            so_far.matched += report.matched
            so_far.null_keys += report.null_keys
            so_far.dropped += report.dropped
            for name, count in report.nulls.items():
                so_far.nulls[name] = so_far.nulls.get(name, 0) + count
            if report.matched < report.rows:
                so_far.missed[unit.name] = report.missed
        self._check(ended=False)

    def _check(self, *, ended: bool) -> None:
        check_seen(self.seen, self.sides.least, self.sides.rows, self.sides.runs, ended=ended)


def _check_plan(token: Token, plan_id: str) -> None:
    if token.plan_id != plan_id:
        raise KernelError(
            "training.token",
            f"the token is of plan {str(token.plan_id)[:12]}, this is plan {plan_id[:12]}",
            fix="load the plan that was logged with the checkpoint: JoinPlan.from_record, or nb.training_join(plan=…)",
            kind="Conflict",
        )


def _taken_over(tokens: Sequence[Token], share: Share, start: Token) -> tuple[Token, tuple[Token, ...]]:
    """Where to go on, and the tokens of another world size that it rests on."""
    first = tokens[0]
    if len({(each.shuffle, each.seed, each.window_units, each.epoch) for each in tokens}) > 1:
        raise KernelError(
            "training.token",
            "the tokens are of several epochs or orders",
            fix="give those of one moment",
            kind="RequestError",
        )
    same = [each for each in tokens if each.world == share.world and each.rank == share.rank]
    if first.world == share.world and same:
        return same[0], tuple(Token.from_record(each) for each in same[0].earlier)
    if len(tokens) != first.world:
        raise KernelError(
            "training.world",
            f"the token is of rank {first.rank} of {first.world}, this is rank {share.rank} of {share.world}",
            fix="give the tokens of all ranks, resume=[…]: what is left is dealt anew, in another order",
            kind="RequestError",
        )
    earlier = tuple(sorted(tokens, key=lambda each: each.rank))
    fresh = start._replace(
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
    found = table.combine_chunks().to_batches()
    if len(found) != 1:
        raise refused(f"{table.num_rows:,} rows hold more than 2 GiB of one column", "give fewer batch_rows")
    return found[0]


def _alone(rows: Any) -> Any:
    """The rows, in memory of their own: a slice keeps all that it was cut from."""
    return rows.take(pa.array(np.arange(rows.num_rows))) if rows.num_columns else rows
