"""YAML as lock files have it: one way to write each value, so that equal locks are equal bytes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["scalar", "write_list", "write_map"]

_PLAIN = re.compile(r"(?:[A-Za-z_/]|\.\.?/)(?:[A-Za-z0-9_./ +~^<>=!|*;:()\[\]',@-]*[A-Za-z0-9_./+*)\]'@-])?\Z")
_VERSION = re.compile(r"\d+(\.[A-Za-z0-9_+!]+){2,}\Z")
_MEANS_MORE = re.compile(r"(?i)(null|true|false|yes|no|on|off|y|n|~|\.inf|\.nan|\.)\Z")


def scalar(text: str | int) -> str:
    """A value as YAML 1.1 and 1.2 both read it back: plain where it is safe, else in double quotes."""
    if isinstance(text, int):
        return str(text)
    hexadecimal = re.fullmatch(r"[0-9a-f]{32}|[0-9a-f]{64}", text)
    if hexadecimal and not re.fullmatch(r"\d+(e\d+)?", text):
        return text
    if _VERSION.match(text) or (_PLAIN.match(text) and not _MEANS_MORE.match(text) and ": " not in text):
        return text
    # What JSON writes is YAML too; escapes beyond ASCII would only make it hard to read.
    return json.dumps(text, ensure_ascii=False)


def write_list(key: str, values: Iterable[str], indent: str = "") -> list[str]:
    """The lines of a list of texts; an empty one stays on the line of its key."""
    found = list(values)
    return [f"{indent}{key}:", *(f"{indent}- {scalar(value)}" for value in found)] if found else [f"{indent}{key}: []"]


def write_map(entries: Mapping[str, Any], indent: str = "", first: str = "") -> list[str]:
    """The lines of a mapping of texts, numbers and lists of texts.

    Args:
        first: Stands for `indent` on the first line: ``- `` of a list's item.
    """
    lines: list[str] = []
    for key, value in entries.items():
        if isinstance(value, Sequence) and not isinstance(value, str):
            lines += write_list(key, value, indent)
        else:
            lines.append(f"{indent}{key}: {scalar(value)}")
    if lines and first:
        lines[0] = first + lines[0].removeprefix(indent)
    return lines
