"""The kernelspec of `nbplat-spark`: written for this interpreter, listed, taken out."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nbplat.environment.kernel import KERNEL_NAME, MARK, SPEC_FILE, put_spec, read_spec
from nbplat.environment.store_faults import store_faults
from nbplat.errors import Conflict, NotFound, RequestError, did_you_mean

__all__ = ["NAME", "Registered", "registered_kernels", "remove_spark_kernel", "what_it_is", "write_spark_kernel"]

NAME = "nbplat-spark"


@dataclass(frozen=True, slots=True)
class Registered:
    """A kernelspec of ours.

    Attributes:
        what: ``session``, or ``environment NAME``.
        path: Its folder.
    """

    name: str
    display_name: str
    what: str
    path: str

    def record(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)


def write_spark_kernel(kernels: Path, *, name: str = "", display_name: str = "") -> Registered:
    """Write, or write anew, the kernelspec that runs this interpreter.

    Args:
        kernels: Folder of kernels.
        name: Empty takes `NAME`.

    Raises:
        RequestError: ``kernel.name``: it cannot be one.
        Conflict: ``kernel.name``: it is another's.
        SetupError: the folder cannot be written.
    """
    name = name or NAME
    if not KERNEL_NAME.fullmatch(name):
        raise RequestError(
            "kernel.name", f"{name!r} is no name of a kernel", fix="take small letters, digits, dots, dashes: --name"
        )
    folder = kernels / name
    if folder.exists() and what_it_is(read_spec(folder / SPEC_FILE)) != "session":
        raise Conflict(
            "kernel.name",
            f"the kernel {name!r} is not ours to replace",
            fix="choose another: --name KERNEL",
            where=str(folder),
        )
    shown = display_name or ("Spark (nbplat)" if name == NAME else f"{name} (nbplat)")
    spec = {
        "argv": [sys.executable, "-m", "nbplat.ui.kernel", "-f", "{connection_file}"],
        "display_name": shown,
        "language": "python",
        "interrupt_mode": "signal",
        "metadata": {"debugger": True, MARK: {"target": "spark"}},
    }
    with store_faults(kernels):
        put_spec(folder, spec)
        for logo in _logos():
            shutil.copy(logo, folder)
    return Registered(name, shown, "session", str(folder))


def remove_spark_kernel(kernels: Path, name: str) -> Registered:
    """Take it out.

    Raises:
        NotFound: ``kernel.unknown``.
        Conflict: ``kernel.name``: it is not ours.
    """
    folder = kernels / name
    spec = read_spec(folder / SPEC_FILE)
    if not folder.is_dir():
        known = [path.parent.name for path in kernels.glob(f"*/{SPEC_FILE}") if what_it_is(read_spec(path))]
        raise NotFound(
            "kernel.unknown",
            f"there is no kernel {name!r} in {kernels}",
            fix=did_you_mean(name, known) or "nbplat kernel list shows those of nbplat",
        )
    what = what_it_is(spec)
    if what != "session":
        mend = f"nbplat env kernel {what.partition(' ')[2]} --remove" if what else "jupyter kernelspec remove"
        raise Conflict("kernel.name", f"the kernel {name!r} is no session kernel of ours", fix=mend, where=str(folder))
    with store_faults(kernels):
        shutil.rmtree(folder)
    return Registered(name, str(spec.get("display_name")), what, str(folder))


def registered_kernels() -> list[Registered]:
    """Every kernelspec of ours that Jupyter finds, by name."""
    from jupyter_client.kernelspec import KernelSpecManager

    every: Mapping[str, str] = KernelSpecManager().find_kernel_specs()
    found = []
    for name, folder in sorted(every.items()):
        spec = read_spec(Path(folder) / SPEC_FILE)
        if what := what_it_is(spec):
            found.append(Registered(name, str(spec.get("display_name")), what, folder))
    return found


def what_it_is(spec: Mapping[str, Any]) -> str:
    """``session`` or ``environment NAME``; empty for a kernelspec that is not ours."""
    metadata = spec.get("metadata")
    mark = metadata.get(MARK) if isinstance(metadata, dict) else None
    if not isinstance(mark, dict):
        return ""
    return f"environment {mark['environment']}" if "environment" in mark else "session" if "target" in mark else ""


def _logos() -> list[Path]:
    """Beside the kernelspec that an installation brings, or in the source."""
    places = (Path(sys.prefix) / "share" / "jupyter" / "kernels", Path(__file__).parents[3] / "kernels")
    return next((found for place in places if (found := sorted((place / NAME).glob("logo-*")))), [])
