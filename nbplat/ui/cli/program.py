from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence

from nbplat.errors import NbplatError
from nbplat.ui.dispatch import carry_out, choose_line_verb, choose_top
from nbplat.ui.help import noun_help, program_help
from nbplat.ui.nouns import NOUNS, PLATFORM
from nbplat.ui.render.error import error_lines
from nbplat.ui.render.result import Result
from nbplat.ui.render.terminal import TerminalLine
from nbplat.ui.spoken import speaking
from nbplat.ui.verbs import HANDLERS

__all__ = ["main"]

_HELP = ("--help", "-h", "help")
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None, handlers: Mapping[tuple[str, str], str] = HANDLERS) -> int:
    """Run one command.

    Args:
        arguments: Words after ``nbplat``; None takes the process's own.
        handlers: Stands in for the table of handlers in tests.

    Returns:
        The exit code: 0, the result's own (a check that found faults), or the error class's. A bug keeps its traceback
        and gives 70.
    """
    with speaking("cli"):
        return _main(arguments, handlers)


def _main(arguments: Sequence[str] | None, handlers: Mapping[tuple[str, str], str]) -> int:
    words = list(sys.argv[1:] if arguments is None else arguments)
    line = TerminalLine(sys.stderr)
    try:
        text, code = _run(words, line, handlers)
        _print(text)
    except NbplatError as exc:
        line.clear()
        if "--json" in words:
            _print(json.dumps({"error": exc.record()}, indent=2, ensure_ascii=False))
        print("\n".join(error_lines(exc, colour=sys.stderr.isatty())), file=sys.stderr)
        return exc.exit_code
    except KeyboardInterrupt as exc:
        line.clear()
        print(str(exc) or "interrupted; what runs in the service goes on (nbplat status)", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader has gone (`| head`): nothing more can be said, and the interpreter's own flush must not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception:  # noqa: BLE001 - the last border: a bug shows its traceback and has its own exit code
        line.clear()
        import traceback

        traceback.print_exc()
        print("internal.bug: this is a bug of nbplat\nfix: report it with the lines above", file=sys.stderr)
        return 70
    return code


def _run(words: list[str], line: TerminalLine, handlers: Mapping[tuple[str, str], str]) -> tuple[str, int]:
    """What is printed, and the exit code."""
    if not words or words[0] in _HELP:
        return program_help(NOUNS, "cli"), 0
    if words[0] == "--version":
        from nbplat import __version__

        return f"nbplat {__version__}", 0
    noun, rest = choose_top(words)
    if rest and rest[0] in _HELP and noun is not PLATFORM:
        return noun_help(noun, "cli"), 0
    verb, rest = choose_line_verb(noun, rest, "cli")

    result, options = carry_out(noun, verb, rest, where="cli", show=line.show, write=line.write, handlers=handlers)
    line.clear()
    return _text(result, as_json=getattr(options, "json", False)), result.exit_code


def _text(result: Result, *, as_json: bool) -> str:
    return result.json() if as_json else result.text


def _print(text: str) -> None:
    if text:
        print(text.rstrip("\n"), flush=True)
