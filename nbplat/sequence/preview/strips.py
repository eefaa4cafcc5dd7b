"""Strips: telling examples from the shortest history to the heaviest, every event with its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from nbplat.sequence.definition import Definition
from nbplat.sequence.examples import Examples
from nbplat.sequence.preview.leak import future_of
from nbplat.sequence.preview.reasons import ORDER, pairs_of
from nbplat.sequence.preview.record import Enriched, Strip, Token
from nbplat.sequence.preview.seen_tokens import Added, SeenTokens, added
from nbplat.sequence.preview.staged import Staged

if TYPE_CHECKING:
    import numpy.typing as npt

    from nbplat.sequence.enrich import Joined

__all__ = ["Chosen", "chosen_examples", "strip_of"]

_ENDS = 8
_FUTURE_SHARE = 6
_CELL_CHARS = 40


class Chosen(NamedTuple):
    """An example to draw: ``short`` to ``heaviest``, which bucket was read for it, its place there."""

    kind: str
    stage: int
    place: int


def chosen_examples(stages: Sequence[Staged], count: int) -> list[Chosen]:
    """Examples spread evenly from the shortest to the heaviest history, of different users where there are enough."""
    lengths = np.concatenate([stage.before.sum(axis=0) for stage in stages]) if stages else np.empty(0, np.int64)
    if not len(lengths) or count < 1:
        return []
    stage_of = np.repeat(np.arange(len(stages)), [len(stage.places) for stage in stages])
    place_of = np.concatenate([np.arange(len(stage.places)) for stage in stages])
    who = np.concatenate([stage.entity.astype(np.int64) for stage in stages])
    as_of = np.concatenate([stage.as_of_us for stage in stages])
    order = np.lexsort((place_of, as_of, who, stage_of, lengths))
    # Empty histories stay in the batch, but one in ten strips says all there is to say of them.
    empty = int((lengths == 0).sum())
    order = order[max(empty - max(count // 10, 1), 0) :] if empty < len(lengths) else order
    user = stage_of[order] * (int(who.max()) + 2) + who[order]
    found = []
    for target, at in _spread(user, min(count, len(order))):
        share = target / max(len(order) - 1, 1)
        kind = "short" if share < 1 / 3 else "median" if share < 2 / 3 else "long"
        kind = "heaviest" if target == len(order) - 1 else kind
        found.append(Chosen(kind, int(stage_of[order[at]]), int(place_of[order[at]])))
    return found


def _spread(user: npt.NDArray[np.int64], count: int) -> list[tuple[int, int]]:
    """Places spread evenly, as wanted and as taken: the next smaller one where the user was taken already."""
    rows = len(user)
    targets = np.unique(np.rint(np.linspace(0, rows - 1, count)).astype(int))
    used: set[int] = set()
    taken: set[int] = set()
    found = []
    # The heaviest comes first to the draw: its user must not be used up by a lighter example.
    for target in targets[::-1].tolist():
        near = range(target, max(target - rows // (2 * len(targets)) - 1, -1), -1)
        at = next((each for each in near if each not in taken and int(user[each]) not in used), target)
        taken.add(at)
        used.add(int(user[at]))
        found.append((target, at))
    return found[::-1]


def strip_of(
    definition: Definition,
    examples: Examples,
    stage: Staged,
    chosen: Chosen,
    shown: Sequence[str],
    joined: Mapping[str, Joined],
    most: int,
) -> Strip:
    """One example's strip; at most `most` events are drawn."""
    blocks = list(pairs_of(definition, stage, np.array([chosen.place], np.int64)))
    row = np.concatenate([each.row for each in blocks]) if blocks else np.empty(0, np.int64)
    reason = np.concatenate([each.reason for each in blocks]) if blocks else np.empty(0, np.int8)
    order = np.lexsort((row, stage.events.time_us[row]))
    row, reason = row[order], reason[order]
    instant = int(stage.as_of_us[chosen.place])
    drawn = _drawn(stage.events.time_us[row], reason == ORDER.index("selected"), instant, most)
    counts = np.bincount(reason, minlength=len(ORDER))
    at_end = definition.as_of.at == "end"
    tokens = _tokens(definition, examples, stage, chosen.place, row[drawn], reason[drawn], shown, joined)
    return Strip(
        kind=chosen.kind,
        entity=_entity(examples, int(stage.places[chosen.place])),
        as_of_us=instant,
        cutoff_us=None if at_end else instant - definition.as_of.gap_us,
        tokens=tokens,
        omitted=_omitted(drawn),
        counts=tuple((name, int(counts[code])) for code, name in enumerate(ORDER) if counts[code]),
        future=_all_future(definition, examples, stage, chosen.place, row[reason == ORDER.index("selected")], joined),
        timeless=at_end and not examples.as_of_us.any(),
    )


def _drawn(
    time: npt.NDArray[np.int64], selected: npt.NDArray[np.bool_], instant: int, most: int
) -> npt.NDArray[np.bool_]:
    """Which events are drawn: both ends, the newest tokens, then what is out and nearest to the instant."""
    count = len(time)
    drawn = np.ones(count, bool)
    if count <= most:
        return drawn
    drawn[:] = False
    drawn[:_ENDS] = True
    drawn[-_ENDS:] = True
    split = int(np.searchsorted(time, instant))
    drawn[split : split + most // _FUTURE_SHARE] = True
    kept = np.flatnonzero(selected & ~drawn)
    drawn[kept[len(kept) - min(len(kept), most - int(drawn.sum())) :]] = True
    out = np.flatnonzero(~drawn[:split])
    drawn[out[len(out) - min(len(out), most - int(drawn.sum())) :]] = True
    return drawn


def _omitted(drawn: npt.NDArray[np.bool_]) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    places = np.flatnonzero(drawn)
    gaps = np.diff(np.concatenate([[-1], places, [len(drawn)]])) - 1
    for place, gap in enumerate(gaps):
        if gap:
            found.append((place, int(gap)))
    return tuple(found)


def _all_future(
    definition: Definition,
    examples: Examples,
    stage: Staged,
    place: int,
    row: npt.NDArray[np.int64],
    joined: Mapping[str, Joined],
) -> int:
    example = np.full(len(row), place, np.int64)
    tokens = SeenTokens(example, row, added(definition, stage, joined, example, row))
    return int(future_of(definition, stage, examples, tokens).any.sum())


def _tokens(
    definition: Definition,
    examples: Examples,
    stage: Staged,
    place: int,
    row: npt.NDArray[np.int64],
    reason: npt.NDArray[np.int8],
    shown: Sequence[str],
    joined: Mapping[str, Joined],
) -> tuple[Token, ...]:
    events = stage.events
    example = np.full(len(row), place, np.int64)
    extra = added(definition, stage, joined, example, row)
    future = future_of(definition, stage, examples, SeenTokens(example, row, extra))
    flags = [(name, getattr(future, name).tolist()) for name in ("time", "arrival", "own", "enrichment")]
    at = pa.array(row)
    values = list(zip(*(_texts(events.rows.column(name).take(at)) for name in shown), strict=True))
    enriched = list(zip(*(_enriched(name, each) for name, each in extra.items()), strict=True))
    return tuple(
        Token(
            event_type=events.types[events.type[r]],
            time_us=int(events.time_us[r]),
            reason=ORDER[why],
            values=values[n] if values else (),
            enriched=enriched[n] if enriched else (),
            seen_us=None if events.seen_us is None else int(events.seen_us[r]),
            future=tuple(name for name, flag in flags if flag[n]) if ORDER[why] == "selected" else (),
        )
        for n, (r, why) in enumerate(zip(row.tolist(), reason.tolist(), strict=True))
    )


def _enriched(name: str, each: Added) -> list[Enriched]:
    return [
        Enriched(name, text if found else None, None if each.from_us is None or not found else int(each.from_us[n]))
        for n, (text, found) in enumerate(zip(_texts(each.values), each.found.tolist(), strict=True))
    ]


def _texts(column: pa.Array | pa.ChunkedArray) -> list[str | None]:
    """Values as short texts; None is null."""
    return [None if value is None else _text(value) for value in column.to_pylist()]


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        shown = ", ".join(_text(each) for each in value[:3])
        return f"[{shown}, … {len(value)}]" if len(value) > 3 else f"[{shown}]"
    text = value.isoformat() if hasattr(value, "isoformat") else str(value)
    return text if len(text) <= _CELL_CHARS else f"{text[: _CELL_CHARS - 1]}…"


def _entity(examples: Examples, place: int) -> str:
    values = [column[place].as_py() for column in examples.entity.columns]
    return ", ".join("null" if value is None else _text(value) for value in values)
