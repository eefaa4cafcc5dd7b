"""Two variants of a definition held against each other, on the same examples."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from nbplat.sequence.preview.record import SequencePreview

__all__ = ["Comparison", "Measure"]


@dataclass(frozen=True, slots=True)
class Measure:
    """One line of the table.

    Attributes:
        name: ``tokens``, ``padding`` and so on.
        left, right: The two values; None where one does not say.
        unit: ``tokens``, ``per example``, ``bytes``, ``s`` or ``%`` (of 1).
    """

    name: str
    left: float | None
    right: float | None
    unit: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two previews of the same examples.

    Attributes:
        left, right: Their strips are of the same examples, in the same order.
        shared: Tokens that both keep.
        left_only, right_only: Tokens that one keeps.
        examples_equal: Examples with the same tokens in both.
        measures: The table.
    """

    left: SequencePreview
    right: SequencePreview
    shared: int
    left_only: int
    right_only: int
    examples_equal: int
    measures: tuple[Measure, ...]

    @property
    def overlap(self) -> float:
        """Shared tokens as a share of all that either keeps; two empty ones overlap wholly."""
        union = self.shared + self.left_only + self.right_only
        return self.shared / union if union else 1.0

    def record(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "left": self.left.record(),
            "right": self.right.record(),
            "shared": self.shared,
            "left_only": self.left_only,
            "right_only": self.right_only,
            "examples_equal": self.examples_equal,
            "overlap": self.overlap,
            "measures": [asdict(each) for each in self.measures],
        }
