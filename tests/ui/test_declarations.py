"""Options are declared once, and every place that shows them shows the same."""

from __future__ import annotations

import importlib
import re

import pytest

from nbplat.ui.help import magic_docstring, noun_help, verb_help
from nbplat.ui.nouns import NOUNS, find_noun
from nbplat.ui.nouns.sparkmagic import SPARKMAGIC
from nbplat.ui.options import COMMON, Noun, Verb
from nbplat.ui.options_page import options_page
from nbplat.ui.verbs import HANDLERS, SPARKMAGIC_HANDLERS

EVERY_VERB = [pytest.param(noun, verb, id=f"{noun.name}-{verb.name}") for noun in NOUNS for verb in noun.verbs]


def _flags(text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))


def test_every_declared_verb_has_a_handler_and_no_other_has():
    """The tables of handlers and the declarations name the same verbs."""
    assert {(noun.name, verb.name) for noun in NOUNS for verb in noun.verbs} == set(HANDLERS)
    assert {(noun.name, verb.name) for noun in SPARKMAGIC for verb in noun.verbs} == set(SPARKMAGIC_HANDLERS)


@pytest.mark.parametrize("place", sorted({*HANDLERS.values(), *SPARKMAGIC_HANDLERS.values()}))
def test_every_handler_exists(place):
    """Each entry of the table can be imported, so that a misspelt one is found here and not by a user."""
    module, _, function = place.partition(":")

    assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.parametrize(("noun", "verb"), EVERY_VERB)
def test_a_common_option_is_the_same_record_everywhere(noun: Noun, verb: Verb):
    """An option that carries a common flag is the common declaration."""
    common = {flag: option for option in COMMON for flag in (*option.flags, *option.off)}

    own = [o for o in verb.options if any(flag in common for flag in (*o.flags, *o.off)) and o not in COMMON]
    # A query has no dry run, and `%%sql -n 20` is what sparkmagic's users type.
    own = [o for o in own if o.flags != ("--rows", "-n")]

    assert [] == own


@pytest.mark.parametrize(("noun", "verb"), EVERY_VERB)
def test_no_verb_declares_a_name_or_a_flag_twice(noun: Noun, verb: Verb):
    """Names are unique but for NAME, which may be the first word or --name; flags are unique."""
    flags = [flag for option in verb.arguments for flag in (*option.flags, *option.off)]
    names = [option.name for option in verb.options]

    assert (len(set(flags)), len(set(names))) == (len(flags), len(names))


@pytest.mark.parametrize(("noun", "verb"), EVERY_VERB)
def test_help_names_every_flag(noun: Noun, verb: Verb):
    """A verb's help holds each of its flags with its help sentence."""
    text = verb_help(noun, verb, prog="x")

    assert {flag for o in verb.arguments for flag in (*o.flags, *o.off) if flag.startswith("--")} <= _flags(text)


@pytest.mark.parametrize("name", ["backfill", "sequence", "training"])
def test_docstring_cli_help_and_docs_table_show_the_same_options(name):
    """`%%backfill?`, `nbplat backfill --help` and docs/options.md list the same flags for the main verb."""
    noun = find_noun(name)
    verb = noun.verb(noun.cell_verb)
    declared = {flag for o in verb.arguments for flag in (*o.flags, *o.off) if flag.startswith("--")}
    section = options_page().split(f"### {name} {verb.name}\n")[1].split("\n### ")[0]

    usage = magic_docstring(noun).split("usage:")[1]
    cli = noun_help(noun, "cli").split("usage:")[1]

    assert (declared, declared) == (_flags(usage) - {"--help"}, _flags(cli) - {"--help"})
    assert declared == _flags(section)


def test_the_page_of_options_is_up_to_date():
    """docs/options.md is what the declarations give; `make docs` writes it."""
    from pathlib import Path

    page = Path(__file__).parents[2] / "docs" / "options.md"

    assert options_page() == page.read_text(encoding="utf-8")


def test_the_first_line_of_a_docstring_is_the_sentence():
    """What IPython shows first says what the cell does."""
    assert (
        magic_docstring(find_noun("backfill")).splitlines()[0].startswith("Compute new columns over a table's history")
    )
