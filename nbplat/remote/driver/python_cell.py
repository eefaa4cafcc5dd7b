"""Runs one cell of Python: statements in the session's names, the last value shown, errors cut to the user's frames."""

from __future__ import annotations
import __future__

import ast
import asyncio
import functools
import inspect
import linecache
import operator
import sys
from collections.abc import Callable
from types import CodeType
from typing import Any

from .display import bundle_of
from .livy_magics import run_magic, split_magics

__all__ = ["PythonCells"]

_FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_FEATURES = (getattr(__future__, name) for name in __future__.all_feature_names)
_FUTURE = functools.reduce(operator.or_, (feature.compiler_flag for feature in _FEATURES))


class PythonCells:
    """The names of a session and how cells run in them. One thread uses it.

    Args:
        names: The dictionary of ``__main__``.
    """

    def __init__(self, names: dict[str, Any]) -> None:
        self._names = names
        self._loop: asyncio.AbstractEventLoop | None = None
        # A `from __future__ import …` holds for the cells after it, as at a prompt.
        self._futures = 0

    def run(self, number: int, code: str, print_text: Callable[[str], Any]) -> dict[str, Any]:
        """Run a cell.

        Args:
            number: Names the cell in tracebacks: ``<cell 3>``.
            code: Python; lines such as ``%json x``, ``%table x`` and ``%matplot plt`` stand for Livy's own.
            print_text: Takes the text of values shown before the last.

        Returns:
            The last value by MIME type; empty when the last statement has no value.

        Raises:
            Whatever the code raises.
        """
        shown: dict[str, Any] = {}
        for piece in split_magics(code):
            if piece.is_magic:
                shown = run_magic(piece.text, self._names)
            else:
                shown = self._run_source(number, piece.text, piece.line, print_text)
        return shown

    def _run_source(self, number: int, code: str, line: int, print_text: Callable[[str], Any]) -> dict[str, Any]:
        name = f"<cell {number}>"
        source = "\n" * line + code
        # The time None keeps the entry through linecache's checks of files.
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        tree = ast.parse(source, name, "exec")
        values: list[Any] = []
        before = sys.displayhook
        sys.displayhook = _hook(values, self._names)
        try:
            if tree.body[:-1]:
                self._exec(self._compiled(ast.Module(tree.body[:-1], []), name, "exec"))
            if tree.body:
                # As a prompt runs it: an expression's value goes to the hook.
                self._exec(self._compiled(ast.Interactive(tree.body[-1:]), name, "single"))
        finally:
            sys.displayhook = before
            for value in values[:-1]:
                print_text(bundle_of(value)["text/plain"] + "\n")
        return bundle_of(values[-1]) if values else {}

    def _compiled(self, tree: Any, name: str, mode: str) -> CodeType:
        # Not inherited: this module's own future statements are none of the cell's.
        code: CodeType = compile(tree, name, mode, flags=_FLAGS | self._futures, dont_inherit=True)
        self._futures |= code.co_flags & _FUTURE
        return code

    def _exec(self, code: CodeType) -> None:
        if not code.co_flags & inspect.CO_COROUTINE:
            exec(code, self._names)  # noqa: S102 - running the user's code is what this is for
            return
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(eval(code, self._names))  # noqa: S307 - as above


def _hook(values: list[Any], names: dict[str, Any]) -> Callable[[Any], None]:
    def show(value: Any) -> None:
        if value is not None:
            values.append(value)
            names["_"] = value

    return show
