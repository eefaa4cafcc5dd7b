"""What a preview holds: steps, types, the leak count, and strips of a few telling examples."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from nbplat.terms import SnapshotPin

__all__ = ["Leak", "SequencePreview", "Step", "Strip", "Token", "TypeSummary"]


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the funnel: how many rows went in and came out, and why others did not."""

    name: str
    rows_in: int
    rows_out: int
    note: str


@dataclass(frozen=True, slots=True)
class TypeSummary:
    """One event type over all examples.

    Attributes:
        last: The declared number.
        events: Events of the type in the index.
        tokens: Kept over all examples.
        mean_length: Tokens an example.
        examples_empty: Examples without one; they stay.
        examples_cut: Examples with more events than `last`.
    """

    event_type: str
    last: int
    events: int
    tokens: int
    mean_length: float
    examples_empty: int
    examples_cut: int


@dataclass(frozen=True, slots=True)
class Leak:
    """Whether any example sees its own present or future.

    Attributes:
        strict: As defined.
        tokens: Checked tokens, over all examples.
        at_or_after: Tokens at or after the as-of instant; 0 when strict.
        hidden: Events of the examples' entities that the instant hides.
    """

    strict: bool
    tokens: int
    at_or_after: int
    hidden: int


@dataclass(frozen=True, slots=True)
class Token:
    """One event of a strip: type, time (ISO, UTC, or a number) and the shown columns as texts."""

    event_type: str
    time: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Strip:
    """One example.

    Attributes:
        kind: ``short``, ``median``, ``long`` or ``heaviest``, by events before the instant.
        entity, as_of: As texts.
        tokens: What the model would see, oldest first, types merged by time.
        cut: Events before the instant that `last` left out.
        hidden: Events at or after it (after it, when not strict).
        leaked: Tokens at or after it.
    """

    kind: str
    entity: str
    as_of: str
    tokens: tuple[Token, ...]
    cut: int
    hidden: int
    leaked: int


@dataclass(frozen=True, slots=True)
class SequencePreview:
    """A definition seen on real rows.

    Attributes:
        version: SHA-256 of the definition.
        definition: Its canonical record.
        events, examples: The pinned tables.
        example_rows: Examples, all of them kept.
        steps: The funnel, in order.
        defaults: What was not written and is taken.
        warnings: What a reader should know.
    """

    name: str
    version: str
    definition: dict[str, Any]
    events: SnapshotPin
    examples: SnapshotPin
    example_rows: int
    steps: tuple[Step, ...]
    types: tuple[TypeSummary, ...]
    leak: Leak
    strips: tuple[Strip, ...]
    defaults: tuple[str, ...]
    warnings: tuple[str, ...]
    seconds: float

    def record(self) -> dict[str, Any]:
        """JSON form (tuples read as lists)."""
        return asdict(self)
