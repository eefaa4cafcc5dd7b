"""Livy's request to start a session, read as Livy reads it: its fields, its refusals, its codes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = [
    "KINDS",
    "LivyRefusal",
    "duration_ms",
    "read_batch_request",
    "read_json",
    "read_session_request",
    "refused",
    "refused_conf",
]

KINDS = {
    "pyspark": "pyspark",
    "python": "pyspark",
    "sql": "sql",
    "spark": "spark",
    "scala": "spark",
    "shared": "shared",
    "sparkr": "sparkr",
    "r": "sparkr",
}
"""The kinds of Livy by every name that it takes."""

_TEXTS = ("proxyUser", "driverMemory", "executorMemory", "queue", "name", "ttl", "idleTimeout")
_NUMBERS = ("driverCores", "executorCores", "numExecutors", "heartbeatTimeoutInSecond")
_LISTS = ("jars", "pyFiles", "files", "archives")
_FIELDS = frozenset(("kind", "conf", *_TEXTS, *_NUMBERS, *_LISTS))
_BATCH_TEXTS = ("file", "className", "proxyUser", "driverMemory", "executorMemory", "queue", "name")
_BATCH_NUMBERS = ("driverCores", "executorCores", "numExecutors")
_BATCH_LISTS = ("args", *_LISTS)
_BATCH_FIELDS = frozenset(("conf", *_BATCH_TEXTS, *_BATCH_NUMBERS, *_BATCH_LISTS))

_UNITS = {"us": 0.001, "ms": 1, "s": 1000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000, "": 1000}
_INTEGER = re.compile(r"-?[0-9]{1,15}")
_DURATION = re.compile(r"(-?[0-9]{1,15})\s*([a-z]*)\Z")


class LivyRefusal(Exception):
    """An answer that is no success.

    Args:
        status: HTTP status.
        body: JSON; None sends an empty body.
    """

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body


def refused(why: str) -> LivyRefusal:
    """A refused argument."""
    return LivyRefusal(400, {"msg": f"Rejected, Reason: {why}"})


def read_json(body: bytes) -> dict[str, Any]:
    """The JSON object of a request, whatever its content type says.

    Raises:
        LivyRefusal: 400 with a bare string for what is no JSON object.
    """
    try:
        found = json.loads(body or b"")
    except (ValueError, RecursionError) as exc:
        raise LivyRefusal(400, f"the body is no JSON: {exc}") from None
    if not isinstance(found, dict):
        raise LivyRefusal(400, f"the body is {type(found).__name__}, not a JSON object")
    if b"\\u" in body and any(not _storable(text) for text in _texts(found)):
        raise LivyRefusal(400, "the body holds a character that is none: NUL, or half of a surrogate pair")
    return found


def _storable(text: str) -> bool:
    return not any(char == "\0" or "\ud800" <= char <= "\udfff" for char in text)


def _texts(value: Any) -> Iterator[str]:
    """Every text of a JSON value."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            yield from one
            left.extend(one.values())
        elif isinstance(one, list):
            left.extend(one)


def read_session_request(data: Mapping[str, Any]) -> dict[str, Any]:
    """Check the fields of a request and give them in Livy's types.

    Returns:
        ``kind`` in Livy's first name of it, and each field that was sent and is not null.

    Raises:
        LivyRefusal: as Livy answers.
    """
    _known(data, _FIELDS)
    found = {"kind": _kind(data.get("kind")), **_typed(data, _TEXTS, _NUMBERS, _LISTS)}
    for name in ("ttl", "idleTimeout"):
        if name in found:
            duration_ms(found[name])
    _check_name(found)
    return found


def read_batch_request(data: Mapping[str, Any]) -> dict[str, Any]:
    """Check the fields of a request to run a batch and give them in Livy's types.

    Raises:
        LivyRefusal: as Livy answers.
    """
    _known(data, _BATCH_FIELDS)
    found = _typed(data, _BATCH_TEXTS, _BATCH_NUMBERS, _BATCH_LISTS)
    if not found.get("file"):
        raise refused("requirement failed: File is required.")
    _check_name(found)
    return found


def duration_ms(text: str) -> int:
    """Milliseconds of ``10m``, ``90s``, ``1h``; a number without a unit counts seconds.

    Raises:
        LivyRefusal: it is none.
    """
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None or match[2] not in _UNITS:
        raise refused(f"Invalid time string: {text}")
    return int(int(match[1]) * _UNITS[match[2]])


def refused_conf(key: str) -> bool:
    """Whether a setting is the platform's word and not a session's."""
    return key in _OURS


def _known(data: Mapping[str, Any], fields: frozenset[str]) -> None:
    if unknown := sorted(set(data) - fields):
        raise LivyRefusal(400, f'Unrecognized field "{unknown[0]}", not marked as ignorable')


def _typed(
    data: Mapping[str, Any], texts: Sequence[str], numbers: Sequence[str], lists: Sequence[str]
) -> dict[str, Any]:
    readers = {**dict.fromkeys(texts, _text), **dict.fromkeys(numbers, _number), **dict.fromkeys(lists, _list)}
    found = {name: read(name, data[name]) for name, read in readers.items() if data.get(name) is not None}
    return {**found, "conf": _conf(data.get("conf"))}


def _check_name(found: Mapping[str, Any]) -> None:
    if found.get("name", "").isdecimal():
        # Before anything is started: Livy answers so only after it has launched a driver, which then leaks.
        raise refused(f"Session name {found['name']} can not be all digits")


def _kind(value: Any) -> str:
    if value is None:
        return "shared"
    if not isinstance(value, str) or value not in KINDS:
        raise LivyRefusal(400, f"Invalid kind: {value}")
    return KINDS[value]


def _text(name: str, value: Any) -> str:
    if isinstance(value, (dict, list)):
        raise LivyRefusal(400, f"Can not construct a text for {name}")
    return value if isinstance(value, str) else json.dumps(value)


def _number(name: str, value: Any) -> int:
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        # Livy's own answer; see docs/livy-deviations.md.
        raise LivyRefusal(500, f"Can not construct a number for {name} from {json.dumps(value)}")
    if not -(1 << 31) <= value < 1 << 31:
        raise LivyRefusal(500, f"Numeric value ({value}) out of range of int for {name}")
    return int(value)


def _list(name: str, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise LivyRefusal(400, f"{name} is no list of texts")
    return value


def _conf(value: Any) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or any(isinstance(item, (dict, list)) for item in value.values()):
        raise LivyRefusal(400, "conf is no object of texts")
    for key in value:
        if refused_conf(key):
            raise refused(f"Blacklisted configuration values in session config: {key}")
    given = {key: item for key, item in value.items() if item is not None}
    return {key: item if isinstance(item, str) else json.dumps(item) for key, item in given.items()}


# Where sessions run is the platform's word, not a notebook's.
_OURS = frozenset(
    ("spark.master", "spark.submit.deployMode", "spark.yarn.jar", "spark.yarn.jars", "spark.yarn.archive")
)
