"""The check of this machine's clock, against the clocks of the machines that it works with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from nbplat.clock import Clock, iso
from nbplat.ui.doctor.finding import Said, Verdict

if TYPE_CHECKING:
    from nbplat.compose.clocks import OtherClock

__all__ = ["TEAM_MOST_MS", "check_clock", "service_clock"]

TEAM_MOST_MS = 60_000
_NEAR_MS = 5_000
_MEND = "date -u on both machines tells which is wrong; timedatectl set-ntp true (or chronyc makestep) sets it there"


def check_clock(clock: Clock, others: Sequence[OtherClock], newest_event_ms: int) -> Said:
    """This machine agrees with the others about the time, and with what it wrote into the ledger itself.

    Args:
        newest_event_ms: When the ledger's newest event was written; 0 when there is none.

    Raises:
        NbplatError: one of the others does not answer.
    """
    told = [(each, _ahead_ms(clock, each.now_ms)) for each in others]
    for other, (ahead_ms, slack_ms) in sorted(told, key=lambda each: -abs(each[1][0])):
        apart_ms = abs(ahead_ms) - slack_ms
        text = f"this clock is {abs(ahead_ms) / 1000:,.0f} s {'behind' if ahead_ms > 0 else 'ahead of'} {other.name}"
        if apart_ms > other.most_ms:
            return Said(Verdict.FAULT, f"{text}: {other.then}", _MEND)
        if apart_ms > _NEAR_MS:
            return Said(Verdict.WARNING, f"{text}; beyond {other.most_ms / 1000:,.0f} s {other.then}", _MEND)
    now_ms = clock.now_ms()
    if newest_event_ms - now_ms > _NEAR_MS:
        return Said(
            Verdict.WARNING,
            f"the ledger's newest event is of {iso(newest_event_ms)}, and it is {iso(now_ms)}: "
            "this clock was set back, or that of another machine is ahead",
            _MEND,
        )
    named = ", ".join(other.name for other, _ in told)
    return Said(Verdict.OK, f"{iso(now_ms)}, as {named} has it" if named else f"{iso(now_ms)}; no other is asked")


def _ahead_ms(clock: Clock, ask: Callable[[], int]) -> tuple[int, int]:
    """How far the other is ahead of ours, and how far that may be off: half the way there and back, and a second."""
    before_ms = clock.now_ms()
    theirs_ms = ask()
    after_ms = clock.now_ms()
    return theirs_ms - (before_ms + after_ms) // 2, (after_ms - before_ms) // 2 + 1000


def service_clock(get: Callable[..., dict[str, int]]) -> Callable[[], int]:
    """The clock of a team's service.

    Args:
        get: Asks the service for a path.
    """
    return lambda: int(get("/api/v1/board", limit=1)["now_ms"])
