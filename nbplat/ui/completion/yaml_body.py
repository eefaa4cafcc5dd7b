"""A definition in YAML: the keys that may stand at this depth, and the values of those whose set is closed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from nbplat.ui.completion.offer import Names, Offers, offers

__all__ = ["yaml_offers"]

_KEY_LINE = re.compile(r"(\s*)(?:- )?([^\W\d][\w-]*)\s*:(.*)\Z")
_SOURCE = re.compile(r"^source:\s*([\w.]+)\s*$", re.MULTILINE)


def yaml_offers(noun: str, body: str, cursor: int, names: Names) -> Offers:
    """What may stand at a character of a definition."""
    lines = body[:cursor].split("\n")
    line, above = lines[-1], lines[:-1]
    keys = _keys(noun)
    match = _KEY_LINE.match(line)
    if match is None:
        if line.strip() and not re.fullmatch(r"\s*[\w-]+", line):
            return offers("")
        path = _path(above, len(line) - len(line.lstrip()))
        return offers(line.strip(), ("key", (f"{name}:" for name in _under(path, keys))))
    value = match[3].lstrip()
    path = (*_path(above, len(match[1])), match[2])
    for declared, takes, choices in keys:
        if _fits(declared, path):
            return _value(value, takes, choices, body, names)
    return offers("")


def _value(value: str, takes: str, choices: Sequence[str], body: str, names: Names) -> Offers:
    if choices:
        return offers(value, ("value", choices))
    if "namespace.table" in takes:
        return offers(value, ("table", names.tables()))
    if "column" in takes and (source := _SOURCE.search(body)):
        last = value.rpartition(",")[2].lstrip("[ ")
        return offers(last, ("column", names.columns(source[1])))
    return offers("")


def _keys(noun: str) -> list[tuple[tuple[str, ...], str, Sequence[str]]]:
    if noun == "sequence":
        from nbplat.sequence.keys import KEYS

        return [(tuple(key.path.split(".")), key.takes, key.choices) for key in KEYS]
    from nbplat.environment.keys import KEYS as ENVIRONMENT_KEYS

    return [(tuple(key.path.split(".")), key.takes, _written_out(key.takes)) for key in ENVIRONMENT_KEYS]


def _written_out(takes: str) -> list[str]:
    """The values of a key whose text is nothing but them: ``a`` or ``b``."""
    values = re.findall(r"`([^`]+)`", takes)
    return values if re.fullmatch(r"(`[^`]+`(, | or )?)+", takes) else []


def _path(above: Sequence[str], depth: int) -> tuple[str, ...]:
    """The keys that hold a line of this depth, outermost first."""
    found: list[str] = []
    for line in reversed(above):
        match = _KEY_LINE.match(line)
        if match is not None and len(match[1]) < depth:
            found.append(match[2])
            depth = len(match[1])
    return tuple(reversed(found))


def _under(path: tuple[str, ...], keys: Sequence[tuple[tuple[str, ...], str, Sequence[str]]]) -> list[str]:
    found = [
        declared[len(path)]
        for declared, _, _ in keys
        if len(declared) > len(path) and _fits(declared[: len(path)], path)
    ]
    return [name for name in dict.fromkeys(found) if not name.startswith(("<", "*"))]


def _fits(declared: Sequence[str], path: Sequence[str]) -> bool:
    return len(declared) == len(path) and all(
        own.startswith(("<", "*")) or own == word for own, word in zip(declared, path, strict=True)
    )
