"""The funnel: what the build left out, then retrieve, filter, enrich, size and featurize, in rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from nbplat.sequence.definition import Definition
from nbplat.sequence.index_report import IndexReport
from nbplat.sequence.preview.figures import share_text
from nbplat.sequence.preview.record import REASONS, Share, Step

__all__ = ["Cells", "build_steps", "reading_steps"]

_RETRIEVE = ("not_before", "in_gap", "not_known", "superseded")
_FILTER = ("where_false", "outside_window", "beyond_last", "not_nearest")


class Cells(NamedTuple):
    """The padded batch of the examples that were looked at: how many examples, L of each list, how many tokens."""

    examples: int
    lengths: tuple[int, ...]
    tokens: int

    @property
    def cells(self) -> int:
        """Cells of one feature."""
        return self.examples * sum(self.lengths)

    @property
    def padding(self) -> float:
        """Share of them that is padding; 0 of nothing."""
        return 1 - self.tokens / self.cells if self.cells else 0.0


def build_steps(report: IndexReport) -> tuple[Step, ...]:
    """Steps of the build; of those that left nothing out only the first."""
    return tuple(
        Step(step.name, step.rows_in, step.rows_out, (), step.note)
        for place, step in enumerate(report.steps)
        if place == 0 or step.rows_in != step.rows_out
    )


def reading_steps(
    definition: Definition, counts: Mapping[str, int], cut: int, cells: Cells, hits: Sequence[Share]
) -> tuple[Step, ...]:
    """Steps of the reading, over the examples that were looked at.

    Args:
        counts: Reason -> pairs of example and event.
        cut: Examples that `last` or the size truncated.
    """
    rows = sum(counts.values())
    steps = []
    for name, reasons in (("retrieve", _RETRIEVE), ("filter", _FILTER)):
        left = rows - sum(counts.get(reason, 0) for reason in reasons)
        note = "events of the examples' users" if name == "retrieve" else ""
        steps.append(Step(name, rows, left, _why(counts, reasons), note))
        rows = left
    said = " · ".join(f"{each.name} {share_text(each.count, each.of)}" for each in hits) or "nothing is added"
    steps.append(Step("enrich", rows, rows, (), said))
    truncated = f"{share_text(cut, cells.examples)} of the examples truncated"
    steps.append(Step("size", rows, cells.tokens, _why(counts, ("cut_by_size",)), truncated))
    shape = " and ".join(f"[{cells.examples:,}, {length:,}]" for length in cells.lengths)
    padded = f"{shape}: {share_text(cells.cells - cells.tokens, cells.cells)} of {cells.cells:,} cells padding"
    names = len(definition.features)
    steps.append(Step("featurize", cells.tokens, cells.tokens, (), f"{padded}, {names} features"))
    return tuple(steps)


def _why(counts: Mapping[str, int], reasons: Sequence[str]) -> tuple[tuple[str, int], ...]:
    return tuple((REASONS[reason], counts[reason]) for reason in reasons if counts.get(reason))
