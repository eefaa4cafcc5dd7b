"""The platform of one configuration: what the service, a worker, a notebook and a shell ask of it."""

from __future__ import annotations

import functools
import getpass
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbplat.clock import Clock, SystemClock
from nbplat.compose import callers, environments, training, warm_starts
from nbplat.compose.backfills import duckdb_settings, open_backfills, open_expirer, open_frames
from nbplat.compose.environments import EnvironmentParts
from nbplat.compose.ground import Ground
from nbplat.compose.sequences import open_sequences
from nbplat.compose.session_requests import SessionRequests
from nbplat.compose.sessions import SessionParts
from nbplat.compose.steps import Steps
from nbplat.config import Config, load_config
from nbplat.errors import SetupError
from nbplat.job import Job, JobDraft, StepContext, Unit
from nbplat.job.caller import CallerJob, end_lost, in_caller
from nbplat.job.inline import work_inline

if TYPE_CHECKING:
    from nbplat.adapters.interpreter.models import ModelPlace
    from nbplat.backfill.expire_run import Expirer
    from nbplat.backfill.frames import Frames
    from nbplat.backfill.run import Backfills
    from nbplat.backfill.spec import BackfillSpec
    from nbplat.compose.engines import Engines
    from nbplat.demo.load import DemoReport
    from nbplat.environment.channel.request import ChannelReport, ChannelRequest
    from nbplat.environment.check_against import Checker
    from nbplat.environment.environments import Environments
    from nbplat.environment.ports import Say
    from nbplat.sequence.sequences import Sequences
    from nbplat.session.batch import BatchDraft
    from nbplat.session.batches import Batches
    from nbplat.session.profiles import Profiles
    from nbplat.session.records import SessionDraft
    from nbplat.session.sessions import Sessions as LivySessions
    from nbplat.training.join import JoinPlan, JoinSource
    from nbplat.training.join.open import OpenJoin
    from nbplat.training.join.sequence_use import SequenceSource
    from nbplat.training.ports import ModelKit

__all__ = ["Platform", "open_platform"]


def open_platform(config: Config | None = None, *, clock: Clock | None = None) -> Platform:
    """Build the platform of a configuration; nothing heavy is imported before it is used.

    Raises:
        SetupError: when the state folder cannot be made.
    """
    config = config or load_config()
    try:
        config.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as exc:
        raise SetupError(
            "home.unusable",
            f"the state folder cannot be made: {exc.strerror}",
            fix="set NBPLAT_HOME",
            where=str(config.home),
        ) from None
    return Platform(config, clock or SystemClock())


class Platform(Ground):
    """Everything of one configuration, in this process. The service, the worker and `nb.local()` use it alike."""

    @functools.cached_property
    def engines(self) -> Engines:
        """What bodies run on."""
        from nbplat.adapters.duckdb.engine import DuckDBEngine
        from nbplat.adapters.iceberg.pinned import write_pinned
        from nbplat.compose.engines import Engines

        return Engines(
            self.config,
            DuckDBEngine(**duckdb_settings(self.config)),
            lambda pin, folder: write_pinned(self.catalog, pin, folder),
            self._environments.workers,
        )

    # -- backfills and frames ----------------------------------------------------------------------
    @property
    def backfills(self) -> Backfills:
        """Backfill runs; each access reads the catalog anew, so that no plan sees a stale table."""
        return open_backfills(self, self.engines, self._environments.bodies)

    @property
    def expirer(self) -> Expirer:
        """Sweeps staging tables and files that nothing needs."""
        return open_expirer(self, self.backfills, self.frames)

    @property
    def frames(self) -> Frames:
        """Stored DataFrames."""
        return open_frames(self)

    def backfill_spec(self, record: dict[str, Any]) -> BackfillSpec:
        """Read a spec from JSON."""
        from nbplat.backfill.spec import BackfillSpec

        return BackfillSpec.from_record(record)

    # -- sequences and training --------------------------------------------------------------------
    @property
    def sequences(self) -> Sequences:
        """Sequences over tables and files."""
        return self.sequences_of({})

    def sequences_of(self, frames: Mapping[str, Any]) -> Sequences:
        """Sequences that may name DataFrames of the notebook as well, by `frames`."""
        return open_sequences(self, self.engines, frames)

    @property
    def sequence_columns(self) -> SequenceSource:
        """Kept sequences as columns of training joins."""
        return training.sequence_columns(self, self.sequences)

    @property
    def join_source(self) -> JoinSource:
        """Tables as training joins plan and read them; each access reads the catalog anew."""
        return training.join_source(self)

    def open_join(self, plan: JoinPlan) -> OpenJoin:
        """Read a planned join in this process."""
        # A plan without sequences needs no engine to be read.
        sequences = self.sequence_columns if plan.sequences else None
        return training.open_join(self, plan, sequences, lambda: self.engines, self._environments.named)

    def model_kit(self, model: Any = None) -> ModelKit:
        """scikit-learn's default model, or a user's own object, with the measures."""
        return training.model_kit(model)

    def model_place(self, env: str, source: str, project: str = "") -> ModelPlace:
        """Where a cell's model can learn; see `nbplat.adapters.interpreter.bodies.ChildBodies.model`."""
        return self._environments.bodies.model(env, source, project)

    # -- environments ------------------------------------------------------------------------------
    @functools.cached_property
    def _environments(self) -> EnvironmentParts:
        return EnvironmentParts(self, lambda: self.engines)

    @property
    def environments(self) -> Environments:
        """Python environments: declared, locked, built, packed and shipped."""
        return self._environments.open()

    @property
    def environment_checker(self) -> Checker:
        """Holds environments against machines, interpreters, archives and clusters."""
        return self._environments.checker()

    def make_channel(self, request: ChannelRequest, say: Say) -> ChannelReport:
        """Make a conda channel; see `nbplat.environment.channel.make.make_channel`."""
        return environments.make_channel(request, say)

    def check_channel(self, folder: Path, say: Say) -> list[str]:
        """What is wrong with a conda channel; see `nbplat.adapters.conda.channel.check.check_channel`."""
        return environments.check_channel(folder, say)

    # -- sessions and batches ----------------------------------------------------------------------
    @functools.cached_property
    def _sessions(self) -> SessionParts:
        return SessionParts(self, lambda: self._environments.of_sessions)

    @functools.cached_property
    def _requests(self) -> SessionRequests:
        return SessionRequests(self, lambda: self._environments.of_sessions)

    def open_sessions(self, sockets: Path) -> LivySessions:
        """The sessions of this service; see `nbplat.session.sessions.Sessions`.

        Args:
            sockets: A short folder of ours alone.
        """
        return self._sessions.open(sockets)

    def open_batches(self) -> Batches:
        """The batches of this service; see `nbplat.session.batches.Batches`."""
        return self._sessions.open_batches()

    @property
    def session_profiles(self) -> Profiles:
        """The site's profiles of sessions; see `nbplat.session.profile_reading.read_profiles`."""
        return self._requests.profiles

    def session_draft(self, fields: dict[str, Any], owner: str, service_url: str, token: str) -> SessionDraft:
        """What a checked request of a session comes to here.

        Args:
            fields: As `nbplat.session.livy_request.read_session_request` gives them.
            token: The catalog's scoped token.
        """
        return self._requests.session(fields, owner, service_url, token)

    def batch_draft(self, fields: dict[str, Any], owner: str, service_url: str, token: str) -> BatchDraft:
        """What a checked request of a batch comes to here; as `session_draft`."""
        return self._requests.batch(fields, owner, service_url, token)

    def write_class_archive(self, environment: str = "") -> dict[str, Any]:
        """Write the class-data archive of sessions here, and measure what it gains.

        Args:
            environment: The built environment that the sessions run in; empty: the service's own Python.

        Returns:
            See `nbplat.remote.driver.write_archive.write_archive`.

        Raises:
            SetupError: ``session.class_archive``: it could not be written.
        """
        conf = self._requests.bare_conf(environment)
        return warm_starts.write_class_archive(self.config, self._environments.of_sessions.interpreter(conf), conf)

    # -- this machine ------------------------------------------------------------------------------
    def fetch_jars(self, **options: Any) -> list[Path]:
        """Fetch and verify the Iceberg runtime; see `nbplat.adapters.spark.jars.fetch_jars`."""
        from nbplat.adapters.spark.jars import fetch_jars

        return fetch_jars(self.config, **options)

    def spark_checks(self) -> list[tuple[str, Callable[[], Any]]]:
        """What Spark needs of this machine: a name and a check that raises when it is missing."""
        from nbplat.adapters.spark.jars import check_java, check_pyspark, iceberg_jar, java_says

        def java() -> str:
            found = check_java()
            return f"ok, {java_says(found)} at {found}, by {'JAVA_HOME' if 'JAVA_HOME' in os.environ else 'PATH'}"

        return [
            ("pyspark", check_pyspark),
            ("java", java),
            ("iceberg jar", lambda: iceberg_jar(self.config)),
            ("kept warm", lambda: f"ok, {warm_starts.kept_warm(self.config)}"),
        ]

    def environment_checks(self) -> list[tuple[str, Callable[[], Any]]]:
        """What environments need of this machine: a name and a check that raises when it is missing."""
        return environments.environment_checks(self)

    def load_demo(self, **options: Any) -> DemoReport:
        """Load the example tables; see `nbplat.demo.load.load_demo`."""
        from nbplat.demo.load import load_demo

        return load_demo(self.catalog, **options)

    # -- runs and jobs -----------------------------------------------------------------------------
    def job_here(self, draft: JobDraft, *, kind_of_run: str) -> AbstractContextManager[CallerJob]:
        """A job that this process does itself, shown by every surface while it does; see `nbplat.job.caller`."""
        return in_caller(
            self.store,
            draft,
            kind_of_run=kind_of_run,
            owner=getpass.getuser(),
            caller=callers.this_process(),
            lease_ms=self.lease_ms,
            clock=self.clock,
            settle=self.settle,
        )

    def end_lost(self) -> list[Job]:
        """End the jobs of processes that did them themselves and have died; returns them."""
        here = callers.this_process().host
        now_ms = self.clock.now_ms()
        return end_lost(self.store, host=here, lives=callers.lives, now_ms=now_ms, settle=self.settle)

    @property
    def _steps(self) -> Steps:
        return Steps(
            self.store,
            lambda: self.backfills,
            lambda: self.sequences,
            lambda: self.environments,
            lambda: self.engines.close() if "engines" in self.__dict__ else None,
            self.config.unit_attempts,
        )

    def run_step(self, context: StepContext) -> dict[str, Any]:
        """Do the work of one job."""
        return self._steps.run(context)

    def settle(self, job: Job) -> None:
        """Carry a run on after one of its jobs ended."""
        self._steps.settle(job)

    def bury(self, job: Job, how: str) -> list[Unit]:
        """Count the try of what a job's process had under way when it died of itself."""
        return self._steps.bury(job, how)

    def work_here(self, worker: str) -> list[Job]:
        """Do every queued job in this process, one after the other, and return them ended.

        For scripts and tests that want no service. A job that fails is in the list, not raised.
        """
        return work_inline(self.store, worker, self.run_step, self.settle, lease_ms=self.lease_ms)

    def close(self) -> None:
        """Let go of connections, and end the interpreters that wait for work."""
        if (running := sys.modules.get("nbplat.remote.child")) is not None:
            running.children.close()
        super().close()
