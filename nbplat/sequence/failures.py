"""Errors of remote code, raised here as ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from nbplat.errors import from_record
from nbplat.remote.failure import KernelError

__all__ = ["our_errors"]


@contextmanager
def our_errors() -> Iterator[None]:
    """Raise a `KernelError` of the block as the NbplatError that its record names."""
    try:
        yield
    except KernelError as error:
        raise from_record(error.record()) from None
