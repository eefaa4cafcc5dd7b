"""What a profile lets a request set: a least, a most, or a choice; sizes are compared as sizes, counts as numbers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from nbplat.session.livy_request import LivyRefusal, duration_ms

__all__ = ["Rule", "list_keys", "read_rule"]

list_keys = frozenset({"spark.jars", "spark.submit.pyFiles", "spark.files", "spark.archives"})
"""Keys whose value is a list with commas; each entry of it must be one of the choices."""

_SIZE = re.compile(r"(\d+)\s*([kmgtp]?)(?:i?b)?\Z", re.IGNORECASE)
_POWERS = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50}
_MEMORY = re.compile(r"memory(overhead)?\Z|memory\.size\Z", re.IGNORECASE)
_TIME = re.compile(r"timeout|interval|wait|ttl|duration", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Rule:
    """What values one key may have.

    Attributes:
        least: As the site wrote it; empty: none. `most` likewise.
        choices: None: any value between `least` and `most`.
    """

    key: str
    least: str = ""
    most: str = ""
    choices: tuple[str, ...] | None = None

    def fault(self, value: str) -> str:
        """What is wrong with a value, to follow its name: ``is over 16g``; empty: nothing."""
        if self.choices is not None:
            given = value.split(",") if self.key in list_keys else [value]
            wrong = [one.strip() for one in given if one.strip() not in self.choices]
            return f"is none of {', '.join(self.choices) or 'nothing'}" if wrong else ""
        measure = self.measure()
        found = measure(value)
        if found is None:
            return f"cannot be held against {self.said()}"
        if self.least and (least := measure(self.least)) is not None and found < least:
            return f"is under {self.least}"
        if self.most and (most := measure(self.most)) is not None and found > most:
            return f"is over {self.most}"
        return ""

    def said(self) -> str:
        """The rule for people: ``1g to 16g``, ``up to 50``, ``a or b``."""
        if self.choices is not None:
            return " or ".join(self.choices)
        if self.least and self.most:
            return f"{self.least} to {self.most}"
        return f"up to {self.most}" if self.most else f"at least {self.least}"

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return {"key": self.key, "least": self.least, "most": self.most, "choices": self.choices, "said": self.said()}

    def measure(self) -> Callable[[str], Decimal | None]:
        """How values of the key are compared; what it gives None for cannot be."""
        if _TIME.search(self.key.rpartition(".")[2]):
            return _milliseconds
        if _MEMORY.search(self.key):
            # Spark counts in MiB where no unit is written.
            return lambda text: _bytes(text, 20)
        if any(_number(bound) is None for bound in (self.least, self.most) if bound):
            return lambda text: _bytes(text, 0)
        return _number


def read_rule(key: str, data: Any) -> Rule:
    """A rule as the site wrote it: ``{least = 1, most = "16g"}``, ``{choices = […]}``, or a list or value for choices.

    Raises:
        ValueError: what is wrong.
    """
    if isinstance(data, list):
        data = {"choices": data}
    elif not isinstance(data, dict):
        data = {"choices": [data]}
    if unknown := sorted(set(data) - {"least", "most", "choices"}):
        raise ValueError(f"{unknown[0]} is not least, most or choices")
    if not data or ("choices" in data and len(data) > 1):
        raise ValueError("give least and most, or choices")
    if "choices" in data:
        if not isinstance(data["choices"], list) or any(isinstance(one, dict | list) for one in data["choices"]):
            raise ValueError("choices is a list of values")
        return Rule(key, choices=tuple(_text(one) for one in data["choices"]))
    rule = Rule(key, _text(data.get("least", "")), _text(data.get("most", "")))
    for bound in (rule.least, rule.most):
        if bound and rule.measure()(bound) is None:
            raise ValueError(f"{bound!r} cannot be compared")
    if rule.least and rule.most and rule.fault(rule.least):
        raise ValueError(f"{rule.least} is over {rule.most}")
    return rule


def _text(value: Any) -> str:
    """As Spark writes it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _number(text: str) -> Decimal | None:
    try:
        found = Decimal(text.strip())
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def _bytes(text: str, power: int) -> Decimal | None:
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        return None
    unit = match[2].lower()
    bare = not unit and not text.strip().lower().endswith("b")
    return Decimal(int(match[1]) << (power if bare else _POWERS[unit]))


def _milliseconds(text: str) -> Decimal | None:
    try:
        return Decimal(duration_ms(text))
    except LivyRefusal:
        return None
