"""Finds the interpreter of a Python body, holds it against the body and runs the body in it."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from nbplat.adapters.interpreter.models import ModelPlace
from nbplat.adapters.interpreter.probe import probe_interpreter
from nbplat.backfill.body_imports import BodyImports, imports_in
from nbplat.environment.check import CheckReport
from nbplat.environment.check_body import check_body
from nbplat.environment.check_machine import check_machine
from nbplat.environment.sides import Side, side_of_probe
from nbplat.errors import NbplatError, NotFound, SetupError, from_record
from nbplat.remote.child import Children, children
from nbplat.remote.failure import KernelError
from nbplat.terms import EnvironmentRef

__all__ = ["ChildBodies", "FindEnvironment", "find_interpreter", "no_environments"]


class FindEnvironment(Protocol):
    """Finds built environments."""

    def __call__(self, name: str, key: str = "", project: str = "") -> EnvironmentRef:
        """The newest build under a name, or the build with a key.

        Args:
            project: Folder whose declaration is meant where several projects use one name.

        Raises:
            NotFound: there is none.
        """


def no_environments(name: str, key: str = "", project: str = "") -> EnvironmentRef:
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
        environments: Finds environments by name or key.
        behind: What a build's declaration in a folder says by now that the build has not; empty for nothing.
    """

    def __init__(
        self,
        folder: Path,
        limit_s: float,
        environments: FindEnvironment = no_environments,
        behind: Callable[[EnvironmentRef, str], str] = lambda built, project: "",
        pool: Children = children,
    ) -> None:
        self._folder = str(folder)
        self._limit_s = limit_s
        self._environments = environments
        self._moved_on = behind
        self._children = pool

    def resolve(self, env: str, project: str = "") -> EnvironmentRef | None:
        """See the port."""
        return self._environments(env, project=project) if _is_name(env) else None

    def settings(self, env: str, interpreter: str, environment: EnvironmentRef | None = None) -> dict[str, Any]:
        """Find the interpreter.

        Raises:
            NotFound: an environment that is not known.
            SetupError: a path that leads to no interpreter; ``env.gone``: the build that was asked for is not here.
        """
        built = self.resolve(env) if environment is None else self._still_here(environment)
        return {
            "interpreter": built.interpreter if built is not None else find_interpreter(env, interpreter),
            "folder": self._folder,
            "limit_s": self._limit_s,
            "environment": built.record() if built is not None else None,
        }

    def check(
        self, record: dict[str, Any], imports: BodyImports, *, writer: str, project: str, what: str = "body"
    ) -> list[str]:
        """Probe the interpreter, and the one that the body was written in when it is here.

        Raises:
            SetupError: ``env.check``.
        """
        wanted = imports.every
        built = EnvironmentRef(**record["environment"]) if record["environment"] else None
        side = _side(record["interpreter"], wanted, built)
        notebook = _notebook(writer, record["interpreter"], wanted)
        body = check_body(
            side, certain=imports.certain, possible=imports.possible, notebook=notebook, what=f"the {what}"
        )
        report = CheckReport.of(side.who, f"the {what}", [*check_machine(side), *body])
        report.refuse()
        notes = [f"{finding.message} ({finding.fix})" for finding in report.warnings]
        stale = self.behind(built, project) if built is not None else ""
        return [*([stale] if stale else []), *notes]

    def behind(self, environment: EnvironmentRef, project: str) -> str:
        """See the port."""
        return self._moved_on(environment, project)

    def model(self, env: str, source: str, project: str) -> ModelPlace:
        """Where the model of a cell can learn, found and checked; nothing is started.

        Args:
            env, project: As `resolve`, or a path.
            source: Text that binds ``model``; empty takes scikit-learn's default one.

        Raises:
            NotFound, SetupError: as `settings` and `check`.
        """
        record = self.settings(env, "", self.resolve(env, project))
        imports = imports_in(source) if source.strip() else BodyImports(frozenset({"sklearn"}), frozenset())
        notes = self.check(record, imports, writer=sys.executable, project=project, what="cell")
        return ModelPlace(record, source, tuple(notes))

    def present(self, record: dict[str, Any]) -> None:
        """See the port."""
        if built := record.get("environment"):
            self._still_here(EnvironmentRef(**built))

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

    def _still_here(self, wanted: EnvironmentRef) -> EnvironmentRef:
        try:
            found = self._environments(wanted.name, wanted.key)
        except NotFound:
            found = None
        if found is None or not Path(found.interpreter).exists():
            raise SetupError(
                "env.gone",
                f"the build {wanted.key[:12]} of the environment {wanted.name} is not on this machine any more",
                fix=f"build it again from the same lock: nbplat env build {wanted.name}",
                where=wanted.prefix,
            )
        return replace(wanted, prefix=found.prefix)


def find_interpreter(env: str, interpreter: str) -> str:
    """The path of the interpreter that a request means.

    Args:
        env: ``./venv`` or ``/opt/py/bin/python``; empty when `interpreter` is meant.
        interpreter: A path; empty takes the one of this process.

    Raises:
        SetupError: ``python.interpreter``.
    """
    if not env:
        return interpreter or sys.executable
    path = Path(env).expanduser()
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


def _is_name(env: str) -> bool:
    return bool(env) and "/" not in env and not env.startswith((".", "~"))


def _side(interpreter: str, imports: Collection[str], built: EnvironmentRef | None) -> Side:
    if built is None:
        return side_of_probe(f"the interpreter {interpreter}", probe_interpreter(interpreter, imports))
    # What was built under a key is asked once, unless somebody has put something into it since.
    site = [path.stat().st_mtime_ns for path in Path(built.prefix).glob("lib/python*/site-packages")]
    record = _probe_built(interpreter, built.key, frozenset(imports), max(site, default=0))
    return side_of_probe(f"the environment {built.name}", record, name=built.name)


@functools.lru_cache(maxsize=64)
def _probe_built(interpreter: str, key: str, imports: frozenset[str], changed_ns: int) -> dict[str, Any]:
    return probe_interpreter(interpreter, imports)


def _notebook(writer: str, interpreter: str, imports: Iterable[str]) -> Side | None:
    """What the interpreter of the notebook has for the imports; None where it is not here or has nothing to tell."""
    wanted = [name for name in imports if name not in sys.stdlib_module_names]
    if not wanted or not writer or writer == interpreter or not Path(writer).is_file():
        return None
    try:
        return side_of_probe("the notebook", probe_interpreter(writer, wanted, packages=False))
    except NbplatError:
        return None  # only to compare with; the body does not run there
