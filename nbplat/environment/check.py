"""What a check gives: findings with both sides and the mend, and the refusal of what cannot work."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from nbplat.environment.packages_diff import PackageDifference
from nbplat.environment.sides import Side
from nbplat.errors import SetupError

__all__ = ["ERROR", "WARNING", "CheckReport", "Finding", "change"]

ERROR, WARNING = "error", "warning"
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not fit.

    Attributes:
        rule: ``python``, ``pyspark``, ``ray``, ``floor``, ``import``, ``package``, ``platform``, ``machine``,
            ``links`` or ``target``.
        level: ``error`` stops a job before it has any effect, ``warning`` is told.
        message: One sentence without a trailing period.
        sides: Who -> what was found there.
        fix: The mend.
        package: Which one it is about; empty when it is about none.
    """

    rule: str
    level: str
    message: str
    sides: tuple[tuple[str, str], ...]
    fix: str
    package: str = ""

    def record(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "rule": self.rule,
            "level": self.level,
            "message": self.message,
            "sides": [{"who": who, "found": found} for who, found in self.sides],
            "fix": self.fix,
            "package": self.package,
        }


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check found.

    Attributes:
        subject, against: The two sides in words.
        findings: Errors first, then warnings; each in the order of the rules.
        differences: Every package that differs, for the table; findings name those that matter.
        checked: What was looked at, in words, so that silence can be told from not having looked.
    """

    subject: str
    against: str
    findings: tuple[Finding, ...]
    differences: tuple[PackageDifference, ...] = ()
    checked: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        subject: str,
        against: str,
        findings: Iterable[Finding],
        differences: Sequence[PackageDifference] = (),
        checked: Sequence[str] = (),
    ) -> CheckReport:
        """Sort the findings; equal ones are told once."""
        once = list(dict.fromkeys(findings))
        once.sort(key=lambda finding: finding.level != ERROR)
        return cls(subject, against, tuple(once), tuple(differences), tuple(checked))

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.level == ERROR)

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.level != ERROR)

    @property
    def fits(self) -> bool:
        """True when nothing stops a job."""
        return not self.errors

    def record(self) -> dict[str, Any]:
        """The JSON form: the data of ``env.check``."""
        return {
            "subject": self.subject,
            "against": self.against,
            "fits": self.fits,
            "findings": [finding.record() for finding in self.findings],
            "differences": [one.record() for one in self.differences],
            "checked": list(self.checked),
        }

    def refuse(self) -> None:
        """Return when it fits.

        Raises:
            SetupError: ``env.check``: the first errors, how many more there are, and their mends.
        """
        errors = self.errors
        if not errors:
            return
        said = "; ".join(finding.message for finding in errors[:_SHOWN])
        more = f" (and {len(errors) - _SHOWN} more)" if len(errors) > _SHOWN else ""
        fixes = list(dict.fromkeys(finding.fix for finding in errors[:_SHOWN]))
        raise SetupError("env.check", said + more, fix="; ".join(fixes))


def change(side: Side, *wanted: str) -> str:
    """The command, or the words, that give a side what it lacks.

    Args:
        wanted: Packages as conda spells them: ``numpy``, ``python=3.11``.
    """
    names = " ".join(f'"{one}"' if any(sign in one for sign in "<>=") else one for one in wanted)
    if side.name:
        return f"nbplat env add {side.name} {names}, then nbplat env build {side.name} --lock"
    return f"give {side.who} {names}"
