"""Keeps interrupts out of calls to the JVM: they are raised as soon as the call is over."""

from __future__ import annotations

import threading
from typing import Any

__all__ = ["JvmCalls"]


class JvmCalls:
    """What the main thread asks the JVM.

    An interrupt inside of py4j makes it close every connection that this process has, among them those that a cancel
    or the next cell is about to use; calls are then repeated on another thread of the JVM, where their jobs are in
    nobody's group and run on. So the job is cancelled from another thread, the call comes back with that, and the
    interrupt is raised then. A call that is no job is interrupted as py4j has it when it has not come back by the
    second interrupt.
    """

    def __init__(self) -> None:
        self._inside = 0
        self._held = False

    def guard(self, gateway: Any) -> None:
        """See to every call that goes through a gateway."""
        client = gateway._gateway_client  # noqa: SLF001 - py4j has no public place that all calls pass
        plain = client.send_command
        main = threading.main_thread().ident

        def send_command(*args: Any, **options: Any) -> Any:
            if threading.get_ident() != main:
                return plain(*args, **options)
            self._inside += 1
            try:
                return plain(*args, **options)
            finally:
                self._inside -= 1
                if self._held and not self._inside:
                    self._held = False
                    raise KeyboardInterrupt

        client.send_command = send_command

    def hold(self) -> bool:
        """Called by the handler of an interrupt: True when it is raised later, False when it must be raised now."""
        if not self._inside or self._held:
            self._held = False
            return False
        self._held = True
        return True

    def forget(self) -> None:
        """What was to be interrupted has ended."""
        self._held = False
