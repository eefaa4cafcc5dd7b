"""Where a sequence works: one platform in this process, the notebook's DataFrames, and the desk of durable jobs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbplat.errors import RequestError
from nbplat.ui.opened_platform import OpenedPlatform

if TYPE_CHECKING:
    from nbplat.compose import Platform
    from nbplat.sequence.definition import Definition
    from nbplat.sequence.examples import Examples
    from nbplat.sequence.opened import Opened
    from nbplat.ui.desk import Desk
    from nbplat.ui.sequence_desk import SequenceDesk

__all__ = ["Place", "Subject", "frames_in", "located", "placed"]

_TABLE_OR_FRAME = re.compile(r"\w+(\.\w+)*\Z", re.ASCII)
_URL = re.compile(r"\w+://")


class Place(OpenedPlatform):
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
        super().__init__(desk, platform)

    @property
    def kept(self) -> SequenceDesk:
        """Where definitions are kept and read: in this process, which needs no service, or by a team's service."""
        if self._desk is None and self.platform.config.service_url:
            return self.desk.sequences
        from nbplat.ui.sequence_desk import LocalSequences

        return LocalSequences(self.platform, self.frames)

    def queue(self, *names: str | None) -> tuple[Desk, SequenceDesk]:
        """Where a job is watched, and where it is asked for: by the desk, or here when it names a DataFrame.

        Raises:
            RequestError: ``sequence.frame_away``: a DataFrame is named, and the service is on another machine.
        """
        framed = next((name for name in names if name in self.frames), None)
        url = self.platform.config.service_url
        if framed is not None and self._desk is None and url:
            raise RequestError(
                "sequence.frame_away",
                f"{framed!r} is a DataFrame of this notebook, and the service is at {url}",
                fix="write it into a table, and name that",
            )
        desk = self.desk
        return desk, self.kept if framed is not None else desk.sequences

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


@dataclass(slots=True)
class Subject:
    """What is worked on: a definition, or one of its variants, with what is at hand for it.

    Attributes:
        definition: With all its variants.
        place: Where it works.
        variant: None is the definition itself.
        on: Name of the examples of the last time; None: there were none yet.
    """

    definition: Definition
    place: Place
    variant: str | None = None
    on: str | None = None

    @property
    def alone(self) -> Definition:
        """The definition, or the variant without the others."""
        from nbplat.sequence.variants import variant

        return self.definition if self.variant is None else variant(self.definition, self.variant)

    @property
    def label(self) -> str:
        """``home``, or ``home.short``."""
        return self.definition.name if self.variant is None else f"{self.definition.name}.{self.variant}"

    def of(self, variant: str | None) -> Subject:
        """One of its variants, at the same place.

        Raises:
            RequestError: there is no such variant.
        """
        chosen = replace(self, variant=variant)
        _ = chosen.alone
        return chosen

    def examples(self, on: Any = None) -> str:
        """The name of the examples that are meant, remembered for the next time.

        Raises:
            RequestError: ``sequence.on``: none were ever named.
        """
        if on is not None:
            self.on = self.place.named(on, "examples")
        if self.on is None:
            raise RequestError(
                "sequence.on",
                f"{self.label} was given no examples",
                fix="name a table, a path or a DataFrame of the notebook: --on (in Python on=)",
            )
        return self.on

    def open(self, on: Any = None, carry: Sequence[str] = ()) -> tuple[Opened, Examples]:
        """Its index and tables, and the examples."""
        from nbplat.sequence.opened import open_definition

        sequences = self.place.platform.sequences_of(self.place.frames)
        return open_definition(sequences, self.definition, self.examples(on), variant=self.variant, carry=carry)


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
