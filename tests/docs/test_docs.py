"""What the pages promise: links lead somewhere, commands parse, tables match the code, no machine shows."""

from __future__ import annotations

import contextlib
import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from nbplat.backfill.body import parse_body
from nbplat.backfill.python_body import parse_python
from nbplat.backfill.states import MOVES as RUN_MOVES
from nbplat.backfill.states import RunState
from nbplat.job.states import MOVES as JOB_MOVES
from nbplat.ui import template
from nbplat.ui.dispatch import choose_cell_verb, choose_line_verb, choose_top
from nbplat.ui.nouns import NOUNS, PLATFORM, find_noun
from nbplat.ui.options import Noun, Verb
from nbplat.ui.parse import HelpAsked, parse
from nbplat.ui.shipping import read_params

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "benchmarks").glob("*.md")),
]
MAGICS = {noun.name: noun for noun in NOUNS if noun.magic}
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`([^`\n]+)`")
_CELL = re.compile(r"%%(\w+)[ \n]")
# A state folder is named by its variable, a page's reader has another machine.
_PLACES = re.compile(r"(?<![\w.])/(?:work|root|home|Users|tmp|private|mnt)/\S*|\b(?:PyPI mirror|/dev/vd)\b")


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8") if page.exists() else ""


def fenced(page: Path) -> Iterator[str]:
    """Blocks of something to type; one without a language, or of `text`, is output."""
    for language, body in _FENCE.findall(text_of(page)):
        if language not in ("", "text"):
            yield body


def shell_lines() -> list[tuple[str, str]]:
    """Every command line of ours in a fenced block, with its page; continued lines joined."""
    found = []
    for page in PAGES:
        for body in fenced(page):
            for line in body.replace("\\\n", " ").splitlines():
                words = line.removeprefix("$ ").strip()
                if words.startswith("nbplat ") and "=" not in words.split()[0]:
                    found.append((page.name, words.partition("  #")[0]))
    return found


def cells() -> list[tuple[str, str]]:
    """Every cell of ours in a fenced block; a block of line magics gives one a line."""
    found = []
    for page in PAGES:
        for body in fenced(page):
            if (match := _CELL.match(body)) and match[1] in MAGICS:
                found.append((page.name, body))
                continue
            lines = (line.strip() for line in body.splitlines())
            found += [(page.name, line) for line in lines if line[1:].split(" ")[0] in MAGICS and line[:1] == "%"]
    return found


def mentions() -> list[tuple[str, str]]:
    """Commands and magics named in a sentence; placeholders and generated usages are no commands."""
    found = []
    for page in PAGES:
        if page.name == "options.md":
            continue
        for text in _INLINE.findall(_FENCE.sub("", text_of(page))):
            ours = text.startswith("nbplat ") or (text.startswith("%") and text.lstrip("%").split(" ")[0] in MAGICS)
            if ours and not re.search(r"[<>…|｜{]|\.\.\.", text):
                found.append((page.name, text))
    return found


def read(noun: Noun, verb: Verb, words: list[str]) -> SimpleNamespace:
    """The options of a line; empty where it asks for help."""
    with contextlib.suppress(HelpAsked):
        return parse(noun, verb, words, prog="docs")
    return SimpleNamespace()


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    """scripts/docs.py as a module."""
    spec = importlib.util.spec_from_file_location("docs_script", ROOT / "scripts" / "docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_generated_page_and_table_is_up_to_date(generator: ModuleType) -> None:
    """Options, SQL subset, states, settings and layout are what the code says; `make docs` writes them."""
    assert [] == generator.write_pages(check=True)


def test_every_relative_link_leads_somewhere(generator: ModuleType) -> None:
    """A link to a file or a heading finds it."""
    assert [] == generator.broken_links()


def test_every_state_stands_in_the_architecture() -> None:
    """The tables of states name each state of the code, and no other."""
    text = text_of(ROOT / "docs" / "architecture.md")
    for block, moves in (("run-moves", RUN_MOVES), ("job-moves", JOB_MOVES)):
        table = text.split(f"<!-- generated: {block} -->")[1].split("<!-- end -->")[0]
        assert {str(state) for state in moves} == set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))
    assert set(RunState) == set(RUN_MOVES)


@pytest.mark.parametrize(("page", "line"), shell_lines())
def test_every_command_line_parses(page: str, line: str) -> None:
    """A command that a page shows is one the real parser takes."""
    words = shlex.split(line.split(" | ")[0])[1:]
    noun, rest = choose_top(words)
    verb, rest = choose_line_verb(noun, rest, "cli")
    read(noun, verb, list(rest))


@pytest.mark.parametrize(("page", "cell"), cells())
def test_every_magic_parses(page: str, cell: str) -> None:
    """A cell or line that a page shows parses, and so does an SQL body."""
    line, _, body = cell.partition("\n")
    name, _, rest = line.lstrip("%").partition(" ")
    words, values = template.split(rest, {}), list(template.split(rest, {}))
    if cell.startswith("%%"):
        verb, left = choose_cell_verb(find_noun(name), words)
        options = read(find_noun(name), verb, list(left))
        if name != "backfill":
            return
        if verb.body == "sql" and options.lang == "python":
            parse_python(body, params=read_params(options.param))
        elif verb.body == "sql":
            parse_body(body, {name: f"nb_frames.{name}" for name in options.frame})
        return
    noun = find_noun(name)
    if noun is PLATFORM and values:
        noun, words = choose_top(values)
    verb, left = choose_line_verb(noun, words, "magic")
    read(noun, verb, list(left))


@pytest.mark.parametrize(("page", "text"), mentions())
def test_every_command_named_in_a_sentence_exists(page: str, text: str) -> None:
    """Noun, verb and flags of a command in running text are known."""
    words = text.lstrip("%").split()
    words = words[1:] if words[0] == "nbplat" else words
    if text.startswith("%%"):
        verb, rest = choose_cell_verb(find_noun(words[0]), words[1:])
    elif not words or words[0].startswith("-"):
        return
    else:
        noun, left = choose_top(words)
        if not left and noun is not PLATFORM:
            return
        verb, rest = choose_line_verb(noun, left, "magic" if text.startswith("%") else "cli")
    # What stands behind -- belongs to somebody else's command.
    ours = rest[: rest.index("--")] if "--" in rest else rest
    assert set() == {word for word in ours if word.startswith("-")} - set(verb.known_flags())


def test_the_pages_show_something_to_check() -> None:
    """The tests above have lines to look at: a renamed page or fence does not empty them."""
    assert len(shell_lines()) >= 8
    assert len(cells()) >= 4
    assert len(mentions()) >= 4


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_names_a_machine(page: Path) -> None:
    """No path of the machine a page was written on."""
    assert [] == _PLACES.findall(text_of(page))


def test_decisions_are_numbered_and_titled() -> None:
    """docs/decisions holds 0001, 0002, … without a gap, each titled with its number and with a status."""
    files = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [f"{n:04d}" for n in range(1, len(files) + 1)] == [file.name[:4] for file in files]
    for number, file in enumerate(files, 1):
        text = text_of(file)
        assert text.startswith(f"# {number}. "), file.name
        assert "**Status:** " in text, file.name
