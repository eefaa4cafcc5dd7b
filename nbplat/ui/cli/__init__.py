"""The command line: ``nbplat <noun> <verb>``. Standard library only until a handler runs."""

from nbplat.ui.cli.program import main

__all__ = ["main"]
