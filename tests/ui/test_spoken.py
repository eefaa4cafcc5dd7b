"""Commands in messages: as a notebook says them, and as a shell does where a shell reads them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbplat.backfill.explain import next_step
from nbplat.errors import NotFound
from nbplat.ui.nouns import NOUNS
from nbplat.ui.render.error import error_text
from nbplat.ui.spoken import in_shell, speaking, spoken

ROOT = Path(__file__).resolve().parents[2] / "nbplat"
MAGIC = re.compile(rf"(?<![\w%])%%?(?:{'|'.join(noun.name for noun in NOUNS)})\b(?! $)")
# Of the notebook alone: what runs in a kernel, what is declared for it, and verbs that only magics have.
IN_NOTEBOOKS = ("kernel/", "magics/", "widgets/", "nouns/", "options_page.py", "help.py", "target.py", "sparkmagic.py")


@pytest.mark.parametrize(
    ("notebook", "shell"),
    [
        ("start one: %session start NAME", "start one: nbplat session start NAME"),
        ("look at `%nbplat status`", "look at `nbplat status`"),
        ("`%nbplat job show j1` tells", "`nbplat job show j1` tells"),
        ("start one with %%backfill", "start one with nbplat backfill run"),
        ("no sequence is kept yet: run a %%sequence cell", "no sequence is kept yet: run nbplat sequence preview"),
        ("run its %%backfill cell again with --new", "run its nbplat backfill run again with --new"),
        ("plan it again (%%backfill with --new)", "plan it again (nbplat backfill run with --new)"),
        ("%%backfill … --env ranker", "nbplat backfill run … --env ranker"),
        ("%environment pack ranker --slim", "nbplat env pack ranker --slim"),
        ("check the disk; then run the same cell again", "check the disk; then run the same command again"),
        ("compute them again: the cell with --replace x", "compute them again: the command with --replace x"),
    ],
)
def test_a_shell_is_told_its_own_words(notebook: str, shell: str) -> None:
    """A line magic is the command, a cell magic the command of its verb; the rest of the sentence stays."""
    assert shell == in_shell(notebook)


@pytest.mark.parametrize(
    "text",
    ["%%spark", "%spark delete -s x", "%nbplat target spark", "%session form", "%load_ext nbplat", "LIKE '%sessions'"],
)
def test_what_a_shell_does_not_have_stays(text: str) -> None:
    """A magic of notebooks alone is told as that; so is what is no command of ours."""
    assert text == in_shell(text)


def test_words_are_a_notebooks_unless_a_shell_asks() -> None:
    """Errors and next steps, and the same again after the shell's turn."""
    error, following = NotFound("run.unknown", "no", fix="start one with %%backfill"), next_step("promoted", "a@1")
    notebook = error_text(error), spoken(following)
    with speaking("cli"):
        shell = error_text(error), spoken(following)
    assert ("run.unknown: no\nfix: start one with %%backfill", "`%backfill rollback a@1` takes it back") == notebook
    assert (
        "run.unknown: no\nfix: start one with nbplat backfill run",
        "`nbplat backfill rollback a@1` takes it back",
    ) == shell
    assert notebook == (error_text(error), spoken(following))


def test_every_command_that_a_message_names_is_one_of_a_shell_too() -> None:
    """No text outside the notebook's own parts names a magic without a command, or a verb that there is not."""
    left = [
        f"{path.relative_to(ROOT)}: {text}"
        for path in sorted(ROOT.rglob("*.py"))
        if not any(part in f"{path.relative_to(ROOT)}" for part in IN_NOTEBOOKS)
        for text in _texts(ast.parse(path.read_text(encoding="utf-8")))
        if MAGIC.search(in_shell(text))
    ]
    assert ["ui/handlers/session.py: %%spark"] == left


def _texts(tree: ast.AST) -> Iterator[str]:
    """Strings of a module that are no documentation; those of an f-string piece by piece."""
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.value
