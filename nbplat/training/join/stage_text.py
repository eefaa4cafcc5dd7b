"""A stage's options as words of one text, the same in a cell, in a shell and in Python."""

from __future__ import annotations

import json
import shlex
from typing import Any

from nbplat.errors import RequestError, did_you_mean

__all__ = ["stage_options"]

_LISTS = ("columns", "on", "present")
_PAIRS = ("rename", "fill")
_TEXTS = ("prefix", "duplicates", "order_by")
_FLAGS = ("replace", "across_dates")
_KNOWN = (*_LISTS, *_PAIRS, *_TEXTS, *_FLAGS)


def stage_options(text: str, words: str) -> dict[str, Any]:
    """Read ``prefix=c_ rename=b_ctr:ctr,b_cnt:cnt fill=ctr:0.0 present=ctr on=rid replace``.

    Args:
        text: The whole, for errors.
        words: What stands behind the name.

    Returns:
        Fields of `Stage`.

    Raises:
        RequestError: ``training.option``: a word that is no option, or lacks its value.
    """
    found: dict[str, Any] = {}
    for word in shlex.split(words):
        name, equals, value = word.partition("=")
        if name not in _KNOWN:
            raise _odd(text, word, did_you_mean(name, _KNOWN))
        if (name in _FLAGS) == bool(equals):
            raise _odd(text, word, f"write {name}" if name in _FLAGS else f"write {name}=…")
        if name in _FLAGS:
            found[name] = True
        elif name in _TEXTS:
            found[name] = value
        elif name in _LISTS:
            found[name] = tuple(part.strip() for part in value.split(",") if part.strip())
        else:
            pairs = [pair.partition(":") for pair in value.split(",")]
            if not all(key and colon and meant for key, colon, meant in pairs):
                raise _odd(text, word, f"write {name}=COLUMN:VALUE,COLUMN:VALUE")
            found[name] = {key: meant if name == "rename" else _value(meant) for key, _, meant in pairs}
    return found


def _value(text: str) -> Any:
    """A number or truth value where it reads as one, ``nan``, else the text."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float | bool | str) else text


def _odd(text: str, word: str, fix: str) -> RequestError:
    return RequestError("training.option", f"{word!r} of the stage {text!r} is not possible", fix=fix)
