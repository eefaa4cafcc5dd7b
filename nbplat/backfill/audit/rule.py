"""What a rule of the audit is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from nbplat.backfill.audit.finding import Finding, Level, Threshold, Verdict
from nbplat.backfill.audit.settings import Limits

if TYPE_CHECKING:
    from nbplat.backfill.audit.subject import Subject

__all__ = ["Rule"]


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
