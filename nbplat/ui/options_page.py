"""The page docs/options.md, from the same declarations as the parsers."""

from __future__ import annotations

from nbplat.ui.help import cell_prog, line_prog
from nbplat.ui.nouns import NOUNS
from nbplat.ui.options import COMMON, Noun, Option, Verb
from nbplat.ui.parse import positional_word

__all__ = ["options_page"]

_HEAD = """# Options

<!-- Written by `make docs` from the declarations in nbplat/ui/nouns; edits here are lost. -->

A magic's line and the command line take the same options: `%backfill promote spend_90d --dry-run` in a notebook is
`nbplat backfill promote spend_90d --dry-run` in a shell. A cell magic takes its body from the cell, the command line
from a file (`--sql FILE`, `--file FILE`, `--python FILE`; `-` is standard input).

In a notebook, `{{ name }}` in the line or the body is the notebook's value (Jinja, strict, sandboxed; a Python body is
taken as it is, it sees the notebook's variables by itself). IPython's own `$name` and `{name}` are left alone.

Dates are ISO; `--from A --to B` is half-open: A is inside, B is not. Naive times are UTC.
"""


def options_page() -> str:
    """The whole page, ending with a newline."""
    common = ["## Everywhere the same", "", *_table(COMMON)]
    return "\n".join([_HEAD, *common, *(line for noun in NOUNS for line in _noun(noun))]).rstrip() + "\n"


def _noun(noun: Noun) -> list[str]:
    lines = ["", f"## {noun.name}", "", f"{noun.summary}."]
    for verb in noun.verbs:
        lines += ["", f"### {noun.name} {verb.name}", "", f"{verb.summary}.", "", *_ways(noun, verb)]
        if verb.arguments:
            lines += ["", *_table(verb.arguments)]
        if verb.example:
            shell = verb.example.startswith("nbplat ")
            lines += ["", "```sh" if shell else "```python", verb.example, "```"]
    return lines


def _ways(noun: Noun, verb: Verb) -> list[str]:
    words = "".join(f" {positional_word(o)}" for o in verb.positionals)
    ways = []
    if verb.body != "none" and "magic" in verb.surfaces:
        ways.append(f"{cell_prog(noun, verb)}{words}")
    if "magic" in verb.surfaces:
        ways.append(f"{line_prog(noun, verb, 'magic')}{words}")
    if "cli" in verb.surfaces:
        ways.append(f"{line_prog(noun, verb, 'cli')}{words}")
    return [" · ".join(f"`{way}`" for way in ways)]


def _table(options: tuple[Option, ...]) -> list[str]:
    lines = ["| option | default | meaning |", "| --- | --- | --- |"]
    return lines + [f"| {_flags(o)} | {_default(o)} | {_help(o)} |" for o in options]


def _flags(option: Option) -> str:
    if option.positional:
        return f"`{option.shown}`"
    flags = ", ".join(f"`{flag}`" for flag in (*option.flags, *option.off))
    return flags if option.type == "flag" else f"{flags} `{option.shown}`"


def _default(option: Option) -> str:
    if option.required:
        return "required"
    if option.off:
        return f"`{(option.flags if option.start else option.off)[0]}`"
    return "" if option.default is None or option.type == "flag" else f"`{option.default}`"


def _help(option: Option) -> str:
    text = "; ".join(filter(None, (option.help, option.off_help))).replace("|", "\\|")
    if option.choices:
        text += f": {', '.join(f'`{choice}`' for choice in option.choices)}"
    return text + (" (repeatable)" if option.repeatable or option.type == "pair" else "")
