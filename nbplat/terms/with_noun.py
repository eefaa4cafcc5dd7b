"""Counts with their noun, as a person writes them."""

from __future__ import annotations

__all__ = ["counted"]


def counted(count: int, noun: str, plural: str = "") -> str:
    """``1 user``, ``2 users``, ``1,234 entities``; `plural` where it is not the noun and an s."""
    return f"{count:,} {noun if abs(count) == 1 else plural or noun + 's'}"
