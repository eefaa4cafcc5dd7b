"""Phases of long work as one progress that never goes back, with bytes and rate, and as lines of a log."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nbplat.clock import Clock
from nbplat.environment.ports import Phase
from nbplat.terms import Progress

__all__ = ["SHARES", "PhaseReport", "phase_text"]

_WHOLE = 1000
_EVERY_S = 15.0
_SCALES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))

SHARES: Mapping[str, Mapping[str, int]] = {
    "environment.lock": {"channels": 100, "solve": 600, "pip": 300},
    "environment.build": {
        "wait": 0,
        "layer": 50,
        "fetch": 500,
        "verify": 100,
        "install": 150,
        "pip": 100,
        "check": 100,
    },
    "environment.pack": {"pack": 1000},
    "environment.push": {"pack": 400, "check": 50, "push": 400, "verify": 150},
    "environment.pull": {"pull": 500, "unpack": 400, "check": 100},
}
"""What part of a job, in thousandths, each phase is taken for; one that is not here adds nothing."""


class PhaseReport:
    """Takes phases of one job.

    Args:
        shares: Phase -> thousandths, in the order that they come in.
        progress: Told how far the whole is.
        log: Told a line when a phase ends, and from time to time while it lasts.
    """

    def __init__(
        self,
        shares: Mapping[str, int],
        progress: Callable[[Progress], None],
        log: Callable[[str], None],
        clock: Clock,
    ) -> None:
        self._shares, self._progress, self._log, self._clock = shares, progress, log, clock
        self._done = 0
        self._last: Phase | None = None
        self._began_s = self._logged_s = clock.monotonic_s()

    def __call__(self, phase: Phase) -> None:
        now_s = self._clock.monotonic_s()
        if self._last is None or self._last.name != phase.name:
            self.end()
            self._began_s = self._logged_s = now_s
        self._last = phase
        text = phase_text(phase, now_s - self._began_s)
        if now_s - self._logged_s >= _EVERY_S:
            self._logged_s = now_s
            self._log(text)
        before = _before(self._shares, phase.name)
        within = self._shares.get(phase.name, 0) * phase.done / phase.total if phase.total else 0
        self._done = max(self._done, min(_WHOLE, int(before + within)))
        self._progress(Progress(self._done, _WHOLE, "‰", text))

    def finish(self) -> None:
        """All is done."""
        self.end()
        self._progress(Progress(_WHOLE, _WHOLE, "‰"))

    def end(self) -> None:
        """Say in the log what the last phase was."""
        if self._last is not None and (self._last.done or self._last.what):
            self._log(phase_text(self._last, self._clock.monotonic_s() - self._began_s, over=True))
        self._last = None


def phase_text(phase: Phase, elapsed_s: float, *, over: bool = False) -> str:
    """``fetch 12.3/80.1 MB 8.1 MB/s numpy``, ``install 12/18 files``; `over`: ``fetch 80.1 MB in 9.9 s, 8.1 MB/s``."""
    parts = [phase.name]
    if phase.unit == "B":
        if over:
            rate = f", {_bytes(phase.done / elapsed_s)}/s" if elapsed_s > 0.05 and phase.done else ""
            return f"{phase.name} {_bytes(phase.done) + ' ' if phase.done else ''}in {elapsed_s:.1f} s{rate}"
        if phase.done or phase.total:
            parts.append(f"{_bytes(phase.done)} of {_bytes(phase.total)}" if phase.total else _bytes(phase.done))
        if phase.done and elapsed_s > 0.5:
            parts.append(f"{_bytes(phase.done / elapsed_s)}/s")
    elif phase.total or phase.done:
        parts.append(f"{phase.done:,}/{phase.total:,} {phase.unit}" if phase.total else f"{phase.done:,} {phase.unit}")
    if over:
        return f"{' '.join(parts)} in {elapsed_s:.1f} s"
    return " ".join([*parts, *([phase.what] if phase.what else [])])


def _before(shares: Mapping[str, int], name: str) -> int:
    found = 0
    for each, share in shares.items():
        if each == name:
            return found
        found += share
    return 0


def _bytes(count: float) -> str:
    for size, unit in _SCALES:
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} B"
