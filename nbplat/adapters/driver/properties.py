"""Spark's settings as a Java properties file."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["properties_text"]


def properties_text(conf: Mapping[str, str]) -> str:
    """One line a setting, all ASCII."""
    return "".join(f"{_escaped_key(key)} {_escaped(value)}\n" for key, value in conf.items())


def _escaped_key(key: str) -> str:
    return "".join("\\" + char if char in " :=#!" else char for char in _escaped(key.strip()))


def _escaped(value: str) -> str:
    text = value.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
    if text[:1] == " ":
        text = "\\" + text
    units = text.encode("utf-16-be")
    codes = [int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2)]
    return "".join(chr(code) if 32 <= code < 127 else f"\\u{code:04x}" for code in codes)
