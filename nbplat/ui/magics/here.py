"""`%%local`, and questions about names (`events?`) where cells run in a session."""

from __future__ import annotations

from typing import Any

from nbplat.ui.kernel.target import install

__all__ = ["add_here", "take_here"]


def add_here(shell: Any) -> None:
    """Add `%%local`, and the magic that `name?` becomes in a notebook whose cells run in a session."""
    from IPython.core.magic import no_var_expand

    for kind, name, function in (("cell", "local", _local(shell)), ("line", "nbplat_help", _help(shell))):
        function.__module__ = __name__
        shell.register_magic_function(no_var_expand(function), kind, name)


def take_here(shell: Any) -> None:
    """Take them out again."""
    for kind, name in (("cell", "local"), ("line", "nbplat_help")):
        if getattr(shell.magics_manager.magics[kind].get(name), "__module__", None) == __name__:
            del shell.magics_manager.magics[kind][name]


def _local(shell: Any) -> Any:
    def local(line: str, cell: str) -> None:
        """Run this cell here, in the notebook's own Python, where cells run in a session."""
        with install(shell).here():
            ran = shell.run_cell(cell, store_history=False)
        # It has shown its error already: the cell fails without a word more.
        if (error := ran.error_before_exec or ran.error_in_exec) is not None:
            raise _Shown(error)

    return local


class _Shown(Exception):
    """An error that was shown already."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(str(error))

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


def _help(shell: Any) -> Any:
    def nbplat_help(line: str) -> None:
        """Show what a name is: in the session, else here."""
        from nbplat.ui.kernel.asking import asked_session

        name = line.strip()
        found = asked_session()
        text = found.inspect(name, len(name)) if found is not None else ""
        if text:
            from IPython.core import page

            show: Any = page.page  # IPython gives it no types
            show({"text/plain": text})
            return
        shell.run_line_magic("pinfo", name)

    return nbplat_help
