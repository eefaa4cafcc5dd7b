"""One character a token: its type's letter when it is in, a sign of the reason when it is out."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from nbplat.sequence.preview.figures import moment_text
from nbplat.sequence.preview.record import REASONS, Strip, Token

__all__ = ["LEAK_SIGN", "MARKS", "REASON_SIGNS", "instant_text", "legend", "sign"]

REASON_SIGNS: Mapping[str, str] = MappingProxyType(
    {
        "not_before": "·",
        "in_gap": ":",
        "not_known": "?",
        "superseded": "=",
        "where_false": "×",
        "outside_window": "-",
        "beyond_last": ".",
        "not_nearest": "~",
        "cut_by_size": "/",
    }
)
LEAK_SIGN = "!"

# Colour is never the only sign of a verdict.
MARKS: Mapping[str, str] = MappingProxyType({"ok": "✓", "risk": "!", "leak": "✗", "unchecked": "?"})


def sign(token: Token, letters: Mapping[str, str]) -> str:
    """The token's character; in upper case (a digit or ``#`` as ``!``) when it comes from the future."""
    if not token.selected:
        return REASON_SIGNS[token.reason]
    letter = letters[token.event_type]
    if not token.future:
        return letter
    return letter.upper() if letter.isalpha() else LEAK_SIGN


def legend(strips: tuple[Strip, ...]) -> list[tuple[str, str]]:
    """Sign and meaning of the reasons that occur, in the order of the rules."""
    met = {reason for strip in strips for reason, _ in strip.counts}
    return [(REASON_SIGNS[reason], REASONS[reason]) for reason in REASON_SIGNS if reason in met]


def instant_text(strip: Strip) -> str:
    """The strip's instant; ``end`` when its examples have none and see whole histories."""
    return "end" if strip.timeless else moment_text(strip.as_of_us)
