"""From what the examples of a bucket see to encoded events: nearest kept, enriched, encoded, the rest left behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nbplat.remote.sequence.events import Events, Selection
from nbplat.remote.sequence.gather import Ragged, expand, mixing
from nbplat.sequence.definition import Definition, EventRule
from nbplat.sequence.enrich import Joined, ReadTable
from nbplat.sequence.examples import Examples
from nbplat.sequence.failures import our_errors
from nbplat.sequence.featurize import Encoder
from nbplat.sequence.select import Selected
from nbplat.sequence.token_store import Part

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["TokenReader", "nearest_kept"]

_MOMENT = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True)
class TokenReader:
    """What is read of each bucket.

    Attributes:
        definition: Bound.
        encoders: Features to encode.
        raw: Columns to keep as they are: of the index, enrichments, the time and the type.
        joined: Enrichments at reading, by name.
    """

    definition: Definition
    encoders: tuple[Encoder, ...]
    raw: tuple[str, ...]
    joined: Mapping[str, Joined]

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the index that are needed."""
        definition = self.definition
        at_hand = {definition.time, definition.type}
        wanted = [each.feature.column for each in self.encoders if not _is_own(each, at_hand)]
        wanted += [name for name in self.raw if name not in at_hand]
        wanted += [rule.select.column for rule in definition.events if rule.select is not None]
        keys = [key for name in wanted if name in self.joined for key in self.joined[name].table.on]
        return tuple(dict.fromkeys([name for name in wanted if name not in self.joined] + keys))

    @property
    def tables(self) -> tuple[ReadTable, ...]:
        """Tables whose rows features or raw columns take; in the order that names their columns."""
        used = [each.feature.column for each in self.encoders] + list(self.raw)
        return tuple(
            {id(self.joined[name].table): self.joined[name].table for name in used if name in self.joined}.values()
        )

    def part(self, found: Selected, examples: Examples, *, compact: bool = True) -> Part:
        """Encode what the examples of one bucket see; with `compact` only that, else all of the bucket's events."""
        kept = nearest_kept(found, self.definition, examples, self.joined)
        events = found.events
        if compact:
            events, kept = _referred(events, kept)
        rank = None
        if len(kept) > 1 and self.definition.layout == "mixed":
            mixed = mixing(events)
            events = _in_order(events, mixed.row)
            rank = mixed.rank.astype(np.int64)
        numbers: dict[str, npt.NDArray[Any]] = {}
        for number, table in enumerate(self.tables):
            keys = table.keys(events.rows)
            # What the example's moment decides is looked up token by token, when a batch is made.
            numbers[table_column(number)] = keys if table.at == "request_time" else table.rows(keys, events.time_us)
        if self.needs_times:
            numbers[TIME_COLUMN] = events.time_us
        for each in self.encoders:
            if each.feature.column not in self.joined and not self.is_event_time(each):
                numbers[each.name] = each.of_events(events, self.definition)
        return Part(len(events.time_us), found.examples, numbers, self._raw_of(events), rank, kept)

    @property
    def needs_times(self) -> bool:
        """Whether the events' own time is read as a number."""
        return any(self.is_event_time(each) for each in self.encoders)

    def is_event_time(self, encoder: Encoder) -> bool:
        """True for the age of the event itself."""
        return encoder.is_age and encoder.feature.column == self.definition.time

    def _raw_of(self, events: Events) -> pa.Table:
        columns: dict[str, Any] = {}
        for name in self.raw:
            if name == self.definition.time:
                columns[name] = pa.array(events.time_us, pa.int64()).view(_MOMENT)
            elif name == self.definition.type:
                columns[name] = pa.array(events.types, pa.string()).take(pa.array(events.type))
            elif name not in self.joined:
                columns[name] = events.rows[name]
        return pa.table(columns)


TIME_COLUMN = "time\tus"
"""Number column of the store that holds the events' own times; no feature has a tab in its name."""


def table_column(number: int) -> str:
    """Number column of the store with the rows (or keys) of a `TokenReader.tables` entry."""
    return f"table\t{number}"


def nearest_kept(
    found: Selected, definition: Definition, examples: Examples, joined: Mapping[str, Joined]
) -> tuple[Selection | Ragged, ...]:
    """What each rule keeps: its selection, or of that the events nearest to the example.

    Args:
        found: Its events have the columns that ``select: nearest`` compares, or the keys of the enrichment.

    Raises:
        DataError: vectors of different lengths.
    """
    return tuple(
        selection if rule.select is None else _nearest(found, selection, rule, definition, examples, joined)
        for rule, selection in zip(definition.events, found.selections, strict=True)
    )


def _nearest(
    found: Selected,
    selection: Selection,
    rule: EventRule,
    definition: Definition,
    examples: Examples,
    joined: Mapping[str, Joined],
) -> Ragged:
    from nbplat.remote.sequence.nearest import nearest, vectors

    chosen = rule.select
    assert chosen is not None  # noqa: S101 - the caller looked
    candidates = expand(selection)
    asked = examples.rows[chosen.to].take(pa.array(found.examples))
    with our_errors():
        of_examples = vectors(asked, chosen.to)
        if chosen.column not in joined:
            of_events = vectors(found.events.rows[chosen.column], chosen.column)
            return nearest(candidates, of_events, of_examples, chosen.count).kept
        # A vector a token: what the example's moment decides differs between examples.
        source = joined[chosen.column]
        counts = np.diff(candidates.offsets)
        cutoff = np.repeat(cutoffs(definition, examples.as_of_us[found.examples]), counts)
        at = source.table.rows(
            source.table.keys(found.events.rows)[candidates.positions],
            found.events.time_us[candidates.positions],
            None if definition.as_of.at == "end" else cutoff,
            strict=definition.as_of.strict,
        )
        values = source.table.values.rows[source.column].take(pa.array(at, mask=at < 0))
        tokens = Ragged(np.arange(len(at)), candidates.offsets)
        kept = nearest(tokens, vectors(values, chosen.column), of_examples, chosen.count).kept
    return Ragged(candidates.positions[kept.positions], kept.offsets)


def cutoffs(definition: Definition, as_of_us: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Instants before which an example sees; saturated at the least moment."""
    least = np.iinfo(np.int64).min
    gap = definition.as_of.gap_us
    return np.where(as_of_us < least + gap, least, as_of_us - np.where(as_of_us < least + gap, 0, gap))


def _is_own(encoder: Encoder, at_hand: set[str]) -> bool:
    """True where the feature's column is the type, or the time as an age."""
    return encoder.feature.column in at_hand and (encoder.is_age or encoder.feature.function in ("vocab", "hash"))


def _referred(events: Events, kept: Sequence[Selection | Ragged]) -> tuple[Events, tuple[Selection | Ragged, ...]]:
    """Only the events that some example refers to; what is kept names their new places."""
    rows = len(events.time_us)
    named = np.zeros(rows, bool)
    used = [_named(each, rows) for each in kept]
    for each, places in zip(kept, used, strict=True):
        if isinstance(each, Selection) and each.among is not None:
            named[each.among[places]] = True
        else:
            named |= places
    if named.all():
        return events, tuple(kept)
    before = _before(named)
    moved = tuple(_moved(each, places, before) for each, places in zip(kept, used, strict=True))
    return _in_order(events, np.flatnonzero(named)), moved


def _named(kept: Selection | Ragged, rows: int) -> npt.NDArray[np.bool_]:
    """Which rows (of a selection among some of them, which of these) some example refers to."""
    if isinstance(kept, Ragged):
        named = np.zeros(rows, bool)
        named[kept.positions] = True
        return named
    count = rows if kept.among is None else len(kept.among)
    edges = np.bincount(kept.lo, minlength=count + 1) - np.bincount(kept.hi, minlength=count + 1)
    inside: npt.NDArray[np.bool_] = np.cumsum(edges[:-1]) > 0
    return inside


def _moved(kept: Selection | Ragged, used: npt.NDArray[np.bool_], before: npt.NDArray[np.int64]) -> Selection | Ragged:
    if isinstance(kept, Ragged):
        return Ragged(before[kept.positions], kept.offsets)
    places = before if kept.among is None else _before(used)
    among = None if kept.among is None else before[kept.among[used]]
    return kept._replace(lo=places[kept.lo], hi=places[kept.hi], skipped=places[kept.skipped], among=among)


def _before(named: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """How many are named before each place, and before the end."""
    before = np.zeros(len(named) + 1, np.int64)
    np.cumsum(named, out=before[1:])
    return before


def _in_order(events: Events, at: npt.NDArray[np.int64]) -> Events:
    """Events at these places; only what tokens need of them."""
    taken = events.rows.take(pa.array(at)) if events.rows.num_columns else events.rows
    return events._replace(
        rows=taken,
        entity=events.entity[at],
        type=events.type[at],
        time_us=events.time_us[at],
        seen_us=None,
        until_us=None,
        passes=None,
    )
