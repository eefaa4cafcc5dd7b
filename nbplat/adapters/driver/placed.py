"""Several places for drivers behind one port: a session goes where its master is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbplat.errors import SetupError

if TYPE_CHECKING:
    from nbplat.session.ports import Driver, Drivers, Ending
    from nbplat.session.records import Session

__all__ = ["PlacedDrivers"]


class PlacedDrivers:
    """Passes each call on.

    Args:
        here: Drivers that are processes of this machine.
        others: The other places by name, as a driver's record has it in ``place``; made on first use.
        choose: The name of a new session's place; empty: here.
    """

    def __init__(
        self, here: Drivers, others: Mapping[str, Callable[[], Drivers]], choose: Callable[[Session], str]
    ) -> None:
        self._here = here
        self._others = others
        self._choose = choose
        self._made: dict[str, Drivers] = {}

    def start(self, session: Session) -> dict[str, Any]:
        """Start a driver; see `nbplat.session.ports.Drivers`."""
        return self._named(self._choose(session)).start(session)

    def lives(self, driver: Mapping[str, Any]) -> bool:
        """See the port."""
        return self._of(driver).lives(driver)

    def open(self, driver: Mapping[str, Any], after: int) -> Driver | None:
        """See the port."""
        return self._of(driver).open(driver, after)

    def left_behind(self, driver: Mapping[str, Any], after: int) -> list[dict[str, Any]]:
        """See the port."""
        return self._of(driver).left_behind(driver, after)

    def ending(self, driver: Mapping[str, Any]) -> Ending:
        """See the port."""
        return self._of(driver).ending(driver)

    def page(self, driver: Mapping[str, Any], statement_id: int, page: int) -> Path | None:
        """See the port."""
        return self._of(driver).page(driver, statement_id, page)

    def drop_rows(self, driver: Mapping[str, Any], statement_ids: Sequence[int]) -> None:
        """Delete the rows that statements left."""
        self._of(driver).drop_rows(driver, statement_ids)

    def new_frame(self, driver: Mapping[str, Any]) -> Path:
        """See the port."""
        return self._of(driver).new_frame(driver)

    def kill(self, driver: Mapping[str, Any]) -> None:
        """See the port."""
        self._of(driver).kill(driver)

    def log(self, driver: Mapping[str, Any], *, after: int = 0, limit: int = 1000) -> tuple[int, list[str]]:
        """See the port."""
        return self._of(driver).log(driver, after=after, limit=limit)

    def remove(self, driver: Mapping[str, Any]) -> None:
        """See the port."""
        self._of(driver).remove(driver)

    def close(self) -> None:
        """See the port."""
        self._here.close()
        for drivers in self._made.values():
            drivers.close()

    def _of(self, driver: Mapping[str, Any]) -> Drivers:
        return self._named(str(driver.get("place", "")))

    def _named(self, place: str) -> Drivers:
        if not place:
            return self._here
        if place not in self._others:
            raise SetupError(
                "session.place",
                f"this nbplat knows no place {place!r} for drivers",
                fix="a newer one started it: upgrade",
            )
        if place not in self._made:
            self._made[place] = self._others[place]()
        return self._made[place]


if TYPE_CHECKING:
    _KEEPS_THE_PORT: type[Drivers] = PlacedDrivers
