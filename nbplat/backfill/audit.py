"""Judge a staged run before anything of it is published.

Each rule looks at the staged files (the very bytes that promotion appends) and gives findings;
one that blocks rejects the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from nbplat.backfill.align import key_digest
from nbplat.backfill.compare import unequal_rows
from nbplat.backfill.compute import compute
from nbplat.backfill.plan import BackfillPlan
from nbplat.backfill.ports import Engine, StagedWriter, Tables
from nbplat.terms import StagedFile

__all__ = ["AuditReport", "Finding", "audit"]

_SAMPLED_FILES = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule says of the run, or of one column of it.

    Attributes:
        rule: The rule's name: ``rows``, ``coverage``, ``unchanged-keys``, ``determinism``, …
        column: The column it is about; empty for the whole run.
        passed: False when the rule is broken.
        blocks: True when a broken rule rejects the run; otherwise it warns.
        message: What was seen, with the numbers.
    """

    rule: str
    column: str
    passed: bool
    blocks: bool
    message: str


@dataclass(frozen=True, slots=True)
class AuditReport:
    """All findings of one audit."""

    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        """True when no blocking rule is broken."""
        return all(finding.passed or not finding.blocks for finding in self.findings)

    def record(self) -> dict[str, Any]:
        return {"passed": self.passed, "findings": [asdict(finding) for finding in self.findings]}


@dataclass(frozen=True, slots=True)
class _Subject:
    plan: BackfillPlan
    staged: tuple[StagedFile, ...]
    tables: Tables
    engine: Engine
    writer: StagedWriter
    settings: Mapping[str, Any]


def audit(
    plan: BackfillPlan,
    staged: tuple[StagedFile, ...],
    tables: Tables,
    engine: Engine,
    writer: StagedWriter,
    settings: Mapping[str, Any],
    *,
    show: Callable[[int, int], None] = lambda _done, _total: None,
) -> AuditReport:
    """Run every rule.

    Args:
        show: Called with the number of rules done and their total.
    """
    subject = _Subject(plan, staged, tables, engine, writer, settings)
    findings: list[Finding] = []
    for number, rule in enumerate(_RULES, 1):
        findings.extend(rule(subject))
        show(number, len(_RULES))
    return AuditReport(tuple(findings))


def _rows(subject: _Subject) -> Iterator[Finding]:
    """One staged row per base row, file by file."""
    planned = {unit.path: unit.rows for unit in subject.plan.units}
    wrong = [file for file in subject.staged if planned.get(file.base_path) != file.rows]
    lost = len(planned) - len(subject.staged)
    ok = not wrong and not lost
    total = sum(file.rows for file in subject.staged)
    yield Finding(
        "rows",
        "",
        ok,
        True,
        f"{total} rows in {len(subject.staged)} files, as the table has"
        if ok
        else f"{len(wrong)} files differ in rows, {lost} are missing",
    )


def _aligned_keys(subject: _Subject) -> Iterator[Finding]:
    """The base files still hold the keys, in the order, that staging saw."""
    keys = list(subject.plan.keys)
    wrong = [
        file.base_path
        for file in _sample(subject.staged)
        if key_digest(subject.tables.read(subject.plan.base, keys, paths=[file.base_path])) != file.key_digest
        or key_digest(subject.writer.read(file, keys)) != file.key_digest
    ]
    seen = len(_sample(subject.staged))
    yield Finding(
        "aligned-keys",
        "",
        not wrong,
        True,
        f"keys and their order agree in {seen} sampled files" if not wrong else f"keys differ, e.g. in {wrong[0]}",
    )


def _values(subject: _Subject) -> Iterator[Finding]:
    """Nulls, NaN and a constant column: shown, and warned of where they look like a mistake."""
    columns = [column.name for column in subject.plan.columns]
    table = pa.concat_tables([subject.writer.read(file, columns) for file in subject.staged])
    for name in columns:
        values = table[name]
        rows, nulls = len(values), values.null_count
        share = nulls / rows if rows else 0.0
        yield Finding("nulls", name, nulls < rows, True, f"{nulls} of {rows} rows are null ({share:.1%})")
        if pa.types.is_floating(values.type):
            odd = int(pc.sum(pc.fill_null(pc.invert(pc.is_finite(values)), False)).as_py() or 0)
            yield Finding("finite", name, odd == 0, False, f"{odd} values are NaN or infinite")
        if nulls < rows and not pa.types.is_nested(values.type):
            distinct = pc.count_distinct(values, mode="only_valid").as_py()
            span = pc.min_max(values).as_py() if not pa.types.is_boolean(values.type) else {}
            note = f", from {span['min']} to {span['max']}" if span else ""
            yield Finding("constant", name, distinct > 1, False, f"{distinct} distinct values{note}")


def _determinism(subject: _Subject) -> Iterator[Finding]:
    """A sampled unit computed again gives the same values."""
    plan = subject.plan
    by_path = {file.base_path: file for file in subject.staged}
    unit = max(plan.units, key=lambda unit: unit.rows)
    names = [column.name for column in plan.columns]
    [again] = compute(plan, subject.tables, [unit], subject.settings)
    before = subject.writer.read(by_path[unit.path], names)
    for name in names:
        unequal = int(unequal_rows(before[name], again[name]).sum())
        yield Finding(
            "determinism",
            name,
            unequal == 0,
            True,
            f"{unit.rows} rows computed again are equal" if not unequal else f"{unequal} of {unit.rows} rows differ",
        )


def _sample(files: Sequence[StagedFile]) -> Sequence[StagedFile]:
    """The first, the last and the largest: fixed, so that a repeated audit says the same."""
    if len(files) <= _SAMPLED_FILES:
        return files
    return [files[0], max(files, key=lambda file: file.rows), files[-1]]


_RULES: tuple[Callable[[_Subject], Iterator[Finding]], ...] = (_rows, _aligned_keys, _values, _determinism)
