"""Units too large for their limit, cut by files and row groups; staged row groups are picked by key range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nbplat.terms import SnapshotPin
from nbplat.training.join.plan import PlanFile, Unit, UnitSide
from nbplat.training.join.ports import JoinSource, RowGroup

__all__ = ["Splitter"]


@dataclass(frozen=True, slots=True)
class _Atom:
    """A piece that is not cut further: a row group (or, with None, a whole file)."""

    file: int
    group: int | None
    rows: int
    least: Any
    greatest: Any


class Splitter:
    """Cuts units; reads the footers of the files of those that are too large, each once.

    Args:
        key: First key column of the base, for ranges; empty when nothing is merged.
        staged: Per side the pin of its table and its first key column; None for one that is not merged.
    """

    def __init__(
        self,
        source: JoinSource,
        base: SnapshotPin,
        key: str,
        staged: Sequence[tuple[SnapshotPin, str] | None],
        limit_bytes: int,
    ) -> None:
        self._source, self._base, self._key, self._staged = source, base, key, staged
        self._limit = limit_bytes
        self._footers: dict[tuple[str, str], list[RowGroup]] = {}

    def cut(self, unit: Unit) -> list[Unit]:
        """The unit as it is, or pieces in the order of its rows; only a single row group may be above the limit."""
        if unit.decoded_bytes <= self._limit or not unit.rows:
            return [unit]
        atoms = [atom for at, file in enumerate(unit.files) for atom in self._atoms(at, file)]
        parts: list[list[_Atom]] = []
        most = max(self._limit * unit.rows // unit.decoded_bytes, 1)
        for atom in atoms:
            if parts and sum(each.rows for each in parts[-1]) + atom.rows <= most:
                parts[-1].append(atom)
            else:
                parts.append([atom])
        if len(parts) == 1:
            return [unit]
        return [self._part(unit, number, part) for number, part in enumerate(parts, 1)]

    def _atoms(self, at: int, file: PlanFile) -> list[_Atom]:
        groups = self._groups(self._base, file.path, self._key)
        if len(groups) < 2:
            least, greatest = (groups[0].least, groups[0].greatest) if groups else (None, None)
            return [_Atom(at, None, file.rows, least, greatest)]
        return [_Atom(at, number, each.rows, each.least, each.greatest) for number, each in enumerate(groups)]

    def _part(self, unit: Unit, number: int, part: list[_Atom]) -> Unit:
        rows = sum(atom.rows for atom in part)
        chosen = {at: sum(atom.rows for atom in part if atom.file == at) for at in dict.fromkeys(a.file for a in part)}
        files = tuple(_file(unit.files[at], [atom for atom in part if atom.file == at]) for at in chosen)
        known = bool(self._key) and all(atom.least is not None for atom in part)
        span = (min(atom.least for atom in part), max(atom.greatest for atom in part)) if known else None
        sides = tuple(
            self._side(side, table, span, chosen, rows, unit.rows)
            for side, table in zip(unit.sides, self._staged, strict=True)
        )
        return replace(
            unit,
            name=f"{unit.name}#{number}" if unit.name else f"#{number}",
            rows=rows,
            decoded_bytes=unit.decoded_bytes * rows // unit.rows,
            files=files,
            sides=sides,
        )

    def _side(
        self,
        side: UnitSide,
        table: tuple[SnapshotPin, str] | None,
        span: tuple[Any, Any] | None,
        chosen: Mapping[int, int],
        rows: int,
        whole: int,
    ) -> UnitSide:
        if side.how in ("aligned", "base") and side.files:
            files = tuple(side.files[at] for at in chosen)
            return replace(side, files=files, covered=sum(chosen[at] for at in chosen if side.files[at] is not None))
        covered = side.covered * rows // max(whole, 1)
        if side.how != "merge" or table is None or span is None:
            return replace(side, covered=covered, exact=side.exact and covered in (0, rows))
        pin, key = table
        picked = []
        for file in side.files:
            assert file is not None  # noqa: S101 - only aligned files can be missing
            groups = self._groups(pin, file.path, key)
            wanted = tuple(at for at, group in enumerate(groups) if _meets(group, span))
            if len(wanted) == len(groups):
                picked.append(file)
            elif wanted:
                picked.append(replace(file, groups=wanted, rows=sum(groups[at].rows for at in wanted)))
        return UnitSide("merge", tuple(picked), min(covered, rows), exact=False)

    def _groups(self, pin: SnapshotPin, path: str, key: str) -> list[RowGroup]:
        # A table can be joined to itself, by another key.
        if (path, key) not in self._footers:
            self._footers[path, key] = self._source.row_groups(pin, path, key)
        return self._footers[path, key]


def _file(file: PlanFile, atoms: list[_Atom]) -> PlanFile:
    groups = tuple(atom.group for atom in atoms if atom.group is not None)
    return replace(file, groups=groups, rows=sum(atom.rows for atom in atoms)) if groups else file


def _meets(group: RowGroup, span: tuple[Any, Any]) -> bool:
    if group.least is None:
        return True
    return bool(group.least <= span[1] and group.greatest >= span[0])
