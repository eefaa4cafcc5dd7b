"""What the source of a definition is, told by its text alone."""

from __future__ import annotations

import re

from nbplat.errors import RequestError
from nbplat.terms import TableName

__all__ = ["source_kind"]

_FRAME = re.compile(r"[^\W\d]\w*\Z")


def source_kind(text: str) -> str:
    """``path`` (it has a slash or a wildcard, or ends in ``.parquet``), ``table`` or ``frame``.

    Raises:
        ValueError: it is none of them; the message says so.
    """
    if "/" in text or "*" in text or text.endswith(".parquet"):
        return "path"
    if _FRAME.match(text):
        return "frame"
    try:
        TableName.parse(text)
    except RequestError:
        raise ValueError(f"{text!r} is neither a table nor a path nor a DataFrame") from None
    return "table"
