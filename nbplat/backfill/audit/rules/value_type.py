from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from nbplat.backfill.audit.finding import Level, Verdict
from nbplat.backfill.audit.rule import Rule
from nbplat.backfill.audit.settings import Limits
from nbplat.backfill.audit.subject import Subject

__all__ = ["ValueType"]


class ValueType(Rule):
    """A new column has the planned type in every staged file."""

    code = "type"
    title = "A new column has the planned type in every staged file."
    why = "Files of one table must agree; a reader fails on, or silently casts, the file that does not."
    example = "A Python body that returns whole numbers for one month and fractions for the next."
    fix = "cast the result in the body, or declare its type"
    level = Level.BLOCK
    fixed = True

    def judge(self, subject: Subject, limits: Limits) -> Iterator[Verdict]:
        files = subject.survey.files
        for column in subject.plan.columns:
            seen = Counter(facts.types[column.name] for facts in files)
            most = seen.most_common(1)[0][0] if seen else ""
            # Nested types carry field ids in the plan; their files are held against each other.
            wanted = column.type if "<" not in column.type else most
            odd = {kind: count for kind, count in seen.items() if kind != wanted}
            if odd:
                words = ", ".join(f"{kind} in {count}" for kind, count in sorted(odd.items()))
                where = next(facts.path for facts in files if facts.types[column.name] in odd)
                message = f"{column.type} is planned, and staged is {words} of {len(files)} files, e.g. {where}"
                yield Verdict(column.name, False, message, float(sum(odd.values())), 0.0)
            else:
                yield Verdict(column.name, True, f"{wanted} in all {len(files)} files", 0.0, 0.0)
