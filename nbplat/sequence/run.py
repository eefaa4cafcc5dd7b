"""The preview of a definition, and its features, from pinned tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nbplat.clock import Clock, SystemClock
from nbplat.errors import DataError, RequestError, did_you_mean
from nbplat.sequence.asof import AsOfRanges, leaked_tokens, ranges_as_of
from nbplat.sequence.early_preview import Leak, SequencePreview, Step, Strip, Token, TypeSummary
from nbplat.sequence.ports import RowSource
from nbplat.sequence.retrieve import SequenceIndex, build_index, time_us
from nbplat.sequence.spec import SequenceSpec

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["features", "preview"]


def preview(
    spec: SequenceSpec, events: RowSource, examples: RowSource, *, count: int = 8, clock: Clock | None = None
) -> SequencePreview:
    """Build the sequences of all examples and show some.

    Args:
        count: Strips to show, from the shortest history to the heaviest, of different entities where there are.

    Raises:
        RequestError: a column that is unknown or of a type that does not fit, with its line.
        DataError: an example without an as-of time.
    """
    clock = clock or SystemClock()
    started = clock.monotonic_s()
    index, entity, as_of, found = _build(spec, events, examples)
    lengths: npt.NDArray[np.int64] = np.array([part.hi - part.lo for part in found.ranges]).reshape(
        len(spec.events), -1
    )
    rows = len(as_of)
    tokens = int(lengths.sum())
    steps = (
        *index.steps,
        Step("as-of", int(found.before.sum() + found.after.sum()), int(found.before.sum()), "events of all examples"),
        Step("last N", int(found.before.sum()), tokens, "tokens of all examples"),
        Step("examples", rows, rows, f"{int((lengths.sum(axis=0) == 0).sum()):,} with an empty history, kept"),
    )
    warnings = list(index.warnings)
    if not spec.strict:
        warnings.append("as_of.strict is false: events at the very instant are let in, the example's own among them")
    if rows and len(index.entities) and not found.known.any():
        warnings.append(f"no example's {spec.entity} occurs among the events")
    return SequencePreview(
        name=spec.name,
        version=spec.version,
        definition=spec.record(),
        events=events.pin,
        examples=examples.pin,
        example_rows=rows,
        steps=steps,
        types=tuple(
            TypeSummary(
                event_type=rule.event_type,
                last=rule.last,
                events=int((index.group % len(spec.events) == place).sum()),
                tokens=int(lengths[place].sum()),
                mean_length=float(lengths[place].mean()) if rows else 0.0,
                examples_empty=int((lengths[place] == 0).sum()),
                examples_cut=int((found.before[place] > rule.last).sum()),
            )
            for place, rule in enumerate(spec.events)
        ),
        leak=Leak(spec.strict, tokens, leaked_tokens(index, found, as_of), int(found.after.sum())),
        strips=_strips(spec, index, entity, as_of, found, count, _shown_like(examples, spec)),
        defaults=spec.defaults,
        warnings=tuple(warnings),
        seconds=clock.monotonic_s() - started,
    )


def features(spec: SequenceSpec, events: RowSource, examples: RowSource, *, keys: tuple[str, ...] = ()) -> pa.Table:
    """The sequences as Arrow lists, one row per example in the examples' order.

    Args:
        keys: More columns of the examples to carry along.

    Returns:
        The examples' entity, as-of time and `keys`; then for each type the lists ``<type>__<column>`` of the time
        column and of every `show` column, newest first, at most `last` long, empty where there is no history.

    Raises:
        RequestError, DataError: as `preview`.
    """
    index, _, _, found = _build(spec, events, examples)
    carried = examples.read(tuple(dict.fromkeys((spec.entity, spec.as_of_time, *keys))))
    columns = {name: carried[name] for name in carried.column_names}
    for part in found.ranges:
        length = part.hi - part.lo
        ends = np.cumsum(length)
        # Row j of example i is hi[i] - 1 - j: newest first.
        flat = np.repeat(part.hi - 1, length) - (np.arange(length.sum()) - np.repeat(ends - length, length))
        offsets = pa.array(np.r_[0, ends], pa.int64())
        for name in dict.fromkeys((spec.time, *spec.show)):
            values = index.rows[name].take(pa.array(flat)).combine_chunks()
            columns[f"{part.event_type}__{name}"] = pa.LargeListArray.from_arrays(offsets, values)
    return pa.table(columns)


def _build(
    spec: SequenceSpec, events: RowSource, examples: RowSource
) -> tuple[SequenceIndex, pa.ChunkedArray, npt.NDArray[np.int64], AsOfRanges]:
    _check_columns(spec, events, examples)
    index = build_index(spec, events.read(spec.declared))
    rows = examples.read((spec.entity, spec.as_of_time))
    at, entity = rows[spec.as_of_time], rows[spec.entity]
    if at.null_count:
        raise DataError(
            "sequence.as_of_null",
            f"{at.null_count} examples have no {spec.as_of_time}",
            fix="fill it, or name another as_of: {time: …}",
            where=spec.lines.get("as_of.time", ""),
        )
    as_of = time_us(at, spec, "as_of.time")
    return index, entity, as_of, ranges_as_of(index, spec, entity, as_of)


def _check_columns(spec: SequenceSpec, events: RowSource, examples: RowSource) -> None:
    of_events, of_examples = dict(events.columns), dict(examples.columns)
    shown = [(f"show.{name}", name) for name in spec.show]
    wanted = [("entity", spec.entity), ("time", spec.time), ("id", spec.id or spec.time), ("type", spec.type), *shown]
    for key, name, known, table in (
        *((key, name, of_events, spec.source) for key, name in wanted),
        ("entity", spec.entity, of_examples, examples.pin.table),
        ("as_of.time", spec.as_of_time, of_examples, examples.pin.table),
    ):
        if name not in known:
            raise RequestError(
                "sequence.column",
                f"{table} has no column {name!r} ({key.partition('.')[0]})",
                fix=did_you_mean(name, known),
                where=spec.lines.get(key, spec.lines.get("as_of", "") if key.startswith("as_of") else ""),
            )
    ours, theirs = of_events[spec.entity], of_examples[spec.entity]
    if ours != theirs and not {ours, theirs} <= {"int", "long"}:
        raise RequestError(
            "sequence.entity",
            f"{spec.entity} is {ours} in {spec.source} and {theirs} in {examples.pin.table}: they do not compare",
            fix="give both the same type",
            where=spec.lines.get("entity", ""),
        )
    ours, theirs = of_events[spec.time], of_examples[spec.as_of_time]
    if ours != theirs and "timestamptz" in (ours, theirs):
        raise RequestError(
            "sequence.time",
            f"{spec.time} is {ours} and {spec.as_of_time} is {theirs}: they do not compare",
            fix="give both a time zone",
            where=spec.lines.get("time", ""),
        )


def _shown_like(examples: RowSource, spec: SequenceSpec) -> bool:
    """True when the as-of times are moments, to be shown as ISO texts rather than numbers."""
    return dict(examples.columns)[spec.as_of_time].startswith(("timestamp", "date"))


def _strips(
    spec: SequenceSpec,
    index: SequenceIndex,
    entity: pa.ChunkedArray,
    as_of: npt.NDArray[np.int64],
    found: AsOfRanges,
    count: int,
    moments: bool,
) -> tuple[Strip, ...]:
    def shown(at: int) -> str:
        return f"{np.datetime64(at, 'us').astype('M8[s]')}Z" if moments else str(at)

    strips = []
    for kind, at in _stratified(found.before.sum(axis=0), entity, as_of, count):
        spans = [np.arange(part.lo[at], part.hi[at]) for part in found.ranges]
        place = np.repeat(np.arange(len(spans)), [len(span) for span in spans])
        rows = np.concatenate(spans) if spans else np.empty(0, np.int64)
        order = np.lexsort((rows, place, index.time_us[rows]))
        rows, place = rows[order], place[order]
        values = index.rows.take(pa.array(rows)).select(list(spec.show)).to_pylist()
        strips.append(
            Strip(
                kind=kind,
                entity=str(entity[at].as_py()),
                as_of=shown(int(as_of[at])),
                tokens=tuple(
                    Token(index.types[p], shown(int(index.time_us[r])), tuple(str(v) for v in value.values()))
                    for r, p, value in zip(rows, place, values or [{}] * len(rows), strict=True)
                ),
                cut=int(found.before[:, at].sum()) - len(rows),
                hidden=int(found.after[:, at].sum()),
                leaked=int((index.time_us[rows] >= as_of[at]).sum()),
            )
        )
    return tuple(strips)


def _stratified(
    lengths: npt.NDArray[np.int64], entity: pa.ChunkedArray, as_of: npt.NDArray[np.int64], count: int
) -> list[tuple[str, int]]:
    """Examples spread evenly from the shortest to the heaviest history, of different entities where possible."""
    rows = len(lengths)
    if not rows or count < 1:
        return []
    names = entity.combine_chunks().dictionary_encode()
    who = np.asarray(pc.fill_null(names.indices, -1))
    rank: dict[Any, int] = {v: i for i, v in enumerate(sorted(names.dictionary.to_pylist(), key=str))}
    by_name = np.array([rank[v] for v in names.dictionary.to_pylist()] + [-1])
    order = np.lexsort((as_of, by_name[who], lengths))
    # The heaviest comes first to the draw: its entity must not be used up by a lighter example.
    targets = np.unique(np.rint(np.linspace(0, rows - 1, min(count, rows))).astype(int))[::-1]
    used: set[int] = set()
    chosen: set[int] = set()
    picked = []
    for target in targets:
        near = [int(p) for p in range(target, max(target - rows // (2 * len(targets)) - 1, -1), -1)]
        free = [p for p in near if who[order[p]] not in used and p not in chosen]
        position = free[0] if free else int(target)
        used.add(int(who[order[position]]))
        chosen.add(position)
        share = target / max(rows - 1, 1)
        kind = "heaviest" if target == rows - 1 else "short" if share < 1 / 3 else "median" if share < 2 / 3 else "long"
        picked.append((kind, int(order[position])))
    return picked[::-1]
