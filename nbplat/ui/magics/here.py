"""What the notebook's shell is given besides the nouns' magics: `%%local`, questions (`events?`), completion."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from nbplat.ui.kernel.target import install

__all__ = ["add_here", "own_names", "take_here"]

_QUESTION_S = 10.0


def add_here(shell: Any) -> None:
    """Add `%%local`, the magic that `name?` becomes where cells run in a session, and completion."""
    from IPython.core.magic import no_var_expand

    for kind, name, function in (("cell", "local", _local(shell)), ("line", "nbplat_help", _help(shell))):
        function.__module__ = __name__
        shell.register_magic_function(no_var_expand(function), kind, name)
    _explain(shell)
    if not any(each.__module__ == __name__ for each in shell.Completer.custom_matchers):
        shell.Completer.custom_matchers.append(_matcher(shell))


def take_here(shell: Any) -> None:
    """Take them out again."""
    for kind, name in (("cell", "local"), ("line", "nbplat_help")):
        if getattr(shell.magics_manager.magics[kind].get(name), "__module__", None) == __name__:
            del shell.magics_manager.magics[kind][name]
    kernel = getattr(shell, "kernel", None)
    if kernel is not None:
        vars(kernel).pop("do_inspect", None)
    matchers = shell.Completer.custom_matchers
    matchers[:] = [each for each in matchers if each.__module__ != __name__]


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
        # A question that is a cell may take its time; one at the cursor may not.
        found = asked_session(limit_s=_QUESTION_S)
        text = found.inspect(name, len(name)) if found is not None else ""
        if text:
            from IPython.core import page

            show: Any = page.page  # IPython gives it no types
            show({"text/plain": text})
            return
        shell.run_line_magic("pinfo", name)

    return nbplat_help


def _explain(shell: Any) -> None:
    """Have a kernel that is not ours explain names of the session where they stand in its code."""
    kernel = getattr(shell, "kernel", None)
    if kernel is None or getattr(kernel, "implementation", "") == "nbplat-spark" or "do_inspect" in vars(kernel):
        return
    before = kernel.do_inspect

    def do_inspect(code: str, cursor_pos: int, *rest: Any) -> Any:
        part = install(shell).session_part(code, cursor_pos)
        if part is None:
            return before(code, cursor_pos, *rest)
        from nbplat.ui.kernel.asking import asked_session
        from nbplat.ui.kernel.replies import inspect_reply

        return inspect_reply(asked_session(), part)

    kernel.do_inspect = do_inspect


def own_names(shell: Any, local_ns: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """The notebook's variables and those of the caller, without what IPython itself put there (In, Out, exit …)."""
    hidden = shell.user_ns_hidden
    both = {**shell.user_ns, **local_ns}
    return {name: value for name, value in both.items() if name not in hidden or hidden[name] is not value}


def _matcher(shell: Any) -> Any:
    from IPython.core.completer import context_matcher

    known: list[Any] = []

    @context_matcher(priority=100, identifier="nbplat")  # type: ignore[untyped-decorator,unused-ignore]
    def match(context: Any) -> Any:
        """Offer what nbplat knows at the cursor, and nothing elsewhere."""
        # On the first key press: loading the extension need not pay for it.
        from nbplat.ui.completion.known import Known
        from nbplat.ui.completion.matcher import as_matcher_result, cell_offers, session_offers

        code, line = context.full_text, context.cursor_line
        cursor = sum(len(each) + 1 for each in code.split("\n")[:line]) + context.cursor_position
        if (part := install(shell).session_part(code, cursor)) is not None:
            return as_matcher_result(session_offers(*part), limit=context.limit)
        if not known:
            known.append(Known(lambda: own_names(shell)))
        return as_matcher_result(cell_offers(code, cursor, known[0]), limit=context.limit)

    return match
