"""Stock sparkmagic's settings for this service: its config.json, and its PySpark kernel."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nbplat.errors import Conflict, DataError

__all__ = ["install_kernel", "merged", "write_config"]

KERNEL_NAME = "pysparkkernel"
_CREDENTIALS = ("kernel_python_credentials", "kernel_scala_credentials")
_WANTED = {
    # A widget library draws charts by itself and stops headless runs.
    "use_auto_viz": False,
    # A first Spark start may take a minute.
    "livy_session_startup_timeout_seconds": 180,
    # A cell waits for the one of another notebook in the same session, and is not given up after 15 seconds.
    "wait_for_idle_timeout_seconds": 86_400,
}


def merged(found: Mapping[str, Any], url: str, token: str, *, force: bool, where: str) -> dict[str, Any]:
    """The settings with ours among them; every other one stays.

    Args:
        force: Take the place of credentials for another service, and of other values of `_WANTED`.

    Raises:
        Conflict: ``kernel.settings``: the credentials name another service.
    """
    settings = dict(found)
    for key in _CREDENTIALS:
        before = settings.get(key)
        theirs = before.get("url") if isinstance(before, dict) else None
        if theirs and theirs != url and not force:
            raise Conflict(
                "kernel.settings",
                f"{key} names another service: {theirs}",
                fix="add --force to replace it (a copy of the file is kept), or choose another --folder",
                where=where,
            )
        settings[key] = {"username": "nbplat", "password": token, "url": url, "auth": "Basic_Access"}
    for key, value in _WANTED.items():
        if force or key not in settings:
            settings[key] = value
    return settings


def write_config(folder: Path, url: str, token: str, *, force: bool) -> tuple[Path, Path | None]:
    """Write ``config.json`` in one step, for its owner's eyes only.

    Returns:
        The file, and the copy of an earlier one that was changed; None when there was none, or nothing changes.

    Raises:
        Conflict: as `merged`.
        DataError: ``kernel.settings``: the file that is there is no JSON object; nothing is changed.
    """
    path = folder / "config.json"
    found: dict[str, Any] = {}
    before: bytes | None = None
    if path.exists():
        before = path.read_bytes()
        try:
            found = json.loads(before)
        except ValueError as exc:
            raise _unread(path, str(exc)) from None
        if not isinstance(found, dict):
            raise _unread(path, f"it holds {type(found).__name__}")
    text = json.dumps(merged(found, url, token, force=force, where=str(path)), indent=2).encode() + b"\n"
    if text == before:
        path.chmod(0o600)
        return path, None
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    copy = None
    if before is not None:
        copy = path.with_suffix(".json.bak")
        _put(copy, before)
    _put(path, text)
    return path, copy


def install_kernel(folder: Path, *, force: bool) -> Path | None:
    """Register sparkmagic's own PySpark kernel to run in this interpreter and read ``config.json`` in `folder`.

    Returns:
        The folder of the kernel's spec; None when sparkmagic is not installed here. One that is there already stays,
        but for `force`.
    """
    spec = find_spec("sparkmagic")
    if spec is None or not spec.submodule_search_locations:
        return None
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    manager = KernelSpecManager()
    try:
        there = Path(manager.get_kernel_spec(KERNEL_NAME).resource_dir)
    except NoSuchKernel:
        there = None
    if there is not None and not force:
        return there
    source = Path(spec.submodule_search_locations[0]) / "kernels" / KERNEL_NAME
    with tempfile.TemporaryDirectory() as work:
        made = Path(work) / KERNEL_NAME
        made.mkdir()
        for logo in source.glob("*.png"):
            shutil.copy(logo, made)
        kernel = {
            "argv": [sys.executable, "-m", "sparkmagic.kernels.pysparkkernel.pysparkkernel", "-f", "{connection_file}"],
            "display_name": "PySpark",
            "language": "python",
            "env": {"SPARKMAGIC_CONF_DIR": str(folder)},
        }
        (made / "kernel.json").write_text(json.dumps(kernel, indent=1))
        return Path(manager.install_kernel_spec(str(made), KERNEL_NAME, user=True))


def _put(path: Path, content: bytes) -> None:
    fresh = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    fresh.replace(path)


def _unread(path: Path, why: str) -> DataError:
    return DataError(
        "kernel.settings", f"{path} is no JSON object: {why}", fix="mend or move the file", where=str(path)
    )
