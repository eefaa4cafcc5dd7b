"""The Jupyter server extension: the browser's only way to the user's service, which it starts when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jupyter_server.serverapp import ServerApp

__all__ = ["_jupyter_server_extension_points", "_load_jupyter_server_extension"]


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    """What ``jupyter server extension list`` asks for."""
    return [{"module": "nbplat.ui.server"}]


def _load_jupyter_server_extension(serverapp: ServerApp) -> None:
    """Add the routes; nothing is started and nothing of the service is imported before the first request."""
    from nbplat.ui.server.handlers import add_handlers

    add_handlers(serverapp)
