"""`%%configure`: how a notebook's session is started, in the words of Livy's request or in our own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from nbplat.errors import RequestError, did_you_mean
from nbplat.session.session_request import FIELDS

__all__ = ["read_configure"]

_LISTS = frozenset({"jars", "py_files", "files", "archives"})
_WHOLE = frozenset({"driver_cores", "executor_cores", "num_executors"})
_OTHERS = ("kind", "conf", "environment", "profile")
_HEARTBEAT = "heartbeatTimeoutInSecond"


def read_configure(text: str) -> dict[str, Any]:
    """The fields of a request to start a session.

    Raises:
        RequestError: ``session.configure``: it is no JSON object, or holds a field that sessions do not have.
    """
    try:
        found = json.loads(text)
    except ValueError as exc:
        at = f"line {exc.lineno}, column {exc.colno}" if isinstance(exc, json.JSONDecodeError) else ""
        raise _refused(f"the cell is no JSON: {exc}", '{"driverMemory": "2g", "conf": {…}}', at) from None
    if not isinstance(found, dict):
        raise _refused(f"the cell is {type(found).__name__}, not a JSON object", '{"driverMemory": "2g"}', "")
    ours = {**{livys: name for name, livys in FIELDS.items()}, **{name: name for name in (*FIELDS, *_OTHERS)}}
    fields: dict[str, Any] = {}
    for key, value in found.items():
        # Our own heartbeat is the service's; nothing else in it concerns whoever writes a cell.
        if key == _HEARTBEAT:
            continue
        if key not in ours:
            raise _refused(f"a session has no field {key!r}", did_you_mean(key, ours), key)
        fields[ours[key]] = _typed(ours[key], value)
    return {name: value for name, value in fields.items() if value is not None}


def _typed(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name == "conf":
        if not isinstance(value, Mapping):
            raise _refused(
                f"conf is {type(value).__name__}, not an object of settings", '{"conf": {"KEY": "VALUE"}}', name
            )
        return {str(key): _text(each) for key, each in value.items()}
    if name in _LISTS:
        if not isinstance(value, list):
            raise _refused(f"{name} is {type(value).__name__}, not a list", f'{{"{name}": ["…"]}}', name)
        return [str(each) for each in value]
    if name in _WHOLE:
        try:
            return int(value)
        except (TypeError, ValueError):
            raise _refused(f"{name} is {value!r}, not a whole number", f'{{"{name}": 2}}', name) from None
    return _text(value)


def _text(value: Any) -> str:
    # As Spark writes truths.
    return str(value).lower() if isinstance(value, bool) else str(value)


def _refused(why: str, fix: str, where: str) -> RequestError:
    return RequestError(
        "session.configure", why, fix=fix if fix.startswith(("did", "known")) else f"write {fix}", where=where
    )
