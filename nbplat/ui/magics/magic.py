from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from nbplat.errors import NbplatError
from nbplat.ui import template
from nbplat.ui.dispatch import carry_out, choose_cell_verb, choose_line_verb, choose_top
from nbplat.ui.help import noun_help, program_help
from nbplat.ui.magics.here import own_names
from nbplat.ui.magics.live import live_output
from nbplat.ui.nouns import NOUNS
from nbplat.ui.options import Noun, Verb
from nbplat.ui.render.error import error_lines
from nbplat.ui.render.result import Result

__all__ = ["NounMagic", "PlatformMagic"]

_INTERRUPTED = "interrupted; what had been started goes on (%nbplat status, %session list)"


class NounMagic:
    """``%backfill verb …`` and ``%%backfill …`` of one noun.

    Args:
        shell: The IPython shell whose variables templates read and ``--out`` binds.
        handlers: The table of handlers.
    """

    def __init__(self, noun: Noun, shell: Any, handlers: Mapping[tuple[str, str], str]) -> None:
        self._noun = noun
        self._shell = shell
        self._handlers = handlers

    def __call__(self, line: str, cell: str | None, local_ns: Mapping[str, Any]) -> Result:
        """Carry out one line or cell.

        Raises:
            UsageError: a fault of the line; IPython shows one red line.
            NbplatError: every other fault of ours; shown as one short red block, without a traceback.
        """
        from IPython.core.error import UsageError

        try:
            return self._carry_out(line, cell, own_names(self._shell, local_ns))
        except KeyboardInterrupt as exc:
            if not hasattr(exc, "_render_traceback_"):
                # Where it came is our code, or a socket's; what matters is that nothing was undone.
                exc._render_traceback_ = lambda: [_INTERRUPTED]  # type: ignore[attr-defined]
            raise exc.with_traceback(None) from None
        except NbplatError as exc:
            if exc.code.startswith(("usage.", "command.")):
                raise UsageError(f"{exc.message}. {exc.fix[:1].upper()}{exc.fix[1:]}") from None
            # IPython asks the exception how to be shown; the class stays what `except` and `%tb` expect.
            lines = error_lines(exc, colour=True)
            exc._render_traceback_ = lambda: lines  # type: ignore[attr-defined]
            raise exc.with_traceback(None) from exc.__cause__

    def _carry_out(self, line: str, cell: str | None, variables: Mapping[str, Any]) -> Result:
        words = template.split(line, variables)
        if cell is None and words in (["--help"], ["-h"]):
            return Result(text=self._help())
        noun, verb, rest = self._choose(words, cell)
        with live_output(self._shell) as live:
            result, options = carry_out(
                noun,
                verb,
                rest,
                where="line" if cell is None else "cell",
                body=cell,
                namespace=variables,
                show=live.show,
                write=live.write,
                handlers=self._handlers,
            )
            return live.finish(self._deliver(result, options))

    def _choose(self, words: Sequence[str], cell: str | None) -> tuple[Noun, Verb, Sequence[str]]:
        if cell is not None:
            return self._noun, *choose_cell_verb(self._noun, words)
        return self._noun, *choose_line_verb(self._noun, words, "magic")

    def _help(self) -> str:
        return noun_help(self._noun, "magic")

    def _deliver(self, result: Result, options: SimpleNamespace) -> Result:
        if (variable := getattr(options, "out", None)) is not None:
            self._shell.push({variable: result if result.value is None else result.value})
        if getattr(options, "json", False):
            return Result(text=result.json(), value=result.value, data=result.data)
        return result


class PlatformMagic(NounMagic):
    """``%nbplat status``, and ``%nbplat <noun> <verb>`` for every noun, also those without a magic of their own."""

    def _choose(self, words: Sequence[str], cell: str | None) -> tuple[Noun, Verb, Sequence[str]]:
        if not words or words[0].startswith("-"):
            return super()._choose(words, cell)
        noun, rest = choose_top(words)
        return noun, *choose_line_verb(noun, rest, "magic")

    def _help(self) -> str:
        return program_help(NOUNS, "magic")
