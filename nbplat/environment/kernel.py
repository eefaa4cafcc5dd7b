"""An environment as a Jupyter kernel: a kernelspec whose interpreter is the environment's own."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbplat.clock import Clock
from nbplat.environment.references import KERNEL
from nbplat.environment.store import Store
from nbplat.environment.store_faults import store_faults
from nbplat.environment.store_index import Reference, StoreIndex
from nbplat.errors import Conflict, NotFound, RequestError, SetupError, did_you_mean
from nbplat.terms import EnvironmentRef

__all__ = [
    "KERNEL_NAME", "MARK", "SPEC_FILE", "KernelSpec", "kernels_of", "put_spec", "read_spec", "remove_kernel",
    "user_kernels", "write_kernel",
]  # fmt: skip

SPEC_FILE = "kernel.json"
KERNEL_NAME = re.compile(r"[a-z0-9._-]+")
MARK = "nbplat"


@dataclass(frozen=True, slots=True)
class KernelSpec:
    """A written kernelspec.

    Attributes:
        name: As ``jupyter kernelspec list`` and ``--kernel`` take it.
        display_name: As the launcher shows it.
        path: Of its ``kernel.json``.
    """

    name: str
    display_name: str
    path: str
    environment: str
    key: str

    def record(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "name": self.name,
            "display_name": self.display_name,
            "path": self.path,
            "environment": self.environment,
            "key": self.key,
        }


def user_kernels(environ: Mapping[str, str] = os.environ) -> Path:
    """Folder of the user's own kernels, where Jupyter looks for them.

    Source: jupyter_core.paths.jupyter_data_dir.
    """
    if environ.get("JUPYTER_DATA_DIR"):
        return Path(environ["JUPYTER_DATA_DIR"]) / "kernels"
    home = Path(environ.get("HOME") or Path.home())
    if sys.platform == "darwin":
        return home / "Library" / "Jupyter" / "kernels"
    return Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "jupyter" / "kernels"


def write_kernel(
    ref: EnvironmentRef,
    store: Store,
    clock: Clock,
    *,
    kernels: Path,
    name: str = "",
    display_name: str = "",
) -> KernelSpec:
    """Write, or write anew, the kernelspec of an environment; the store keeps the environment for it.

    Args:
        kernels: Folder of kernels: `user_kernels`, or ``share/jupyter/kernels`` of an installation.
        name: Empty takes ``nbplat-<environment>``.

    Raises:
        RequestError: ``env.kernel``: the environment has no ipykernel, or the name cannot be one.
        Conflict: ``env.kernel``: the name is another's.
        SetupError: ``env.readonly``.
    """
    name = name or f"nbplat-{re.sub(r'[^a-z0-9._-]', '-', ref.name.lower())}"
    if not KERNEL_NAME.fullmatch(name):
        raise RequestError(
            "env.kernel",
            f"{name!r} is no name of a kernel",
            fix="take small letters, digits, dots, dashes: --kernel-name",
        )
    _has_ipykernel(ref)
    folder = kernels / name
    _ours_or_free(folder)
    spec = {
        "argv": [ref.interpreter, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": display_name or f"{ref.name} (nbplat, Python {ref.python})",
        "language": "python",
        "interrupt_mode": "signal",
        # What cells start by name comes from the environment too, and what the user installed aside does not leak in.
        "env": {"PATH": f"{ref.prefix}/bin:${{PATH}}", "CONDA_PREFIX": ref.prefix, "PYTHONNOUSERSITE": "1"},
        "metadata": {"debugger": True, MARK: {"environment": ref.name, "key": ref.key, "lock": ref.lock_digest}},
    }
    with store_faults(kernels):
        put_spec(folder, spec)
    now_ms = clock.now_ms()
    StoreIndex(store.index).refer(Reference(KERNEL, str(folder / SPEC_FILE), ref.key, now_ms))
    return KernelSpec(name, str(spec["display_name"]), str(folder / SPEC_FILE), ref.name, ref.key)


def remove_kernel(store: Store, name: str, *, kernels: Path) -> KernelSpec:
    """Remove a kernelspec of ours; its environment stays until nothing needs it.

    Raises:
        NotFound: ``env.kernel``.
        Conflict: ``env.kernel``: it is not ours.
    """
    ours = {one.name: one for one in kernels_of(kernels)}
    folder = kernels / name
    if not folder.is_dir():
        raise NotFound(
            "env.kernel",
            f"there is no kernel {name!r} in {kernels}",
            fix=did_you_mean(name, ours) or "nothing to remove",
        )
    _ours_or_free(folder)
    with store_faults(kernels):
        shutil.rmtree(folder)
    StoreIndex(store.index).release(KERNEL, str(folder / SPEC_FILE))
    return ours[name]


def kernels_of(kernels: Path, environment: str = "") -> list[KernelSpec]:
    """The kernelspecs in a folder that start an environment of ours, by name.

    Args:
        environment: Only those of this one; empty takes all.
    """
    found = []
    for path in sorted(kernels.glob(f"*/{SPEC_FILE}")):
        spec = read_spec(path)
        mark = _mark(spec)
        if mark and environment in ("", mark["environment"]):
            found.append(
                KernelSpec(path.parent.name, str(spec.get("display_name")), str(path), mark["environment"], mark["key"])
            )
    return found


def _has_ipykernel(ref: EnvironmentRef) -> None:
    if any(Path(ref.prefix).glob("lib/python*/site-packages/ipykernel_launcher.py")):
        return
    raise RequestError(
        "env.kernel",
        f"the environment {ref.name} has no ipykernel, so no notebook can run in it",
        fix=f"add it, lock and build: nbplat env add {ref.name} ipykernel && nbplat env lock {ref.name} && "
        f"nbplat env build {ref.name}",
        where=ref.prefix,
    )


def _ours_or_free(folder: Path) -> None:
    if folder.exists() and not _mark(read_spec(folder / SPEC_FILE)):
        raise Conflict(
            "env.kernel",
            f"the kernel {folder.name!r} is not one of ours",
            fix="choose another name: --kernel-name NAME",
            where=str(folder),
        )


def put_spec(folder: Path, spec: Mapping[str, Any]) -> None:
    """Write a ``kernel.json``. It comes under its name in one move: Jupyter may list kernels at any moment.

    Raises:
        SetupError: ``env.kernel``: a file stands where a folder is needed.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        half = folder / f".{SPEC_FILE}.{secrets.token_hex(4)}"
        half.write_text(json.dumps(spec, indent=1) + "\n", encoding="utf-8")
        half.replace(folder / SPEC_FILE)
    except NotADirectoryError:
        raise SetupError(
            "env.kernel", f"{folder.parent} is no folder", fix="give a folder: --prefix DIR", where=str(folder.parent)
        ) from None


def read_spec(path: Path) -> dict[str, Any]:
    """A ``kernel.json``; empty when there is none, or it is no JSON object."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _mark(spec: Mapping[str, Any]) -> dict[str, str]:
    metadata = spec.get("metadata")
    found = metadata.get(MARK) if isinstance(metadata, dict) else None
    return found if isinstance(found, dict) and "key" in found and "environment" in found else {}
