"""A platform in this process and the desk of durable jobs, each opened at the first question."""

from __future__ import annotations

import weakref
from functools import cached_property
from typing import TYPE_CHECKING

from nbplat.config import load_config

if TYPE_CHECKING:
    from nbplat.compose import Platform
    from nbplat.ui.desk import Desk

__all__ = ["OpenedPlatform"]


class OpenedPlatform:
    """What a place of the surface works with; connections are let go with it.

    Args:
        desk: Where durable jobs run; None asks the service, which is started on demand.
        platform: The platform to read with; None opens one of its own at the first question.
    """

    def __init__(self, desk: Desk | None = None, platform: Platform | None = None) -> None:
        self._desk, self._given = desk, platform

    @cached_property
    def platform(self) -> Platform:
        """Opened at the first question."""
        if self._given is not None:
            return self._given
        from nbplat.compose import open_platform

        platform = open_platform(load_config())
        weakref.finalize(self, platform.close)
        return platform

    @property
    def desk(self) -> Desk:
        """Asked anew each time, so that a service that ended is started again."""
        from nbplat.ui.desk import open_desk

        return self._desk or open_desk(self.platform.config)
