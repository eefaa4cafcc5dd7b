"""Judge a staged run before anything of it is published.

The rules look at the staged files, the very bytes that promotion appends; one that blocks rejects
the run. Files are read one at a time; what is kept of them are counts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from nbplat.backfill.audit.finding import Finding, Level
from nbplat.backfill.audit.recompute import Recompute
from nbplat.backfill.audit.report import AuditReport, profile_of
from nbplat.backfill.audit.rule import Rule
from nbplat.backfill.audit.rules import STAGED_RULES
from nbplat.backfill.audit.rules.keys import Keys
from nbplat.backfill.audit.rules.neighbours import Neighbours
from nbplat.backfill.audit.settings import Checks
from nbplat.backfill.audit.subject import Subject
from nbplat.backfill.audit.survey import take_survey
from nbplat.backfill.audit.versions import Previous, earlier_versions
from nbplat.backfill.plan import BackfillPlan
from nbplat.backfill.ports import StagedWriter, Tables
from nbplat.terms import StagedFile

__all__ = ["audit"]


def audit(
    plan: BackfillPlan,
    staged: tuple[StagedFile, ...],
    tables: Tables,
    writer: StagedWriter,
    body: Recompute,
    *,
    checks: Checks | None = None,
    as_of: str | None = None,
    source_times: Mapping[str, str] | None = None,
    replaced: Sequence[str] = (),
    previous: Mapping[str, Previous] | None = None,
    show: Callable[[int, int], None] = lambda _done, _total: None,
) -> AuditReport:
    """Run every rule that is not off.

    Args:
        body: Runs the plan's body again, for determinism and the leak probe.
        checks: Levels and thresholds; None takes the rules' own.
        as_of, source_times: As declared in the spec.
        replaced: New columns that the table has already.
        previous: New column -> its earlier version in a promoted run.
        show: Called with the number of steps done and their total; a file read and a rule judged are a step each.
    """
    checks = checks or Checks()
    columns = tuple(column.name for column in plan.columns)
    rules = [rule() for rule in STAGED_RULES if not checks.off(rule, columns)]
    total, done = len(staged) + len(rules), 0

    def step() -> None:
        nonlocal done
        done += 1
        show(done, total)

    keep = checks.limits(Keys).count("pass_rows")
    survey = take_survey(plan, staged, tables, writer, keep_hashes=keep, replaced=replaced, show=step)
    versions = earlier_versions(survey, writer, previous or {})
    subject = Subject(plan, staged, tables, writer, body, survey, as_of, dict(source_times or {}), versions)
    findings: list[Finding] = []
    for rule in rules:
        findings += _findings(rule, subject, checks)
        step()
    steps = checks.limits(Neighbours)
    profile = tuple(
        profile_of(
            name,
            counts,
            (version.name, version.sketch) if version and version.sketch else None,
            steps.number("psi", name),
        )
        for name, counts in survey.measures.items()
        if counts.role != "holes"
        for version in (versions.get(name),)
    )
    return AuditReport(tuple(findings), profile)


def _findings(rule: Rule, subject: Subject, checks: Checks) -> list[Finding]:
    limits = checks.limits(rule)
    found = []
    for verdict in rule.judge(subject, limits):
        level = checks.level(rule, verdict.column)
        if level is not Level.OFF:
            found.append(rule.finding(verdict, level))
    return found
