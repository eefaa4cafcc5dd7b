from __future__ import annotations

from collections.abc import Iterator

from nbplat.backfill.audit.finding import Level, Verdict
from nbplat.backfill.audit.rule import Rule
from nbplat.backfill.audit.settings import Limits
from nbplat.backfill.audit.subject import Subject

__all__ = ["Rows"]


class Rows(Rule):
    """Every base file has one staged file with as many rows."""

    code = "rows"
    title = "Every base file has one staged file, with one row per live row."
    why = "A file without its staged rows would read as null; a row too many would shift all that follow."
    example = "A staged file that was put back from a copy of another try."
    fix = "stage again: run the cell with --new"
    level = Level.BLOCK
    fixed = True

    def judge(self, subject: Subject, limits: Limits) -> Iterator[Verdict]:
        files = subject.survey.files
        paths = [facts.path for facts in files]
        wrong = [facts for facts in files if not facts.planned or facts.rows != facts.base_rows]
        lost = len({unit.path for unit in subject.plan.units} - set(paths))
        doubled = len(paths) - len(set(paths))
        total = sum(facts.rows for facts in files)
        if wrong or lost or doubled:
            message = f"{len(wrong)} files differ in rows, {lost} are missing, {doubled} are there twice"
            yield Verdict("", False, message, float(len(wrong) + lost + doubled), 0.0)
            return
        yield Verdict("", True, f"{total} rows in {len(files)} files, as the table has", 0.0, 0.0)
