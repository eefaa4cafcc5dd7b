"""One try to land on a table: under the table's lease, on a branch of its own that an error takes away again."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from nbplat.backfill.land import Lander
from nbplat.backfill.lease import TableLease, hold_table
from nbplat.backfill.make_file import FileMaker, Values
from nbplat.backfill.ports import Publisher, SchemaChange, Splicer, StagedWriter, Tables
from nbplat.clock import Clock
from nbplat.job import JobStore, StepContext
from nbplat.terms import SnapshotPin

__all__ = ["Attempts"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Attempts:
    """What promotions and roll backs of one table work with.

    Attributes:
        lease_ms, max_attempts: Of a unit and of the table's lease.
        wait_ms: How long to wait for another promotion of the table.
        keep_schemas: Schema ids of the table that live runs still read with.
    """

    tables: Tables
    writer: StagedWriter
    splicer: Splicer
    publisher: Publisher
    store: JobStore
    clock: Clock
    lease_ms: int
    max_attempts: int
    wait_ms: int
    keep_schemas: frozenset[int]

    def hold(self, table: str, run_id: str, context: StepContext) -> AbstractContextManager[TableLease]:
        """The table's lease, waited for; see `nbplat.backfill.lease.hold_table`."""
        return hold_table(self.store, table, run_id, context, self.clock, ttl_ms=self.lease_ms, wait_ms=self.wait_ms)

    @contextmanager
    def branch(
        self, base: SnapshotPin, lease: TableLease, change: SchemaChange, wanted: Mapping[str, int]
    ) -> Iterator[dict[str, int]]:
        """Open the try's branch; gives the field ids that `Publisher.open` reserved.

        A kill leaves the branch to the next try, and so does a catalog that is away; an error leaves none.
        """
        try:
            yield self.publisher.open(base, lease.branch, change, wanted, lease.guard)
        except Exception:
            try:
                self.publisher.sweep(base, branch=lease.branch)
            except Exception as exc:  # noqa: BLE001 - what failed first is what the caller has to hear
                _log.warning("%s: the branch %s is left to the next try: %s", base.table, lease.branch, exc)
            raise

    def lander(
        self,
        base: SnapshotPin,
        run_id: str,
        scope: str,
        values: Mapping[str, Values],
        lease: TableLease,
        context: StepContext,
        *,
        restore: Mapping[str, str] | None = None,
        before: int | None = None,
    ) -> Lander:
        """A lander on the try's branch.

        Args:
            scope: Of its units in the ledger.
            values: Of each run that brings some.
            restore, before: See `Lander`.
        """
        return Lander(
            base=base,
            run_id=run_id,
            scope=scope,
            branch=lease.branch,
            maker=FileMaker(self.tables, self.splicer, self.writer, values),
            publisher=self.publisher,
            store=self.store,
            context=context,
            lease_ms=self.lease_ms,
            max_attempts=self.max_attempts,
            guard=lease.guard,
            keep=lease.keep,
            restore=restore or {},
            before=before,
        )
