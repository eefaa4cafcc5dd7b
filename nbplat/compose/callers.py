"""Processes that do jobs of their own: this one, and whether another is still there."""

from __future__ import annotations

import os
import socket

from nbplat.job.caller import Caller

__all__ = ["lives", "this_process"]

# Two processes' clocks may round a start time differently.
_SLACK_S = 1.0


def this_process() -> Caller:
    """The process that asks."""
    import psutil

    return Caller(socket.gethostname(), os.getpid(), psutil.Process().create_time())


def lives(caller: Caller) -> bool:
    """Whether a process of this machine is there; false as well when its id was given to another."""
    import psutil

    try:
        process = psutil.Process(caller.pid)
        born, state = process.create_time(), process.status()
    except psutil.NoSuchProcess:
        return False
    return abs(born - caller.born) <= _SLACK_S and state != psutil.STATUS_ZOMBIE
