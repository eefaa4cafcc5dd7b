from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["CellRan", "StrictShell", "strict_shell"]

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@dataclass(frozen=True, slots=True)
class CellRan:
    """What one cell did.

    Attributes:
        value: The cell's last expression; None when there was none.
        outputs: MIME bundles it displayed, updates included, in order; the last expression's own is not among them.
        stdout: What it printed, colours removed.
        stderr: What it wrote to standard error, colours removed.
        error: What it raised; None when it succeeded.
    """

    value: Any
    outputs: tuple[Mapping[str, Any], ...]
    stdout: str
    stderr: str
    error: BaseException | None


class StrictShell:
    """A real IPython shell for tests of magics: a failing cell raises, and so does one that should fail
    and does not.

    Made by `strict_shell`, which also puts the process back as it was.
    """

    def __init__(self, ipython: Any) -> None:
        self.ipython = ipython

    @property
    def variables(self) -> dict[str, Any]:
        """The notebook's variables."""
        return dict(self.ipython.user_ns)

    def set(self, **variables: Any) -> None:
        """Define variables as a cell would."""
        self.ipython.push(variables)

    def run(self, cell: str) -> CellRan:
        """Run a cell; raises what it raises."""
        ran = self._run(cell)
        if ran.error is not None:
            raise ran.error
        return ran

    def fails(self, cell: str) -> CellRan:
        """Run a cell that must fail; raises AssertionError when it succeeds."""
        ran = self._run(cell)
        if ran.error is None:
            raise AssertionError(f"the cell succeeded, an error was expected:\n{cell}")
        return ran

    def help(self, name: str) -> str:
        """The docstring that ``name?`` shows."""
        return str(self.ipython.object_inspect(name)["docstring"])

    def reset(self) -> None:
        """Forget every variable."""
        self.ipython.reset(new_session=False)

    def _run(self, cell: str) -> CellRan:
        from IPython.utils.capture import capture_output

        with capture_output() as captured:
            result = self.ipython.run_cell(cell, store_history=True)
        return CellRan(
            value=result.result,
            outputs=tuple(output.data for output in captured.outputs),
            stdout=_ANSI.sub("", captured.stdout),
            stderr=_ANSI.sub("", captured.stderr),
            error=result.error_before_exec or result.error_in_exec,
        )


@contextmanager
def strict_shell(*, load: bool = True) -> Iterator[StrictShell]:
    """A fresh shell with no profile, no history and no start-up files of the user.

    Args:
        load: Load nbplat's magics.

    Raises:
        RuntimeError: when a shell exists in this process already; IPython keeps one for all.
    """
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    if InteractiveShell.initialized():
        raise RuntimeError("this process has an IPython shell already; strict_shell needs its own")
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    with tempfile.TemporaryDirectory(prefix="nbplat-shell-") as folder:
        (Path(folder) / "ipython").mkdir()
        shell = InteractiveShell.instance(config=config, ipython_dir=str(Path(folder) / "ipython"))
        try:
            if load:
                import nbplat

                nbplat.load_ipython_extension(shell)
            yield StrictShell(shell)
        finally:
            StrictShell(shell).reset()
            InteractiveShell.clear_instance()
