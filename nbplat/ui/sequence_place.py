"""Where a sequence of the notebook works: one platform in this process, its DataFrames, and the desk of durable jobs."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nbplat.config import load_config
from nbplat.errors import NotFound, RequestError, did_you_mean

if TYPE_CHECKING:
    from nbplat.compose import Platform
    from nbplat.sequence.definition import Definition
    from nbplat.sequence.opened import Opened
    from nbplat.sequence.sequences import Sequences
    from nbplat.ui.desk import Desk

__all__ = ["Place", "frame_of"]


class Place:
    """Shared by a sequence and its variants; what it opened is let go with the last of them.

    Args:
        desk: Where durable jobs run; None asks the service, which is started on demand.
        platform: The platform to read with; None opens one of its own at the first question.
    """

    def __init__(
        self,
        desk: Desk | None = None,
        platform: Platform | None = None,
        frames: Mapping[str, Any] | None = None,
    ) -> None:
        self.frames: dict[str, Any] = dict(frames or {})
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

    @property
    def sequences(self) -> Sequences:
        """With the frames as they are now."""
        return self.platform.sequences_of(self.frames)

    def opened(
        self, definition: Definition, variant: str | None, on: str, carry: Collection[str] = ()
    ) -> tuple[Opened, Examples]:
        """A definition, or one of its variants, with its index, and the examples that it is held against."""
        return self.sequences.opened(definition, on, variant=variant, carry=carry)

    def named(self, value: Any, default: str) -> str:
        """The name under which a table, a path or a DataFrame is opened; a DataFrame gets the `default` one."""
        if isinstance(value, str):
            return value
        name, number = default, 1
        while name in self.frames and self.frames[name] is not value:
            number += 1
            name = f"{default}_{number}"
        self.frames[name] = value
        return name


def frame_of(name: str, namespace: Mapping[str, Any]) -> Any:
    """The notebook's variable of that name, when the name can be one; None when there is none."""
    return namespace.get(name) if name.isidentifier() and not name.startswith("_") else None
