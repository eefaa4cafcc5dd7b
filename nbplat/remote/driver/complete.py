"""What may follow at the cursor, and what the name under it is; answered beside the running cell, within a limit."""

from __future__ import annotations

import builtins
import inspect
import keyword
import re
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["complete", "inspect_at", "within"]

_CHAIN = re.compile(r"(?:[^\W\d]\w*)(?:\.[^\W\d]\w*)*\.?\Z")
_KEY = re.compile(r"((?:[^\W\d]\w*)(?:\.[^\W\d]\w*)*)\[\s*(['\"])([^'\"]*)\Z")
_MOST = 500


def within(limit_s: float, work: Callable[[], Any], otherwise: Any) -> Any:
    """Do something that may hang (it runs user properties) on a thread of its own; `otherwise` when it is not back."""
    found: list[Any] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException:  # noqa: BLE001 - whatever a user's property raises, there is no answer then
            found.append(otherwise)

    thread = threading.Thread(target=run, name="asked", daemon=True)
    thread.start()
    thread.join(limit_s)
    return found[0] if found else otherwise


def complete(names: dict[str, Any], code: str, cursor: int) -> dict[str, Any]:
    """Names, attributes, and keys or columns in brackets, that fit the text before the cursor.

    Returns:
        ``matches`` (whole words, sorted, private ones last) and ``start`` and ``end``, the characters of `code` that
        a match takes the place of.
    """
    before = code[:cursor]
    key = _KEY.search(before)
    if key:
        found = [one for one in _keys(names, key[1]) if one.startswith(key[3])]
        return {"matches": found[:_MOST], "start": cursor - len(key[3]), "end": cursor}
    chain = _CHAIN.search(before)
    if not chain:
        return {"matches": [], "start": cursor, "end": cursor}
    head, _, tail = chain[0].rpartition(".")
    if head:
        owner = _value(names, head)
        pool = [] if owner is _NOTHING else dir(owner)
    else:
        pool = [*names, *dir(builtins), *keyword.kwlist]
    found = sorted({one for one in pool if one.startswith(tail)}, key=lambda one: (one.startswith("_"), one))
    return {"matches": found[:_MOST], "start": cursor - len(tail), "end": cursor}


def inspect_at(names: dict[str, Any], code: str, cursor: int) -> dict[str, Any]:
    """Signature, type, short value and documentation of the name at the cursor.

    Returns:
        ``found`` and, when it is true, ``text``.
    """
    end = cursor
    while end < len(code) and (code[end].isalnum() or code[end] == "_"):
        end += 1
    chain = _CHAIN.search(code[:end].rstrip("("))
    value: Any = _value(names, chain[0].rstrip(".")) if chain else _NOTHING
    if chain is None or value is _NOTHING:
        return {"found": False}
    lines = []
    try:
        lines.append(f"{chain[0].rpartition('.')[2]}{inspect.signature(value)}")
    except (TypeError, ValueError):
        text = repr(value)
        lines.append(f"value: {text if len(text) < 500 else text[:500] + '…'}")
    lines.append(f"type: {type(value).__name__}")
    document = inspect.getdoc(value)
    if document:
        lines += ["", document]
    return {"found": True, "text": "\n".join(lines)}


_NOTHING = object()


def _value(names: dict[str, Any], chain: str) -> Any:
    first, *rest = chain.split(".")
    value = names.get(first, getattr(builtins, first, _NOTHING))
    for name in rest:
        if value is _NOTHING:
            return value
        value = getattr(value, name, _NOTHING)
    return value


def _keys(names: dict[str, Any], chain: str) -> list[str]:
    owner = _value(names, chain)
    columns = owner.keys() if isinstance(owner, dict) else getattr(owner, "columns", ())
    return [str(one) for one in columns]
