"""Where a sequence of the notebook works: one platform in this process, its DataFrames, and the desk of durable jobs."""

from __future__ import annotations

import re
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbplat.config import load_config
from nbplat.errors import RequestError

if TYPE_CHECKING:
    from nbplat.compose import Platform
    from nbplat.sequence.definition import Definition
    from nbplat.sequence.examples import Examples
    from nbplat.sequence.opened import Opened
    from nbplat.ui.desk import Desk
    from nbplat.ui.sequence_desk import SequenceDesk

__all__ = ["Place", "frames_in", "located", "placed"]

_TABLE_OR_FRAME = re.compile(r"\w+(\.\w+)*\Z", re.ASCII)
_URL = re.compile(r"\w+://")


class Place:
    """Shared by a sequence and its variants; what it opened is let go with the last of them.

    Args:
        desk: Where durable jobs run; None asks the service, which is started on demand.
        platform: The platform to read with; None opens one of its own at the first question.
        frames: Name -> DataFrame that definitions and examples may name.
    """

    def __init__(
        self, desk: Desk | None = None, platform: Platform | None = None, frames: Mapping[str, Any] | None = None
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

    def ledger(self, *names: str | None) -> SequenceDesk:
        """Where a request is made: the desk, or this process when it names a DataFrame, which only this process has.

        Raises:
            RequestError: ``sequence.frame_away``: a DataFrame is named, and the service is on another machine.
        """
        framed = next((name for name in names if name in self.frames), None)
        if framed is None:
            return self.desk.sequences
        if self.platform.config.service_url:
            raise RequestError(
                "sequence.frame_away",
                f"{framed!r} is a DataFrame of this notebook, and the service is at {self.platform.config.service_url}",
                fix="write it into a table, and name that",
            )
        from nbplat.ui.sequence_desk import LocalSequences

        return LocalSequences(self.platform, self.frames)

    def opened(
        self, definition: Definition, variant: str | None, on: str, carry: Sequence[str] = ()
    ) -> tuple[Opened, Examples]:
        """A definition, or one of its variants, with its index, and the examples that it is held against."""
        return self.platform.sequences_of(self.frames).opened(definition, on, variant=variant, carry=carry)

    def named(self, value: Any, default: str) -> str:
        """The name under which a table, a path or a DataFrame is opened; a DataFrame gets the `default` one."""
        if isinstance(value, str | Path):
            return located(str(value))
        name, number = default, 1
        while name in self.frames and self.frames[name] is not value:
            number += 1
            name = f"{default}_{number}"
        self.frames[name] = value
        return name


def placed(definition: Definition) -> Definition:
    """The definition with the path of its source made absolute: a build runs in a process with another folder."""
    source = located(definition.source)
    return definition if source == definition.source else replace(definition, source=source)


def located(name: str) -> str:
    """A path made absolute; tables, names of DataFrames and URLs as they are."""
    if _URL.match(name) or (_TABLE_OR_FRAME.match(name) and not name.endswith(".parquet")):
        return name
    return str(Path(name).expanduser().absolute())


def frames_in(namespace: Mapping[str, Any], *names: str | None) -> dict[str, Any]:
    """The notebook's DataFrames by variable, and whatever else bears one of `names`."""
    return {
        name: value
        for name, value in namespace.items()
        if name in names or (not name.startswith("_") and _is_frame(value))
    }


def _is_frame(value: Any) -> bool:
    # A class has the attribute as well, and is no frame.
    return not isinstance(value, type) and (hasattr(value, "__arrow_c_stream__") or hasattr(value, "__dataframe__"))
