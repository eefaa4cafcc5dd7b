"""Computing: what binds a body and what runs pieces of staging."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from nbplat.backfill.table_facts import Column
from nbplat.remote.task import Task

if TYPE_CHECKING:
    import pyarrow as pa

    from nbplat.backfill.body_imports import BodyImports
    from nbplat.backfill.plan import BackfillPlan
    from nbplat.terms import EnvironmentRef

__all__ = ["Engine", "Engines", "PythonBodies", "Runner"]


class Engine(Protocol):
    """Runs a body over Arrow tables."""

    name: str

    def prepare(self, sql: str, types: Mapping[str, Mapping[str, str]]) -> str:
        """Spark SQL to the engine's own; raises RequestError for what it does not run.

        `types` maps table (``base`` and each source by full name) to column to Spark SQL type.
        """

    def result_columns(self, query: str, schemas: Mapping[str, pa.Schema]) -> tuple[Column, ...]:
        """Bind without data. Raises RequestError for types that do not fit."""

    def run(self, query: str, tables: Mapping[str, pa.Table]) -> pa.Table:
        """Run; raises DataError for what the data makes impossible (division by zero, overflow)."""


class PythonBodies(Protocol):
    """Runs Python bodies in interpreters of their own, while a run is planned."""

    def resolve(self, env: str, project: str = "") -> EnvironmentRef | None:
        """The newest build of an environment; None for a path and for nothing.

        Args:
            project: Folder whose declaration is meant where several projects use one name.

        Raises NotFound for a name that nobody built.
        """

    def settings(self, env: str, interpreter: str, environment: EnvironmentRef | None = None) -> dict[str, Any]:
        """What a body's record says of where it runs: ``interpreter``, ``folder``, ``limit_s``, ``environment``.

        Args:
            env: Name of an environment, or the path of an interpreter or of an environment's folder; wins.
            interpreter: Path of an interpreter; both empty take the one of this process.
            environment: The very build that a run was asked for with; wins over `env`.

        Raises NotFound for an unknown name, SetupError for a path that leads to none and for a build that is gone.
        """

    def check(self, record: dict[str, Any], imports: BodyImports, *, writer: str, project: str) -> list[str]:
        """Hold the interpreter against what a body imports; returns warnings.

        Args:
            writer: Path of the interpreter that the body was written in; it need not be on this machine.
            project: Folder of the environment's declaration; it need not be either.

        Raises SetupError (``env.check``) for what cannot work.
        """

    def behind(self, environment: EnvironmentRef, project: str) -> str:
        """What the declaration says by now that a build has not; empty when nothing, or when nobody knows."""

    def present(self, record: dict[str, Any]) -> None:
        """Return when the environment that a run was planned in is here still; a record without one is fine.

        Raises SetupError (``env.gone``).
        """

    def versions(self, record: dict[str, Any]) -> str:
        """The interpreter's version and those of what it needs; raises SetupError when it cannot run a body."""

    def run(self, record: dict[str, Any], batch: pa.Table) -> pa.Table:
        """Keys and new columns of a batch; without a ``schema`` in the types the function gives.

        Raises DataError for what the function does wrong, SetupError for its interpreter.
        """


class Runner(Protocol):
    """Runs pieces of staging: threads here, Ray tasks, Spark tasks."""

    @property
    def name(self) -> str:
        """The engine it belongs to: ``local``, ``ray``, ``spark``."""

    @property
    def slots(self) -> int:
        """How many tasks it runs at once; a slot has its share of the memory."""

    @property
    def whole(self) -> bool:
        """True when it takes all there is to stage in one task, and reads base and sources itself."""

    def run(self, tasks: Iterator[Task]) -> Iterator[list[dict[str, Any]]]:
        """Run tasks with `nbplat.remote.kernel.stage`; yield each task's results as it ends.

        A task is pulled only when a slot is free for it (pulling claims its units). Closing the
        iterator waits for what is under way. A task that a worker's death took yields an error
        record per file.
        """


class Engines(Protocol):
    """The engines beside ``local``."""

    def engine(self, name: str) -> Engine:
        """What plans and audits know of an engine."""

    def check(self, plan: BackfillPlan, staged: str) -> None:
        """Return when the plan's engine can run it.

        Args:
            staged: Folder of the run's staged files; a location.

        Raises:
            SetupError: the engine is not installed, or its workers do not reach the files.
        """

    def runner(self, plan: BackfillPlan, folder: Path, say: Callable[[str], None]) -> AbstractContextManager[Runner]:
        """What runs the plan's pieces; it starts what it needs and ends it with the block.

        Args:
            folder: For what lasts as long as the block.
            say: Takes lines for the job's log.
        """
