"""Reaching a Ray cluster, or starting one on this machine for as long as a step takes."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from nbplat.errors import RemoteError, SetupError
from nbplat.remote.scratch_folder import ScratchFolder

__all__ = [
    "RaySettings",
    "check_answers",
    "check_ray",
    "cluster",
    "is_here",
]

_CONNECT_S = 5.0
_VERSION = re.compile(r"(Ray|Python):? v?(\d+\.\d+[\w.]*)")
_HERE = ("127.0.0.1", "localhost", "::1", "")

# Ray wants no less, and staging puts next to nothing there: sources and files are read by location.
_STORE_FLOOR_BYTES = 80 << 20
_KEPT_STORE_BYTES = 1 << 30
_OOM_RETRIES = 2


@dataclass(frozen=True, slots=True)
class RaySettings:
    """Which cluster.

    Attributes:
        address: Of a running cluster (``host:6379``, ``ray://host:10001``, ``auto``); empty starts one here.
        threads: CPUs of a cluster started here; 0 takes every core.
        memory_bytes: Of the step; a tenth of it bounds the object store of a cluster started here.
        bundle: Makes the zip of `nbplat.remote` that remote workers are given; returns its path.
        runtime_env: What has the workers run in an environment; empty leaves them as they are.
        kept: A cluster started here lives as long as the process and hands rows over: its object store is larger.
    """

    address: str
    threads: int
    memory_bytes: int
    bundle: Callable[[], str]
    runtime_env: Mapping[str, Any] = field(default_factory=dict)
    kept: bool = False


def check_ray() -> None:
    """Return when Ray is installed.

    Raises:
        SetupError: with the command that installs it.
    """
    import importlib.util

    if importlib.util.find_spec("ray") is None:
        raise SetupError("ray.missing", "Ray is not installed", fix="pip install 'nbplat[ray]'")


def is_here(address: str) -> bool:
    """True when the workers run on this machine and open its files."""
    return not address or address == "auto" or _host_port(address)[0] in _HERE


@contextmanager
def cluster(settings: RaySettings) -> Iterator[ModuleType]:
    """Connect, hand out the `ray` module, and let go: a cluster started here is ended, any other is left alone.

    Ray that this process has initialised already is used as it is.

    Raises:
        SetupError: Ray is not installed.
        RemoteError: nothing answers at the address, or a cluster cannot be started here.
    """
    check_ray()
    # Ray's usage report and its own advice on imports are no business of a backfill.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if not settings.address:
        _own_token()
    import ray

    if ray.is_initialized():
        yield ray
        return
    if settings.address:
        with _joined(ray, settings):
            yield ray
    else:
        with _started(ray, settings):
            yield ray


@contextmanager
def _joined(ray: ModuleType, settings: RaySettings) -> Iterator[None]:
    check_answers(settings.address)
    with ScratchFolder(None, "nbplat-ray-") as folder:
        environment = dict(settings.runtime_env)
        if not is_here(settings.address):
            shutil.unpack_archive(settings.bundle(), folder, "zip")
            environment["py_modules"] = [str(folder / "nbplat")]
        try:
            ray.init(
                address=settings.address,
                namespace="nbplat",
                runtime_env=environment or None,
                log_to_driver=False,
                logging_level="error",
            )
        except Exception as exc:
            if refused := _version_refused(exc, settings.address) or _token_refused(exc, settings.address):
                raise refused from None
            raise RemoteError(
                "ray.address",
                f"the Ray cluster at {settings.address} cannot be joined: {exc}",
                fix="set ray.address (or RAY_ADDRESS) to a running cluster of the same Ray and Python versions, "
                "or unset it to start one here",
            ) from exc
        try:
            yield
        finally:
            ray.shutdown()


def _version_refused(exc: Exception, address: str) -> RemoteError | None:
    """The error of a cluster of another Ray or Python, out of Ray's words; None for any other error."""
    text = str(exc)
    if "mismatch" not in text.lower():
        return None
    import ray

    theirs, own = _VERSION.findall(text), ".".join(map(str, sys.version_info[:3]))
    has = {name.lower(): version for name, version in reversed(theirs)}
    other, python = has.get("ray", ray.__version__), has.get("python", own)
    fix = (
        f'pip install "ray=={other}" here and restart the kernel, or start the cluster with Ray {ray.__version__}'
        if other != ray.__version__
        else f"work in an environment of Python {python}, or start the cluster with Python {own}"
    )
    return RemoteError(
        "ray.version",
        f"the Ray cluster at {address} runs Ray {other} and Python {python}, this process {ray.__version__} and {own}",
        fix=fix,
    )


def _token_refused(exc: Exception, address: str) -> RemoteError | None:
    """The error of a cluster that wants a token, or another one; None for any other error. Tokens are not named."""
    text = str(exc).lower()
    if not any(word in text for word in ("authentication", "unauthenticated", "auth token")):
        return None
    has = "has another token" if os.environ.get("RAY_AUTH_MODE", "").lower() == "token" else "gives none"
    return RemoteError(
        "ray.token",
        f"the Ray cluster at {address} wants a token, and this process {has}",
        fix="set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH to a file that holds its token, then restart the kernel",
    )


@contextmanager
def _started(ray: ModuleType, settings: RaySettings) -> Iterator[None]:
    # Ray's sockets lie in this folder, and a socket's path has about 100 bytes: never under the state folder.
    with ScratchFolder(_short_folder(), "nbr-") as folder:
        try:
            _init_here(ray, settings, str(folder))
            yield
        finally:
            ray.shutdown()


def _init_here(ray: ModuleType, settings: RaySettings, folder: str) -> None:
    try:
        ray.init(
            address="local",
            num_cpus=settings.threads or os.cpu_count() or 1,
            num_gpus=0,
            object_store_memory=_store_bytes(settings),
            include_dashboard=False,
            log_to_driver=False,
            logging_level="error",
            namespace="nbplat",
            _node_ip_address="127.0.0.1",
            _temp_dir=folder,
            # Ray would start a task anew without end that the machine has no memory for.
            _system_config={"task_oom_retries": _OOM_RETRIES},
        )
    except Exception as exc:
        raise RemoteError(
            "ray.start",
            f"Ray does not start on this machine: {exc}",
            fix="give it more memory (limits.memory_bytes), or set ray.address to a running cluster",
        ) from exc


def _store_bytes(settings: RaySettings) -> int:
    if not settings.kept:
        return max(settings.memory_bytes // 10, _STORE_FLOOR_BYTES)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(min(memory // 4, _KEPT_STORE_BYTES), _STORE_FLOOR_BYTES)


def _own_token() -> None:
    """A token for clusters started here, in the environment only: Ray would write one to the home folder.

    Ray reads it once, when it is imported, so it stays for the life of the process.
    """
    if "ray" not in sys.modules and not os.environ.get("RAY_AUTH_MODE") and not os.environ.get("RAY_AUTH_TOKEN"):
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


def _short_folder() -> Path | None:
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    return Path(runtime) if runtime and len(runtime) < 24 and os.access(runtime, os.W_OK) else None


def _host_port(address: str) -> tuple[str, int | None]:
    parts = urlsplit(address if "://" in address else f"ray-gcs://{address}")
    return parts.hostname or "", parts.port


def check_answers(address: str) -> None:
    """Return when something listens at the address; Ray itself waits for most of a minute before it says no.

    Raises:
        RemoteError: ``ray.address``.
    """
    if address == "auto":
        return
    host, port = _host_port(address)
    try:
        with closing(socket.create_connection((host, port or 6379), timeout=_CONNECT_S)):
            return
    except OSError as exc:
        raise RemoteError(
            "ray.address",
            f"nothing answers at the Ray address {address}: {exc}",
            fix="set ray.address (or RAY_ADDRESS) to a running cluster, or unset it to start one on this machine",
        ) from None
