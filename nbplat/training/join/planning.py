"""Makes a plan: pins every table, matches files from metadata, and refuses what cannot be joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from nbplat.errors import DataError, NotFound, RequestError, did_you_mean
from nbplat.training.join.coverage import check_coverage
from nbplat.training.join.meet import Meeting, meeting
from nbplat.training.join.plan import JoinPlan, PlanFile, PlanSide, Unit, UnitSide
from nbplat.training.join.ports import JoinRuns, JoinSource, TableFile, TableState
from nbplat.training.join.sequence_use import SequenceSource, SequenceUse
from nbplat.training.join.spec import JoinSpec
from nbplat.training.join.split import Splitter
from nbplat.training.join.stages import base_keys, check_names, found_stages
from nbplat.training.join.width import decoded_bytes

__all__ = ["plan_join"]


def plan_join(spec: JoinSpec, source: JoinSource, runs: JoinRuns, sequences: SequenceSource | None = None) -> JoinPlan:
    """Plan a join on the tables' current snapshots; reads metadata, and footers of units above the limit.

    Args:
        sequences: Where sequences are kept; asked when the spec names any.

    Raises:
        NotFound: an unknown table, run or column, with the nearest names.
        RequestError: columns clash, keys cannot meet, no bucket is common (``training.no_common_bucket``).
        DataError: no rows; partitions that are not staged (``training.missing_partition``); too little coverage.
        Conflict: a run that is not staged.
    """
    found = found_stages(spec, source, runs)
    keys = base_keys(spec, found)
    base = source.state(spec.base, time=spec.time, window=spec.dates, bounds_of=keys)
    time = _time(spec, base)
    if time and not spec.time:
        base = source.state(spec.base, pin=base.pin, time=time, window=spec.dates, bounds_of=keys)
    if not any(file.rows for file in base.files):
        inside = f" in {spec.dates}" if not spec.dates.unbounded else ""
        raise DataError("training.empty", f"{spec.base} has no rows{inside}", fix="load rows first, or widen the dates")
    _check_base(spec, base, keys)
    meetings = [meeting(each, spec, base, source, keys) for each in found]
    units, skipped = _units(spec, base, meetings)
    output = _output(spec, base, meetings)
    uses = _sequences(spec, base, output, sequences)
    merged = any(each.merged for each in meetings)
    columns = _read_columns(base, output, meetings, units, keys if merged else (), time)
    sized = [_sized(unit, base, columns, meetings) for unit in units]
    splitter = Splitter(
        source,
        base.pin,
        keys[0] if merged else "",
        [(each.found.state.pin, each.found.keys[0]) if each.merged and each.found.state else None for each in meetings],
        spec.max_unit_bytes,
    )
    plan = JoinPlan(
        spec=spec,
        base=base.pin,
        base_columns=columns,
        output=output,
        keys=keys if merged else (),
        time=time,
        sides=tuple(_side(each, units, at, source) for at, each in enumerate(meetings)),
        units=tuple(part for unit in sized for part in splitter.cut(unit)),
        skipped=skipped,
        metadata=_metadata(base, meetings),
        sequences=uses,
    )
    check_coverage(plan)
    return plan


def _time(spec: JoinSpec, base: TableState) -> str:
    """The column of the window; empty when all rows are wanted."""
    if spec.dates.unbounded:
        return ""
    known = dict(base.columns)
    if spec.time:
        if spec.time not in known:
            raise _unknown(spec, spec.time, known)
        return spec.time
    times = {part.source for parts in base.specs.values() for part in parts if part.of_time and part.source}
    if len(times) != 1:
        raise RequestError(
            "training.time", f"{spec.base} has no one time partition", fix="name the column of the dates: time=COLUMN"
        )
    return times.pop()


def _check_base(spec: JoinSpec, base: TableState, keys: Sequence[str]) -> None:
    known = dict(base.columns)
    for name in (*keys, *(spec.columns or ())):
        if name not in known:
            raise _unknown(spec, name, known)


def _unknown(spec: JoinSpec, name: str, known: Mapping[str, str]) -> NotFound:
    return NotFound("training.column", f"{spec.base} has no column {name!r}", fix=did_you_mean(name, known))


def _units(spec: JoinSpec, base: TableState, meetings: Sequence[Meeting]) -> tuple[list[_Met], int]:
    """One unit per partition, in the order of the plan; and the rows that were left out."""
    ordered = sorted(base.files, key=lambda f: (f.period, f.spec, _order(f.values), f.words, f.bounds, f.path))
    units: list[_Met] = []
    missing: list[tuple[Meeting, tuple[TableFile, ...]]] = []
    skipped = 0
    for _, group in groupby(ordered, key=lambda file: (file.period, file.spec, file.values)):
        files = tuple(group)
        sides = tuple(each.meets(files) for each in meetings)
        gaps = [(each, lost) for each, side in zip(meetings, sides, strict=True) if (lost := _without(files, side))]
        if gaps and spec.missing == "skip":
            left_out = {file.path for _, lost in gaps for file in lost}
            skipped += sum(file.rows for file in files if file.path in left_out)
            files = tuple(file for file in files if file.path not in left_out)
            sides = tuple(each.meets(files) for each in meetings) if files else ()
        if gaps and spec.missing == "error":
            missing += gaps
        if files:
            units.append(_Met(files, sides))
    if missing:
        raise _not_staged(spec, missing)
    if not units:
        raise DataError("training.empty", "every partition was left out: nothing of it is staged", fix="stage it first")
    return units, skipped


@dataclass(frozen=True, slots=True)
class _Met:
    """Base files of one partition with what they meet."""

    files: tuple[TableFile, ...]
    sides: tuple[UnitSide, ...]


def _without(files: tuple[TableFile, ...], side: UnitSide) -> tuple[TableFile, ...]:
    """The base files that a side has nothing for."""
    if side.how in ("aligned", "base") and side.files:
        return tuple(file for file, mine in zip(files, side.files, strict=True) if mine is None)
    return files if side.how == "absent" else ()


def _not_staged(spec: JoinSpec, missing: Sequence[tuple[Meeting, tuple[TableFile, ...]]]) -> DataError:
    ref = missing[0][0].found.ref
    files = [file for each, lost in missing if each.found.ref == ref for file in lost]
    names = ", ".join(value.name for value in missing[0][0].found.values)
    words = list(dict.fromkeys(file.words or file.path.rpartition("/")[2] for file in files))
    shown = "; ".join(words[:4]) + (f" and {len(words) - 4} more" if len(words) > 4 else "")
    run = missing[0][0].found.record
    stage = (
        f"fill them: `%backfill extend {ref.partition('@')[0]}`, or run its %%backfill cell again with --new"
        if run is not None
        else f"write these partitions of {ref}"
    )
    return DataError(
        "training.missing_partition",
        f"{shown} of {spec.base} is not staged for {names} of {ref}: {sum(file.rows for file in files):,} rows",
        fix=f"{stage}; or missing='null' for nulls, missing='skip' to leave them out (--missing)",
    )


def _output(spec: JoinSpec, base: TableState, meetings: Sequence[Meeting]) -> tuple[str, ...]:
    """Names of the result: base columns in their order, replaced ones in their place, then each side's."""
    known = dict(base.columns)
    runs = [each.found for each in meetings if each.found.record is not None and not each.found.stage.replace]
    # A column that a run brings stands with the run, whether it has been promoted or not.
    brought = {value.column for run in runs for value in run.values}
    own = spec.columns or tuple(name for name in known if name not in brought)
    check_names([each.found for each in meetings], base, own)
    names = list(own)
    for each in meetings:
        for value in each.found.values:
            names += [value.name, *([f"{value.name}__present"] if value.name in each.found.stage.present else [])]
    return tuple(dict.fromkeys(names))


def _read_columns(
    base: TableState,
    output: Sequence[str],
    meetings: Sequence[Meeting],
    units: Sequence[_Met],
    keys: Sequence[str],
    time: str,
) -> tuple[tuple[str, str], ...]:
    brought = {value.name for each in meetings for value in each.found.values}
    wanted = {name for name in output if name not in brought} | {*keys, *([time] if time else [])}
    for at, each in enumerate(meetings):
        if any(unit.sides[at].how == "base" for unit in units):
            wanted |= {value.column for value in each.found.values}
    columns = tuple(column for column in base.columns if column[0] in wanted)
    # Something must be read, to learn which rows there are.
    return columns or base.columns[:1]


def _sized(unit: _Met, base: TableState, columns: Sequence[tuple[str, str]], meetings: Sequence[Meeting]) -> Unit:
    rows = sum(file.rows for file in unit.files)
    brought = [(value.name, value.kind) for each in meetings for value in each.found.values]
    size = sum(decoded_bytes(file, file.rows, columns) for file in unit.files) + decoded_bytes(None, rows, brought)
    files = tuple(PlanFile(file.path, file.rows, file.deletes) for file in unit.files)
    return Unit(unit.files[0].words, unit.files[0].period, rows, size, files, unit.sides)


def _sequences(
    spec: JoinSpec, base: TableState, output: Sequence[str], source: SequenceSource | None
) -> tuple[SequenceUse, ...]:
    if not spec.sequences:
        return ()
    if source is None:
        raise RequestError(
            "training.sequence", "sequences cannot be joined here", fix="plan with nb.training_join or %%training"
        )
    uses = tuple(source.describe(ref, spec.sequence_form, dict(base.columns)) for ref in spec.sequences)
    owner = dict.fromkeys(output, f"the join of {spec.base}")
    for use in uses:
        for name in use.names:
            if name in owner:
                raise RequestError(
                    "training.clash",
                    f"the sequence {use.ref} brings a column {name!r}, which {owner[name]} has as well",
                    fix="name the feature otherwise in the definition, or leave one of the two out",
                )
            owner[name] = f"the sequence {use.ref}"
    return uses


def _side(each: Meeting, units: Sequence[_Met], at: int, source: JoinSource) -> PlanSide:
    found = each.found
    record = found.record
    by_position = any(unit.sides[at].how == "aligned" for unit in units)
    standing = source.standing(record.table) if record is not None and record.table else None
    told = found.state.provenance if found.state is not None else standing[1] if standing is not None else {}
    return PlanSide(
        ref=found.ref,
        pin=found.state.pin if found.state is not None and each.merged else None,
        keys=found.keys if each.merged else (),
        values=found.values,
        run=record.run_id if record is not None else "",
        planned_on=record.base.snapshot_id if record is not None else None,
        pairs=each.words,
        provenance=dict(told),
        staging=standing[0] if standing is not None and by_position else None,
        dealt=tuple(each.dealt),
    )


def _metadata(base: TableState, meetings: Sequence[Meeting]) -> dict[str, str]:
    states = [base, *(each.found.state for each in meetings if each.found.state is not None)]
    return {state.pin.table: state.metadata for state in states}


def _order(values: Sequence[object]) -> tuple[tuple[bool, str, object], ...]:
    """Partition values of any type in an order; nulls first."""
    return tuple((value is not None, type(value).__name__, value) for value in values)
