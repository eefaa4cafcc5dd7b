"""Matching the base table's files to staged files, from metadata only."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from nbplat.errors import DataError, NotFound, RequestError, did_you_mean
from nbplat.terms import SnapshotPin, StagedColumns, StagedFile, content_hash
from nbplat.training.ports import BaseFile, BaseTable, SequenceColumns, SequenceUse, StagedRuns, TrainingSource
from nbplat.training.spec import TrainingSpec

__all__ = ["Coverage", "JoinFile", "JoinPlan", "StagedUse", "plan_training"]

_NUMERIC = ("boolean", "int", "long", "float", "double", "decimal")
_TIMES = ("timestamp", "timestamptz", "date", "int", "long")


@dataclass(frozen=True, slots=True)
class StagedUse:
    """Where one run's columns come from.

    Attributes:
        run_id: ``spend_90d@1``.
        columns: Names and Iceberg types.
        from_base: True when the run is promoted, so that the base files hold the columns already.
        planned_on: The base snapshot the run was computed for.
    """

    run_id: str
    columns: tuple[tuple[str, str], ...]
    from_base: bool
    planned_on: int | None

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.columns)


@dataclass(frozen=True, slots=True)
class JoinFile:
    """A base file and, for each entry of `JoinPlan.staged`, its staged file (None: read from base, or nulls)."""

    base: BaseFile
    staged: tuple[StagedFile | None, ...]


@dataclass(frozen=True, slots=True)
class Coverage:
    """Rows of one run and period that have a staged (or promoted) value's row.

    Attributes:
        period: ``2011-03``, or ``all``.
        rows: Rows of the base files of that period, by their manifests.
        covered: Those whose file is staged or promoted; says nothing about nulls inside.
    """

    run_id: str
    period: str
    rows: int
    covered: int


@dataclass(frozen=True, slots=True)
class JoinPlan:
    """Which files are read and what is attached to them; building it read no data file.

    Attributes:
        base: The pinned base snapshot.
        features: Plain columns learned from, in schema order.
        staged: The runs, in the order asked for.
        files: In the order of reading: period, partition, path.
        sequences: In the order asked for.
    """

    spec: TrainingSpec
    base: SnapshotPin
    features: tuple[str, ...]
    staged: tuple[StagedUse, ...]
    files: tuple[JoinFile, ...]
    sequences: tuple[SequenceUse, ...] = ()

    @property
    def staged_features(self) -> tuple[str, ...]:
        """Columns of all runs, in order."""
        return tuple(name for use in self.staged for name in use.names)

    @property
    def sequence_features(self) -> tuple[str, ...]:
        """Columns of all sequences, in order."""
        return tuple(name for use in self.sequences for name in use.columns)

    @property
    def joined_features(self) -> tuple[str, ...]:
        """All columns that are joined: of the runs, then of the sequences."""
        return self.staged_features + self.sequence_features

    @property
    def rows(self) -> int:
        """Rows by the manifests; an upper bound where delete files apply."""
        return sum(file.base.rows for file in self.files)

    @property
    def plan_id(self) -> str:
        """SHA-256 over `record`."""
        return content_hash(self.record())

    def coverage(self) -> tuple[Coverage, ...]:
        """Per run and period, in that order."""
        found: dict[tuple[str, str], Coverage] = {}
        for at, use in enumerate(self.staged):
            for file in self.files:
                key = (use.run_id, file.base.period)
                so_far = found.get(key, Coverage(*key, 0, 0))
                covered = file.base.rows if use.from_base or file.staged[at] is not None else 0
                found[key] = replace(so_far, rows=so_far.rows + file.base.rows, covered=so_far.covered + covered)
        return tuple(found.values())

    def record(self) -> dict[str, Any]:
        """JSON form: everything that decides what is read."""
        return {
            "spec": self.spec.record(),
            "base": self.base.record(),
            "features": list(self.features),
            "staged": [
                {
                    "run_id": use.run_id,
                    "columns": [list(column) for column in use.columns],
                    "from_base": use.from_base,
                    "planned_on": use.planned_on,
                }
                for use in self.staged
            ],
            "sequences": [
                {"ref": use.ref, "version": use.version, "columns": list(use.columns), **use.facts}
                for use in self.sequences
            ],
            "files": [
                {
                    "base": file.base.path,
                    "rows": file.base.rows,
                    "period": file.base.period,
                    "staged": [s.record() if s else None for s in file.staged],
                }
                for file in self.files
            ],
        }


def plan_training(
    spec: TrainingSpec, source: TrainingSource, runs: StagedRuns, sequences: SequenceColumns | None = None
) -> JoinPlan:
    """Plan the join on the base table's current snapshot; reads metadata only.

    Args:
        sequences: Where the spec's sequences are kept; asked when it names any.

    Raises:
        NotFound: an unknown table, run or column, with the nearest names.
        RequestError: columns clash, are of a type that cannot be learned from, or belong to another table.
        DataError: ``training.empty``: no rows; ``training.uncovered``: base files without a staged file, naming
            periods and files; ``training.rows``: a staged file of another row count.
    """
    base = source.describe(spec.table)
    records = [runs.staged_columns(run_id) for run_id in spec.stage]
    types = dict(base.columns)
    _check_columns(spec, types)
    if not any(file.rows for file in base.files):
        raise DataError("training.empty", f"{spec.table} has no rows", fix="load rows first")
    uses = tuple(_use(record, base, types, spec) for record in records)
    joined = tuple(sequences.describe(ref, types) for ref in spec.sequences) if sequences is not None else ()
    _check_clashes(uses, types, joined)
    staged_names = {name for use in uses for name in use.names}
    features = spec.features or tuple(
        name
        for name, kind in base.columns
        if _is_a(kind, _NUMERIC)
        and name not in staged_names | {spec.label, spec.time}
        and not (_looks_like_key(name) if spec.keys is None else name in spec.keys)
    )
    if doubled := staged_names & set(features):
        raise RequestError(
            "training.clash",
            f"{min(doubled)!r} is both a plain feature and a staged column",
            fix=f"take {min(doubled)} out of --features, or its run out of --stage",
        )
    by_path = [{} if use.from_base else _by_path(record) for use, record in zip(uses, records, strict=True)]
    files = tuple(
        JoinFile(file, tuple(paths.get(file.path) for paths in by_path))
        for file in sorted(base.files, key=lambda f: (f.period, f.partition, f.path))
    )
    plan = JoinPlan(spec, base.pin, features, uses, files, joined)
    _check_files(plan)
    return plan


def _check_columns(spec: TrainingSpec, types: dict[str, str]) -> None:
    for role, name, allowed in (
        ("label", spec.label, _NUMERIC),
        ("time", spec.time, _TIMES),
        *(("features", feature, _NUMERIC) for feature in spec.features or ()),
        *(("keys", key, ()) for key in spec.keys or ()),
    ):
        if name not in types:
            raise NotFound(
                "training.column", f"{spec.table} has no column {name!r} (--{role})", fix=did_you_mean(name, types)
            )
        if allowed and not _is_a(types[name], allowed):
            raise RequestError(
                "training.type",
                f"--{role} {name} is of type {types[name]}",
                fix=f"name a column of type {', '.join(allowed)}",
            )
    for name in (spec.label, spec.time):
        if name in (spec.features or ()):
            raise RequestError(
                "training.leak", f"{name!r} is a feature and the label or time", fix=f"take {name} out of --features"
            )


def _use(record: StagedColumns, base: BaseTable, types: dict[str, str], spec: TrainingSpec) -> StagedUse:
    if record.base.table_uuid != base.pin.table_uuid:
        raise RequestError(
            "training.other_table",
            f"{record.run_id} was staged for {record.base.table}, not for this {spec.table}",
            fix="stage the column on this table: run its %%backfill again with --table " + spec.table,
        )
    for name, kind in record.columns:
        if not _is_a(kind, _NUMERIC):
            raise RequestError(
                "training.type",
                f"column {name!r} of {record.run_id} is of type {kind}, which this model cannot learn from",
                fix="stage numbers, or leave the run out of --stage",
            )
    return StagedUse(
        run_id=record.run_id,
        columns=record.columns,
        from_base=record.promoted and all(name in types for name, _ in record.columns),
        planned_on=record.base.snapshot_id,
    )


def _check_clashes(uses: tuple[StagedUse, ...], types: dict[str, str], sequences: tuple[SequenceUse, ...]) -> None:
    owner: dict[str, str] = {}
    for sequence in sequences:
        for name in sequence.columns:
            if name in owner or name in types:
                raise RequestError(
                    "training.clash",
                    f"the sequence {sequence.ref} brings a column {name!r}, which"
                    f" {owner.get(name, 'the base table')} has too",
                    fix="name the feature otherwise in the definition, or leave one of the two out",
                )
            owner[name] = f"the sequence {sequence.ref}"
    for use in uses:
        for name in use.names:
            if name in owner:
                raise RequestError(
                    "training.clash",
                    f"{owner[name]} and {use.run_id} both bring a column {name!r}",
                    fix="join one of the two runs",
                )
            if name in types and not use.from_base:
                raise RequestError(
                    "training.clash",
                    f"{use.run_id} brings a column {name!r}, which the base table has from elsewhere",
                    fix="stage it under another name, or leave the run out of --stage",
                )
            owner[name] = use.run_id


def _by_path(record: StagedColumns) -> dict[str, StagedFile]:
    found: dict[str, StagedFile] = {}
    for file in record.files:
        if file.base_path in found:
            raise DataError(
                "training.staged_twice",
                f"{record.run_id} has two staged files for {file.base_path}",
                fix="stage the run again with --new",
            )
        found[file.base_path] = file
    return found


def _check_files(plan: JoinPlan) -> None:
    for at, use in enumerate(plan.staged):
        if use.from_base:
            continue
        uncovered = [file.base for file in plan.files if file.staged[at] is None]
        if uncovered and plan.spec.uncovered == "refuse":
            periods = sorted({file.period for file in uncovered})
            name = use.run_id.partition("@")[0]
            raise DataError(
                "training.uncovered",
                f"{len(uncovered)} of {len(plan.files)} files of {plan.spec.table} are not staged by {use.run_id}"
                f" (periods {_few(periods)}; {_few([file.path.rsplit('/', 1)[-1] for file in uncovered])})",
                fix=f"the table has moved since: run the cell `%%backfill {name}` again with --new,"
                " or train with --uncovered null",
            )
        for file in plan.files:
            staged = file.staged[at]
            # Behind delete files the live rows are known only while reading; then the join goes by position.
            if staged is not None and not file.base.deletes and staged.rows != file.base.rows:
                raise rows_differ(use.run_id, file.base.path, file.base.rows, staged.rows)


def rows_differ(run_id: str, path: str, base_rows: int, staged_rows: int) -> DataError:
    """The error for a staged file that does not fit its base file."""
    return DataError(
        "training.rows",
        f"{run_id} has {staged_rows} rows for a base file of {base_rows} rows",
        fix=f"it was staged on other rows: run `%%backfill {run_id.partition('@')[0]}` again with --new",
        where=path,
    )


def _looks_like_key(name: str) -> bool:
    return name == "id" or name.endswith("_id")


def _is_a(kind: str, allowed: tuple[str, ...]) -> bool:
    return kind.partition("(")[0] in allowed


def _few(names: list[str], limit: int = 4) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")
