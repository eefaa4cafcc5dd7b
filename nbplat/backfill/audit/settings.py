"""Levels and thresholds: what the cell says over what the configuration says over the rule's own.

A key is ``rule``, ``rule.threshold``, or either with ``@column``; a value is a level or a number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from nbplat.backfill.audit.finding import Level, Threshold
from nbplat.errors import RequestError, did_you_mean

__all__ = ["Checks", "Limits", "read_checks"]


class Settable(Protocol):
    """What of a rule can be set; see `nbplat.backfill.audit.rule.Rule`."""

    @property
    def code(self) -> str: ...
    @property
    def level(self) -> Level: ...
    @property
    def fixed(self) -> bool: ...
    @property
    def thresholds(self) -> tuple[Threshold, ...]: ...


@dataclass(frozen=True, slots=True)
class _Key:
    rule: str
    threshold: str
    column: str


@dataclass(frozen=True, slots=True)
class Checks:
    """Settings of one run, checked.

    Attributes:
        layers: Key to value, the winning layer first; None takes a limit away.
    """

    layers: tuple[Mapping[_Key, Level | float | None], ...] = ()

    def level(self, rule: Settable, column: str = "") -> Level:
        """The level of a rule for a column, or for a measure of it (``emb.norm``)."""
        found = self._find(_Key(rule.code, "", column), rule.level)
        return found if isinstance(found, Level) else rule.level

    def limits(self, rule: Settable) -> Limits:
        """The thresholds of a rule."""
        return Limits(self, rule)

    def limit(self, rule: Settable, threshold: Threshold, column: str = "") -> float | None:
        """The value of a threshold; None means no limit."""
        found = self._find(_Key(rule.code, threshold.name, column), threshold.default)
        return None if isinstance(found, Level) else found

    def off(self, rule: Settable, columns: Sequence[str]) -> bool:
        """True when no column and not the run itself is looked at by the rule."""
        return all(self.level(rule, column) is Level.OFF for column in ("", *columns))

    def _find(self, key: _Key, default: Level | float | None) -> Level | float | None:
        for layer in self.layers:
            for each in (_Key(key.rule, key.threshold, key.column.split(".")[0]), _Key(key.rule, key.threshold, "")):
                if each in layer:
                    return layer[each]
        return default


@dataclass(frozen=True, slots=True)
class Limits:
    """The thresholds of one rule."""

    checks: Checks
    rule: Settable

    def get(self, name: str, column: str = "") -> float | None:
        """A threshold's value; None means no limit."""
        return self.checks.limit(self.rule, _threshold(self.rule, name), column)

    def number(self, name: str, column: str = "") -> float:
        """A threshold that has a default and cannot be taken away."""
        value = self.get(name, column)
        return math.inf if value is None else value

    def count(self, name: str) -> int:
        """A threshold that counts things."""
        return int(self.number(name))


def read_checks(
    spec: Mapping[str, str], config: Mapping[str, str], rules: Sequence[Settable], columns: Sequence[str]
) -> Checks:
    """Check what is set.

    Args:
        spec: From the cell; a column named there must be one of `columns`.
        config: From the project; columns of other runs are passed over.
        columns: The new columns of the run.

    Raises:
        RequestError: an unknown rule, threshold or column, or a value that is none, naming the near one.
    """
    known = {rule.code: rule for rule in rules}
    return Checks((_layer(spec, known, columns, "--check"), _layer(config, known, None, "audit.")))


def _layer(
    given: Mapping[str, str], rules: Mapping[str, Settable], columns: Sequence[str] | None, source: str
) -> dict[_Key, Level | float | None]:
    layer: dict[_Key, Level | float | None] = {}
    for text, value in given.items():
        name, _, column = text.partition("@")
        code, _, threshold = name.partition(".")
        shown = f"{source}{text}" if source.endswith(".") else f"{source} {text}"
        if code not in rules:
            raise RequestError(
                "audit.rule",
                f"{shown}: there is no rule {code!r}",
                fix=did_you_mean(code, rules),
            )
        if column and columns is not None and column not in columns:
            raise RequestError(
                "audit.column",
                f"{shown}: the run makes no column {column!r}",
                fix=did_you_mean(column, columns),
            )
        rule = rules[code]
        layer[_Key(code, threshold, column)] = (
            _number(value, _threshold(rule, threshold, shown), shown) if threshold else _level(value, rule, shown)
        )
    return layer


def _level(value: str, rule: Settable, shown: str) -> Level:
    try:
        level = Level(value)
    except ValueError:
        raise RequestError(
            "audit.level",
            f"{shown}={value}: {value!r} is no level",
            fix=did_you_mean(value, list(Level)),
        ) from None
    if rule.fixed and level is not Level.BLOCK:
        raise RequestError(
            "audit.level",
            f"{shown}={value}: promotion relies on {rule.code}, which always blocks",
            fix=f"leave {shown} out",
        )
    return level


def _threshold(rule: Settable, name: str, shown: str = "") -> Threshold:
    known = {threshold.name: threshold for threshold in rule.thresholds}
    if name not in known:
        fix = did_you_mean(name, known) if known else "set its level only"
        raise RequestError("audit.threshold", f"{shown}: {rule.code} has no threshold {name!r}", fix=fix)
    return known[name]


def _number(value: str, threshold: Threshold, shown: str) -> float | None:
    if value == "none" and threshold.default is None:
        return None
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    low = threshold.least is not None and number < threshold.least
    high = threshold.most is not None and number > threshold.most
    if math.isnan(number) or low or high or (threshold.whole and not number.is_integer()):
        kind = "a whole number" if threshold.whole else "a number"
        least = "" if threshold.least is None else f" from {threshold.least:g}"
        most = "" if threshold.most is None else f" to {threshold.most:g}"
        raise RequestError(
            "audit.value", f"{shown}={value}: {value!r} cannot be {threshold.help}", fix=f"give {kind}{least}{most}"
        )
    return number
