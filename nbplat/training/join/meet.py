"""Which staged files a unit's base files meet, and by which of the ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nbplat.errors import DataError, RequestError
from nbplat.terms import StagedFile, root_of
from nbplat.training.join.pair import Pairing, StagedIndex, pairing
from nbplat.training.join.plan import PlanFile, UnitSide
from nbplat.training.join.ports import JoinSource, PartitionPart, TableFile, TableState
from nbplat.training.join.spec import JoinSpec
from nbplat.training.join.stages import Found, with_keys

__all__ = ["Meeting", "meeting"]


@dataclass(slots=True)
class Meeting:
    """One stage while a plan is made; `side` may load its staged table the first time that keys are needed.

    Attributes:
        found: With the state of its table once that was needed.
        meets: Says how a unit's rows get its columns.
        merged: True once some unit is joined by key.
        words: How partitions meet, once some do.
        dealt: What is dealt together, see `plan.PlanSide`; a group's files -> its number.
    """

    found: Found
    meets: Callable[[Sequence[TableFile]], UnitSide]
    merged: bool = False
    words: str = ""
    dealt: dict[tuple[PlanFile, ...], int] = field(default_factory=dict)


def meeting(found: Found, spec: JoinSpec, base: TableState, source: JoinSource, keys: tuple[str, ...]) -> Meeting:
    """How a stage meets the units of the base.

    Raises:
        RequestError: ``training.other_table``: a run of another table; while units are met ``training.clash``, the
            base has the column, and ``training.half_promoted``, it has it in some files of a partition.
    """
    made = Meeting(found, lambda files: by_key(files))
    by_key = _ByKey(made, spec, base, source, keys)
    record = found.record
    if record is None:
        return made
    if record.base.table_uuid != base.pin.table_uuid:
        raise RequestError(
            "training.other_table",
            f"{record.run_id} was staged for {record.base.table}, not for this {spec.base}",
            fix=f"stage the column on this table: run its %%backfill again with --table {spec.base}",
        )
    kinds = dict(base.columns)
    columns = [value.column for value in found.values]
    in_base = all(name in kinds for name in columns)
    staged = _by_path(found)
    landed = frozenset(record.landed)

    def holds(file: TableFile) -> bool:
        # A file that was written without the columns can hold nulls for them; one that they were put into may, too.
        filled = file.filled is None or file.filled.issuperset(columns)
        return in_base and (filled or root_of(file.path) in landed)

    def meets(files: Sequence[TableFile]) -> UnitSide:
        holding = [holds(file) for file in files]
        mine = [staged.get(file.path) for file in files]
        if record.promoted and in_base and not found.stage.replace and (any(holding) or not any(mine)):
            return _held(files, holding)
        if all(holding) and not any(mine) and not found.stage.replace:
            # A run that extends a promoted one stages only the files that lack its columns.
            return UnitSide("base", (), sum(file.rows for file in files), exact=True)
        if any(holding) and any(mine) and landed and not record.promoted and not found.stage.replace:
            raise RequestError(
                "training.half_promoted",
                f"{found.ref} fills files of partitions whose other files hold {columns[0]!r} already:"
                f" {files[0].words or 'the whole table'}",
                fix=f"promote it first, `%backfill promote {found.ref}` (`rollback` takes it back); or take dates"
                " that it fills alone",
            )
        if any(holding) and not record.promoted and not found.stage.replace:
            raise RequestError(
                "training.clash",
                f"{found.ref} brings a column {columns[0]!r}, which {spec.base} has as well, with values in"
                f" {files[0].words or 'its files'}",
                fix="name it otherwise: prefix='…', rename={…}, or replace=True to take the staged one",
            )
        if all(mine) or not record.table:
            for file, each in zip(files, mine, strict=True):
                _check_rows(found.ref, file, each)
            covered = sum(file.rows for file, each in zip(files, mine, strict=True) if each is not None)
            exact = not any(file.deletes for file in files)
            how = "aligned" if any(mine) else "absent"
            return UnitSide(how, tuple(_aligned(each) for each in mine) if any(mine) else (), covered, exact)
        return by_key(files)

    made.meets = meets
    return made


class _ByKey:
    """Joining by key; finds the staged table's files when the first unit needs them."""

    def __init__(
        self, made: Meeting, spec: JoinSpec, base: TableState, source: JoinSource, keys: tuple[str, ...]
    ) -> None:
        self._made, self._spec, self._base, self._source, self._keys = made, spec, base, source, keys
        self._index: StagedIndex | None = None
        self._dates: StagedIndex
        self._groups: dict[object, UnitSide] = {}

    def __call__(self, files: Sequence[TableFile]) -> UnitSide:
        index = self._index or self._opened()
        parts, values = self._base.specs[files[0].spec], files[0].values
        rows = sum(file.rows for file in files)
        odd = [each for each in index.pairings(parts) if not each.by_key]
        if odd:
            if self._spec.join != "shuffle":
                raise RequestError(
                    "training.no_common_bucket",
                    f"{self._spec.base} and {self._made.found.ref} share no bucket of the key"
                    f" {', '.join(self._keys)}: {odd[0].why}",
                    fix="stage the columns with a backfill, which partitions like the base; or give join='shuffle'"
                    " (--join shuffle), which deals the staged rows to local files first",
                )
            side = self._dealt(parts, values)
            return replace(side, covered=min(rows, side.covered))
        self._made.words = "; ".join(dict.fromkeys(each.words for each in index.pairings(parts))) or "nothing"
        met = sorted(index.meeting(parts, values), key=lambda file: (file.words, file.bounds, file.path))
        if not met:
            # Rows without a key can stand in a partition of their own; they meet nothing, which is no gap.
            void = any(value is None for part, value in zip(parts, values, strict=True) if part.source in self._keys)
            return UnitSide("merge" if void else "absent", (), 0, exact=True)
        covered = min(rows, sum(file.rows for file in met))
        return UnitSide("merge", tuple(PlanFile(f.path, f.rows, f.deletes) for f in met), covered, exact=False)

    def _dealt(self, parts: Sequence[PartitionPart], values: Sequence[Any]) -> UnitSide:
        """What a base partition meets of rows that are dealt by key: as in a bucket, those of its own date."""
        key = (tuple(parts), *(each.base(values) for each in self._dates.pairings(parts)))
        if key not in self._groups:
            met = sorted(self._dates.meeting(parts, values), key=lambda file: (file.words, file.path))
            files = tuple(PlanFile(each.path, each.rows, each.deletes) for each in met)
            number = self._made.dealt.setdefault(files, len(self._made.dealt)) if files else 0
            rows = sum(each.rows for each in files)
            self._groups[key] = UnitSide("dealt" if files else "absent", (), rows, exact=not files, group=number)
        return self._groups[key]

    def _opened(self) -> StagedIndex:
        made = self._made
        found = made.found
        if found.state is None:
            assert found.record is not None  # noqa: S101 - a table has its state from the start
            found = replace(found, state=self._source.state(found.record.table))
        found = replace(found, keys=with_keys(found, self._keys, self._base))
        made.found, made.merged = found, True
        assert found.state is not None  # noqa: S101 - set above
        keys: Mapping[str, str] = dict(zip(self._keys, found.keys, strict=True))

        def pair(ours: Sequence[PartitionPart], theirs: Sequence[PartitionPart]) -> Pairing:
            return pairing(ours, theirs, keys, across_dates=found.stage.across_dates)

        def dates(ours: Sequence[PartitionPart], theirs: Sequence[PartitionPart]) -> Pairing:
            return pairing(ours, theirs, {}, across_dates=found.stage.across_dates)

        self._index = StagedIndex(found.state.files, found.state.specs, pair)
        self._dates = StagedIndex(found.state.files, found.state.specs, dates)
        return self._index


def _held(files: Sequence[TableFile], holding: Sequence[bool]) -> UnitSide:
    """Base files that hold a promoted run's columns; which of them do, where not all do."""
    covered = sum(file.rows for file, has in zip(files, holding, strict=True) if has)
    if not any(holding):
        return UnitSide("absent", (), 0, exact=True)
    mine = tuple(PlanFile(file.path, file.rows) if has else None for file, has in zip(files, holding, strict=True))
    return UnitSide("base", () if all(holding) else mine, covered, exact=True)


def _by_path(found: Found) -> dict[str, StagedFile]:
    paths: dict[str, StagedFile] = {}
    assert found.record is not None  # noqa: S101 - asked of runs only
    for file in found.record.files:
        if file.base_path in paths:
            raise DataError(
                "training.staged_twice",
                f"{found.ref} has two staged files for {file.base_path}",
                fix="stage the run again with --new",
            )
        paths[file.base_path] = file
    return paths


def _check_rows(ref: str, file: TableFile, staged: StagedFile | None) -> None:
    # Behind delete files the live rows are known only while reading; then the join goes by position.
    if staged is not None and staged.dense and staged.rows != file.rows:
        raise DataError(
            "training.rows",
            f"{ref} has {staged.rows} rows for a base file of {file.rows} rows",
            fix=f"it was staged on other rows: run `%%backfill {ref.partition('@')[0]}` again with --new",
            where=file.path,
        )


def _aligned(file: StagedFile | None) -> PlanFile | None:
    return None if file is None else PlanFile(file.path, file.rows, dense=file.dense)
