"""How many sessions there may be: in all, for one owner, and starting at the same time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from nbplat.errors import Conflict
from nbplat.session.states import SessionState

__all__ = ["CREATING", "TOO_MANY", "TOO_MANY_STARTING", "Caps"]

TOO_MANY = "session.too_many"
TOO_MANY_STARTING = "session.too_many_starting"
CREATING = "too many sessions are being created!"
"""How Livy says that too many start at once."""

_STARTING = frozenset({SessionState.NOT_STARTED, SessionState.STARTING})


@dataclass(frozen=True, slots=True)
class Caps:
    """Limits; 0 is none.

    Attributes:
        most: Sessions that live.
        each: Sessions of one owner that live.
        starting: Sessions that start at the same time.
    """

    most: int = 0
    each: int = 0
    starting: int = 0

    def check(self, owner: str, living: Iterable[tuple[str, SessionState]]) -> None:
        """Return when one more may start.

        Args:
            owner: Of the new one.
            living: Owner and state of each that lives.

        Raises:
            Conflict: `TOO_MANY_STARTING`, `TOO_MANY`: which limit, and the setting that moves it.
        """
        found = list(living)
        starting = sum(state in _STARTING for _, state in found)
        if self.starting and starting >= self.starting:
            raise Conflict(
                TOO_MANY_STARTING,
                f"{CREATING} {starting} of {self.starting}",
                fix="wait until some have started; session.most_starting is the limit",
            )
        if self.most and len(found) >= self.most:
            raise Conflict(
                TOO_MANY,
                f"{len(found)} sessions live, and there may be {self.most}",
                fix="stop one that nobody needs; session.most is the limit",
            )
        own = Counter(name for name, _ in found)[owner]
        if self.each and own >= self.each:
            whose = f"{owner} has {own} living sessions" if owner else f"{own} sessions without an owner live"
            raise Conflict(
                TOO_MANY,
                f"{whose}, and may have {self.each}",
                fix="stop one of yours; session.most_each is the limit",
            )
