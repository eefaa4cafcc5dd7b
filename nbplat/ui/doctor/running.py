"""Checks of the service of the state folder, and of what a killed one left behind."""

from __future__ import annotations

import os
import signal
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbplat.clock import iso
from nbplat.config import Config
from nbplat.errors import NbplatError
from nbplat.service.discovery import read_info, service_lock, version, worker_lock
from nbplat.service.lock import holder_of
from nbplat.ui.doctor.finding import Said, Verdict

if TYPE_CHECKING:
    from nbplat.job import Lease

__all__ = ["check_drivers", "check_leases", "check_port", "check_secrets", "check_service", "check_strays", "runs_here"]

_ANSWER_S = 8.0
_RESTART = "nbplat service stop (jobs and sessions go on at the next start)"


def runs_here(config: Config) -> bool:
    """Whether a service of this state folder holds its lock."""
    return holder_of(service_lock(config)) is not None


def check_service(config: Config) -> Said:
    """The service answers, takes our token, and is of this version; one that is stopped starts on demand.

    Raises:
        NbplatError: it refuses the token, or a team's service does not answer.
    """
    from nbplat.ui.client import ServiceClient, find_or_start

    if config.service_url:
        client = find_or_start(config)
        return Said(Verdict.OK, f"a team's service at {client.url} answers, version {version()}")
    if not runs_here(config):
        return Said(Verdict.NOT_NEEDED, "stopped: it starts on demand", "nbplat status starts it")
    info = read_info(config) or {}
    client = ServiceClient(str(info.get("url", "")), str(info.get("token", "")))
    try:
        client.get("/api/v1/health", timeout_s=_ANSWER_S)
    except NbplatError as error:
        return Said(Verdict.FAULT, error.message, _RESTART)
    if info.get("version") != version():
        return Said(Verdict.FAULT, f"it runs {info.get('version')}, and {version()} is installed", _RESTART)
    try:
        client.get("/api/v1/status", timeout_s=_ANSWER_S)
    except NbplatError as error:
        return Said(Verdict.FAULT, f"it does not take the token of run/service.json: {error.message}", _RESTART)
    if holder_of(worker_lock(config)) is None:
        return Said(Verdict.WARNING, f"{client.url} answers, and its worker does not run: jobs wait", _RESTART)
    return Said(Verdict.OK, f"{client.url} answers, version {version()}, its worker runs")


def check_port(config: Config) -> Said:
    """The port that this state folder's service keeps is free, or the service's own.

    Raises:
        SetupError: another process has it; or the address is not this machine's.
    """
    from nbplat.service.address import bind, choose

    if config.service_url:
        return Said(Verdict.NOT_NEEDED, "the service is elsewhere")
    port, _ = choose(config)
    if runs_here(config):
        return Said(Verdict.OK, f"{config.service_host}:{port} is the service's")
    with bind(config, port) as listener:
        found = listener.getsockname()[1]
    return Said(Verdict.OK, f"{config.service_host}:{port} is free" if port else f"{found} and others are free")


def check_secrets(config: Config) -> Said:
    """Files that hold tokens, and their folder, are closed to other users."""
    folder = config.home / "run"
    secret = [folder / "service.json", config.home / "store.db"]
    if config.service_token_file:
        secret.append(Path(config.service_token_file).expanduser())
    seen = 0
    for path, open_bits, mode in ((folder, 0o077, "700"), *((each, 0o077, "600") for each in secret)):
        if not path.exists():
            continue
        seen += 1
        found = path.stat().st_mode & 0o777
        if found & open_bits:
            return Said(Verdict.FAULT, f"{path} can be opened by others (mode {found:o})", f"chmod {mode} {path}")
    if not seen:
        return Said(Verdict.NOT_NEEDED, "no token was made yet")
    return Said(Verdict.OK, f"{seen} files and folders with tokens are yours alone")


def check_leases(leases: Sequence[Lease], now_ms: int, waiting: Sequence[str], *, worker: bool) -> Said:
    """No right is still held by one who is gone, and no job waits for a worker that does not run.

    Args:
        leases: Those that were not released.
        waiting: Ids of jobs that are queued or running.
        worker: Whether a worker runs.
    """
    lapsed = [each for each in leases if each.until_ms <= now_ms]
    go_on = "nbplat status starts the service, which takes them up"
    if waiting and not worker:
        return Said(Verdict.WARNING, f"{len(waiting)} jobs wait, and no worker runs: {', '.join(waiting[:5])}", go_on)
    if lapsed and not worker:
        first = lapsed[0]
        more = f" and {len(lapsed) - 1} more" if len(lapsed) > 1 else ""
        return Said(
            Verdict.WARNING,
            f"{first.holder} has not released {first.resource}{more}; it lapsed at {iso(first.until_ms)}",
            go_on,
        )
    return Said(Verdict.OK, f"{len(leases) - len(lapsed)} rights held, {len(waiting)} jobs under way")


def check_drivers(config: Config, known: Collection[str], processes: Iterable[Any] | None = None) -> Said:
    """Every driver and JVM of a session's folder belongs to a session that lives.

    Args:
        known: Folders of the sessions and batches that have not ended.
        processes: Stands in for this machine's in tests.
    """
    root = config.home / "sessions"
    groups: dict[str, set[int]] = defaultdict(set)
    for folder, pid in _by_folder(root, processes):
        groups[folder].add(pid)
    unclaimed = {name for name in groups if name.startswith("warm-") and runs_here(config)}
    orphans = {name: pids for name, pids in groups.items() if str(root / name) not in known and name not in unclaimed}
    if not orphans:
        return Said(Verdict.OK, f"{len(groups)} drivers run, each for a session that lives or kept warm")
    name, pids = next(iter(sorted(orphans.items())))
    listed = " ".join(str(pid) for each in orphans.values() for pid in sorted(each))
    return Said(
        Verdict.WARNING,
        f"{len(orphans)} drivers without a session, with {sum(map(len, orphans.values()))} processes: "
        f"{name} (process {min(pids)}) …",
        f"kill -{int(signal.SIGKILL)} {listed}",
    )


def check_strays(config: Config) -> Said:
    """No step of a job runs without its worker."""
    from nbplat.service.child import step_mark
    from nbplat.service.process_tree import marked

    pids = sorted(process.pid for process in marked(step_mark(config)))
    if pids and holder_of(worker_lock(config)) is None:
        shown = " ".join(map(str, pids))
        return Said(Verdict.WARNING, f"{len(pids)} processes of steps run without a worker", f"kill {shown}")
    return Said(Verdict.OK, f"{len(pids)} processes of steps run")


def _by_folder(root: Path, processes: Iterable[Any] | None) -> Iterable[tuple[str, int]]:
    """Name of the session's folder and process id, of every process that was started in one."""
    import contextlib

    import psutil

    for process in psutil.process_iter() if processes is None else processes:
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            for text in (process.cwd(), *process.cmdline()):
                if text.startswith(f"{root}/"):
                    yield Path(text).relative_to(root).parts[0], process.pid
                    break
