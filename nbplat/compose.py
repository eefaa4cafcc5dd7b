"""The composition root: a Config becomes adapters, adapters become domains. Only this module imports adapters."""

from __future__ import annotations

import contextlib
import functools
import getpass
import hashlib
import logging
import os
import platform
import sys
from collections.abc import Callable, Collection, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbplat.clock import Clock, SystemClock
from nbplat.config import Config, load_config
from nbplat.errors import InternalError, NotFound, SetupError
from nbplat.job import END_STATES, Job, JobState, JobStore, Run, RunDraft, StepContext, Unit
from nbplat.job.inline import work_inline
from nbplat.terms import EnvironmentRef, Files, content_hash, file_location

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog

    from nbplat.adapters.driver import WarmPool
    from nbplat.adapters.interpreter.bodies import ChildBodies
    from nbplat.adapters.interpreter.models import ModelPlace
    from nbplat.backfill.expire_run import Expirer
    from nbplat.backfill.frames import Frames
    from nbplat.backfill.run import Backfills
    from nbplat.backfill.spec import BackfillSpec
    from nbplat.demo.load import DemoReport
    from nbplat.engines import Engines
    from nbplat.environment.channel.request import ChannelReport, ChannelRequest
    from nbplat.environment.check_against import Checker
    from nbplat.environment.environments import Environments
    from nbplat.environment.lock_record import PlatformLock
    from nbplat.environment.packing.ports import PackTools
    from nbplat.environment.ports import Say
    from nbplat.sequence.sequences import Sequences
    from nbplat.session.batch import BatchDraft, BatchStore
    from nbplat.session.batches import Batches
    from nbplat.session.conf import Setting
    from nbplat.session.life import Limits
    from nbplat.session.masters import Master
    from nbplat.session.ports import Drivers, SessionStore
    from nbplat.session.profiles import Profile, Profiles
    from nbplat.session.records import SessionDraft
    from nbplat.session.sessions import Sessions as LivySessions
    from nbplat.session.tenure import Tenure
    from nbplat.session_environments import SessionEnvironments
    from nbplat.training.join import JoinPlan, JoinSource
    from nbplat.training.join.open import OpenJoin
    from nbplat.training.join.sequence_use import SequenceSource
    from nbplat.training.ports import ModelKit
    from nbplat.worker_environments import WorkerEnvironments

__all__ = ["Platform", "open_platform"]

_log = logging.getLogger(__name__)

_VERSIONS_OF = ("nbplat", "duckdb", "pyarrow", "pyiceberg")

# DuckDB cannot bind, let alone spill, in less; the plan's groups follow the configured limit all the same.
_ENGINE_FLOOR_BYTES = 64 << 20

# Chunks of rows and the buckets that they are dealt to need some room.
_INDEX_FLOOR_BYTES = 1 << 20

# Optional, and named in the provenance of the runs that used them.
_ENGINE_PACKAGES = ("pyspark", "ray")


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


class Platform:
    """Everything of one configuration, in this process. The service, the worker and `nb.local()` use it alike."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self.config = config
        self.clock = clock

    @functools.cached_property
    def store(self) -> JobStore:
        """The ledger."""
        from nbplat.adapters.store import open_store

        return open_store(self.config, clock=self.clock)

    @property
    def session_store(self) -> SessionStore:
        """Where sessions are kept."""
        from nbplat.adapters.store.sql_job_store import SqlJobStore

        store = self.store
        assert isinstance(store, SqlJobStore)  # noqa: S101 - one database holds both
        return store

    @property
    def batch_store(self) -> BatchStore:
        """Where batches are kept."""
        from nbplat.adapters.store.sql_job_store import SqlJobStore

        store = self.store
        assert isinstance(store, SqlJobStore)  # noqa: S101 - one database holds both
        return store

    @functools.cached_property
    def catalog(self) -> Catalog:
        """The lakehouse."""
        from nbplat.adapters.iceberg.catalog import embedded_file, open_catalog
        from nbplat.adapters.iceberg.reachable import reachable

        return reachable(open_catalog(self.config), embedded_file(self.config))

    @functools.cached_property
    def files(self) -> Files:
        """Files by location; credentials are those that the catalog was configured with or lends."""
        from nbplat.adapters.files.stores import FileStores
        from nbplat.adapters.iceberg.catalog import storage_options

        return FileStores(lambda location: storage_options(self.catalog, location))

    @functools.cached_property
    def engines(self) -> Engines:
        """What bodies run on."""
        from nbplat.adapters.duckdb.engine import DuckDBEngine
        from nbplat.adapters.iceberg.pinned import write_pinned
        from nbplat.engines import Engines

        return Engines(
            self.config,
            DuckDBEngine(**self._settings),
            lambda pin, folder: write_pinned(self.catalog, pin, folder),
            self._worker_environments,
        )

    @property
    def _worker_environments(self) -> WorkerEnvironments:
        from nbplat.adapters.fsspec.depot import FsspecDepot
        from nbplat.adapters.iceberg.catalog import storage_options
        from nbplat.environment.store import Store
        from nbplat.worker_environments import WorkerEnvironments

        return WorkerEnvironments(
            self.config,
            lambda: Store(self.config.home / "env"),
            lambda: FsspecDepot(lambda location: storage_options(self.catalog, location)),
            lambda: self.environment_checker,
        )

    @property
    def _settings(self) -> dict[str, Any]:
        """What is computed on this machine may use."""
        return {
            "threads": self.config.threads,
            "memory_bytes": max(self.config.memory_bytes, _ENGINE_FLOOR_BYTES),
            "spill_folder": str(self.config.home / "spill"),
        }

    @property
    def backfills(self) -> Backfills:
        """Backfill runs; each access reads the catalog anew, so that no plan sees a stale table."""
        from nbplat.adapters.iceberg.audit_log import IcebergAuditLog
        from nbplat.adapters.iceberg.publisher import IcebergPublisher
        from nbplat.adapters.iceberg.tables import IcebergTables
        from nbplat.adapters.local.farm import LocalFarm, local_slots
        from nbplat.adapters.parquet.splicer import ParquetSplicer
        from nbplat.adapters.parquet.staged import StagedParquet
        from nbplat.backfill.cost import prices_of
        from nbplat.backfill.pieces import Pieces
        from nbplat.backfill.run import Backfills

        cores = self.config.threads or os.cpu_count() or 1
        return Backfills(
            store=self.store,
            tables=IcebergTables(self.catalog),
            engine=self.engines.local,
            runners={"local": Pieces(LocalFarm(local_slots(cores, self.config.memory_bytes)))},
            engines=self.engines,
            bodies=self._bodies,
            writer=StagedParquet(self.files, self._staged_root),
            splicer=ParquetSplicer(self.files),
            publisher=IcebergPublisher(self.catalog),
            audit_log=IcebergAuditLog(self.catalog),
            clock=self.clock,
            scratch=self.config.home / "runs",
            settings=self._settings,
            memory_bytes=self.config.memory_bytes,
            lease_ms=int(self.config.lease_seconds * 1000),
            unit_attempts=self.config.unit_attempts,
            versions={name: version(name) for name in _VERSIONS_OF} | _installed(_ENGINE_PACKAGES),
            prices=prices_of(self.config),
            audit_checks=self.config.audit,
        )

    def _built_environment(self, name: str, key: str = "", project: str = "") -> EnvironmentRef:
        """A built environment by name, or by its whole key; it counts as used then."""
        from nbplat.environment.find import find_environment
        from nbplat.environment.store import Store

        return find_environment(Store(self.config.home / "env"), key or name, project=project, clock=self.clock)

    def _staged_root(self, table: str) -> str:
        """Folder of the staged files of a table's runs; on an object store one of this ledger's own.

        Others stage there as well, under the same run ids, and must neither overwrite nor expire our files.
        """
        from nbplat.adapters.iceberg.catalog import staged_root

        shared = staged_root(self.catalog, table)
        url = self.config.store_url.rpartition("@")[2] or f"{platform.node()}:{self.config.home}"
        return f"{shared}/{content_hash({'ledger': url})[:12]}" if shared else self._staging_folder

    def _staged_roots(self, tables: Collection[str]) -> set[str]:
        """Every folder of staged files of these tables; one that was dropped cannot be asked any more."""
        roots = {self._staging_folder}
        for table in tables:
            with contextlib.suppress(NotFound):
                roots.add(self._staged_root(table))
        return roots

    @property
    def expirer(self) -> Expirer:
        """Sweeps staging tables and files that nothing needs."""
        from nbplat.adapters.iceberg.sweeper import IcebergSweeper
        from nbplat.backfill.expire_run import Expirer

        return Expirer(
            store=self.store,
            sweeper=IcebergSweeper(self.catalog),
            files=self.files,
            frames=self.frames,
            clock=self.clock,
            staging_folders=self._staged_roots,
            find=self.backfills.find,
        )

    @property
    def _staging_folder(self) -> str:
        return file_location(self.config.home / "warehouse" / "staged")

    @property
    def frames(self) -> Frames:
        """Stored DataFrames."""
        from nbplat.adapters.iceberg.frames import IcebergFrames
        from nbplat.backfill.frames import Frames

        return Frames(self.store, IcebergFrames(self.catalog), self.config.frame_bytes)

    @property
    def join_source(self) -> JoinSource:
        """Tables as training joins plan and read them; each access reads the catalog anew."""
        from nbplat.adapters.iceberg.join_source import IcebergJoinSource

        return IcebergJoinSource(self.catalog)

    def open_join(self, plan: JoinPlan) -> OpenJoin:
        """Read a planned join in this process."""
        from nbplat.adapters.local.farm import local_slots
        from nbplat.adapters.torch.tensors import as_tensors
        from nbplat.adapters.xgboost.data_iter import data_iter
        from nbplat.training.join.open import OpenJoin

        cores = self.config.threads or os.cpu_count() or 1
        return OpenJoin(
            plan,
            self.join_source,
            tensors=as_tensors,
            trees=data_iter,
            clock=self.clock,
            threads=local_slots(cores, self.config.memory_bytes),
            sequences=self.sequence_columns if plan.sequences else None,
        )

    @property
    def sequences(self) -> Sequences:
        """Sequences over tables and files."""
        return self.sequences_of({})

    def sequences_of(self, frames: Mapping[str, Any]) -> Sequences:
        """Sequences that may name DataFrames of the notebook as well, by `frames`."""
        from nbplat.adapters.duckdb.conditions import DuckDBConditions
        from nbplat.adapters.iceberg.catalog import storage_options
        from nbplat.adapters.iceberg.export_tables import IcebergExportTables
        from nbplat.adapters.iceberg.index_tables import IcebergIndexTables
        from nbplat.adapters.iceberg.vocab_tables import IcebergVocabTables
        from nbplat.adapters.local.farm import local_slots
        from nbplat.adapters.torch.tensors import as_tensors
        from nbplat.event_sources import NamedSources
        from nbplat.sequence.sequences import Sequences

        return Sequences(
            store=self.store,
            sources=NamedSources(
                lambda: self.catalog,
                lambda location: storage_options(self.catalog, location),
                frames,
                self.config.home / "frames",
            ),
            tables=IcebergIndexTables(self.catalog),
            vocabularies=IcebergVocabTables(self.catalog),
            exports=IcebergExportTables(self.catalog),
            tensors=as_tensors,
            conditions=DuckDBConditions(),
            farms=self.engines,
            files=self.files,
            spill=file_location(self.config.home / "spill" / "sequence"),
            slots=local_slots(self.config.threads or os.cpu_count() or 1, self.config.memory_bytes),
            memory_bytes=max(self.config.memory_bytes, _INDEX_FLOOR_BYTES),
            lease_ms=int(self.config.lease_seconds * 1000),
            unit_attempts=self.config.unit_attempts,
            versions={name: version(name) for name in _VERSIONS_OF} | _installed(_ENGINE_PACKAGES),
        )

    @property
    def environments(self) -> Environments:
        """Python environments: declared, locked, built, packed and shipped."""
        from nbplat.adapters.conda.library import RattlerConda
        from nbplat.adapters.fsspec.depot import FsspecDepot
        from nbplat.adapters.iceberg.catalog import storage_options
        from nbplat.adapters.uv.program import UvPip
        from nbplat.environment.channels import read_channel_rules
        from nbplat.environment.environments import Environments
        from nbplat.environment.store import Store

        root = self.config.home / "env"
        rules = read_channel_rules(self.config.env_channels_file)
        return Environments(
            open_ledger=lambda: self.store,
            clock=self.clock,
            store=Store(root),
            channels=rules,
            conda=RattlerConda(root / "repodata", rules.logins),
            pip=UvPip(),
            depot=FsspecDepot(lambda location: storage_options(self.catalog, location)),
            tools=self._pack_tools,
            checker=lambda: self.environment_checker,
            needed=lambda: _environments_of_runs(self.store),
        )

    def _pack_tools(self, format: str, level: int) -> PackTools:
        from nbplat.adapters.archive.codecs import archive_codec
        from nbplat.adapters.interpreter.compile_modules import compile_modules
        from nbplat.environment.packing.ports import PackTools

        return PackTools(archive_codec(format, level), compile_modules)

    def make_channel(self, request: ChannelRequest, say: Say) -> ChannelReport:
        """Make a conda channel; see `nbplat.environment.channel.make.make_channel`."""
        from nbplat.adapters.conda.channel.folder import DiskChannel
        from nbplat.adapters.conda.channel.sources import MachineSources
        from nbplat.environment.channel.make import make_channel

        return make_channel(request, MachineSources(), DiskChannel(request.folder), say)

    def check_channel(self, folder: Path, say: Say) -> list[str]:
        """What is wrong with a conda channel; see `nbplat.adapters.conda.channel.check.check_channel`."""
        from nbplat.adapters.conda.channel.check import check_channel

        return check_channel(folder.expanduser().absolute(), say)

    @property
    def environment_checker(self) -> Checker:
        """Holds environments against machines, interpreters, archives and clusters."""
        from nbplat.adapters.fsspec.depot import FsspecDepot
        from nbplat.adapters.interpreter.probe import probe_interpreter
        from nbplat.environment.archive_facts import read_manifest
        from nbplat.environment.check_against import Checker
        from nbplat.environment.store import Store

        def locked(ref: EnvironmentRef) -> PlatformLock | None:
            built = Store(self.config.home / "env").built(ref.key)
            return built.lock if built is not None else None

        return Checker(
            probe=probe_interpreter,
            find=self._built_environment,
            lock_of=locked,
            manifest=lambda archive: read_manifest(archive, FsspecDepot()),
            cluster=lambda engine: self.engines.ask(engine),
            this_python=sys.executable,
            match_level=os.environ.get("RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL", "patch"),
        )

    @property
    def sequence_columns(self) -> SequenceSource:
        """Kept sequences as columns of training joins."""
        from nbplat.sequence_columns import KeptSequences

        return KeptSequences(self.sequences, self.config.home / "frames")

    @property
    def _bodies(self) -> ChildBodies:
        from nbplat.adapters.interpreter.bodies import ChildBodies
        from nbplat.environment.declared_since import behind_declaration
        from nbplat.environment.store import Store

        return ChildBodies(
            self.config.home / "remote",
            self.config.python_seconds,
            self._built_environment,
            lambda built, project: behind_declaration(built, project, Store(self.config.home / "env")),
        )

    def model_place(self, env: str, source: str, project: str = "") -> ModelPlace:
        """Where a cell's model can learn; see `nbplat.adapters.interpreter.bodies.ChildBodies.model`."""
        return self._bodies.model(env, source, project)

    def model_kit(self, model: Any = None) -> ModelKit:
        """scikit-learn's default model, or a user's own object, with the measures."""
        from nbplat.adapters.sklearn.model import SklearnKit

        return SklearnKit(model)

    def open_sessions(self, sockets: Path) -> LivySessions:
        """The sessions of this service; see `nbplat.session.sessions.Sessions`.

        Args:
            sockets: A short folder of ours alone.
        """
        from nbplat.adapters.driver import (
            CLUSTER_PLACE,
            UPSTREAM_PLACE,
            ClusterDrivers,
            Hub,
            LivyHttp,
            LocalDrivers,
            PlacedDrivers,
            UpstreamDrivers,
        )
        from nbplat.session.masters import driver_place
        from nbplat.session.sessions import Sessions as LivySessions

        config, home = self.config, self.config.home
        python = self._session_environments.interpreter
        pool = self._warm_pool(sockets)
        drivers = LocalDrivers(
            home / "sessions",
            sockets,
            home / "remote",
            lambda session: python(session.conf),
            config.session_alone_seconds,
            pool,
            self._class_archives,
        )

        def on_cluster() -> ClusterDrivers:
            hub = Hub(home / "run", home / "sessions", config.session_dial_host, config.session_dial_port)
            return ClusterDrivers(home / "sessions", hub, config.session_alone_seconds)

        def upstream() -> UpstreamDrivers:
            user, password = config.session_livy_user, config.session_livy_password
            site = hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:8]
            return UpstreamDrivers(home / "sessions", lambda url: LivyHttp(url, user, password), site)

        others: dict[str, Callable[[], Drivers]] = {CLUSTER_PLACE: on_cluster, UPSTREAM_PLACE: upstream}
        placed = PlacedDrivers(drivers, others, lambda session: driver_place(session.conf))
        return LivySessions(
            self.session_store,
            placed,
            clock=self.clock,
            limits=self._session_limits,
            on_close=pool.close,
            warm=pool.counts,
            tenure=self._tenure,
        )

    def _warm_pool(self, sockets: Path) -> WarmPool:
        """The warm drivers of this service, those of the one before among them."""
        from nbplat.adapters.driver import WarmPool
        from nbplat.session.states import SessionState
        from nbplat.session.warm import WarmLimits

        store, config = self.session_store, self.config
        pool = WarmPool(
            config.home / "sessions",
            sockets,
            config.home / "remote",
            WarmLimits(config.session_warm_count, config.session_warm_seconds, config.session_warm_free_bytes),
            clock=self.clock,
            busy=lambda: bool(store.sessions(limit=1, states=[SessionState.STARTING])[0]),
            archives=self._class_archives,
        )
        pool.start({str(one.driver.get("folder", "")) for one in store.sessions(limit=1_000_000)[1]})
        return pool

    @property
    def _class_archives(self) -> Path | None:
        return self.config.home / "class-archives" if self.config.session_class_archive else None

    def open_batches(self) -> Batches:
        """The batches of this service; see `nbplat.session.batches.Batches`."""
        from nbplat.adapters.driver.batches import LocalBatches, spark_submit
        from nbplat.session.batches import Batches

        roots = [Path(text) for text in self.config.session_batch_roots.split(os.pathsep) if text]
        python = self._session_environments.interpreter
        processes = LocalBatches(
            self.config.home / "batches", roots, lambda batch, conf: spark_submit(batch, conf, python(batch.conf))
        )
        return Batches(
            self.batch_store, processes, self.clock, keep_s=self.config.session_keep_batch_seconds, tenure=self._tenure
        )

    @functools.cached_property
    def session_profiles(self) -> Profiles:
        """The site's profiles of sessions; see `nbplat.session.profile_reading.read_profiles`."""
        from nbplat.session.builtin_profiles import builtin_profiles
        from nbplat.session.profile_reading import read_profiles

        builtin = builtin_profiles(self.config.threads or os.cpu_count() or 1)
        return read_profiles(self.config.profile_tables(), self.config.session_profile, builtin=builtin)

    @functools.cached_property
    def _tenure(self) -> Tenure:
        from nbplat.session.tenure import Tenure

        host = platform.node()
        return Tenure(self.store, f"{host}:{self.config.home}", host, ttl_s=self.config.lease_seconds)

    @property
    def _session_limits(self) -> Limits:
        from nbplat.session.caps import Caps
        from nbplat.session.life import Limits

        config = self.config
        return Limits(
            idle_s=self.config.session_idle_seconds,
            park_s=self.config.session_park_seconds,
            keep_s=self.config.session_keep_seconds,
            result_bytes=self.config.session_result_bytes,
            kept_result_bytes=self.config.session_kept_result_bytes,
            frame_bytes=self.config.frame_bytes,
            output_chars=self.config.session_output_chars,
            keep_statements=self.config.session_keep_statements,
            max_processes=self.config.session_max_processes,
            caps=Caps(config.session_most, config.session_most_each, config.session_most_starting),
        )

    @property
    def _session_environments(self) -> SessionEnvironments:
        from nbplat.session_environments import SessionEnvironments

        return SessionEnvironments(
            self.config, self._built_environment, lambda: self.environment_checker, self._worker_environments
        )

    def session_draft(self, fields: dict[str, Any], owner: str, service_url: str, token: str) -> SessionDraft:
        """What a checked request of a session comes to here.

        Args:
            fields: As `nbplat.session.livy_request.read_session_request` gives them.
            token: The catalog's scoped token.
        """
        from nbplat.session.records import SessionDraft

        fitted = self.session_profiles.fit(fields)
        master = self._session_master
        settings = self._conf_of(fitted.profile, fitted.request, service_url, token, master)
        conf = self._session_environments.settled({key: setting.value for key, setting in settings.items()}, master)
        return SessionDraft(
            kind=fields["kind"],
            name=fields.get("name", ""),
            owner=owner,
            proxy_user="",
            request={
                **fitted.request,
                "conf": fields["conf"],
                "origins": {key: settings[key].origin if key in settings else "environment" for key in conf},
            },
            conf=conf,
        )

    def batch_draft(self, fields: dict[str, Any], owner: str, service_url: str, token: str) -> BatchDraft:
        """What a checked request of a batch comes to here; as `session_draft`."""
        from nbplat.session.batch import BatchDraft

        fitted = self.session_profiles.fit(fields)
        settings = self._conf_of(fitted.profile, fitted.request, service_url, token)
        conf = self._session_environments.settled({key: setting.value for key, setting in settings.items()})
        return BatchDraft(name=fields.get("name", ""), owner=owner, request=fields, conf=conf)

    @property
    def _session_master(self) -> Master:
        """Where sessions run; raises SetupError for a setting that is none."""
        from nbplat.session.masters import master_of

        return master_of(self.config.session_master or self.config.spark_master, self.config.session_deploy_mode)

    def _conf_of(
        self, profile: Profile, fields: dict[str, Any], service_url: str, token: str, master: Master | None = None
    ) -> dict[str, Setting]:
        from nbplat.adapters.driver.processes import FOLDER
        from nbplat.adapters.spark.session_conf import default_conf
        from nbplat.session.conf import session_conf
        from nbplat.session.masters import CLUSTER, DEPLOY_MODE, MASTER

        defaults = default_conf(
            self.config, FOLDER, self.config.home / "sessions" / "log4j2.properties", service_url, token, master
        )
        forced = {MASTER: defaults.pop(MASTER)}
        if master is not None and master.cluster:
            forced[DEPLOY_MODE] = CLUSTER
        return session_conf(defaults, self.config.spark_settings, fields, forced, (profile.name, profile.conf))

    def write_class_archive(self, environment: str = "") -> dict[str, Any]:
        """Write the class-data archive of sessions here, and measure what it gains.

        Args:
            environment: The built environment that the sessions run in; empty: the service's own Python.

        Returns:
            See `nbplat.remote.driver.write_archive.write_archive`.

        Raises:
            SetupError: ``session.class_archive``: it could not be written.
        """
        from nbplat.adapters.driver.archives import ArchiveWriter
        from nbplat.session.warm import recipe_of
        from nbplat.session_environments import SETTING

        home = self.config.home
        fields: dict[str, Any] = {"conf": {SETTING: environment} if environment else {}}
        master = self._session_master
        fitted = self.session_profiles.fit(fields)
        settings = self._conf_of(fitted.profile, fitted.request, "http://127.0.0.1:1", "none", master)
        conf = self._session_environments.settled({key: setting.value for key, setting in settings.items()}, master)
        recipe = recipe_of(self._session_environments.interpreter(conf), conf)
        if recipe is None:
            about = {"failed": f"drivers of {conf.get('spark.master')} start in a way of their own"}
        else:
            about = ArchiveWriter(home / "sessions", home / "remote", home / "class-archives").write(recipe)
        if about["failed"]:
            raise SetupError(
                "session.class_archive", f"no class archive was written: {about['failed']}", fix="look at nbplat doctor"
            )
        return about

    def kept_warm(self) -> str:
        """What is here that makes sessions start sooner, for people."""
        from nbplat.adapters.driver.warm import warm_here

        archives = [path.stat().st_size for path in (self.config.home / "class-archives").glob("*.jsa")]
        drivers = warm_here(self.config.home / "sessions")
        return (
            f"{len(drivers)} warm drivers with {sum(drivers) / 1e6:.0f} MB of memory, "
            f"{len(archives)} class archives with {sum(archives) / 1e6:.0f} MB on disk"
        )

    def fetch_jars(self, **options: Any) -> list[Path]:
        """Fetch and verify the Iceberg runtime; see `nbplat.adapters.spark.jars.fetch_jars`."""
        from nbplat.adapters.spark.jars import fetch_jars

        return fetch_jars(self.config, **options)

    def spark_checks(self) -> list[tuple[str, Callable[[], Any]]]:
        """What Spark needs of this machine: a name and a check that raises when it is missing."""
        from nbplat.adapters.spark.jars import check_java, check_pyspark, iceberg_jar

        return [
            ("pyspark", check_pyspark),
            ("java", check_java),
            ("iceberg jar", lambda: iceberg_jar(self.config)),
            ("kept warm", lambda: f"ok, {self.kept_warm()}"),
        ]

    def environment_checks(self) -> list[tuple[str, Callable[[], Any]]]:
        """What environments need of this machine: a name and a check that raises when it is missing."""
        from nbplat.adapters.conda.library import check_library
        from nbplat.adapters.uv.run import check_uv
        from nbplat.environment.host import machine_of_probe
        from nbplat.environment.store import Store
        from nbplat.environment.store_health import store_health
        from nbplat.remote.probe import probe

        def machine() -> str:
            found = machine_of_probe(probe(packages=False))
            words = [f"{name.strip('_')} {version}" for name, version in found.virtual.items() if version != "0"]
            return f"ok, {found.platform or 'a platform that conda does not know'}: {', '.join(words)}"

        return [
            ("machine", machine),
            ("py-rattler", check_library),
            ("uv", check_uv),
            ("environment store", lambda: store_health(Store(self.config.home / "env"))),
        ]

    def backfill_spec(self, record: dict[str, Any]) -> BackfillSpec:
        """Read a spec from JSON."""
        from nbplat.backfill.spec import BackfillSpec

        return BackfillSpec.from_record(record)

    def load_demo(self, **options: Any) -> DemoReport:
        """Load the example tables; see `nbplat.demo.load.load_demo`."""
        from nbplat.demo.load import load_demo

        return load_demo(self.catalog, **options)

    def keep(
        self,
        kind: str,
        name: str,
        identity: str,
        *,
        spec: dict[str, Any],
        plan: dict[str, Any],
        outputs: dict[str, Any],
    ) -> Run:
        """Keep what was done in this process as a run, so that every surface sees it."""
        draft = RunDraft(kind, name, identity, "kept", frozenset(), spec=spec, plan=plan, owner=getpass.getuser())
        run, _ = self.store.open_run(draft)
        return self.store.move_run(kind, run.id, "kept", frm=["kept"], outputs=outputs)

    def run_step(self, context: StepContext) -> dict[str, Any]:
        """Do the work of one job."""
        if context.job.kind.startswith("environment."):
            from nbplat.environment.work import run_step

            return run_step(self.environments, context)
        if context.job.kind.startswith(("backfill.", "sequence.")):
            owner = self.backfills if context.job.kind.startswith("backfill.") else self.sequences
            try:
                return owner.run_step(context)
            finally:
                if "engines" in self.__dict__:
                    self.engines.close()
        raise InternalError(
            "job.kind", f"no step is called {context.job.kind!r}", fix="a newer nbplat queued it: upgrade this one"
        )

    def settle(self, job: Job) -> None:
        """Carry a run on after one of its jobs ended."""
        if job.kind.startswith("backfill.") and job.state in END_STATES:
            from nbplat.backfill.settle import left_branch, settle

            if run := left_branch(self.store, job):
                self._sweep(run)
            settle(self.store, job)
        elif job.kind.startswith("sequence.") and job.state in END_STATES:
            from nbplat.sequence.settle import settle as settle_sequence

            if job.state is JobState.CANCELLED:
                self._sweep_sequence(job)
            settle_sequence(self.store, job)

    def bury(self, job: Job, how: str) -> list[Unit]:
        """Count the try of what a job's process had under way when it died of itself."""
        if job.kind.startswith("sequence."):
            from nbplat.sequence.deaths import bury as bury_sequence

            return bury_sequence(self.store, job, how, max_attempts=self.config.unit_attempts)
        if not job.kind.startswith("backfill."):
            return []
        from nbplat.backfill.deaths import bury

        return bury(self.store, job, how, max_attempts=self.config.unit_attempts)

    def _sweep_sequence(self, job: Job) -> None:
        """Take away what a cancelled job of a sequence has left; the next build does it else."""
        try:
            self.sequences.sweep(job)
        except Exception as exc:  # noqa: BLE001 - whatever the catalog's client raises, the run must be settled
            _log.warning("%s: its files could not be removed: %s", job.run_id, exc)

    def _sweep(self, run: Run) -> None:
        """Take away the branch of a promotion that was cancelled or died; the next promotion does it else."""
        try:
            self.backfills.sweep(run)
        except Exception as exc:  # noqa: BLE001 - whatever the catalog's client raises, the run must be settled
            _log.warning("%s: its branch could not be removed: %s", run.id, exc)

    def work_here(self, worker: str) -> list[Job]:
        """Do every queued job in this process, one after the other, and return them ended.

        For scripts and tests that want no service. A job that fails is in the list, not raised.
        """
        return work_inline(
            self.store, worker, self.run_step, self.settle, lease_ms=int(self.config.lease_seconds * 1000)
        )

    def close(self) -> None:
        """Let go of connections, and end the interpreters that wait for work."""
        if (running := sys.modules.get("nbplat.remote.child")) is not None:
            running.children.close()
        if "store" in self.__dict__:
            self.store.close()
        if "catalog" in self.__dict__:
            self.catalog.close()


def _installed(names: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for name in names:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _environments_of_runs(store: JobStore) -> dict[str, list[str]]:
    """Environments that backfills under way were planned in, by key: sweeping one would stop them."""
    from nbplat.backfill.states import KIND, LIVE_STATES, RunState

    found: dict[str, list[str]] = {}
    for run in store.runs(KIND, limit=1_000_000):
        if run.state in LIVE_STATES - {RunState.PROMOTED}:
            built = (run.plan.get("python") or {}).get("environment")
            if built:
                found.setdefault(str(built["key"]), []).append(f"{run.id} is {run.state} in it")
    return found
