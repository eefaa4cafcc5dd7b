"""One builder of parsers for the CLI and the magics.

Faults of a command line are RequestErrors whose code starts with ``usage.``; nothing here prints or exits.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from types import SimpleNamespace
from typing import Any, NoReturn

from nbplat.errors import RequestError, did_you_mean
from nbplat.ui.options import Noun, Option, Verb
from nbplat.ui.spoken import spoken

__all__ = ["WIDTH", "HelpAsked", "build_parser", "parse", "positional_word"]

WIDTH = 110
"""Columns of help texts; fixed, so that a docstring does not depend on the terminal it was made in."""

_NUMBER = re.compile(r"-\d+(\.\d*)?\Z")
_AGE = re.compile(r"(\d+(?:\.\d+)?)([smhdw])\Z")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}


class HelpAsked(Exception):
    """The line holds ``--help``; the text is the exception's only argument."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise RequestError("usage.arguments", message, fix=f"see {self.prog} --help")


def parse(noun: Noun, verb: Verb, arguments: Sequence[str], *, prog: str) -> SimpleNamespace:
    """Read a verb's arguments.

    Args:
        arguments: Words after the verb.
        prog: How the user called it, for messages: ``%%backfill`` or ``nbplat backfill run``.

    Returns:
        Every option of the verb by name, presets included.

    Raises:
        RequestError: with a code ``usage.…``, naming the word and the nearest known one.
        HelpAsked: when ``--help`` or ``-h`` is among the arguments.
    """
    parser = build_parser(noun, verb, prog=prog)
    words = list(arguments)
    ours = words[: words.index("--")] if "--" in words else words
    if "--help" in ours or "-h" in ours:
        raise HelpAsked(parser.format_help())
    _refuse_unknown_flags(verb, ours, prog)
    options, extra = parser.parse_known_args([_spelt(verb, word) for word in words])
    if extra:
        raise RequestError(
            "usage.arguments",
            f"{prog} does not take {' '.join(map(repr, extra))}",
            fix=f"quote values that hold spaces; see {prog} --help",
        )
    found = _settle_names(verb, vars(options), prog)
    return SimpleNamespace(**(found | dict(verb.presets)))


def build_parser(noun: Noun, verb: Verb, *, prog: str) -> argparse.ArgumentParser:
    """The argparse parser of one verb."""
    # Python 3.14 colours help by default; a docstring must stay plain.
    plain: dict[str, Any] = {"color": False} if sys.version_info >= (3, 14) else {}
    parser = _Parser(
        prog=prog,
        usage=_usage(verb, prog),
        description=verb.summary + ".",
        epilog=f"example:\n{_indent(_example(verb))}" if verb.example else None,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(prog, width=WIDTH, max_help_position=30),
        allow_abbrev=False,
        add_help=False,
        **plain,
    )
    groups: dict[str, argparse._ArgumentGroup] = {}
    for option in verb.arguments:
        title = "arguments" if option.positional else option.group
        if title not in groups:
            groups[title] = parser.add_argument_group(title)
        if option.positional:
            _add_positional(groups[title], option)
        else:
            _add_flag(groups[title], option)
    return parser


def _usage(verb: Verb, prog: str) -> str:
    # argparse lists every option here, and the name last; what must be given is enough.
    words = [positional_word(o) for o in verb.positionals]
    words += [f"{o.flags[0]} {o.shown}" for o in verb.options if o.required]
    return " ".join([_escape(prog), *words, "[options]"])


def positional_word(option: Option) -> str:
    """How a positional argument stands in a usage line: ``RUN``, ``[RUN]``, ``RUN…``."""
    shown = option.shown + ("…" if option.repeatable else "")
    return shown if option.required or option.name == "name" else f"[{shown}]"


def _add_positional(group: argparse._ArgumentGroup, option: Option) -> None:
    optional: dict[str, Any] = {} if option.required else {"nargs": "?", "default": option.default}
    if option.repeatable:
        optional = {"nargs": "+"} if option.required else {"nargs": "*", "default": None}
    group.add_argument(
        _positional_dest(option),
        metavar=option.shown,
        type=_converter(option),
        help=_escape(spoken(option.help)),
        **optional,
    )


def _add_flag(group: argparse._ArgumentGroup, option: Option) -> None:
    text = _escape(spoken(option.help))
    if option.type == "flag":
        if option.off:
            group.add_argument(*option.flags, dest=option.name, action="store_true", default=option.start, help=text)
            group.add_argument(
                *option.off, dest=option.name, action="store_false", default=option.start, help=option.off_help
            )
        else:
            group.add_argument(*option.flags, dest=option.name, action="store_true", help=text)
        return
    if option.choices:
        text += f": {', '.join(option.choices)}"
    if option.default is not None:
        text += f" (default {_escape(str(option.default))})"
    many = option.repeatable or option.type == "pair"
    group.add_argument(
        *option.flags,
        dest=option.name,
        action="append" if many else "store",
        default=None if many else option.start,
        metavar=option.shown,
        required=option.required,
        type=_converter(option),
        help=text + (" (repeatable)" if many else ""),
    )


def _positional_dest(option: Option) -> str:
    # `NAME` may be given as a word or by --name: two places that are settled afterwards.
    return f"{option.name}_word" if option.name == "name" and not option.required else option.name


def _settle_names(verb: Verb, found: dict[str, Any], prog: str) -> dict[str, Any]:
    for option in verb.arguments:
        if option.type == "pair":
            found[option.name] = _mapping(option, found[option.name] or (), prog)
        elif option.repeatable:
            found[option.name] = tuple(found[option.name] or ())
    if "name_word" in found:
        word, flag = found.pop("name_word"), found.get("name")
        if word and flag and word != flag:
            raise RequestError("usage.name", f"two names: {word!r} and --name {flag!r}", fix="give one")
        found["name"] = word or flag
        # A definition in a file may name itself, or is named by its file.
        if not found["name"] and not (verb.body == "yaml" and found.get("body_file")):
            raise RequestError("usage.name", f"{prog} needs a name", fix=f"write it first: {prog} my_name …")
    return found


def _refuse_unknown_flags(verb: Verb, words: Sequence[str], prog: str) -> None:
    # Before argparse, which would first complain that the option meant by a misspelt one is missing.
    known = verb.known_flags()
    unknown: list[str] = []
    for word in words:
        flag = word.split("=", 1)[0]
        if not flag.startswith("-") or flag == "-" or _NUMBER.match(word) or flag in known:
            continue
        if not flag.startswith("--") and any(flag[:2] == k for k in known):
            continue  # -k=value, -kvalue
        unknown.append(flag)
    if not unknown:
        return
    mends = [did_you_mean(flag, known, limit=1) for flag in unknown]
    # Of each its own nearest; a list of all options helps once at most.
    meant = [mend.removeprefix("did you mean ").rstrip("?") for mend in mends if mend.startswith("did you mean ")]
    fix = f"did you mean {' and '.join(meant)}?" if meant else mends[0]
    options = "option" if len(unknown) == 1 else "options"
    raise RequestError("usage.option", f"{prog} has no {options} {', '.join(unknown)}", fix=fix)


def _spelt(verb: Verb, word: str) -> str:
    flag, equals, value = word.partition("=")
    return dict(verb.aliases).get(flag, flag) + equals + value


def _converter(option: Option) -> Callable[[str], Any]:
    """What argparse calls on the text; its ArgumentTypeError's text is shown after the option's name."""

    def convert(text: str) -> Any:
        if option.choices and text not in option.choices:
            raise argparse.ArgumentTypeError(f"{text!r} is not offered; {did_you_mean(text, option.choices)}")
        if option.type == "date":
            return _date(text)
        if option.type == "list":
            return tuple(part.strip() for part in text.split(",") if part.strip())
        if option.type == "pair":
            return _pair(option, text)
        if option.type == "age":
            return _age(text)
        if option.type in ("int", "float"):
            return _number(option, text)
        return text

    return convert


def _date(text: str) -> str:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an ISO date; write 2011-03-01 or 2011-03-01T12:00") from None
    return text


def _pair(option: Option, text: str) -> tuple[str, str]:
    key, mark, value = (part.strip() for part in text.partition("="))
    if not (key and mark and value):
        raise argparse.ArgumentTypeError(f"{text!r} is not written {option.shown}")
    return key, value


def _mapping(option: Option, pairs: Sequence[tuple[str, str]], prog: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in pairs:
        if found.setdefault(key, value) != value:
            raise RequestError(
                "usage.arguments",
                f"{prog} has {option.flags[0]} {key}={found[key]} and {key}={value}",
                fix="give one of them",
            )
    return found


def _age(text: str) -> float:
    match = _AGE.match(text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not an age; write 30m, 36h, 7d or 2w")
    return float(match[1]) * _SECONDS[match[2]]


def _number(option: Option, text: str) -> int | float:
    kind = int if option.type == "int" else float
    try:
        number = kind(text)
    except ValueError:
        wanted = "a whole number" if option.type == "int" else "a number"
        raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}") from None
    if option.at_least is not None and number < option.at_least:
        raise argparse.ArgumentTypeError(f"{text} is too small; at least {option.at_least:g}")
    return number


def _escape(text: str) -> str:
    return text.replace("%", "%%")


def _example(verb: Verb) -> str:
    # That of a cell stays one: a shell takes its body from a file.
    return verb.example if verb.example.startswith("%%") else spoken(verb.example)


def _indent(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
