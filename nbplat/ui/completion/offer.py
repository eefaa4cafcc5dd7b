from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

__all__ = ["NOTHING", "Names", "Offers", "offers"]


class Names(Protocol):
    """The names that exist: what the service knows, quickly or not at all."""

    def tables(self) -> list[str]: ...

    def columns(self, table: str) -> list[str]:
        """Empty for a table that is unknown."""

    def runs(self) -> list[str]:
        """Backfill runs as they may be named: ``spend_90d`` and ``spend_90d@2``."""

    def sequences(self) -> list[str]: ...

    def environments(self) -> list[str]: ...

    def sessions(self) -> list[str]: ...

    def trainings(self) -> list[str]:
        """Training runs, named as `runs`."""

    def jobs(self) -> list[str]:
        """Their ids, newest first."""

    def profiles(self) -> list[str]:
        """Profiles that sessions may be started with."""

    def variables(self) -> list[str]:
        """Of the notebook."""


@dataclass(frozen=True, slots=True)
class Offers:
    """What may stand at the cursor.

    Attributes:
        fragment: The text before the cursor that each takes the place of.
        found: Texts with their kinds (``option``, ``table``, …), best first; each begins with `fragment`.
        only: Whether nothing else may stand there, so that Python's words and files would be wrong.
    """

    fragment: str
    found: tuple[tuple[str, str], ...]
    only: bool = False


NOTHING = Offers("", ())


def offers(fragment: str, *kinds: tuple[str, Iterable[str]]) -> Offers:
    """Those of each kind that begin with the fragment, whatever its case, each text once."""
    low = fragment.lower()
    found: dict[str, str] = {}
    for kind, texts in kinds:
        for text in texts:
            if text.lower().startswith(low):
                found.setdefault(text, kind)
    return Offers(fragment, tuple(found.items()), only=True)
