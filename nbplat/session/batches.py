"""Every batch of this service: started, found again after a restart, looked at, ended."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

from nbplat.clock import Clock
from nbplat.errors import Conflict, NbplatError, NotFound
from nbplat.session.batch import BATCH_ENDED, Batch, BatchDraft, BatchProcesses, BatchState, BatchStore
from nbplat.session.endings import batch_reason
from nbplat.session.keys import holds, number_of
from nbplat.session.tenure import Tenure

__all__ = ["Batches"]


class Batches:
    """The facade; safe between threads.

    What a batch has come to is looked up when somebody asks: its process and the witness of its exit code say it, so
    that a restart of the service changes nothing.

    Args:
        keep_s: How long a batch that has ended is listed.
        tenure: Where other services may share the store; None: this one has it for itself.
    """

    def __init__(
        self,
        store: BatchStore,
        processes: BatchProcesses,
        clock: Clock,
        *,
        keep_s: float = 86_400.0,
        tenure: Tenure | None = None,
    ) -> None:
        self._store = store
        self._processes = processes
        self._clock = clock
        self._keep_s = keep_s
        self._tenure = tenure
        # Held while a start or an end is under way, so that none is looked at half done.
        self._lock = threading.RLock()

    def recover(self) -> None:
        """Go on where an earlier service ended; to be called once, before anything else."""
        for batch in self._store.batches(limit=1_000_000)[1]:
            if not self._reaches(batch) or not (self._tenure is None or self._tenure.drives(batch)):
                continue
            if batch.state is BatchState.SHUTTING_DOWN:
                self.delete(batch.id)
            elif batch.state is BatchState.NOT_STARTED:
                self._launch(batch)
            else:
                self._seen(batch)

    def refusal(self, path: str) -> str | None:
        """Why a file must not be run, for people; None: it may."""
        return self._processes.refusal(path)

    def start(self, draft: BatchDraft) -> Batch:
        """Keep a batch and start its process. Raises Conflict: a living batch has the name."""
        if self._tenure is not None:
            draft = replace(draft, request={**draft.request, **self._tenure.marks()})
        with self._lock:
            return self._launch(self._store.add_batch(draft))

    def find(self, key: str) -> Batch:
        """A batch by id or, when `key` is not all digits, by name, as it is now. Raises NotFound."""
        if not holds(key):
            raise NotFound("batch.unknown", "no batch has such a name", fix="list the batches", where="?")
        number = number_of(key)
        return self._seen(self._store.batch_named(key) if number is None else self._store.batch(number))

    def page(self, *, skip: int = 0, limit: int = 100) -> tuple[int, list[Batch]]:
        """How many there are, and a page of them in order of id."""
        total, found = self._store.batches(skip=skip, limit=limit)
        return total, [self._seen(batch) for batch in found]

    def log(self, batch: Batch, *, after: int = 0, limit: int = 1000) -> tuple[int, Sequence[str]]:
        """How many lines its log has, and some of them; negative `after`: the last ones."""
        return self._processes.log(batch.process, after=after, limit=limit)

    def delete(self, batch_id: int) -> None:
        """End a batch with its whole process group and forget it.

        Raises:
            NotFound: there is none.
            Conflict: ``batch.elsewhere``: it runs on another service's host.
        """
        with self._lock:
            found = self._store.batch(batch_id)
            if found.state not in BATCH_ENDED and not self._reaches(found):
                raise Conflict(
                    "batch.elsewhere",
                    f"batch {batch_id} runs on {found.request['host']}",
                    fix="send it to the service there",
                    where=str(batch_id),
                )
            batch = self._store.move_batch(batch_id, BatchState.SHUTTING_DOWN)
            if batch.process:
                self._processes.kill(batch.process)
                self._processes.remove(batch.process)
            self._store.remove_batch(batch_id)

    def look(self) -> None:
        """Write down what has ended, and forget what ended long ago."""
        now_ms = self._clock.now_ms()
        for batch in self._store.batches(limit=1_000_000)[1]:
            seen = self._seen(batch)
            if seen.ended_ms is not None and now_ms - seen.ended_ms > self._keep_s * 1000:
                self.delete(batch.id)

    def _reaches(self, batch: Batch) -> bool:
        """Whether its process is on this host: of another's nothing can be seen."""
        return self._tenure is None or self._tenure.reaches(batch)

    def _launch(self, batch: Batch) -> Batch:
        try:
            process = self._processes.start(batch)
        except NbplatError as exc:
            return self._store.move_batch(batch.id, BatchState.DEAD, reason=exc.record())
        return self._store.move_batch(batch.id, BatchState.RUNNING, process=process)

    def _seen(self, batch: Batch) -> Batch:
        if batch.state is not BatchState.RUNNING or not self._reaches(batch) or self._processes.lives(batch.process):
            return batch
        ending = self._processes.ending(batch.process)
        if ending.code == 0:
            return self._store.move_batch(batch.id, BatchState.SUCCESS)
        return self._store.move_batch(batch.id, BatchState.DEAD, reason=batch_reason(ending))
