"""Help texts, the same for ``%%backfill?``, ``%backfill --help`` and ``nbplat backfill --help``."""

from __future__ import annotations

from nbplat.ui.options import Noun, Surface, Verb
from nbplat.ui.parse import build_parser

__all__ = ["cell_prog", "line_prog", "magic_docstring", "noun_help", "program_help", "verb_help", "verb_table"]


def cell_prog(noun: Noun, verb: Verb) -> str:
    """How a cell calls a verb: the cell verb goes without saying."""
    return f"%%{noun.name}" if verb.name == noun.cell_verb else f"%%{noun.name} {verb.name}"


def line_prog(noun: Noun, verb: Verb, surface: Surface) -> str:
    """How a line or a shell calls a verb."""
    if noun.name == "nbplat":
        return f"{'%' if surface == 'magic' else ''}nbplat {verb.name}"
    if surface == "cli":
        return f"nbplat {noun.command} {verb.name}".rstrip()
    return f"%{noun.name} {verb.name}" if noun.magic else f"%nbplat {noun.command} {verb.name}"


def verb_help(noun: Noun, verb: Verb, *, prog: str) -> str:
    """Usage, summary and every option of one verb."""
    return build_parser(noun, verb, prog=prog).format_help()


def verb_table(noun: Noun, surface: Surface) -> str:
    """One line a verb."""
    verbs = noun.verbs_on(surface)
    width = max(len(line_prog(noun, verb, surface)) for verb in verbs)
    return "\n".join(f"  {line_prog(noun, verb, surface):<{width}}  {verb.summary}" for verb in verbs)


def noun_help(noun: Noun, surface: Surface) -> str:
    """The noun's verbs, then the options of the verb it is named for."""
    head = f"{noun.summary}.\n\n{verb_table(noun, surface)}\n"
    verb = noun.verb(noun.cell_verb) if noun.cell_verb else None
    if verb is None:
        return f"{head}\nAdd --help to a verb for its options.\n"
    prog = cell_prog(noun, verb) if surface == "magic" else line_prog(noun, verb, surface)
    return f"{head}\nAdd --help to a verb for its options. Those of {verb.name}:\n\n{verb_help(noun, verb, prog=prog)}"


def magic_docstring(noun: Noun) -> str:
    """What ``%%backfill?`` shows; the first line is the sentence."""
    verb = noun.verb(noun.cell_verb or noun.line_verb or "")
    first = f"{(verb if verb and noun.cell_verb else noun).summary}.\n\n"
    tail = (
        "{{ name }} in the line or the body is the notebook's value (Jinja, strict); a Python body is taken as it is.\n"
        "$name and {name} are left alone.\n"
    )
    if verb is None or not noun.cell_verb:
        return f"{first}{noun_help(noun, 'magic')}\n{tail}"
    return f"{first}{verb_help(noun, verb, prog=cell_prog(noun, verb))}\nverbs:\n{verb_table(noun, 'magic')}\n\n{tail}"


def program_help(nouns: tuple[Noun, ...], surface: Surface) -> str:
    """Every noun, a line each, and the commands that need no noun."""
    program = "nbplat" if surface == "cli" else "%nbplat"
    lines = [f"usage: {program} <noun> <verb> [options]", ""]
    shown = [noun for noun in nouns if noun.name != "nbplat"]
    width = max(len(noun.command) for noun in shown)
    lines += [f"  {noun.command:<{width}}  {noun.summary}" for noun in shown if noun.verbs_on(surface)]
    for noun in nouns:
        if noun.name == "nbplat":
            lines += ["", *(f"  {verb.name:<{width}}  {verb.summary}" for verb in noun.verbs_on(surface))]
    lines += ["", f"{program} <noun> --help lists its verbs; {program} <noun> <verb> --help its options."]
    if surface == "cli":
        lines += [
            "exit codes: 0 done, 2 wrong request, 3 machine not fit, 4 data, 5 remote side, 70 a bug, 130 interrupted"
        ]
    return "\n".join(lines) + "\n"
