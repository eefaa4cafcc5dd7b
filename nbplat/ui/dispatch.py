"""From words to a handler's result: the path that cells, lines and the CLI share."""

from __future__ import annotations

import keyword
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from nbplat.errors import RequestError, did_you_mean
from nbplat.ui import template
from nbplat.ui.call import Call, Where
from nbplat.ui.help import cell_prog, line_prog
from nbplat.ui.nouns import NOUNS, PLATFORM, find_noun, find_verb
from nbplat.ui.options import BODY_FLAGS, Body, Noun, Surface, Verb
from nbplat.ui.parse import HelpAsked, parse
from nbplat.ui.render.result import Result
from nbplat.ui.verbs import HANDLERS, resolve

__all__ = ["carry_out", "choose_cell_verb", "choose_line_verb", "choose_top"]


def carry_out(
    noun: Noun,
    verb: Verb,
    words: Sequence[str],
    *,
    where: Where,
    body: str | None = None,
    namespace: Mapping[str, Any] | None = None,
    show: Callable[[Result], None] | None = None,
    write: Callable[[str, Any], None] | None = None,
    handlers: Mapping[tuple[str, str], str] = HANDLERS,
) -> tuple[Result, SimpleNamespace]:
    """Parse, fill in the body, and call the handler.

    Args:
        words: The arguments after the verb.
        body: The cell's text; None when there is no cell.

    Returns:
        The handler's result and the options; for ``--help`` the help text and no options.

    Raises:
        NbplatError: a fault of the line (``usage.…``), of the body's template, or whatever the handler raises.
    """
    values = namespace or {}
    prog = cell_prog(noun, verb) if where == "cell" else line_prog(noun, verb, "cli" if where == "cli" else "magic")
    try:
        options = parse(noun, verb, words, prog=prog)
    except HelpAsked as asked:
        return Result(text=str(asked)), SimpleNamespace()
    _check_out(options, where)
    text = _body(verb, options, body, values, where, prog)
    outlets: dict[str, Any] = {name: to for name, to in (("show", show), ("write", write)) if to is not None}
    call = Call(noun.name, verb.name, options, text, values, where=where, **outlets)
    return resolve(noun.name, verb.name, handlers)(call), options


def choose_cell_verb(noun: Noun, words: Sequence[str]) -> tuple[Verb, Sequence[str]]:
    """``%%backfill plan NAME`` names its verb, ``%%backfill NAME`` means the cell verb."""
    named = noun.verb(words[0]) if words else None
    if named is None:
        return find_verb(noun, noun.cell_verb or ""), words
    if named.body == "none":
        raise RequestError(
            "usage.body",
            f"{noun.name} {named.name} takes no body",
            fix=f"write it as a line: %{noun.name} {named.name} …",
        )
    return named, words[1:]


def choose_line_verb(noun: Noun, words: Sequence[str], surface: Surface) -> tuple[Verb, Sequence[str]]:
    """The verb a line names, or the noun's own when the line is empty or starts with an option."""
    if not words or words[0].startswith("-"):
        if noun.line_verb is None:
            names = ", ".join(verb.name for verb in noun.verbs_on(surface))
            raise RequestError("usage.verb", f"{noun.name} needs a verb", fix=f"one of: {names}")
        return find_verb(noun, noun.line_verb), words
    verb = find_verb(noun, words[0], surface)
    if surface not in verb.surfaces:
        raise RequestError(
            "usage.surface",
            f"{verb.name} is a command of the shell" if surface == "magic" else f"{noun.name} is a magic of notebooks",
            fix=f"run it there: {line_prog(noun, verb, 'cli') if surface == 'magic' else cell_prog(noun, verb)}",
        )
    return verb, words[1:]


def choose_top(words: Sequence[str]) -> tuple[Noun, Sequence[str]]:
    """The noun that the first word names; a verb of nbplat itself (``status``) stands there without a noun."""
    first = words[0]
    if PLATFORM.verb(first) is not None:
        return PLATFORM, words
    names = [noun.command for noun in NOUNS if noun is not PLATFORM]
    if not any(first in (noun.name, noun.command) for noun in NOUNS if noun is not PLATFORM):
        known = [*names, *(verb.name for verb in PLATFORM.verbs)]
        raise RequestError("command.unknown", f"{first!r} is no command", fix=did_you_mean(first, known))
    return find_noun(first), words[1:]


def _check_out(options: SimpleNamespace, where: Where) -> None:
    variable = getattr(options, "out", None)
    if variable is None:
        return
    if where == "cli":
        raise RequestError("usage.out", "--out binds a notebook variable, and there is no notebook", fix="use --json")
    if not variable.isidentifier() or keyword.iskeyword(variable):
        raise RequestError("usage.out", f"--out {variable!r} cannot be a variable", fix="give a Python name")


def _body(
    verb: Verb, options: SimpleNamespace, cell: str | None, values: Mapping[str, Any], where: Where, prog: str
) -> str | None:
    if verb.body == "none":
        if cell is not None and cell.strip():
            raise RequestError("usage.body", f"{prog} takes no body", fix="leave the lines below it out")
        return None
    kind, file = _kind(verb, options)
    if file is not None and cell is not None:
        raise RequestError("usage.body", f"two bodies: the cell and {BODY_FLAGS[kind]} {file}", fix="give one")
    if kind == "yaml" and file not in (None, "-"):
        # Its handler reads it: a definition may be named by its file, and a fault is told with file and line.
        return None
    text = cell if file is None else _read(file, kind, where)
    if text is None or not text.strip():
        if verb.body_required:
            mend = f"give {BODY_FLAGS[kind]} FILE" + (
                "" if where == "cli" else f", or write it in a cell: %%{prog.lstrip('%')}"
            )
            raise RequestError("usage.body", f"{prog} needs a body ({kind})", fix=mend)
        return None
    # The braces of a Python body are its own.
    return text if kind == "python" else template.render(text, values, what="the body")


def _kind(verb: Verb, options: SimpleNamespace) -> tuple[Body, str | None]:
    """The language of the body, and the file that holds it; None when the cell does."""
    file, python_file = getattr(options, "body_file", None), getattr(options, "python_file", None)
    if python_file is not None:
        if file is not None:
            raise RequestError(
                "usage.body", f"two bodies: {BODY_FLAGS[verb.body]} {file} and --python {python_file}", fix="give one"
            )
        options.lang = "python"
        return "python", python_file
    if getattr(options, "lang", None) != "python":
        return verb.body, file
    if file is not None:
        raise RequestError(
            "usage.body", f"{BODY_FLAGS[verb.body]} {file} is no Python body", fix=f"write --python {file}"
        )
    return "python", None


def _read(file: str, kind: Body, where: Where) -> str:
    if file == "-":
        if where != "cli":
            raise RequestError("usage.body", "a notebook has no standard input", fix=f"give {BODY_FLAGS[kind]} a file")
        return sys.stdin.read()
    try:
        return Path(file).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8 text"
        raise RequestError(
            "usage.body", f"{BODY_FLAGS[kind]} {file} cannot be read: {reason}", fix="give a text file"
        ) from None
