"""The keys of staged files, collected while they are staged: whether any stands twice, without reading them again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from nbplat.remote.codes import unique_integers

__all__ = ["HandedKeys"]

# Looked at each time that many times more keys are there: soon, and not often.
_GROWTH = 4


class HandedKeys:
    """Keys as numbers, as the staging kernel hands them.

    Equal keys have equal numbers, so numbers that all differ prove that the keys do. Equal numbers may be of keys
    that differ, and are a doubt only, which reading the keys settles.

    Attributes:
        settled: True once somebody has read the keys and found no double.
    """

    def __init__(self) -> None:
        self._of_unit: dict[str, Any] = {}
        self._rows = self._looked_at = 0
        self._doubt = False
        self.settled = False

    def take(self, result: Mapping[str, Any]) -> None:
        """Keep the keys of a unit's result; one that failed over its keys is a doubt."""
        if "keys" in result:
            self._of_unit[result["unit"]] = result["keys"]
            self._rows += len(result["keys"])
        elif "error" in result and result["error"]["code"] in ("key.duplicate", "key.null"):
            self._doubt = True

    def doubtful(self) -> bool:
        """True when keys may stand twice among those there are; looks only when there are many more than before."""
        if self.settled:
            return False
        if not self._doubt and self._rows >= _GROWTH * self._looked_at:
            self._looked_at = self._rows
            self._doubt = not self._unique(sorted(self._of_unit))
        return self._doubt

    def proved(self, units: Iterable[str]) -> bool:
        """True when no key of these units stands twice; False when that is not known."""
        wanted = sorted(units)
        if self.settled or self._doubt or not self._of_unit.keys() >= set(wanted):
            return self.settled
        return self._unique(wanted)

    def _unique(self, units: Iterable[str]) -> bool:
        numbers = [self._of_unit[unit] for unit in units]
        return not numbers or unique_integers(np.concatenate(numbers))
