"""Finds the interpreter of a Python body and runs the body in it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from nbplat.errors import NotFound, SetupError, from_record
from nbplat.remote.child import Children, children
from nbplat.remote.failure import KernelError

__all__ = ["ChildBodies", "find_interpreter", "no_environments"]


def no_environments(name: str) -> Path:
    """The environments of a platform that declares none.

    Raises:
        NotFound: always; a path is what `--env` takes then.
    """
    raise NotFound(
        "env.unknown",
        f"there is no environment {name!r}",
        fix="name its interpreter or its folder by path: --env ./venv, or --env ./venv/bin/python",
    )


class ChildBodies:
    """Runs bodies in child interpreters.

    Args:
        folder: Where the code that a child needs of us is kept.
        limit_s: Seconds that one call of a body may take; 0 has no limit.
        environments: The interpreter of an environment by its name; raises NotFound.
    """

    def __init__(
        self,
        folder: Path,
        limit_s: float,
        environments: Callable[[str], Path] = no_environments,
        pool: Children = children,
    ) -> None:
        self._folder = str(folder)
        self._limit_s = limit_s
        self._environments = environments
        self._children = pool

    def settings(self, env: str, interpreter: str) -> dict[str, Any]:
        """Find the interpreter.

        Raises:
            NotFound: an environment that is not known.
            SetupError: a path that leads to no interpreter.
        """
        path = find_interpreter(env, interpreter, self._environments)
        return {"interpreter": path, "folder": self._folder, "limit_s": self._limit_s}

    def versions(self, record: dict[str, Any]) -> str:
        """Ask the interpreter, in which the body is loaded for it.

        Raises:
            SetupError: no interpreter, or one without pyarrow or numpy.
            DataError: sources that do not run.
        """
        try:
            hello = self._children.hello(record)
        except KernelError as error:
            raise from_record(error.record()) from None
        return f"Python {hello['python']}, pyarrow {hello['pyarrow']}, numpy {hello['numpy']}"

    def run(self, record: dict[str, Any], batch: pa.Table) -> pa.Table:
        """Run a body over a batch.

        Raises:
            DataError: what the function does wrong.
        """
        try:
            result: pa.Table = self._children.run(record, batch.select(record["reads"]))
        except KernelError as error:
            raise from_record(error.record()) from None
        return result


def find_interpreter(env: str, interpreter: str, environments: Callable[[str], Path]) -> str:
    """The path of the interpreter that a request means.

    Args:
        env: ``./venv``, ``/opt/py/bin/python`` or a name; empty when `interpreter` is meant.
        interpreter: A path; empty takes the one of this process.
    """
    if not env:
        return interpreter or sys.executable
    path = Path(env).expanduser()
    if "/" not in env and not env.startswith((".", "~")):
        return str(environments(env))
    for candidate in (path / "bin" / "python", path):
        if candidate.is_file():
            # Not resolved: a venv's python is a link, and where it lies makes it the venv's.
            return str(candidate.absolute())
    raise SetupError(
        "python.interpreter",
        f"there is no interpreter at {env}",
        fix="give an environment's folder (with bin/python) or an interpreter: --env PATH",
        where=env,
    )
