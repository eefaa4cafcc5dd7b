"""What a preview holds: the headline, the funnel, strips of telling examples, small charts, the leak panel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from nbplat.sequence.preview.figures import share_text
from nbplat.sequence.preview.leak_record import LeakPanel
from nbplat.sequence.preview.model_record import ModelView

__all__ = [
    "REASONS",
    "Enriched",
    "Headline",
    "Histogram",
    "Looked",
    "SequencePreview",
    "Share",
    "Step",
    "Strip",
    "Token",
    "TypeSummary",
]

# Why an event is in or out, in the order in which the rules are asked: the first that fails is the reason.
REASONS: Mapping[str, str] = MappingProxyType(
    {
        "not_before": "at or after the instant",
        "in_gap": "inside the gap before the instant",
        "not_known": "not known yet",
        "superseded": "a later copy was known",
        "where_false": "where is false",
        "outside_window": "outside the window",
        "beyond_last": "beyond last N",
        "not_nearest": "not among the nearest",
        "cut_by_size": "cut by size",
        "selected": "the model sees it",
    }
)


@dataclass(frozen=True, slots=True)
class Headline:
    """One line of truth about the events that the index holds.

    Attributes:
        source: As declared.
        pin: What was read of it, ``snapshot 123``; empty for rows held in memory.
        rows_read: Rows of the source; None where the index does not say.
        rows_indexed: Events in the index.
        duplicates: Rows dropped as copies of another.
        late: Rows that were known only after their time; None without an arrival clock.
        entities: Distinct entities.
        types: Type and its events, by name.
        first_us, last_us: Range of the events' times, microseconds since 1970 UTC; None when there is no event.
        index_bytes: Stored size, or the size in memory.
        build_s: Seconds the build took; None where the index does not say.
    """

    source: str
    pin: str
    rows_read: int | None
    rows_indexed: int
    duplicates: int
    late: int | None
    entities: int
    types: tuple[tuple[str, int], ...]
    first_us: int | None
    last_us: int | None
    index_bytes: int
    build_s: float | None = None


@dataclass(frozen=True, slots=True)
class Looked:
    """How much of the index and of the examples the counts below the headline stand for.

    Attributes:
        buckets, of_buckets: Buckets read, of those that hold examples.
        examples, of_examples: Examples looked at, of all.
        events: Events read.
    """

    buckets: int
    of_buckets: int
    examples: int
    of_examples: int
    events: int

    @property
    def whole(self) -> bool:
        """True when every example was looked at."""
        return self.examples == self.of_examples

    def text(self) -> str:
        """``12 of 64 buckets, 18 % of the examples (180 of 1,000)``; ``all 2,000 examples``."""
        if self.whole:
            return f"all {self.of_examples:,} examples"
        share = share_text(self.examples, self.of_examples)
        return (
            f"{self.buckets:,} of {self.of_buckets:,} buckets, {share} of the examples"
            f" ({self.examples:,} of {self.of_examples:,})"
        )


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the funnel.

    Attributes:
        name: ``read`` and the like while the index was built; then ``retrieve filter enrich size featurize``.
        rows_in, rows_out: Rows.
        left_out: Why and how many of the others, only where there are any.
        note: What else the step says; may be empty.
    """

    name: str
    rows_in: int
    rows_out: int
    left_out: tuple[tuple[str, int], ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts over bins.

    Attributes:
        name: What is counted.
        labels: One a bin, from low to high.
        counts: One a bin.
        mark: Place of the bin that holds the declared number; None: nothing is marked.
        mark_text: What is marked, ``last 100``; empty when nothing is.
        note: What it comes to, ``12.4 % at the cap``.
    """

    name: str
    labels: tuple[str, ...]
    counts: tuple[int, ...]
    mark: int | None = None
    mark_text: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of `of`; `note` says what else is known."""

    name: str
    count: int
    of: int
    note: str = ""

    @property
    def share(self) -> float:
        """From 0 to 1; 0 of nothing is 0."""
        return self.count / self.of if self.of else 0.0


@dataclass(frozen=True, slots=True)
class TypeSummary:
    """One event type over the examples that were looked at.

    Attributes:
        event_type: Its name.
        rule: What is declared of it, ``last 100 · within 90d``.
        events: Events of the type in the index.
        tokens: Kept over all examples, after sizing.
        mean_length: Tokens an example.
        examples_empty: Examples without one; they stay.
        examples_cut: Examples with more events than the rule's `last`.
        lengths: Events an example may see before `last` cuts, `last` marked.
    """

    event_type: str
    rule: str
    events: int
    tokens: int
    mean_length: float
    examples_empty: int
    examples_cut: int
    lengths: Histogram


@dataclass(frozen=True, slots=True)
class Enriched:
    """An enrichment of one event: its value as text, None when nothing was found, and from when it held.

    `valid_from_us` is None when nothing was found, and where the enrichment has no time column.
    """

    name: str
    value: str | None
    valid_from_us: int | None


@dataclass(frozen=True, slots=True)
class Token:
    """One event of a strip.

    Attributes:
        event_type: Its type.
        time_us: Microseconds since 1970 UTC.
        reason: Key of `REASONS`; ``selected`` is in, every other one is out.
        values: Texts of the preview's `shown` columns; None is null.
        enriched: The enrichments, in the order declared.
        seen_us: When it was known; None without an arrival clock.
        future: Which parts of a selected token come from the example's present or future: ``time``, ``arrival``,
            ``enrichment``; empty is good.
    """

    event_type: str
    time_us: int
    reason: str
    values: tuple[str | None, ...] = ()
    enriched: tuple[Enriched, ...] = ()
    seen_us: int | None = None
    future: tuple[str, ...] = ()

    @property
    def selected(self) -> bool:
        """True when the model sees it."""
        return self.reason == "selected"


@dataclass(frozen=True, slots=True)
class Strip:
    """One example and the events of its entity.

    Attributes:
        kind: ``short``, ``median``, ``long`` or ``heaviest``, by events before the instant.
        entity: As text.
        as_of_us: The example's instant; `cutoff_us` is so much before it as the gap; None: there is no cutoff.
        timeless: The examples have no instants, as ``as_of.at: end`` lets them: `as_of_us` is 0, and no moment.
        tokens: Events by time, oldest first. Of very long histories both ends and what is around the instant.
        omitted: ``(place, count)``: so many events before ``tokens[place]`` are not drawn.
        counts: Reason and its events, over all of the example's events, the ones not drawn as well; no zeros.
        future: Tokens from the example's present or future.
    """

    kind: str
    entity: str
    as_of_us: int
    cutoff_us: int | None
    tokens: tuple[Token, ...]
    omitted: tuple[tuple[int, int], ...]
    counts: tuple[tuple[str, int], ...]
    future: int
    timeless: bool = False


@dataclass(frozen=True, slots=True)
class SequencePreview:
    """A definition seen on real rows.

    Attributes:
        name: Of the definition.
        version: SHA-256 of the definition.
        variant: Name of the variant; empty for the definition itself.
        definition: Its canonical record.
        examples: Where the examples come from, ``lake.train (snapshot 12)``.
        headline: About the index.
        looked: What everything below stands for.
        steps: The funnel, in order: those of the build, then of the reading.
        types: In the order of the definition.
        staleness: Age of the newest token, an example.
        hits: Share of the tokens that each enrichment found a value for.
        vocab: Share of the tokens whose value is in the vocabulary, a vocab feature.
        leak: The leak panel.
        shown: Names of the columns in `Token.values`.
        strips: From the shortest history to the heaviest.
        models: The batch as the model gets it, for the strips' examples; one in a mixed layout, one a type otherwise.
        padding: Share of padded cells over all examples that were looked at, padded to the declared length.
        tokens_bytes: Bytes of the padded features of the examples that were looked at.
        defaults: What was not written and is taken.
        warnings: What a reader should know.
        seconds: What the preview took.
    """

    name: str
    version: str
    variant: str
    definition: Mapping[str, Any]
    examples: str
    headline: Headline
    looked: Looked
    steps: tuple[Step, ...]
    types: tuple[TypeSummary, ...]
    staleness: Histogram
    hits: tuple[Share, ...]
    vocab: tuple[Share, ...]
    leak: LeakPanel
    shown: tuple[str, ...]
    strips: tuple[Strip, ...]
    models: tuple[ModelView, ...]
    padding: float
    tokens_bytes: int
    defaults: tuple[str, ...]
    warnings: tuple[str, ...]
    seconds: float

    def record(self) -> dict[str, Any]:
        """JSON form (tuples read as lists); shares and verdicts are written out."""
        found = asdict(self)
        for name in ("hits", "vocab"):
            for each, share in zip(found[name], getattr(self, name), strict=True):
                each["share"] = share.share
        found["leak"]["verdict"] = self.leak.verdict
        found["leak"]["share"] = self.leak.share
        return found
