"""Environments with their adapters, and what runs in them: bodies, sessions, workers of clusters."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbplat.compose.ground import Ground
from nbplat.errors import RequestError
from nbplat.job import JobStore
from nbplat.terms import EnvironmentRef

if TYPE_CHECKING:
    from nbplat.adapters.interpreter.bodies import ChildBodies
    from nbplat.compose.engines import Engines
    from nbplat.compose.session_environments import SessionEnvironments
    from nbplat.compose.worker_environments import WorkerEnvironments
    from nbplat.environment.channel.request import ChannelReport, ChannelRequest
    from nbplat.environment.check_against import Checker
    from nbplat.environment.environments import Environments
    from nbplat.environment.lock_record import PlatformLock
    from nbplat.environment.packing.ports import PackTools
    from nbplat.environment.ports import Say

__all__ = ["EnvironmentParts", "check_channel", "environment_checks", "make_channel"]


class EnvironmentParts:
    """The store of built environments and everything that looks something up there.

    Args:
        engines: Asked what a cluster has; they need `workers` themselves.
    """

    def __init__(self, ground: Ground, engines: Callable[[], Engines]) -> None:
        self._ground = ground
        self._engines = engines

    def open(self) -> Environments:
        """Python environments: declared, locked, built, packed and shipped."""
        from nbplat.adapters.conda.library import RattlerConda
        from nbplat.adapters.uv.program import UvPip
        from nbplat.environment.channels import read_channel_rules
        from nbplat.environment.environments import Environments

        ground = self._ground
        rules = read_channel_rules(ground.config.env_channels_file)
        return Environments(
            open_ledger=lambda: ground.store,
            clock=ground.clock,
            store=ground.environment_store,
            channels=rules,
            conda=RattlerConda(ground.config.home / "env" / "repodata", rules.logins),
            pip=UvPip(),
            depot=ground.depot,
            tools=_pack_tools,
            checker=self.checker,
            needed=lambda: _environments_of_runs(ground.store),
        )

    def find(self, name: str, key: str = "", project: str = "") -> EnvironmentRef:
        """A built environment by name, or by its whole key; it counts as used then."""
        from nbplat.environment.find import find_environment

        ground = self._ground
        return find_environment(ground.environment_store, key or name, project=project, clock=ground.clock)

    def named(self, env: str) -> EnvironmentRef:
        """The built environment that workers of a cluster are to run in: its name, key or declaration.

        Raises:
            NotFound: ``env.unknown``.
            RequestError: ``env.path``: a folder or an interpreter, of which other machines know nothing.
        """
        from nbplat.environment.named import environment_named

        named = environment_named(env)
        if "/" in named["env"]:
            raise RequestError(
                "env.path",
                f"workers of a cluster are given environments that were declared and built, and {env} is a path",
                fix="declare it, and build it: nbplat env init NAME, nbplat env build NAME",
            )
        return self.find(named["env"], project=named.get("project", ""))

    def checker(self) -> Checker:
        """Holds environments against machines, interpreters, archives and clusters."""
        from nbplat.adapters.fsspec.depot import FsspecDepot
        from nbplat.adapters.interpreter.probe import probe_interpreter
        from nbplat.environment.archive_facts import read_manifest
        from nbplat.environment.check_against import Checker

        def locked(ref: EnvironmentRef) -> PlatformLock | None:
            built = self._ground.environment_store.built(ref.key)
            return built.lock if built is not None else None

        return Checker(
            probe=probe_interpreter,
            find=self.find,
            lock_of=locked,
            manifest=lambda archive: read_manifest(archive, FsspecDepot()),
            cluster=lambda engine: self._engines().ask(engine),
            this_python=sys.executable,
            match_level=os.environ.get("RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL", "patch"),
        )

    @property
    def workers(self) -> WorkerEnvironments:
        """Brings environments to clusters elsewhere."""
        from nbplat.compose.worker_environments import WorkerEnvironments

        ground = self._ground
        return WorkerEnvironments(
            ground.config, lambda: ground.environment_store, lambda: ground.depot, lambda: self.checker()
        )

    @property
    def of_sessions(self) -> SessionEnvironments:
        """Environments of sessions and batches."""
        from nbplat.compose.session_environments import SessionEnvironments

        return SessionEnvironments(self._ground.config, self.find, lambda: self.checker(), self.workers)

    @property
    def bodies(self) -> ChildBodies:
        """Python bodies and models, each in a child of the environment that its cell names."""
        from nbplat.adapters.interpreter.bodies import ChildBodies
        from nbplat.environment.declared_since import behind_declaration

        config = self._ground.config
        return ChildBodies(
            config.home / "remote",
            config.python_seconds,
            self.find,
            lambda built, project: behind_declaration(built, project, self._ground.environment_store),
        )


def make_channel(request: ChannelRequest, say: Say) -> ChannelReport:
    """Make a conda channel; see `nbplat.environment.channel.make.make_channel`."""
    from nbplat.adapters.conda.channel.folder import DiskChannel
    from nbplat.adapters.conda.channel.sources import MachineSources
    from nbplat.environment.channel.make import make_channel

    return make_channel(request, MachineSources(), DiskChannel(request.folder), say)


def check_channel(folder: Path, say: Say) -> list[str]:
    """What is wrong with a conda channel; see `nbplat.adapters.conda.channel.check.check_channel`."""
    from nbplat.adapters.conda.channel.check import check_channel

    return check_channel(folder.expanduser().absolute(), say)


def environment_checks(ground: Ground) -> list[tuple[str, Callable[[], Any]]]:
    """What environments need of this machine: a name and a check that raises when it is missing."""
    from nbplat.adapters.conda.library import check_library
    from nbplat.adapters.uv.run import check_uv
    from nbplat.environment.host import machine_of_probe
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
        ("environment store", lambda: store_health(ground.environment_store)),
    ]


def _pack_tools(format: str, level: int) -> PackTools:
    from nbplat.adapters.archive.codecs import archive_codec
    from nbplat.adapters.interpreter.compile_modules import compile_modules
    from nbplat.environment.packing.ports import PackTools

    return PackTools(archive_codec(format, level), compile_modules)


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
