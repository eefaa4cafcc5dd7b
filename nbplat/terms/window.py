from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from nbplat.errors import RequestError

__all__ = ["Window"]


@dataclass(frozen=True, slots=True)
class Window:
    """A half-open span of time ``[start, end)``, UTC.

    Attributes:
        start: First moment inside; None means from the beginning.
        end: First moment outside; None means without an end.
    """

    start: datetime | None = None
    end: datetime | None = None

    def __post_init__(self) -> None:
        for moment in (self.start, self.end):
            if moment is not None and moment.tzinfo is None:
                raise ValueError(f"naive datetime {moment!r}: a window is UTC-aware")
        if self.start and self.end and self.start >= self.end:
            raise RequestError(
                "window.empty",
                f"the window {self} holds no time",
                fix="--from must be before --to (the end is not included)",
            )

    def __str__(self) -> str:
        return f"[{_show(self.start, '-∞')}, {_show(self.end, '∞')})"

    @property
    def unbounded(self) -> bool:
        """True when it holds all of time."""
        return self.start is None and self.end is None

    def record(self) -> dict[str, Any]:
        return {
            "from": self.start.isoformat() if self.start else None,
            "to": self.end.isoformat() if self.end else None,
        }

    @classmethod
    def parse(cls, start: str | None, end: str | None) -> Window:
        """Read ISO dates or timestamps; a naive one is UTC. None leaves that side open.

        Raises:
            RequestError: when a text is no ISO date, or the window holds no time.
        """
        return cls(_parse(start, "--from"), _parse(end, "--to"))


def _show(moment: datetime | None, never: str) -> str:
    if moment is None:
        return never
    midnight = moment.hour == moment.minute == moment.second == moment.microsecond == 0
    return moment.strftime("%Y-%m-%d") if midnight else moment.isoformat().replace("+00:00", "Z")


def _parse(text: str | None, flag: str) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise RequestError(
            "window.date", f"{flag} {text!r} is not an ISO date", fix=f"write {flag} 2011-03-01 or 2011-03-01T12:00"
        ) from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
