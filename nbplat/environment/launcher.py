"""The node-cache launcher of one archive: a shell script that stands in for its Python on every node."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from nbplat.environment.locations import is_shared_path, shared_path
from nbplat.environment.shipped import Shipped
from nbplat.errors import RequestError
from nbplat.terms import content_hash

__all__ = ["SESSION", "NodeCache", "launcher_name", "launcher_text"]

# As a fetch command: the archive comes with the session (``spark.files``), nodes fetch nothing.
SESSION = "session"
_KIB = 1024


@dataclass(frozen=True, slots=True)
class NodeCache:
    """Where and how long nodes keep environments.

    Attributes:
        folder: On the nodes; empty takes ``/var/tmp/nbplat-env-<uid>``. ``NBPLAT_NODE_CACHE`` of a node goes before.
        fetch: Command of a shell that gets the archive at ``$NBPLAT_URI`` to the file ``$NBPLAT_FILE``; ``session``
            where the session sends it; empty takes what the URI's scheme is read with.
        keep_days: An environment that no process was started in for so long is removed by the next one unpacked.
        keep_bytes: So many bytes are kept, those used last first; what a process runs in is always kept.
    """

    folder: str = ""
    fetch: str = ""
    keep_days: int = 14
    keep_bytes: int = 20 << 30


def launcher_text(archive: Shipped, manifest: Mapping[str, Any], cache: NodeCache | None = None) -> str:
    """The script for one archive.

    Raises:
        RequestError: ``env.node_cache``: a folder that is no absolute path, or nothing to keep.
    """
    cache = cache or NodeCache()
    if cache.folder and not cache.folder.startswith("/"):
        raise RequestError(
            "env.node_cache",
            f"{cache.folder!r} is no absolute path",
            fix="give a folder of the nodes: /var/cache/nbplat",
        )
    if cache.keep_days < 0 or cache.keep_bytes < 0:
        raise RequestError("env.node_cache", "what nodes keep cannot be negative", fix="give days and bytes from 0 up")
    fetch = "" if cache.fetch == SESSION else cache.fetch
    unpacked = int(manifest.get("bytes", 0) or 0)
    settings = {
        "sha256": archive.sha256,
        # Short: the path of an environment is written into files that have little room for it.
        "home": archive.sha256[:32],
        "format": archive.format,
        "name": archive.name or archive.sha256[:16],
        "platform": str(manifest.get("platform", "")),
        "kib": str((unpacked + archive.size) // _KIB),
        "uri": "" if cache.fetch == SESSION else archive.uri,
        "path": shared_path(archive.uri) if is_shared_path(archive.uri) and cache.fetch != SESSION else "",
        "fetch": fetch,
        "cache": cache.folder,
        "keep_days": str(cache.keep_days),
        "keep_kib": str(cache.keep_bytes // _KIB),
    }
    lines = [f"nb_{name}={shlex.quote(value)}" for name, value in settings.items()]
    script = files("nbplat.remote").joinpath("node_python.sh").read_text("utf-8")
    return script.replace("#@SETTINGS@\n", "\n".join(lines) + "\n", 1)


def launcher_name(text: str) -> str:
    """File name of a launcher: by its content, so that sessions of other settings bring their own."""
    return f"nbplat-python-{content_hash(text)[:16]}"
