"""Bounded waiting without a thread: other processes write the ledger, so it is asked again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from fastapi import Request
from starlette.concurrency import run_in_threadpool

__all__ = ["MAX_WAIT_S", "until"]

MAX_WAIT_S = 30.0
_ROUND_S = 0.1

T = TypeVar("T")


async def until(request: Request, read: Callable[[], T], ready: Callable[[T], bool], wait_s: float) -> T:
    """Read until `ready`, or `wait_s` have passed, the client has gone, or the service stops; returns the last."""
    deadline = asyncio.get_running_loop().time() + wait_s
    while True:
        value = await run_in_threadpool(read)
        left = deadline - asyncio.get_running_loop().time()
        if ready(value) or left <= 0 or request.app.state.stopping() or await request.is_disconnected():
            return value
        await asyncio.sleep(min(_ROUND_S, left))
