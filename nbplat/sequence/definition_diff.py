"""What two definitions differ in, key by key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nbplat.declared.key_path import join_path
from nbplat.sequence.definition import Definition
from nbplat.sequence.write import to_keys

__all__ = ["diff_definitions"]


def diff_definitions(old: Definition, new: Definition) -> tuple[tuple[str, Any, Any], ...]:
    """Path, old and new value of every key that differs, sorted by path; empty when the versions are the same.

    A value is a text, number, boolean or list, as a person writes it; None where the key has no value on that side.
    Defaults are filled in, so that writing one out is no difference, and the order of types does not count. Names of
    the definitions are not compared.
    """
    olds, news = (dict(_flat(to_keys(each, full=True, structured=True))) for each in (old, new))
    found = ((path, olds.get(path), news.get(path)) for path in sorted({*olds, *news}))
    return tuple((join_path(*path), before, after) for path, before, after in found if before != after)


def _flat(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(value, Mapping) and value:
        for name, each in value.items():
            yield from _flat(each, (*path, name))
    else:
        # A mapping without keys stands for itself: an event type with nothing but defaults is one nonetheless.
        yield path, value
