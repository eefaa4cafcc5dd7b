"""Environments over HTTP; thin over `nbplat.service.environment_verbs`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request

from nbplat.service import environment_verbs
from nbplat.service.environment_verbs import Asked
from nbplat.service.logins.choosing import names_in
from nbplat.service.pull_hosts import check_pull
from nbplat.service.wake import notify_worker

if TYPE_CHECKING:
    from nbplat.service.platform import Platform

__all__ = ["router"]


def router(platform: Platform) -> APIRouter:
    """The routes under ``/api/v1/environments``."""
    routes = APIRouter(prefix="/api/v1/environments", tags=["environments"])

    def woken(reply: dict[str, Any]) -> dict[str, Any]:
        notify_worker(platform.config)
        return reply

    @routes.get("")
    def list_environments() -> dict[str, Any]:
        """Built environments, with size, last use and archives."""
        return {"environments": environment_verbs.listed(platform.environments)}

    @routes.post("/define")
    def define(request: Asked) -> dict[str, Any]:
        """Read a declaration; nothing is solved or stored."""
        return environment_verbs.define(platform.environments, request)

    @routes.post("/lock")
    def lock(request: Asked) -> dict[str, Any]:
        """Queue the solving of a declaration."""
        return woken(environment_verbs.lock(platform.environments, request))

    @routes.post("/build")
    def build(request: Asked) -> dict[str, Any]:
        """Queue the building of what a lock says."""
        return woken(environment_verbs.build(platform.environments, request))

    @routes.post("/pack")
    def pack(request: Asked) -> dict[str, Any]:
        """Queue the making of an archive."""
        return woken(environment_verbs.pack(platform.environments, request))

    @routes.post("/push")
    def push(request: Asked) -> dict[str, Any]:
        """Queue the shipping of an archive."""
        return woken(environment_verbs.push(platform.environments, request))

    @routes.post("/pull")
    def pull(request: Asked, http: Request) -> dict[str, Any]:
        """Queue the fetching of an archive."""
        check_pull(request.uri, names_in(platform.config.env_pull_hosts), team=http.app.state.callers.team)
        return woken(environment_verbs.pull(platform.environments, request))

    @routes.post("/show")
    def show(request: Asked) -> dict[str, Any]:
        """A built environment: what is in it, its archives, its jobs."""
        return environment_verbs.seen(platform.environments, request)

    @routes.post("/explain")
    def explain(request: Asked) -> dict[str, Any]:
        """What an archive holds, by package, and what rules leave out; nothing is made."""
        return environment_verbs.explain(platform.environments, request)

    @routes.post("/conf")
    def conf(request: Asked) -> dict[str, Any]:
        """The exact settings of an environment for a target."""
        return environment_verbs.conf(platform.environments, request)

    @routes.post("/check")
    def check(request: Asked) -> dict[str, Any]:
        """What does not fit; a misfit is a reply, not an error."""
        return environment_verbs.check(platform.environments, request)

    @routes.post("/usage")
    def usage(request: Asked) -> dict[str, Any]:
        """What the store holds, and what the disk gives for it."""
        return environment_verbs.usage(platform.environments, request)

    @routes.post("/gc")
    def gc(request: Asked) -> dict[str, Any]:
        """Remove what nothing needs; with ``dry_run``, which is the default, only say what."""
        return environment_verbs.gc(platform.environments, request)

    @routes.post("/verify")
    def verify(request: Asked) -> dict[str, Any]:
        """Hold what is built against its lock."""
        return environment_verbs.verify(platform.environments, request)

    return routes
