from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from nbplat.backfill.audit.finding import Level, Threshold, Verdict
from nbplat.backfill.audit.matching import Hashes, hash_rows
from nbplat.backfill.audit.rule import Rule
from nbplat.backfill.audit.settings import Limits
from nbplat.backfill.audit.subject import Subject

__all__ = ["Keys"]

_SHOWN = 5


class Keys(Rule):
    """No key stands twice in the staged rows of all files together."""

    code = "keys"
    title = "No key is null and none stands twice, over all files together."
    why = "A feature belongs to one row; with doubled keys a join by key fans out and rolls back wrongly."
    example = "A table that holds an order twice, in two files."
    fix = "choose --key columns that identify a row, or mend the table"
    level = Level.BLOCK
    thresholds = (
        Threshold(
            "pass_rows",
            20_000_000,
            "rows",
            "the rows whose key hashes are held at once, 8 bytes each; more rows take more passes",
            least=1,
            whole=True,
        ),
    )

    def judge(self, subject: Subject, limits: Limits) -> Iterator[Verdict]:
        names = list(subject.plan.keys)
        held = subject.survey.hashes
        rows = sum(facts.rows for facts in subject.survey.files)
        passes = 1 if held is not None else -(-rows // limits.count("pass_rows"))
        doubled: list[int] = []
        for number in range(passes):
            hashes = held if held is not None else self._hashes(subject, number, passes)
            doubled += _twice(hashes)
        rows_of = self._rows_of(subject, doubled) if doubled else []
        # Equal hashes of unequal keys are sorted out here, on the values themselves.
        counts: dict[tuple[object, ...], int] = {}
        for row in rows_of:
            counts[row] = counts.get(row, 0) + 1
        twice = [row for row, count in counts.items() if count > 1]
        if twice:
            shown = ", ".join(str(dict(zip(names, row, strict=True))) for row in twice[:_SHOWN])
            yield Verdict("", False, f"{len(twice)} keys stand more than once, e.g. {shown}", float(len(twice)), 0.0)
        else:
            yield Verdict("", True, f"{rows} keys ({', '.join(names)}), each once", 0.0, 0.0)

    def _hashes(self, subject: Subject, number: int, passes: int) -> Hashes:
        """Hashes of one pass: those of a remainder."""
        parts = []
        for file in subject.staged:
            hashes = hash_rows(subject.writer.read(file, list(subject.plan.keys)))
            parts.append(hashes[hashes % np.uint64(passes) == np.uint64(number)])
        return np.concatenate(parts)

    def _rows_of(self, subject: Subject, wanted: list[int]) -> list[tuple[object, ...]]:
        found: list[tuple[object, ...]] = []
        hashes = np.array(wanted, dtype=np.uint64)
        for file in subject.staged:
            keys = subject.writer.read(file, list(subject.plan.keys))
            rows = keys.filter(pa.array(np.isin(hash_rows(keys), hashes)))
            found += [tuple(row.values()) for row in rows.to_pylist()]
        return found


def _twice(hashes: Hashes) -> list[int]:
    ordered = np.sort(hashes)
    return [int(value) for value in np.unique(ordered[1:][ordered[1:] == ordered[:-1]])[:100_000]]
