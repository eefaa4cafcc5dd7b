"""The form of `%%environment`: what most declarations hold, written as the YAML of the cell."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from nbplat.ui.widgets.cell_form import CellForm, Field, FormSpec

__all__ = ["environment_form"]

_FIELDS = (
    Field("name", "name", value="features", help="of the environment", hint="NAME"),
    Field(
        "channels",
        "channels",
        "lines",
        "conda-forge",
        help="where packages come from",
        hint="NAME or folder, one a line",
    ),
    Field(
        "dependencies",
        "packages",
        "lines",
        "python\nnumpy\npyarrow",
        help="conda packages",
        hint="numpy>=2, one a line",
    ),
    Field("pip", "pip packages", "lines", help="from Python's index", hint="lightgbm==4.6.0, one a line"),
    Field("platforms", "platforms", "lines", help="left out, this machine's", hint="linux-64, one a line"),
    Field("local", "own code", "lines", help="folders that are built to wheels", hint="./ranker, one a line"),
    Field("spark", "Spark", help="version of the cluster's Spark, to be held against", hint="4.1"),
    Field("ray", "Ray", help="version of the cluster's Ray, to be held against", hint="2.60"),
)
# What YAML reads as the same text without quotes.
_PLAIN = re.compile(r"[A-Za-z./][\w./<>=*,+-]*\Z")
_WORDS = frozenset(("true", "false", "yes", "no", "on", "off", "null", "y", "n"))


def environment_form(**answers: Any) -> CellForm:
    """A form that writes an ``%%environment`` cell.

    Args:
        answers: Fields that are filled in: ``name``, ``spark``, ``ray``, and with a value a line ``channels``,
            ``dependencies``, ``pip``, ``platforms``, ``local``.

    Raises:
        RequestError: ``form.field``.
    """
    return CellForm(FormSpec("Declare an environment", _FIELDS, _write), **answers)


def _write(answers: Mapping[str, Any]) -> str:
    lines = [f"%%environment {answers['name'].strip() or 'NAME'}"]
    if channels := _lines(answers["channels"]):
        lines.append(f"channels: [{', '.join(map(_scalar, channels))}]")
    packages, pip = _lines(answers["dependencies"]), _lines(answers["pip"])
    lines.append("dependencies:" if packages or pip else "dependencies: [python]")
    lines += [f"  - {_scalar(each)}" for each in packages]
    if pip:
        lines += ["  - pip:", *(f"      - {_scalar(each)}" for each in pip)]
    more = [
        f"  {key}: [{', '.join(map(_scalar, values))}]"
        for key in ("platforms", "local")
        if (values := _lines(answers[key]))
    ]
    targets = [f"{key}: {_scalar(answers[key].strip())}" for key in ("spark", "ray") if answers[key].strip()]
    if targets:
        more.append(f"  targets: {{{', '.join(targets)}}}")
    return "\n".join([*lines, *(["nbplat:", *more] if more else [])])


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _scalar(text: str) -> str:
    """A value as YAML, quoted where it would be read as something else."""
    plain = _PLAIN.match(text) and "," not in text and text.lower() not in _WORDS
    return text if plain else json.dumps(text, ensure_ascii=False)
