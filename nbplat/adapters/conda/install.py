"""The port's `install`: a prefix from exactly the packages of a lock, made in a child process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nbplat.adapters.conda.child import run_child
from nbplat.adapters.conda.network import reach
from nbplat.adapters.conda.records import as_json
from nbplat.environment.lock_record import CondaPackage
from nbplat.environment.ports import Channel, Installed, Say

__all__ = ["install"]

_TASK = "nbplat.adapters.conda.install_task:install"


def install(
    packages: Sequence[CondaPackage],
    channels: Sequence[Channel],
    prefix: Path,
    store: Path,
    *,
    platform: str,
    requested: Sequence[str],
    offline: bool,
    say: Say,
    secrets: Mapping[str, Any] | None = None,
    started: Callable[[int], None] | None = None,
) -> Installed:
    """See `ports.Conda.install`."""
    request = {
        **reach(channels, "", offline=offline),
        "packages": [as_json(one) for one in packages],
        "prefix": str(prefix),
        "store": str(store),
        "platform": platform,
        "requested": list(requested),
    }
    found = run_child(_TASK, request, say=say, secrets=secrets, started=started)
    return Installed(
        fetched_bytes=found["fetched_bytes"],
        fetched=tuple(found["fetched"]),
        repaired={name: tuple(files) for name, files in found["repaired"].items()},
        linked=found["linked"],
        scripts=tuple(found["scripts"]),
    )
