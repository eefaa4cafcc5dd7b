"""All checks of one configuration, in the order in which they are shown."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbplat.config import Config
from nbplat.errors import NbplatError
from nbplat.ui.doctor import clocks, kernels, machine, running, stack, tables
from nbplat.ui.doctor.finding import Check, Said, Verdict

if TYPE_CHECKING:
    from nbplat.compose import Platform
    from nbplat.compose.clocks import OtherClock

__all__ = ["checks_of"]

_EVERY = "everything"
_LAB = "JupyterLab"
_SERVICE = "the service"


def checks_of(config: Config, open_platform: Callable[[Config], Platform]) -> list[Check]:
    """The checks of a configuration; where the state folder cannot be made, those that need none."""
    asked = stack.asked_extras(config)
    temporary = Path(tempfile.gettempdir())
    checks = [
        Check("python", _EVERY, machine.check_python),
        Check("packages", _EVERY, stack.check_base),
        Check("memory", _EVERY, lambda: machine.check_memory(config)),
        Check("temporary folder", _EVERY, lambda: machine.check_room("temporary folder", temporary, "set TMPDIR")),
        Check("sockets", _EVERY, lambda: machine.check_sockets(config)),
        Check("panel", _LAB, stack.check_lab),
        Check("server extension", _LAB, stack.check_server_extension),
        Check("kernels", _LAB, kernels.check_kernels),
        Check("sparkmagic", _LAB, lambda: kernels.check_sparkmagic(config)),
        *(_extra(name, asked) for name in stack.EXTRAS),
    ]
    try:
        platform = open_platform(config)
    except NbplatError as error:
        return [Check("state folder", _EVERY, _raiser(error)), *checks]
    return [*_of_platform(platform), *checks, *_of_spark(platform, asked), *_of_environments(platform)]


def _of_platform(platform: Platform) -> list[Check]:
    config, opened = platform.config, _Opened(platform)
    return [
        Check("state folder", _EVERY, lambda: machine.check_room("state folder", config.home, "set NBPLAT_HOME")),
        Check("store", _EVERY, lambda: Said(Verdict.OK, f"{len(opened.store.runs(limit=1_000))} runs kept")),
        Check("catalog", _EVERY, lambda: tables.check_catalog(config, opened.catalog)),
        Check("catalog, writing", _EVERY, lambda: tables.check_catalog_writable(config, opened.catalog)),
        Check("clock", _EVERY, lambda: _clock(config, opened)),
        Check("service", _SERVICE, lambda: running.check_service(config)),
        Check("port", _SERVICE, lambda: running.check_port(config)),
        Check("tokens", _SERVICE, lambda: running.check_secrets(config)),
        Check("leases and jobs", _SERVICE, lambda: _leases(config, opened)),
        Check("drivers", _SERVICE, lambda: running.check_drivers(config, _folders(opened))),
        Check("steps", _SERVICE, lambda: running.check_strays(config)),
    ]


def _of_spark(platform: Platform, asked: dict[str, str]) -> list[Check]:
    here = stack.installed_version("pyspark") is not None
    # Its packages are a check of their own.
    checks = [(name, look) for name, look in platform.spark_checks() if name != "pyspark"]
    if here or "spark" in asked:
        return [Check(name, "Spark", _said(look)) for name, look in checks]
    not_needed = Said(Verdict.NOT_NEEDED, "pyspark is not installed", 'pip install "nbplat[spark]"')
    return [Check(name, "Spark", lambda: not_needed) for name, _ in checks]


def _of_environments(platform: Platform) -> list[Check]:
    return [Check(name, "environments", _said(look)) for name, look in platform.environment_checks()]


def _extra(name: str, asked: dict[str, str]) -> Check:
    return Check(f"nbplat[{name}]", "an option", lambda: stack.check_extra(name, asked))


def _leases(config: Config, opened: _Opened) -> Said:
    from nbplat.job import JobState
    from nbplat.service.discovery import worker_lock
    from nbplat.service.lock import holder_of

    waiting = [job.id for job in opened.store.jobs(states=[JobState.QUEUED, JobState.RUNNING], limit=1_000)]
    now_ms = opened.platform.clock.now_ms()
    worker = holder_of(worker_lock(config)) is not None
    return running.check_leases(opened.store.leases(), now_ms, waiting, worker=worker)


def _clock(config: Config, opened: _Opened) -> Said:
    newest = opened.store.events(after=opened.store.last_event() - 1, limit=1)
    try:
        return clocks.check_clock(
            opened.platform.clock, _other_clocks(config, opened), newest[0].at_ms if newest else 0
        )
    except NbplatError as error:
        # That it does not answer is the finding of another check.
        return Said(Verdict.WARNING, f"no other clock can be asked: {error.message}", error.fix)


def _other_clocks(config: Config, opened: _Opened) -> list[OtherClock]:
    from nbplat.compose.clocks import OtherClock as Other
    from nbplat.compose.clocks import other_clocks
    from nbplat.ui.client import team_client

    if not config.service_url:
        # Opened by turns with the other checks.
        _ = opened.store, opened.catalog
        return other_clocks(opened.platform)
    ask = clocks.service_clock(team_client(config).get)
    then = "times of jobs and sessions are told wrong"
    return [Other(f"the service at {config.service_url}", ask, clocks.TEAM_MOST_MS, then)]


def _folders(opened: _Opened) -> set[str]:
    """Folders of what lives: sessions, and batches."""
    from nbplat.session.batch import BATCH_ENDED
    from nbplat.session.states import ENDED

    with_sessions = opened.platform.session_store.sessions(limit=1_000_000)[1]
    with_batches = opened.platform.batch_store.batches(limit=1_000_000)[1]
    found: Sequence[Any] = [
        *(each.driver for each in with_sessions if each.state not in ENDED),
        *(each.process for each in with_batches if each.state not in BATCH_ENDED),
    ]
    return {str(each.get("folder", "")) for each in found}


class _Opened:
    """The ledger and the catalog, opened once: the checks come from several threads."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self._lock = threading.Lock()

    @property
    def store(self) -> Any:
        with self._lock:
            return self.platform.store

    @property
    def catalog(self) -> Any:
        # The ledger's lock as well: both may be making the state folder.
        with self._lock:
            return self.platform.catalog


def _said(look: Callable[[], Any]) -> Callable[[], Said]:
    """An adapter's check, which raises or returns what it found."""

    def looked() -> Said:
        found = look()
        text = found.removeprefix("ok, ") if isinstance(found, str) else ("" if found is None else os.fspath(found))
        return Said(Verdict.OK, text or "it fits")

    return looked


def _raiser(error: NbplatError) -> Callable[[], Said]:
    def raised() -> Said:
        raise error

    return raised
