"""The kernels against the oracle, over random events and declarations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbplat.remote.sequence import accelerate
from nbplat.remote.sequence.accelerate import compiled, forced
from nbplat.remote.sequence.content import content_digest
from nbplat.remote.sequence.dedupe import NEVER
from nbplat.remote.sequence.events import Events
from nbplat.remote.sequence.gather import expand, flat, mixing
from nbplat.remote.sequence.hashing import bucket_of, row_hash
from nbplat.remote.sequence.order import merge_sorted
from nbplat.remote.sequence.ranges import locate, part, select
from tests.sequence.oracle import Past, chosen, histories, sequence
from tests.sequence.oracle import row_hash as hash_of_row
from tests.sequence.random_events import CONDITIONS, TYPES, VALUES, Case, Question, cases, questions

_MANY = settings(max_examples=100, deadline=None)


def _plain(value: Any) -> Any:
    """A value that equals itself: NaN does not."""
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    if isinstance(value, list):
        return tuple(_plain(each) for each in value)
    return value


def _row(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(_plain(value) for value in row.values())


def _oracle(case: Case) -> dict[tuple[Any, ...], list[Past]]:
    return histories(
        case.rows.to_pylist(),
        entity=case.entity,
        type="k",
        types=case.types,
        time="t",
        arrival="s" if case.arrival else None,
        id=case.id,
        hashed=case.hashed,
        dedupe=case.dedupe,
    )


def _said(events: Events) -> list[tuple[Any, ...]]:
    """Everything that the events say, a tuple an event."""
    entities = [_row(row) for row in events.entities.to_pylist()]
    none = [None] * events.rows.num_rows
    return [
        (entities[code], events.types[kind], int(time), seen, None if until in (None, NEVER) else until, _row(row))
        for code, kind, time, seen, until, row in zip(
            events.entity,
            events.type,
            events.time_us,
            none if events.seen_us is None else events.seen_us.tolist(),
            none if events.until_us is None else events.until_us.tolist(),
            events.rows.to_pylist(),
            strict=True,
        )
    ]


@given(cases())
@_MANY
def test_events_are_in_the_total_order_of_the_oracle(case: Case) -> None:
    """Rows of any types come out by entity, type, time, id and hash, with copies treated as declared."""
    events, counts = case.ordered()
    wanted = [
        (tuple(map(_plain, whose)), each.type, each.time, each.seen, each.until, _row(dict(each.row)))
        for whose, history in _oracle(case).items()
        for each in history
    ]
    assert wanted == _said(events)
    assert len(wanted) == counts.kept
    assert case.rows.num_rows == sum(counts[1:5]) + counts.other_types + counts.copies + counts.kept


@given(st.data())
@settings(max_examples=250, deadline=None)
def test_an_example_sees_what_the_oracle_sees(data: st.DataObject) -> None:
    """Ranges and their exceptions hold exactly the visible events, and the counts beside them."""
    _check_examples(data)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_compiled_loops_see_the_same(data: st.DataObject) -> None:
    """With numba every example sees what the oracle sees."""
    with forced("1"):
        _check_examples(data)


def _check_examples(data: st.DataObject) -> None:
    case = data.draw(cases())
    question = data.draw(questions(case))
    events, _ = case.ordered()
    among = data.draw(st.booleans())
    found = select(
        events,
        question.kernel_rules(events.types),
        locate(events, question.examples),
        question.as_of,
        strict=question.strict,
        gap_us=question.gap,
        end=question.end,
        among=among,
    )
    mixed = flat(
        events,
        found,
        mixed=data.draw(st.none() | st.just(mixing(events))),
        order=question.order,
        limit=question.limit,
        truncate=question.truncate,
    )
    past = _oracle(case)
    shown = events.rows.to_pylist()
    for at, (example, as_of) in enumerate(zip(question.examples.to_pylist(), question.as_of, strict=True)):
        history = past.get(tuple(_plain(value) for value in example.values()), [])
        wanted = [_chosen(history, rule, as_of, question) for rule in question.rules]
        for selection, answer in zip(found, wanted, strict=True):
            rows, offsets = expand(part(selection, np.array([at])))
            assert [_row(dict(each.row)) for each in answer.events] == [_row(shown[row]) for row in rows]
            assert [0, len(answer.events)] == offsets.tolist()
            assert (answer.before, answer.after, answer.unseen) == tuple(int(each[at]) for each in selection[4:7])
            _check_range(selection, at)
            assert among or selection.among is None
        answer = sequence(history, wanted, order=question.order, limit=question.limit, truncate=question.truncate)
        rows = mixed.positions[mixed.offsets[at] : mixed.offsets[at + 1]]
        assert [_row(dict(each.row)) for each in answer] == [_row(shown[row]) for row in rows]


def _chosen(history: Sequence[Past], rule: tuple[str, int, int | None, int | None], as_of: int, asked: Question) -> Any:
    name, last, within, bit = rule
    where = None if bit is None else CONDITIONS[bit]
    return chosen(
        history,
        type=name,
        last=last,
        within=within,
        where=where,
        as_of=as_of,
        strict=asked.strict,
        gap=asked.gap,
        end=asked.end,
    )


def _check_range(selection: Any, at: int) -> None:
    """A range that is not empty begins and ends with a selected row; the exceptions ascend inside it."""
    lo, hi = int(selection.lo[at]), int(selection.hi[at])
    skipped = selection.skipped[selection.skipped_at[at] : selection.skipped_at[at + 1]].tolist()
    assert sorted(set(skipped)) == skipped
    assert all(lo < row < hi - 1 for row in skipped)


@given(st.data())
@_MANY
def test_the_order_of_the_input_does_not_show(data: st.DataObject) -> None:
    """Shuffled rows give identical events."""
    case = data.draw(cases())
    mixed = data.draw(st.permutations(range(case.rows.num_rows)))
    shuffled = case.rows.take(pa.array(mixed, pa.int64()))
    first, second = case.ordered()[0], case.ordered(shuffled)[0]
    assert _said(first) == _said(second)
    assert content_digest(first.rows) == content_digest(second.rows)


@given(st.data())
@_MANY
def test_parts_merge_to_the_whole(data: st.DataObject) -> None:
    """Events ordered in any number of parts and merged are those ordered at once."""
    case = data.draw(cases())
    count = data.draw(st.integers(1, 4))
    where = data.draw(st.lists(st.integers(0, count - 1), min_size=case.rows.num_rows, max_size=case.rows.num_rows))
    parts = [
        case.ordered(case.rows.take(pa.array([at for at, which in enumerate(where) if which == number], pa.int64())))[0]
        for number in range(count)
    ]
    merged = merge_sorted(parts, id=case.id, hashed=case.hashed, dedupe=case.dedupe)
    whole = case.ordered()[0]
    assert _said(whole) == _said(merged)
    assert whole.passes.tolist() == merged.passes.tolist()


@given(cases(), st.integers(1, 5))
@_MANY
def test_buckets_hold_the_same_events_together(case: Case, buckets: int) -> None:
    """Rows divided by the bucket of their entity give the events of one bucket, entity by entity."""
    bucket = bucket_of(case.rows.select(list(case.entity)), buckets)
    whole = _said(case.ordered()[0])
    parts = [case.ordered(case.rows.take(pa.array(np.flatnonzero(bucket == number))))[0] for number in range(buckets)]
    apart = [each for mine in parts for each in _said(mine)]
    together = case.in_buckets(np.maximum(bucket, 0), buckets)
    assert apart == [each for mine in together for each in _said(mine)]
    assert [mine.until_us is None for mine in parts] == [mine.until_us is None for mine in together]
    key = [each[0] for each in whole]
    apart.sort(key=lambda each: key.index(each[0]))
    assert whole == apart


@given(st.data())
@_MANY
def test_a_row_is_hashed_by_its_values(data: st.DataObject) -> None:
    """The hash of each row is the oracle's, whatever the types; a slice hashes like the whole."""
    names = data.draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=3))
    count = data.draw(st.integers(0, 5))
    columns = []
    for name in names:
        kind, values = VALUES[name]
        nested = data.draw(st.booleans())
        choice = st.sampled_from([*values, None])
        if nested:
            drawn: list[Any] = data.draw(
                st.lists(st.none() | st.lists(choice, max_size=3), min_size=count, max_size=count)
            )
            columns.append(pa.array(drawn, pa.list_(kind if name != "dictionary" else pa.string())))
        else:
            columns.append(pa.array(data.draw(st.lists(choice, min_size=count, max_size=count)), kind))
    table = pa.table(columns, names=[str(at) for at in range(len(columns))])
    found = row_hash(table)
    assert [hash_of_row(list(row.values())) for row in table.to_pylist()] == found.tolist()
    assert found[1:].tolist() == row_hash(table.slice(1)).tolist()


def test_a_type_that_no_event_has_gives_empty_lists() -> None:
    """A rule for an absent type selects nothing and keeps the example."""
    case = Case(
        pa.table({"e0": [1], "k": [TYPES[0]], "t": [5], "s": [5], "v": [1]}), ("e0",), TYPES[:1], False, (), "none"
    )
    events, counts = case.ordered()
    question = Question((("never", 3, None, None),), pa.table({"e0": [1]}), (9,), True, 0, False, "", None, "")
    (found,) = select(events, question.kernel_rules(events.types), locate(events, question.examples), question.as_of)
    assert [0] == (found.hi - found.lo).tolist()
    assert {TYPES[0]: 1} == counts.types


def test_numba_is_loaded_when_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small questions use numpy; many of them together load the compiled loops; the environment can forbid it."""
    monkeypatch.delenv("NBPLAT_NUMBA", raising=False)
    monkeypatch.setattr(accelerate, "_state", {"mode": None, "saved": 0.0, "loops": {}})
    assert compiled("bisect", 1_000) is None
    monkeypatch.setenv("NBPLAT_NUMBA", "0")
    assert compiled("bisect", 1 << 40) is None
    monkeypatch.delenv("NBPLAT_NUMBA")
    assert compiled("bisect", 1 << 40) is not None
    assert compiled("bisect", 1) is not None
