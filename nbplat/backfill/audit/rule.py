"""What a rule of the audit is, and what it says."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from nbplat.backfill.audit.settings import Limits
    from nbplat.backfill.audit.subject import Subject

__all__ = ["Finding", "Level", "Rule", "Threshold", "Verdict"]


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


class Rule(ABC):
    """One thing that an audit looks at.

    Attributes:
        code: One lower-case word; names the rule in ``--check`` and in the config.
        title: What holds when it passes; one sentence.
        why: What goes wrong without it.
        example: A case that breaks it.
        fix: What to do then.
        level: The default.
        fixed: True when promotion relies on it, so that it always blocks.
        thresholds: What can be set, with defaults.
    """

    code: ClassVar[str]
    title: ClassVar[str]
    why: ClassVar[str]
    example: ClassVar[str]
    fix: ClassVar[str]
    level: ClassVar[Level]
    fixed: ClassVar[bool] = False
    thresholds: ClassVar[tuple[Threshold, ...]] = ()

    @abstractmethod
    def judge(self, subject: Subject, limits: Limits) -> Iterator[Verdict]:
        """Look at a staged run. Reads only; a rule that cannot look says so by an unknown verdict."""

    def finding(self, verdict: Verdict, level: Level) -> Finding:
        """Give a verdict its weight."""
        weight = Level.WARN if verdict.unknown else level
        fix = "" if verdict.passed else self.fix
        return Finding(
            self.code,
            verdict.column,
            verdict.passed,
            weight,
            verdict.message,
            verdict.value,
            verdict.threshold,
            fix,
        )
