"""Where a state folder's service is found, and what a process started for it must be told."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from nbplat.config import Config
from nbplat.errors import SetupError
from nbplat.job.asked_from import NOTEBOOK_VARIABLE
from nbplat.terms import content_hash

__all__ = [
    "NOTEBOOK_HEADER",
    "PLATFORM",
    "STEP_VARIABLE",
    "environ_of",
    "home_hash",
    "log_file",
    "module_command",
    "private_folder",
    "read_info",
    "run_start",
    "service_lock",
    "settings_hash",
    "version",
    "worker_lock",
    "write_info",
]

PLATFORM = "nbplat.compose:open_platform"
"""The platform factory, as ``module:function``; tests name their own."""

NOTEBOOK_HEADER = "X-Nbplat-Notebook"
"""Says which notebook a request comes from, see `nbplat.job.asked_from`; quoted as addresses are."""

STEP_VARIABLE = "NBPLAT_STEP_OF"
"""Marks every process of a step in its environment, so that strays are found after their parents died."""

_ADDRESS = ("service_url", "service_token_file", "service_host", "service_port", "service_tls_cert", "service_tls_key")
_CLIENT_ONLY = ("service.url", "service.token_file", "service.user")


def private_folder(path: Path) -> Path:
    """Make a folder that only its owner can open (0700), and missing ones above it likewise; returns it.

    Raises:
        SetupError: it cannot be made.
    """
    try:
        for folder in reversed([each for each in (path, *path.parents) if not each.exists()]):
            folder.mkdir(mode=0o700, exist_ok=True)
        path.chmod(0o700)
    except OSError as exc:
        raise SetupError(
            "home.not_writable",
            f"the folder {path} cannot be made: {exc.strerror}",
            fix="set NBPLAT_HOME to a folder you may write",
            where=str(path),
        ) from exc
    return path


def home_hash(config: Config) -> str:
    """12 hex digits that name the state folder where its path is too long or not to be shown."""
    return hashlib.sha256(str(config.home.resolve()).encode()).hexdigest()[:12]


def service_lock(config: Config) -> Path:
    return config.home / "run" / "service.lock"


def worker_lock(config: Config) -> Path:
    return config.home / "run" / "worker.lock"


def log_file(config: Config, name: str) -> Path:
    """``logs/<name>`` in the state folder, its folder made."""
    path = config.home / "logs" / name
    private_folder(config.home / "logs")
    path.parent.mkdir(mode=0o700, exist_ok=True)
    return path


def read_info(config: Config) -> dict[str, Any] | None:
    """What the last service of this state folder wrote (url, port, token, pid, …); None when none ever ran."""
    try:
        return dict(json.loads((config.home / "run" / "service.json").read_text()))
    except (FileNotFoundError, ValueError):
        return None


def write_info(config: Config, info: Mapping[str, Any]) -> None:
    """Replace ``run/service.json`` in one step; it holds the token, so it is 0600 from its first byte."""
    folder = private_folder(config.home / "run")
    fresh = folder / f"service.json.{os.getpid()}"
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(info, file)
    fresh.replace(folder / "service.json")


def version() -> str:
    """The version of nbplat that is installed."""
    from importlib.metadata import version as installed

    return installed("nbplat")


def settings_hash(config: Config) -> str:
    """Names the settings and the version a process runs under: an adopted worker must have ours."""
    values = {f.name: str(getattr(config, f.name)) for f in fields(Config) if "key" in f.metadata}
    return content_hash([version(), {name: value for name, value in values.items() if name not in _ADDRESS}])


def module_command(module: str, *arguments: str) -> list[str]:
    """The command line of one of our modules, in this interpreter.

    ``-P`` keeps the working folder off the import path: a file there must not shadow a module.
    """
    return [sys.executable, "-P", "-m", module, *arguments]


def run_start(config: Config, factory: str, limit_s: float) -> subprocess.CompletedProcess[str]:
    """Start a service behind this process; its command ends when that answers, or with 1 and what went wrong.

    Args:
        factory: The platform factory, as ``module:function``.

    Raises:
        OSError: no process can be started.
        subprocess.TimeoutExpired: it gave no sign in that time.
    """
    return subprocess.run(
        module_command("nbplat.service.main", "--platform", factory),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=limit_s,
        cwd=config.home,
        env=environ_of(config),
        check=False,
    )


def environ_of(config: Config) -> dict[str, str]:
    """This process's environment with every setting spelled out, wherever each came from.

    A started process has another working folder and no options, so it would find other settings.
    """
    # What it is asked for comes from other notebooks as well: each request says its own.
    environ = {key: value for key, value in os.environ.items() if key not in (STEP_VARIABLE, NOTEBOOK_VARIABLE)}
    by_key = {f.metadata["key"]: f.name for f in fields(Config) if "key" in f.metadata}
    for setting in config.settings():
        environ.pop(setting.variable, None)
        if setting.key not in _CLIENT_ONLY:
            # What stands in a table has no field of its own.
            field = by_key.get(setting.key)
            environ[setting.variable] = str(getattr(config, field) if field else setting.value)
    # pyiceberg looks for its file in the working folder, which is another one there.
    if Path(".pyiceberg.yaml").is_file():
        environ.setdefault("PYICEBERG_HOME", str(Path.cwd()))
    return environ
