from __future__ import annotations

from collections.abc import Iterator

from nbplat.backfill.audit.finding import Finding, Level, Verdict
from nbplat.backfill.audit.rule import Rule
from nbplat.backfill.audit.settings import Limits
from nbplat.backfill.audit.subject import Subject

__all__ = ["Unchanged"]


class Unchanged(Rule):
    """All other columns on the run's branch are what they were, byte for byte."""

    code = "unchanged"
    title = "Every other column on the run's branch equals the base byte for byte, and the new ones what was audited."
    why = "A backfill that changes another feature by one byte breaks models it has nothing to do with."
    example = "A disk that flips a bit while the file is copied."
    fix = "check the disk, roll the run back and run the cell again"
    level = Level.BLOCK
    fixed = True

    def judge(self, subject: Subject, limits: Limits) -> Iterator[Verdict]:
        """Nothing: before promotion there is no branch to look at (see `of_files`)."""
        yield from ()

    @classmethod
    def of_files(cls, spliced: int, rewritten: int = 0, differs: str | None = None, where: str = "") -> Finding:
        """The finding of a promotion.

        Args:
            spliced, rewritten: New files that were compared byte for byte, and value for value.
            differs: The first column that is not equal; None when all are.
            where: The new file it was found in.
        """
        if differs is not None:
            message = f"column {differs!r} differs from what was audited in {where}"
            return cls().finding(Verdict(differs, False, message, 1.0, 0.0), cls.level)
        message = f"{spliced} spliced files are byte for byte what they were made of"
        if rewritten:
            message += f", {rewritten} rewritten ones value for value"
        return cls().finding(Verdict("", True, message, 0.0, 0.0), cls.level)
