"""Livy's request to start a session, read as Livy reads it: its fields, its refusals, its codes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["KINDS", "LivyRefusal", "duration_ms", "read_json", "read_session_request", "refused", "refused_conf"]

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

_UNITS = {"us": 0.001, "ms": 1, "s": 1000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000, "": 1000}
_DURATION = re.compile(r"(-?\d+)\s*([a-z]*)\Z")


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
    return found


def read_session_request(data: Mapping[str, Any]) -> dict[str, Any]:
    """Check the fields of a request and give them in Livy's types.

    Returns:
        ``kind`` in Livy's first name of it, and each field that was sent and is not null.

    Raises:
        LivyRefusal: as Livy answers.
    """
    if unknown := sorted(set(data) - _FIELDS):
        raise LivyRefusal(400, f'Unrecognized field "{unknown[0]}", not marked as ignorable')
    found: dict[str, Any] = {"kind": _kind(data.get("kind"))}
    for name in _TEXTS:
        if data.get(name) is not None:
            found[name] = _text(name, data[name])
    for name in _NUMBERS:
        if data.get(name) is not None:
            found[name] = _number(name, data[name])
    for name in _LISTS:
        if data.get(name) is not None:
            found[name] = _list(name, data[name])
    found["conf"] = _conf(data.get("conf"))
    for name in ("ttl", "idleTimeout"):
        if name in found:
            duration_ms(found[name])
    if found.get("name", "").isdecimal():
        # Before anything is started: Livy answers so only after it has launched a driver, which then leaks.
        raise refused(f"Session name {found['name']} can not be all digits")
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
    if isinstance(value, str) and value.strip().lstrip("-").isdecimal():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        # Livy's own answer; see docs/livy-deviations.md.
        raise LivyRefusal(500, f"Can not construct a number for {name} from {json.dumps(value)}")
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
