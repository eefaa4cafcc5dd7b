"""The form of `%session start`: its fields are the verb's declared options."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from nbplat.ui.nouns.session import SESSION
from nbplat.ui.options import Option
from nbplat.ui.widgets.cell_form import CellForm, Field, FormSpec

__all__ = ["session_form"]

# What the form leaves to the line: it says nothing of a session.
_LEFT = ("wait", "name", "out", "json")


def session_form(**answers: Any) -> CellForm:
    """A form that writes ``%session start …``.

    Args:
        answers: Fields that are filled in, by the options' names: ``session="etl"``, ``driver_memory="4g"``.

    Raises:
        RequestError: ``form.field``, ``form.choice``.
    """
    return CellForm(FormSpec("Start a Spark session", tuple(map(_field, _options())), _write), **answers)


def _options() -> list[Option]:
    verb = SESSION.verb("start")
    assert verb is not None  # noqa: S101 - declared
    return [*verb.positionals, *(option for option in verb.options if option.name not in _LEFT)]


def _field(option: Option) -> Field:
    name, label = option.name, option.name.replace("_", " ")
    if option.type == "flag":
        return Field(name, label, "flag", bool(option.start), help=option.help)
    if option.choices:
        return Field(name, label, "choice", "", ("", *option.choices), option.help)
    if option.repeatable or option.type == "pair":
        return Field(name, label, "lines", help=option.help, hint=f"{option.shown}, one a line")
    return Field(name, label, help=option.help, hint=option.shown)


def _write(answers: Mapping[str, Any]) -> str:
    words = ["%session", "start"]
    for option in _options():
        value = answers[option.name]
        if option.positional:
            words += [value.strip()] if value.strip() else []
        elif option.type == "flag":
            words += [option.flags[0]] if value else []
        else:
            given = value.splitlines() if option.repeatable or option.type == "pair" else [value]
            words += [word for each in given if each.strip() for word in (option.flags[0], each.strip())]
    return shlex.join(words)
