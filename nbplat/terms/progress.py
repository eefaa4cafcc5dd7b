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
        unit: What is counted, plural: ``files``, ``units``, ``rules``; ``‰`` where steps of several kinds make a whole.
        what: What is under way, for people, and how fast: ``fetch numpy 12.3/80.1 MB 8.1 MB/s``; empty says nothing.
    """

    done: int = 0
    total: int = 0
    unit: str = "units"
    what: str = ""

    def record(self) -> dict[str, Any]:
        said = {"what": self.what} if self.what else {}
        return {"done": self.done, "total": self.total, "unit": self.unit, **said}
