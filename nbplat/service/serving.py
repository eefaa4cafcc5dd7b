"""Serves one state folder: sessions taken up again, the application over them, and the worker kept beside it."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from nbplat.config import Config
from nbplat.service.address import bind, check_exposure, choose
from nbplat.service.app import make_app
from nbplat.service.asker import asker
from nbplat.service.auth import is_loopback
from nbplat.service.callers import Callers
from nbplat.service.discovery import version, write_info
from nbplat.service.kept_listener import HandedOver, kept_listener
from nbplat.service.livy import make_livy
from nbplat.service.livy.owner import Impersonation
from nbplat.service.logins import logins_of
from nbplat.service.logins.choosing import names_in
from nbplat.service.platform import Platform, platform_factory
from nbplat.service.routes import sessions as session_routes
from nbplat.service.routes.iceberg import catalog_token
from nbplat.service.supervisor import Supervisor
from nbplat.service.wake import runtime_folder
from nbplat.session.batch import BatchDraft
from nbplat.session.batches import Batches
from nbplat.session.records import SessionDraft
from nbplat.session.sessions import Sessions

__all__ = ["serve_folder"]

_log = logging.getLogger("nbplat.service")

_GRACE_S = 3


def serve_folder(config: Config, factory: str, on_ready: Callable[[dict[str, Any]], None], *, revived: bool) -> None:
    """Serve until a signal ends it; leaves nothing running. The caller holds the service's lock.

    Args:
        factory: ``module:function`` that opens the platform.
        on_ready: Called with what ``run/service.json`` holds, once the service answers.
        revived: Whether the worker brings it back when it is killed.

    Raises:
        SetupError: the store, the port or the address is not fit.
    """
    loopback = is_loopback(config.service_host)
    check_exposure(config, loopback=loopback)
    logins = logins_of(config)
    port, token = choose(config)
    listener = kept_listener(config, port) or bind(config, port)
    platform = None
    sessions = None
    handed = HandedOver(config, listener, again=revived)
    supervisor = Supervisor(config, factory=factory, hand_over=handed.hold)
    try:
        platform = platform_factory(factory)(config)
        info = _info(config, listener.getsockname()[1], token)
        write_info(config, info)

        def started() -> None:
            # Before anybody is told: from now on a kill is noticed.
            handed.hold()
            supervisor.start()
            _log.info("serving %s at %s", config.home, info["url"])
            on_ready(info)

        sessions = platform.open_sessions(runtime_folder(config))
        sessions.recover()
        batches = platform.open_batches()
        batches.recover()
        sessions.watch(batches.look)
        sessions_routes, livy = _session_faces(platform, sessions, batches, info["url"], token)
        app = make_app(
            platform,
            token,
            loopback=loopback,
            worker=supervisor.status,
            stopping=lambda: server.should_exit,
            sessions=sessions_routes,
            livy=livy,
            callers=Callers(token, logins, keep_s=config.service_auth_cache_seconds),
        )
        server = _Server(_settings(config, app), started)
        for number in (signal.SIGTERM, signal.SIGINT):
            # uvicorn raises the signal again when it is done; the default action would then skip our clean-up.
            signal.signal(number, _pass)
        server.run(sockets=[listener])
    finally:
        handed.release()
        listener.close()
        supervisor.stop()
        if sessions is not None:
            sessions.close()
        if platform is not None:
            platform.close()
        _log.info("service stopped")


class _Server(uvicorn.Server):
    """uvicorn that says when it answers."""

    def __init__(self, settings: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(settings)
        self._tell = started

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets=sockets)
        self._tell()


def _session_faces(
    platform: Platform, sessions: Sessions, batches: Batches, url: str, token: str
) -> tuple[Any, Starlette]:
    """Our own routes of sessions, and Livy's; both let through what the asker's profile allows."""
    config, profiles = platform.config, platform.session_profiles

    def draft(fields: dict[str, Any], owner: str) -> SessionDraft:
        profiles.admit(fields, asker())
        return platform.session_draft(fields, owner, url, catalog_token(token))

    def batch_draft(fields: dict[str, Any], owner: str) -> BatchDraft:
        profiles.admit(fields, asker())
        return platform.batch_draft(fields, owner, url, catalog_token(token))

    livy = make_livy(
        sessions,
        draft,
        batches,
        batch_draft,
        csrf=config.session_csrf,
        impersonation=Impersonation(config.session_impersonation, frozenset(names_in(config.session_superusers))),
        upload_bytes=config.session_upload_bytes,
    )
    return session_routes.router(sessions, draft, batches.refusal, profiles), livy


def _settings(config: Config, app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
        ssl_certfile=config.service_tls_cert or None,
        ssl_keyfile=config.service_tls_key or None,
    )


def _pass(_number: int, _frame: FrameType | None) -> None:
    pass


def _info(config: Config, port: int, token: str) -> dict[str, Any]:
    """What ``run/service.json`` holds."""
    host = config.service_host.strip("[]")
    # Clients on this machine come by loopback when every address is bound.
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    scheme = "https" if config.service_tls_cert and config.service_tls_key else "http"
    return {
        "url": f"{scheme}://{shown}:{port}",
        "port": port,
        "token": token,
        "pid": os.getpid(),
        "version": version(),
        "started_ms": time.time_ns() // 1_000_000,
    }
