"""The one promotion of a table at a time: who comes second waits, and who was overtaken is stopped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from nbplat.clock import Clock
from nbplat.errors import Conflict
from nbplat.job import JobStore, Lease, StepContext

__all__ = ["TableLease", "hold_table", "promotion_lease"]

_LOOK_S = 0.2


def promotion_lease(table: str) -> str:
    """The lease that keeps promotions of one table apart."""
    return f"promote:{table}"


@dataclass(frozen=True, slots=True)
class TableLease:
    """The right to promote into a table, as one try of one job holds it.

    Attributes:
        branch: ``nb-<run>-<fence>-<try>``: no two tries share one, so that taking an older one away
            makes the catalog refuse what its owner may still commit.
    """

    store: JobStore
    lease: Lease
    context: StepContext
    clock: Clock
    branch: str
    ttl_ms: int
    _kept_s: list[float] = field(default_factory=lambda: [0.0])

    def keep(self) -> None:
        """Renew when a third of the time is over; to be called between small pieces of work."""
        now = self.clock.monotonic_s()
        if (now - self._kept_s[0]) * 3000 >= self.ttl_ms:
            self.guard()
            self._kept_s[0] = now

    def guard(self) -> None:
        """Renew; raises Conflict when another run took the table, or another worker this job."""
        self.store.renew_lease(self.lease, ttl_ms=self.ttl_ms)
        self.store.heartbeat(self.context.job.id, self.context.job.fence, lease_ms=self.ttl_ms)


@contextmanager
def hold_table(
    store: JobStore, table: str, run_id: str, context: StepContext, clock: Clock, *, ttl_ms: int, wait_ms: int
) -> Iterator[TableLease]:
    """Hold the table's lease; wait for it as long as another run has it.

    The run holds it, not the try: a try after a kill need not wait for the dead one's lease.

    Args:
        wait_ms: How long to wait at most.

    Raises:
        Conflict: ``lease.held`` after `wait_ms`; ``job.cancelled`` when the job was cancelled meanwhile.
    """
    lease = _take(store, promotion_lease(table), run_id, context, clock, ttl_ms, wait_ms)
    branch = f"nb-{run_id.replace('@', '-')}-{lease.fence}-{context.job.fence}"
    try:
        yield TableLease(store, lease, context, clock, branch, ttl_ms)
    finally:
        store.release_lease(lease)


def _take(
    store: JobStore, resource: str, run_id: str, context: StepContext, clock: Clock, ttl_ms: int, wait_ms: int
) -> Lease:
    until = clock.monotonic_s() + wait_ms / 1000
    said = False
    while True:
        try:
            return store.take_lease(resource, run_id, ttl_ms=ttl_ms)
        except Conflict as held:
            if held.code != "lease.held" or clock.monotonic_s() >= until:
                raise
            if not said:
                context.report.log(f"waits: {held.message}")
                said = True
        job = store.heartbeat(context.job.id, context.job.fence, lease_ms=ttl_ms)
        if job.cancel_requested:
            raise Conflict("job.cancelled", f"{run_id} was cancelled while it waited", fix="promote it again")
        context.report.checkpoint()
        clock.sleep(_LOOK_S)
