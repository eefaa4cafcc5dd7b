"""Ray for the life of this process: reached or started at the first use, ended with the process if it is ours."""

from __future__ import annotations

import atexit
import os
import threading
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

from nbplat.adapters.ray.cluster import RaySettings, cluster

__all__ = ["kept_ray", "let_go", "token_words"]

_lock = threading.Lock()
_held: ExitStack | None = None


def kept_ray(settings: RaySettings) -> ModuleType:
    """The `ray` module, connected. What the user has initialised is used as it is, and never ended.

    Raises:
        SetupError, RemoteError: as `cluster`.
    """
    global _held
    with _lock:
        import sys

        module = sys.modules.get("ray")
        if module is not None and module.is_initialized():
            return module
        if _held is not None:  # Somebody has shut Ray down since; its folder goes now.
            _held.close()
        stack = ExitStack()
        connected = stack.enter_context(cluster(settings))
        _held = stack
        atexit.unregister(let_go)
        # Ray's own hook was registered by its import: ours runs before it.
        atexit.register(let_go)
        return connected


def let_go() -> None:
    """End the cluster that `kept_ray` has started, or the connection that it has made."""
    global _held
    with _lock:
        held, _held = _held, None
    if held is not None:
        held.close()


def token_words() -> str:
    """How this process shows itself to Ray, in words; never the token."""
    if os.environ.get("RAY_AUTH_MODE", "").lower() != "token":
        return "no token"
    if os.environ.get("RAY_AUTH_TOKEN"):
        return "token authentication, token in RAY_AUTH_TOKEN"
    path = os.environ.get("RAY_AUTH_TOKEN_PATH") or str(Path("~/.ray/auth_token").expanduser())
    return f"token authentication, token in {path}" + ("" if Path(path).is_file() else " (which is not there)")
