"""What was looked at, added up: reasons, hits, lengths, vocabularies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nbplat.sequence.definition import Definition
from nbplat.sequence.featurize import Encoder, known_values
from nbplat.sequence.ports import Index, SourcePin
from nbplat.sequence.preview.charts import lengths_histogram, rule_text, staleness_histogram
from nbplat.sequence.preview.encoded import encode
from nbplat.sequence.preview.leak import Future
from nbplat.sequence.preview.reasons import ORDER, pairs_of
from nbplat.sequence.preview.record import Headline, Histogram, Looked, Share, TypeSummary
from nbplat.sequence.preview.seen_tokens import SeenTokens
from nbplat.sequence.preview.staged import Staged
from nbplat.sequence.vocab import Fitted

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = [
    "Sight",
    "count_pairs",
    "count_truncated",
    "headline_of",
    "hits_of",
    "pin_text",
    "staleness_of",
    "types_of",
    "vocab_of",
]

_SELECTED = ORDER.index("selected")


class Sight(NamedTuple):
    """What was looked at, stage by stage.

    Attributes:
        looked: How much.
        stages, tokens, future: One a bucket.
    """

    looked: Looked
    stages: tuple[Staged, ...]
    tokens: tuple[SeenTokens, ...]
    future: tuple[Future, ...]


def count_pairs(definition: Definition, sight: Sight) -> tuple[dict[str, int], tuple[int, int]]:
    """Reason -> pairs of example and event; and events at the very instant, with how many of them are tokens."""
    counts = np.zeros(len(ORDER), np.int64)
    ties = let_in = 0
    for stage in sight.stages:
        for pairs in pairs_of(definition, stage, np.arange(len(stage.places))):
            counts += np.bincount(pairs.reason, minlength=len(ORDER))
            tied = stage.events.time_us[pairs.row] == stage.as_of_us[pairs.example]
            ties += int(tied.sum())
            let_in += int((tied & (pairs.reason == _SELECTED)).sum())
    return {name: int(count) for name, count in zip(ORDER, counts, strict=True)}, (ties, let_in)


def count_truncated(stages: Sequence[Staged]) -> int:
    """Examples that lost an event to `last` or to the size."""
    found = 0
    for stage in stages:
        cut = np.zeros(len(stage.places), bool)
        for rule, before in zip(stage.rules, stage.before, strict=True):
            cut |= before > rule.last
        kept = sum((np.diff(each.offsets) for each in stage.nearest), np.zeros(len(stage.places), np.int64))
        sized = sum((np.diff(each.offsets) for each in stage.lists), np.zeros(len(stage.places), np.int64))
        found += int((cut | (sized < kept)).sum())
    return found


def hits_of(definition: Definition, tokens: Sequence[SeenTokens]) -> tuple[Share, ...]:
    """How many tokens each enrichment found a row for."""
    found = []
    total = sum(len(each.row) for each in tokens)
    for each in (*definition.enrich_index, *definition.enrich_read):
        hits = sum(int(mine.added[each.name].found.sum()) for mine in tokens)
        found.append(Share(each.name, hits, total, f"{each.table}.{each.column} @ {each.at}"))
    return tuple(found)


def types_of(definition: Definition, index: Index, stages: Sequence[Staged]) -> tuple[TypeSummary, ...]:
    """One summary a rule."""
    found = []
    for place, rule in enumerate(definition.events):
        before = _joined([stage.before[place] for stage in stages])
        kept = _joined([_tokens_of(stage, place) for stage in stages])
        found.append(
            TypeSummary(
                event_type=rule.event_type,
                rule=rule_text(rule),
                events=index.report.by_type.get(rule.event_type, 0),
                tokens=int(kept.sum()),
                mean_length=float(kept.mean()) if len(kept) else 0.0,
                examples_empty=int((kept == 0).sum()),
                examples_cut=int((before > rule.last).sum()),
                lengths=lengths_histogram(rule, before),
            )
        )
    return tuple(found)


def _tokens_of(stage: Staged, place: int) -> npt.NDArray[np.int64]:
    """Tokens of one rule, an example."""
    count = np.zeros(len(stage.places), np.int64)
    for ragged in stage.lists:
        example = np.repeat(np.arange(len(stage.places)), np.diff(ragged.offsets))
        mine = stage.events.type[ragged.positions] == stage.rules[place].type
        count += np.bincount(example[mine], minlength=len(count))
    return count


def staleness_of(sight: Sight) -> Histogram:
    """Age of the newest token of each example."""
    ages = []
    for stage, tokens in zip(sight.stages, sight.tokens, strict=True):
        newest = np.full(len(stage.places), np.iinfo(np.int64).min)
        np.maximum.at(newest, tokens.example, stage.events.time_us[tokens.row])
        some = np.bincount(tokens.example, minlength=len(newest)) > 0
        ages.append((stage.as_of_us - newest)[some])
    return staleness_histogram(_joined(ages), sight.looked.examples)


def vocab_of(
    definition: Definition, sight: Sight, encoders: Sequence[Encoder], fitted: Fitted, note: str
) -> tuple[Share, ...]:
    """How many tokens have a value of the vocabulary, a vocab feature."""
    found = []
    for encoder in encoders:
        if encoder.feature.function != "vocab":
            continue
        known = 0
        for stage, tokens in zip(sight.stages, sight.tokens, strict=True):
            known += (
                known_values(encoder, encode(encoder, definition, stage, tokens.example, tokens.row, tokens.added)) or 0
            )
        total = sum(len(each.row) for each in sight.tokens)
        values = len(fitted.by_feature[encoder.name].values)
        found.append(Share(encoder.name, known, total, f"{values:,} values{note}"))
    return tuple(found)


def headline_of(definition: Definition, index: Index) -> Headline:
    """About the index, from what its build met."""
    report, source = index.report, index.source
    tally = report.tally
    return Headline(
        source=definition.source,
        pin="" if source.table is None else f"snapshot {source.table.snapshot_id}",
        rows_read=tally.get("read"),
        rows_indexed=report.rows,
        duplicates=tally.get("dropped", 0),
        late=tally.get("late") if definition.arrival is not None else None,
        entities=report.entities,
        types=tuple(sorted(report.by_type.items())),
        first_us=report.first_us,
        last_us=report.last_us,
        index_bytes=report.bytes,
    )


def pin_text(pin: SourcePin) -> str:
    """``lake.train (snapshot 12)``; the name alone of what has no snapshots."""
    return pin.name if pin.table is None else f"{pin.name} (snapshot {pin.table.snapshot_id})"


def _joined(parts: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    return np.concatenate(parts) if parts else np.empty(0, np.int64)
