"""The sequences that a definition gives: one of all types, or one a type."""

from __future__ import annotations

from typing import NamedTuple

from nbplat.sequence.definition import Definition

__all__ = ["Group", "groups_of"]


class Group(NamedTuple):
    """One sequence of a definition: all types in a mixed layout, else one type.

    Attributes:
        event_type: Empty in a mixed layout.
        prefix: Begins the names of its arrays, ``click__``; empty in a mixed layout.
        rules: Places of its rules among the definition's.
        length: L as declared; None: what the rules can give.
        most: L, or what the rules can give.
    """

    event_type: str
    prefix: str
    rules: tuple[int, ...]
    length: int | None
    most: int


def groups_of(definition: Definition) -> tuple[Group, ...]:
    """The sequences of a definition, in the order of its events."""
    size = definition.size
    given = [rule.last if rule.select is None else min(rule.last, rule.select.count) for rule in definition.events]
    if definition.layout == "mixed":
        most = sum(given) if size.length is None else size.length
        return (Group("", "", tuple(range(len(given))), size.length, most),)
    found = []
    for at, rule in enumerate(definition.events):
        length = size.lengths.get(rule.event_type, size.length)
        most = given[at] if length is None else length
        found.append(Group(rule.event_type, f"{rule.event_type}__", (at,), length, most))
    return tuple(found)
