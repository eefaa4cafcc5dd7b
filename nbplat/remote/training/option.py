"""Options of a pass, held before anything is read."""

from __future__ import annotations

import operator
from typing import Any

from nbplat.remote.failure import KernelError

__all__ = ["at_least", "refused"]


def at_least(least: int, name: str, value: Any) -> int:
    """The option as a number.

    Args:
        value: Whatever the caller gave; whole numbers of any library are taken.

    Raises:
        KernelError: ``training.option``: it is no whole number, or smaller.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if number < least:
        raise refused(f"{name}={value!r} is not possible", f"give a whole number, {least} or more")
    return number


def refused(message: str, fix: str) -> KernelError:
    """The error of an option that is not possible."""
    return KernelError("training.option", message, fix=fix, kind="RequestError")
