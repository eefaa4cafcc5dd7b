"""``{{ name }}`` in a magic's line and body: values of the notebook, strict and sandboxed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from nbplat.errors import RequestError, did_you_mean

__all__ = ["render", "split"]

_MARKS = ("{{", "{%", "{#")
_PIECE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_UNDEFINED = re.compile(r"'(\w+)' is undefined")
# Private-use characters: no shell syntax, and nobody types them.
_OPEN, _CLOSE = "\ue000", "\ue001"


def render(text: str, values: Mapping[str, Any], *, what: str) -> str:
    """Fill in the template.

    Args:
        values: The notebook's variables; names with a leading underscore are not offered.
        what: What the text is, for messages: ``the body`` or ``the line``.

    Raises:
        RequestError: an undefined name (with the nearest known), a syntax fault, or what the sandbox refuses.
    """
    if not any(mark in text for mark in _MARKS):
        return text
    from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, UndefinedError
    from jinja2.sandbox import SandboxedEnvironment

    # Values are SQL and YAML, never HTML: escaping would change them.
    environment = SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    offered = {name: value for name, value in values.items() if not name.startswith("_")}
    try:
        return environment.from_string(text).render(offered)
    except TemplateSyntaxError as exc:
        raise RequestError(
            "template.syntax",
            f"{what} is no valid template: {exc.message}",
            fix="write {{ name }}, or {{ '{{' }} for two literal braces",
            where=f"line {exc.lineno}",
        ) from None
    except UndefinedError as exc:
        match = _UNDEFINED.search(str(exc))
        raise RequestError(
            "template.undefined",
            f"{what} uses {{{{ {match[1]} }}}}, which is not defined" if match else f"in {what}, {exc}",
            fix=_or_define(match[1], offered) if match else "define it in a cell above",
            where=f"line {_line(exc)}",
        ) from None
    except TemplateError as exc:
        raise RequestError(
            "template.refused", f"{what} holds a refused expression: {exc}", fix="compute it in a cell above", where=""
        ) from None
    except Exception as exc:  # any error of the user's own values, raised inside the template
        raise RequestError(
            "template.failed",
            f"{what} could not be filled in: {type(exc).__name__}: {exc}",
            fix="compute the value in a cell above",
            where=f"line {_line(exc)}",
        ) from exc


def split(line: str, values: Mapping[str, Any]) -> list[str]:
    """Cut a magic's line into words as a shell does, then fill in each word.

    In this order a value with spaces or quotes stays one word.

    Raises:
        RequestError: an open quote, or whatever `render` raises.
    """
    pieces: list[str] = []

    def stash(match: re.Match[str]) -> str:
        pieces.append(match[0])
        return f"{_OPEN}{len(pieces) - 1}{_CLOSE}"

    try:
        words = shlex.split(_PIECE.sub(stash, line))
    except ValueError as exc:
        raise RequestError(
            "usage.quotes", f"the line cannot be split into words: {exc}", fix="close the quote"
        ) from None
    restored = (re.sub(f"{_OPEN}(\\d+){_CLOSE}", lambda match: pieces[int(match[1])], word) for word in words)
    return [render(word, values, what="the line") for word in restored]


def _or_define(name: str, offered: Mapping[str, Any]) -> str:
    near = did_you_mean(name, offered)
    return f"define {name} in a cell above" + (f"; {near}" if near.startswith("did") else "")


def _line(exc: BaseException) -> int:
    """The template's line: Jinja rewrites its frames to the template's own numbers."""
    number, trace = 1, exc.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            number = trace.tb_lineno
        trace = trace.tb_next
    return number
