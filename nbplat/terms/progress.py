from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Progress"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is; monotone over its life.

    Attributes:
        done: Finished count, ``0 <= done <= total`` once the total is known.
        total: Count to finish; 0 while it is not known yet.
        unit: What is counted, plural: ``files``, ``units``, ``rules``.
    """

    done: int = 0
    total: int = 0
    unit: str = "units"

    def record(self) -> dict[str, Any]:
        return {"done": self.done, "total": self.total, "unit": self.unit}
