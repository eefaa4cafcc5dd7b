"""Requests to the user's service from an event loop; the client blocks, so each goes through a thread."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbplat.config import Config, load_config
from nbplat.errors import NbplatError, unexpected
from nbplat.service.discovery import read_info, service_lock, version
from nbplat.service.lock import holder_of

if TYPE_CHECKING:
    from nbplat.ui.client import ServiceClient

__all__ = ["ServiceDoor"]

_log = logging.getLogger(__name__)

# A browser opens six connections to one host.
_THREADS = 12


class ServiceDoor:
    """The service as this Jupyter server reaches it; its token never leaves this object.

    Args:
        folder: The folder whose ``nbplat.toml`` counts: the root of the files that the server serves.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._client: ServiceClient | None = None
        self._opening = asyncio.Lock()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="nbplat")

    async def ask(
        self, verb: str, path: str, *, query: dict[str, Any] | None = None, body: Any = None, timeout_s: float = 60.0
    ) -> Any:
        """One request; a service of this machine that does not run is started first.

        Raises:
            NbplatError: the service's own error, or why there is none.
        """
        try:
            client = await self._opened()
            return await self._in_thread(
                lambda: client.request(verb, path, query=query or {}, body=body, timeout_s=timeout_s)
            )
        except NbplatError as exc:
            if exc.code == "service.token":
                # The service tells who sends a token; here it is this server, and a person who reads it in a browser.
                exc.fix = "let NBPLAT_TOKEN_FILE name the file with the service's token; the next look reads it"
            if exc.code.startswith("service."):
                # Settings, address or version may be others by now: the next request looks again.
                self._client = None
            raise

    async def about(self) -> dict[str, Any]:
        """What is installed here and whether a service runs; starts none."""
        found: dict[str, Any] = await self._in_thread(self._about)
        return found

    def close(self) -> None:
        """Take no more requests; those under way end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _opened(self) -> ServiceClient:
        async with self._opening:
            if self._client is None:
                self._client = await self._in_thread(self._find)
            return self._client

    async def _in_thread(self, work: Any) -> Any:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except NbplatError:
            raise
        except Exception as exc:
            error = unexpected(exc)
            _log.error("the service was asked in vain [%s]", error.detail_id, exc_info=exc)
            raise error from exc

    def _config(self) -> Config:
        return load_config(cwd=self.folder)

    def _find(self) -> ServiceClient:
        from nbplat.ui.client import find_or_start

        return find_or_start(self._config())

    def _about(self) -> dict[str, Any]:
        config = self._config()
        runs = bool(config.service_url) or holder_of(service_lock(config)) is not None
        info = {} if config.service_url else (read_info(config) or {})
        return {
            "version": version(),
            "home": str(config.home),
            "service": {
                "where": "elsewhere" if config.service_url else "here",
                "state": "running" if runs else "stopped",
                "version": info.get("version") if runs else None,
            },
        }
