"""Checks of kernels: what each kernelspec would start, and what stock sparkmagic would connect to."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from nbplat.config import Config
from nbplat.errors import NbplatError
from nbplat.service.discovery import read_info
from nbplat.ui.doctor.finding import Said, Verdict
from nbplat.ui.doctor.jupyter_files import data_folders, settings_in

__all__ = ["check_kernels", "check_sparkmagic"]

_START_S = 15.0
_SPEC = "kernel.json"
_NEEDED = {"nbplat.ui.kernel": "nbplat.ui.kernel.spark_kernel"}
_MEND_SPARKMAGIC = "nbplat kernel install --sparkmagic"


def check_kernels(paths: Sequence[str] | None = None) -> Said:
    """Every kernel that nbplat has registered starts a Python that is there and holds what the kernel is made of.

    Args:
        paths: Jupyter's data folders, the nearest first; None takes this machine's.
    """
    found: dict[str, dict[str, Any]] = {}
    for folder in data_folders(paths):
        for file in sorted(Path(folder, "kernels").glob(f"*/{_SPEC}")):
            spec = settings_in(file)
            # Of two with one name Jupyter takes the nearest.
            if file.parent.name not in found and _is_ours(file.parent.name, spec):
                found[file.parent.name] = spec
    if not found:
        return Said(
            Verdict.NOT_NEEDED,
            "no kernel of nbplat is registered",
            "nbplat kernel install makes one, nbplat env kernel NAME one of an environment",
        )
    with ThreadPoolExecutor(max_workers=4) as pool:
        wrong = [said for said in pool.map(_broken, found, found.values()) if said is not None]
    return wrong[0] if wrong else Said(Verdict.OK, ", ".join(found))


def check_sparkmagic(config: Config, environ: Mapping[str, str] = os.environ) -> Said:
    """Stock sparkmagic's settings, where they name the service of this state folder, let it in."""
    file = Path(environ.get("SPARKMAGIC_CONF_DIR") or "~/.sparkmagic").expanduser() / "config.json"
    if not file.exists():
        return Said(Verdict.NOT_NEEDED, f"{file} is not there", _MEND_SPARKMAGIC)
    settings = settings_in(file)
    if not settings:
        return Said(Verdict.FAULT, f"{file} is no JSON object", "mend or move the file, then " + _MEND_SPARKMAGIC)
    login = settings.get("kernel_python_credentials")
    login = login if isinstance(login, dict) else {}
    url, password = str(login.get("url", "")).rstrip("/"), login.get("password")
    ours, token = _service(config)
    if not url or url != ours:
        where = f"of another service: {url}" if url else "of no service"
        return Said(Verdict.NOT_NEEDED, f"{file} holds the address {where}", f"{_MEND_SPARKMAGIC} --force")
    if password != token:
        return Said(Verdict.FAULT, f"the token in {file} is not the one of {url}: it is refused", _MEND_SPARKMAGIC)
    if mode := file.stat().st_mode & 0o077:
        return Said(
            Verdict.FAULT, f"{file} holds a token and can be opened by others (mode {mode:o})", f"chmod 600 {file}"
        )
    return Said(Verdict.OK, f"{file} holds the address and the token of {url}")


def _is_ours(name: str, spec: Mapping[str, Any]) -> bool:
    metadata = spec.get("metadata")
    return name.startswith("nbplat") or (isinstance(metadata, dict) and "nbplat" in metadata)


def _broken(name: str, spec: Mapping[str, Any]) -> Said | None:
    """What is wrong with a kernel; None when it would start."""
    argv = [str(word) for word in spec.get("argv") or [""]]
    # A bare `python` is the one of Jupyter's server, which doctor is run beside.
    python = argv[0] if Path(argv[0]).is_absolute() else sys.executable
    remove = f"jupyter kernelspec remove {name}"
    if not os.access(python, os.X_OK):
        return Said(Verdict.FAULT, f"the kernel {name} starts {python}, which is not there", remove)
    module = argv[argv.index("-m") + 1] if "-m" in argv[:-1] else "ipykernel"
    module = _NEEDED.get(module, module)
    try:
        ran = subprocess.run(
            [python, "-c", f"import {module}"],
            cwd="/",
            env={**os.environ, **{key: str(value) for key, value in (spec.get("env") or {}).items()}},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_START_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Said(Verdict.WARNING, f"the kernel {name}: {python} did not import {module} in {_START_S:g} s", remove)
    except OSError as exc:
        return Said(Verdict.FAULT, f"the kernel {name} cannot start {python}: {exc.strerror}", remove)
    if ran.returncode == 0:
        return None
    why = (ran.stderr.strip().splitlines() or [f"it ended with {ran.returncode}"])[-1]
    root = module.partition(".")[0]
    install = f"{python} -m pip install {root}, or {remove}"
    return Said(Verdict.FAULT, f"the kernel {name} starts {python}, which cannot import {module}: {why}", install)


def _service(config: Config) -> tuple[str, str]:
    """Address and token; empty texts when there is none yet."""
    if config.service_url:
        from nbplat.ui.client import team_client

        try:
            return config.service_url.rstrip("/"), team_client(config).token
        except NbplatError:
            return "", ""
    info = read_info(config) or {}
    return str(info.get("url", "")).rstrip("/"), str(info.get("token", ""))
