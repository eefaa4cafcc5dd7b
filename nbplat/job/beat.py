"""Keep something alive while a block runs, however long it takes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from nbplat.errors import NbplatError

__all__ = ["beating"]


@contextmanager
def beating(beat: Callable[[], object], *, lease_ms: int, name: str) -> Iterator[None]:
    """Call `beat` from a thread at a third of the lease's time until the block ends.

    Our errors of `beat` are passed over: a busy store is asked again, and a lost lease shows at the
    block's own next word to the ledger.

    Args:
        lease_ms: What `beat` renews, milliseconds.
        name: Of the thread.
    """
    over = threading.Event()

    def renew() -> None:
        while not over.wait(lease_ms / 3000):
            with suppress(NbplatError):
                beat()

    thread = threading.Thread(target=renew, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
