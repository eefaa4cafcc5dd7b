"""How the partitions of two tables meet: by bucket of a key, by a key itself, by date."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nbplat.training.join.key_types import key_class
from nbplat.training.join.ports import PartitionPart, TableFile

__all__ = ["Pairing", "StagedIndex", "pairing"]


@dataclass(frozen=True, slots=True)
class Pairing:
    """Which partition fields of two specs are compared, and how.

    Attributes:
        fields: Place in the base's spec, place in the staged one, and the bucket count that both are folded to (0:
            compared as they are).
        by_key: True when rows of one key can only stand in partitions that meet, and keys are spread over them.
        words: ``bucket 3 of 16 meets 3 and 19 of 32`` in short: ``day(dt), bucket[16](id) from 32``.
        why: Why it is not by key; empty when it is.
    """

    fields: tuple[tuple[int, int, int], ...]
    by_key: bool
    words: str
    why: str

    def base(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """A base partition as what is compared."""
        return tuple(_folded(values[ours], count) for ours, _, count in self.fields)

    def staged(self, values: Sequence[Any]) -> tuple[Any, ...]:
        """A staged partition as what is compared."""
        return tuple(_folded(values[theirs], count) for _, theirs, count in self.fields)


def pairing(
    base: Sequence[PartitionPart], staged: Sequence[PartitionPart], keys: Mapping[str, str], *, across_dates: bool
) -> Pairing:
    """Compare two partition specs.

    Args:
        keys: Key column of the base -> key column of the staged table.
        across_dates: True leaves the time partition out, unless it is of a key.
    """
    fields, words, by_key = [], [], False
    odd = []
    for ours, part in enumerate(base):
        for theirs, other in enumerate(staged):
            of_key = part.source in keys and keys[part.source] == other.source
            same_class = bool(key_class(part.kind)) and key_class(part.kind) == key_class(other.kind)
            if of_key and same_class and part.buckets and other.buckets:
                least, most = sorted((part.buckets, other.buckets))
                if most % least:
                    odd.append(f"bucket[{part.buckets}] and bucket[{other.buckets}] of {part.source}")
                    continue
                fields.append((ours, theirs, least))
                folds = f" from {other.buckets}" if other.buckets != part.buckets else ""
                words.append(f"bucket[{part.buckets}]({part.source}){folds}")
                by_key = True
                break
            alike = part.transform == other.transform and same_class and not part.buckets
            if alike and (of_key or (part.of_time and part.source == other.source and not across_dates)):
                fields.append((ours, theirs, 0))
                words.append(f"{part.transform}({part.source})")
                by_key = by_key or (of_key and not part.of_time)
                break
    why = ""
    if not by_key:
        why = (
            f"{odd[0]}: neither count divides the other"
            if odd
            else f"the base is partitioned by {_drawn(base)}, the staged table by {_drawn(staged)}"
        )
    return Pairing(tuple(fields), by_key, ", ".join(words), why)


class StagedIndex:
    """Staged files by what of their partition is compared, one index per pair of specs."""

    def __init__(
        self,
        files: Iterable[TableFile],
        specs: Mapping[int, Sequence[PartitionPart]],
        pair: Callable[[Sequence[PartitionPart], Sequence[PartitionPart]], Pairing],
    ) -> None:
        self._specs, self._pair = specs, pair
        self._files: dict[int, list[TableFile]] = {}
        for file in files:
            self._files.setdefault(file.spec, []).append(file)
        self._built: dict[tuple[Any, ...], list[tuple[Pairing, dict[tuple[Any, ...], list[TableFile]]]]] = {}

    def pairings(self, base: Sequence[PartitionPart]) -> list[Pairing]:
        """How each spec that the staged files have meets this one of the base."""
        return [pairing for pairing, _ in self._of(base)]

    def meeting(self, base: Sequence[PartitionPart], values: Sequence[Any]) -> list[TableFile]:
        """The staged files whose rows can meet rows of a base partition."""
        return [file for pairing, found in self._of(base) for file in found.get(pairing.base(values), ())]

    def _of(self, base: Sequence[PartitionPart]) -> list[tuple[Pairing, dict[tuple[Any, ...], list[TableFile]]]]:
        key = tuple(base)
        if key not in self._built:
            built = []
            for spec, files in self._files.items():
                pairing = self._pair(base, self._specs[spec])
                found: dict[tuple[Any, ...], list[TableFile]] = {}
                for file in files:
                    found.setdefault(pairing.staged(file.values), []).append(file)
                built.append((pairing, found))
            self._built[key] = built
        return self._built[key]


def _folded(value: Any, count: int) -> Any:
    # Iceberg's bucket is hash & max-int modulo the count, so a count that divides another gives value modulo it.
    return value % count if count and value is not None else value


def _drawn(parts: Sequence[PartitionPart]) -> str:
    return ", ".join(f"{part.transform}({part.source})" for part in parts) or "nothing"
