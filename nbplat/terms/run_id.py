from __future__ import annotations

import re
from dataclasses import dataclass

from nbplat.errors import RequestError

__all__ = ["RunId"]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}\Z")


@dataclass(frozen=True, slots=True, order=True)
class RunId:
    """``<name>@<n>``: unique per kind and never reused.

    Attributes:
        name: Lower-case identifier, at most 63 characters (it becomes part of table names).
        number: 1, 2, …
    """

    name: str
    number: int

    def __str__(self) -> str:
        return f"{self.name}@{self.number}"

    @staticmethod
    def check_name(name: str) -> str:
        """Return `name`, or raise RequestError when it cannot name a run."""
        if not _NAME.match(name):
            raise RequestError(
                "run.name",
                f"{name!r} cannot name a run",
                fix="use lower-case letters, digits and underscores, a letter first, 63 characters at most",
            )
        return name

    @classmethod
    def parse(cls, text: str) -> RunId:
        """Read ``spend_90d@3``.

        Raises:
            RequestError: when it has another shape.
        """
        name, at, number = text.partition("@")
        if not at or not number.isdigit() or int(number) < 1:
            raise RequestError("run.id", f"{text!r} is not a run", fix="write it as name@number, e.g. spend_90d@1")
        return cls(cls.check_name(name), int(number))
