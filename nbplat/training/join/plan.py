"""The plan of a training join: which files meet which, pinned, as a value with a hash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nbplat.errors import RequestError
from nbplat.terms import SnapshotPin, content_hash
from nbplat.training.join.sequence_use import SequenceUse
from nbplat.training.join.spec import JoinSpec

__all__ = ["HOWS", "JoinPlan", "PlanFile", "PlanSide", "Unit", "UnitSide", "Value"]

FORMAT = 1
HOWS = ("aligned", "merge", "dealt", "base", "absent")


@dataclass(frozen=True, slots=True)
class Value:
    """One joined column: its name there, its name in the result, and its Iceberg type."""

    column: str
    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class PlanSide:
    """One staged run or table.

    Attributes:
        ref: The run's id, or the table.
        pin: The staged table, read where rows meet by key; None for a run whose files all meet by position.
        keys: Its key columns, in the order of the base's; empty when nothing is merged.
        values: What it brings.
        run: The run's id; empty for a table.
        planned_on: The base snapshot that the run was computed on; None for a table.
        pairs: How its partitions meet the base's, in words; empty where no file is merged.
        provenance: What its snapshot says of the features: definition, hashes.
        staging: Of a run whose files meet by position: its staging table, which is held but not read.
        dealt: Files whose rows are dealt to local files together: those of one date, where dates pair, else all.
    """

    ref: str
    pin: SnapshotPin | None
    keys: tuple[str, ...]
    values: tuple[Value, ...]
    run: str
    planned_on: int | None
    pairs: str
    provenance: Mapping[str, str]
    staging: SnapshotPin | None = None
    dealt: tuple[tuple[PlanFile, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class PlanFile:
    """A file that is read.

    Attributes:
        rows: Physical rows (of the row groups, where only some are read).
        deletes: Delete files that apply to it.
        groups: Numbers of the row groups to read; None reads all.
        dense: Of an aligned file: row i is physical row i of its base file.
    """

    path: str
    rows: int
    deletes: int = 0
    groups: tuple[int, ...] | None = None
    dense: bool = True

    def record(self) -> dict[str, Any]:
        """JSON form; what is as usual is left out, since plans name thousands of files."""
        found: dict[str, Any] = {"path": self.path, "rows": self.rows}
        if self.deletes:
            found["deletes"] = self.deletes
        if self.groups is not None:
            found["groups"] = list(self.groups)
        if not self.dense:
            found["dense"] = False
        return found

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> PlanFile:
        """Read what `record` wrote."""
        groups = record.get("groups")
        return cls(**{**record, "groups": None if groups is None else tuple(groups)})


@dataclass(frozen=True, slots=True)
class UnitSide:
    """How a unit's rows get one side's columns.

    Attributes:
        how: ``aligned``: by position, one file per base file (None: it has none); ``merge``: by key, out of these
            files; ``dealt``: by key, out of staged rows that were dealt to local files; ``base``: the base files hold
            the columns (those that do, and None, where not all do); ``absent``: nulls.
        covered: Base rows that have a staged row, as far as metadata tells.
        exact: False when `covered` is an upper bound.
        group: Of ``dealt``: which of `PlanSide.dealt`.
    """

    how: str
    files: tuple[PlanFile | None, ...]
    covered: int
    exact: bool
    group: int = 0


@dataclass(frozen=True, slots=True)
class Unit:
    """What is joined in one piece: base files of one partition, or some row groups of one.

    Attributes:
        name: The partition in words, with ``#2`` when it was split.
        period: Its date.
        rows: Physical rows.
        decoded_bytes: Estimate of what its joined rows take in memory.
        sides: In the order of `JoinPlan.sides`.
    """

    name: str
    period: str
    rows: int
    decoded_bytes: int
    files: tuple[PlanFile, ...]
    sides: tuple[UnitSide, ...]


@dataclass(frozen=True, slots=True)
class JoinPlan:
    """Everything that decides what is read and in which order; planning read no data.

    Attributes:
        base: The pinned base table.
        base_columns: Base columns that are read, keys and time among them; with their Iceberg types.
        output: Names of the result's columns, in order; those of `sequences` come after them.
        keys: Key columns of the base; empty when nothing is merged.
        time: Column of the window; empty when all rows are wanted.
        units: In the plan's order: by date, then by partition.
        skipped: Base rows of partitions that were left out (``missing="skip"``).
        metadata: Table -> location of its metadata file when this was planned; says nothing of identity.
        sequences: Joined where the plan is opened, not by the readers of units.
    """

    spec: JoinSpec
    base: SnapshotPin
    base_columns: tuple[tuple[str, str], ...]
    output: tuple[str, ...]
    keys: tuple[str, ...]
    time: str
    sides: tuple[PlanSide, ...]
    units: tuple[Unit, ...]
    skipped: int
    metadata: Mapping[str, str]
    sequences: tuple[SequenceUse, ...] = ()

    @property
    def rows(self) -> int:
        """Physical rows of all units; an upper bound of the live ones inside the dates."""
        return sum(unit.rows for unit in self.units)

    @property
    def plan_id(self) -> str:
        """SHA-256 over `record` without the metadata locations."""
        record = self.record()
        del record["metadata"]
        return content_hash(record)

    @property
    def pins(self) -> tuple[SnapshotPin, ...]:
        """Every table that is read, the base first."""
        return (self.base, *(side.pin for side in self.sides if side.pin is not None))

    @property
    def held_pins(self) -> tuple[SnapshotPin, ...]:
        """`pins`, and the staging tables whose files are read by position."""
        staging = (side.staging for side in self.sides if side.staging is not None)
        return tuple(dict.fromkeys((*self.pins, *staging)))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the result's columns, those of sequences included."""
        return (*self.output, *(name for use in self.sequences for name in use.names))

    def record(self) -> dict[str, Any]:
        """JSON form; `from_record` reads it again, with the same `plan_id`."""
        return {
            "format": FORMAT,
            "spec": self.spec.record(),
            "base": self.base.record(),
            "base_columns": [list(column) for column in self.base_columns],
            "output": list(self.output),
            "keys": list(self.keys),
            "time": self.time,
            "sides": [_side_record(side) for side in self.sides],
            "units": [_unit_record(unit) for unit in self.units],
            "skipped": self.skipped,
            "metadata": dict(self.metadata),
            **({"sequences": [use.record() for use in self.sequences]} if self.sequences else {}),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> JoinPlan:
        """Read what `record` wrote.

        Raises:
            RequestError: a plan of another format.
        """
        if record.get("format") != FORMAT:
            raise RequestError(
                "training.plan_format",
                f"the plan is of format {record.get('format')}, this nbplat reads {FORMAT}",
                fix="replay it with the version that made it, or plan again",
            )
        try:
            plan = cls._read(record)
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            raise RequestError(
                "training.plan_format",
                f"this is no record of a plan: {type(exc).__name__} {exc}",
                fix="give what JoinPlan.record() gave, unchanged",
            ) from None
        for unit in plan.units:
            for side, met in zip(plan.sides, unit.sides, strict=True):
                if met.how == "dealt" and met.group >= len(side.dealt):
                    raise RequestError(
                        "training.plan_format",
                        f"the plan does not say which files of {side.ref} are dealt: an earlier nbplat made it",
                        fix="replay it with the version that made it, or plan again",
                    )
        return plan

    @classmethod
    def _read(cls, record: Mapping[str, Any]) -> JoinPlan:
        return cls(
            spec=JoinSpec.from_record(record["spec"]),
            base=SnapshotPin(**record["base"]),
            base_columns=tuple((name, kind) for name, kind in record["base_columns"]),
            output=tuple(record["output"]),
            keys=tuple(record["keys"]),
            time=record["time"],
            sides=tuple(_side(each) for each in record["sides"]),
            units=tuple(_unit(each) for each in record["units"]),
            skipped=record["skipped"],
            metadata=dict(record["metadata"]),
            sequences=tuple(SequenceUse.from_record(each) for each in record.get("sequences", ())),
        )


def _side_record(side: PlanSide) -> dict[str, Any]:
    return {
        "ref": side.ref,
        "pin": side.pin.record() if side.pin else None,
        "keys": list(side.keys),
        "values": [[value.column, value.name, value.kind] for value in side.values],
        "run": side.run,
        "planned_on": side.planned_on,
        "pairs": side.pairs,
        "provenance": dict(side.provenance),
        **({"staging": side.staging.record()} if side.staging else {}),
        **({"dealt": [[file.record() for file in group] for group in side.dealt]} if side.dealt else {}),
    }


def _side(record: Mapping[str, Any]) -> PlanSide:
    return PlanSide(
        **{
            **record,
            "pin": SnapshotPin(**record["pin"]) if record["pin"] else None,
            "staging": SnapshotPin(**record["staging"]) if record.get("staging") else None,
            "keys": tuple(record["keys"]),
            "values": tuple(Value(*value) for value in record["values"]),
            "dealt": tuple(tuple(PlanFile.from_record(file) for file in group) for group in record.get("dealt", ())),
        }
    )


def _unit_record(unit: Unit) -> dict[str, Any]:
    return {
        "name": unit.name,
        "period": unit.period,
        "rows": unit.rows,
        "decoded_bytes": unit.decoded_bytes,
        "files": [file.record() for file in unit.files],
        "sides": [
            {
                "how": side.how,
                "files": [None if file is None else file.record() for file in side.files],
                "covered": side.covered,
                "exact": side.exact,
                **({"group": side.group} if side.how == "dealt" else {}),
            }
            for side in unit.sides
        ],
    }


def _unit(record: Mapping[str, Any]) -> Unit:
    sides = tuple(
        UnitSide(
            side["how"],
            tuple(None if file is None else PlanFile.from_record(file) for file in side["files"]),
            side["covered"],
            side["exact"],
            side.get("group", 0),
        )
        for side in record["sides"]
    )
    files = tuple(PlanFile.from_record(file) for file in record["files"])
    return Unit(record["name"], record["period"], record["rows"], record["decoded_bytes"], files, sides)
