"""The magics, thin over `ui/dispatch.py`; loading them imports no engine."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from nbplat.ui.help import magic_docstring
from nbplat.ui.kernel.target import install, uninstall
from nbplat.ui.magics.here import add_here, take_here
from nbplat.ui.magics.magic import NounMagic, PlatformMagic
from nbplat.ui.magics.records import forget_records, show_records
from nbplat.ui.nouns import NOUNS, PLATFORM
from nbplat.ui.nouns.session import SPARK, SQL
from nbplat.ui.nouns.sparkmagic import SPARKMAGIC
from nbplat.ui.options import Noun
from nbplat.ui.verbs import HANDLERS, SPARKMAGIC_HANDLERS

__all__ = ["register", "unregister"]


def register(shell: Any, handlers: Mapping[tuple[str, str], str] = HANDLERS) -> None:
    """Add every magic to an IPython shell.

    Args:
        shell: An `IPython.core.interactiveshell.InteractiveShell`.
        handlers: Stands in for the table of handlers in tests.
    """
    install(shell)
    add_here(shell)
    show_records(shell)
    for noun in SPARKMAGIC:
        if not any(_theirs(shell, kind, noun.name) for kind in ("line", "cell")):
            _register(shell, noun, NounMagic(noun, shell, SPARKMAGIC_HANDLERS))
    for noun in NOUNS:
        if not noun.magic or (noun in (SPARK, SQL) and _of_sparkmagic(shell, noun.name)):
            continue
        _say_taken(shell, noun.name)
        magic = PlatformMagic(noun, shell, handlers) if noun is PLATFORM else NounMagic(noun, shell, handlers)
        _register(shell, noun, magic)


def unregister(shell: Any) -> None:
    """Take them out again."""
    uninstall(shell)
    take_here(shell)
    forget_records(shell)
    for kind in ("line", "cell"):
        for noun in (*SPARKMAGIC, *NOUNS):
            function = shell.magics_manager.magics[kind].get(noun.name)
            if getattr(function, "__module__", None) == __name__:
                del shell.magics_manager.magics[kind][noun.name]


def _register(shell: Any, noun: Noun, magic: NounMagic) -> None:
    from IPython.core.magic import no_var_expand

    # A plain function: IPython reads the docstring and sets its marks on it.
    function = no_var_expand(_as_function(magic))
    function.needs_local_scope = True
    function.__name__ = noun.name
    function.__doc__ = magic_docstring(noun)
    shell.register_magic_function(function, "line_cell" if noun.cell_verb else "line", noun.name)


def _theirs(shell: Any, kind: str, name: str) -> bool:
    """Whether another extension has a magic of that name."""
    function = shell.magics_manager.magics[kind].get(name)
    return function is not None and getattr(function, "__module__", None) != __name__


def _of_sparkmagic(shell: Any, name: str) -> bool:
    """Whether sparkmagic's own kernel runs plain cells by it: taking it away would send them elsewhere."""
    function = shell.magics_manager.magics["cell"].get(name)
    return str(getattr(function, "__module__", "")).startswith("sparkmagic.kernels")


def _say_taken(shell: Any, name: str) -> None:
    if _theirs(shell, "cell", name):
        owner = str(getattr(shell.magics_manager.magics["cell"][name], "__module__", "")).partition(".")[0]
        print(f"%%{name} was {owner or 'another extension'}'s and is nbplat's now", file=sys.stderr)  # noqa: T201


def _as_function(magic: NounMagic) -> Any:
    def function(line: str, cell: str | None = None, *, local_ns: Mapping[str, Any] | None = None) -> Any:
        return magic(line, cell, local_ns or {})

    return function
