from __future__ import annotations

from collections.abc import Iterator

from nbplat.backfill.audit.finding import Level, Verdict
from nbplat.backfill.audit.rule import Rule
from nbplat.backfill.audit.settings import Limits
from nbplat.backfill.audit.subject import Subject

__all__ = ["Alignment"]


class Alignment(Rule):
    """The staged rows hold the keys of the base rows, in their order."""

    code = "alignment"
    title = "Staged rows hold the keys of the base file's rows, in the same order, in every file."
    why = "Promotion attaches values by position: a row out of order gives a value to another row."
    example = "A staged file that another tool sorted."
    fix = "stage again: run the cell with --new"
    level = Level.BLOCK
    fixed = True

    def judge(self, subject: Subject, limits: Limits) -> Iterator[Verdict]:
        files = subject.survey.files
        wrong = [f for f in files if f.digest != f.base_digest or f.digest != f.recorded_digest]
        if wrong:
            message = f"keys or their order differ in {len(wrong)} of {len(files)} files, e.g. {wrong[0].path}"
            yield Verdict("", False, message, float(len(wrong)), 0.0)
        else:
            yield Verdict("", True, f"keys and their order agree in all {len(files)} files", 0.0, 0.0)
