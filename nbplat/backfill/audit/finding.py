"""What a rule of the audit may be set to, and what it says of a run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

__all__ = ["Finding", "Level", "Threshold", "Verdict"]


class Level(StrEnum):
    """What a broken rule does: reject the run, be shown, or not be looked at."""

    BLOCK = "block"
    WARN = "warn"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class Threshold:
    """A number that a rule compares with.

    Attributes:
        default: None means there is no limit until one is given.
        unit: ``share`` (0 to 1), ``rows``, ``PSI``, …; empty for a value in the column's own unit.
        help: One clause.
        least, most: Bounds of what may be given; None leaves that side open.
        whole: True when it counts things.
    """

    name: str
    default: float | None
    unit: str
    help: str
    least: float | None = 0.0
    most: float | None = None
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule says of one column, or of the run.

    Attributes:
        column: The column, or a measure of it (``emb.norm``); empty for the whole run.
        message: What was seen, with the numbers.
        value, threshold: The number that was compared and its limit; None where there is none.
        unknown: True when the rule could not look: it then warns, whatever its level.
    """

    column: str
    passed: bool
    message: str
    value: float | None = None
    threshold: float | None = None
    unknown: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict with its weight.

    Attributes:
        rule: The rule's code.
        column: The column it is about; empty for the whole run.
        passed: False when the rule is broken, or could not look.
        level: ``block`` or ``warn``.
        message: What was seen, with the numbers.
        fix: What to do about it; empty when it passed.
    """

    rule: str
    column: str
    passed: bool
    level: Level
    message: str
    value: float | None = None
    threshold: float | None = None
    fix: str = ""

    @property
    def blocks(self) -> bool:
        """True when a broken rule rejects the run; otherwise it warns."""
        return self.level is Level.BLOCK

    def record(self) -> dict[str, Any]:
        """The JSON form, with ``blocks``."""
        return {**asdict(self), "level": str(self.level), "blocks": self.blocks}
