"""How soon one can begin: import, magics, the command line, the service."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.measure import Cost, Figure, cost_of, fresh, fresh_environ, medians
from nbplat.config import Config, load_config

__all__ = ["loading", "measure", "state_folder"]

_SHELL = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_cell("1 + 1")
"""


def state_folder(folder: str, settings: Mapping[str, Any] | None = None) -> Config:
    """The settings of a fresh state folder, nobody else's in them."""
    path = Path(folder)
    options = {"home": str(path / "home"), **(settings or {})}
    return load_config(options, environ={}, cwd=path, user_file=path / "none")


def measure() -> list[Figure]:
    [imported] = medians(lambda: fresh("import sys", "import nbplat"))
    bare, helped = medians(
        lambda: _run([sys.executable, "-c", "pass"]),
        lambda: _run([str(Path(sys.executable).with_name("nbplat")), "backfill", "--help"]),
    )
    over = helped.minus(bare)
    floor, cold = medians(lambda: fresh("import sys", "import fastapi, uvicorn, sqlalchemy"), _cold_start)
    return [
        *loading(),
        Figure(
            "import nbplat",
            imported.wall_s * 1000,
            "ms",
            None,
            "lower",
            f"a bare interpreter ({bare})",
            imported.cpu_s,
            imported.wall_s,
        ),
        Figure(
            "nbplat backfill --help, CPU over a bare interpreter",
            over.cpu_s,
            "s",
            0.1,
            "lower",
            f"python -c pass ({bare})",
            helped.cpu_s,
            helped.wall_s,
        ),
        Figure(
            "service: cold start in a fresh state folder until it answers, wall",
            cold.wall_s,
            "s",
            None,
            "lower",
            f"importing fastapi, uvicorn and sqlalchemy ({floor}); CPU is the starter's only",
            cold.cpu_s,
            cold.wall_s,
        ),
    ]


def loading() -> list[Figure]:
    """What the extension adds to a shell that has started."""
    bare_shell, load = medians(
        lambda: fresh("import sys", _SHELL),
        lambda: fresh(_SHELL, "shell.run_line_magic('load_ext', 'nbplat')"),
    )
    shell_text = f"a bare IPython shell ({bare_shell})"
    return [
        Figure("%load_ext nbplat, wall", load.wall_s, "s", 0.2, "lower", shell_text, load.cpu_s, load.wall_s),
        Figure("%load_ext nbplat, CPU", load.cpu_s, "s", 0.2, "lower", shell_text, load.cpu_s, load.wall_s),
    ]


def _run(command: list[str]) -> None:
    subprocess.run(command, env=fresh_environ(), stdout=subprocess.DEVNULL, timeout=60, check=True)


def _cold_start() -> Cost:
    from nbplat.ui.client import find_or_start, stop_service

    with tempfile.TemporaryDirectory(prefix="nbplat-bench-") as folder:
        config = state_folder(folder)
        try:
            return cost_of(lambda: find_or_start(config))
        finally:
            stop_service(config)
