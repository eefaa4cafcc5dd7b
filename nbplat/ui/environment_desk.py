"""Where environments are built and kept: the service over HTTP, or this process."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Any, Protocol

from nbplat.service import environment_verbs
from nbplat.service.environment_verbs import Asked

if TYPE_CHECKING:
    from nbplat.compose import Platform
    from nbplat.ui.client import ServiceClient

__all__ = ["EnvironmentDesk", "LocalEnvironments", "ServiceEnvironments"]

_LONG_S = 600


class EnvironmentDesk(Protocol):
    """What a person asks of environments. A request holds fields of `nbplat.service.environment_verbs.Asked`."""

    def queue(self, verb: str, request: dict[str, Any]) -> dict[str, Any]:
        """Queue ``lock``, ``build``, ``pack``, ``push`` or ``pull``, or attach to it; returns run and job."""

    def list(self) -> list[dict[str, Any]]:
        """Built environments."""

    def ask(self, verb: str, request: dict[str, Any]) -> dict[str, Any]:
        """Answer at once: ``show``, ``conf``, ``check``, ``usage``, ``gc`` or ``verify``."""


class ServiceEnvironments:
    """Asks the service."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    def queue(self, verb: str, request: dict[str, Any]) -> dict[str, Any]:
        return self._post(verb, request)

    def list(self) -> list[dict[str, Any]]:
        return list(self._client.get("/api/v1/environments")["environments"])

    def ask(self, verb: str, request: dict[str, Any]) -> dict[str, Any]:
        return self._post(verb, request)

    def _post(self, verb: str, request: dict[str, Any]) -> dict[str, Any]:
        body = {"owner": getpass.getuser(), **request}
        return dict(self._client.post(f"/api/v1/environments/{verb}", body, timeout_s=_LONG_S))


class LocalEnvironments:
    """Does everything in this process; a queued job is for whoever works on the ledger."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def queue(self, verb: str, request: dict[str, Any]) -> dict[str, Any]:
        return environment_verbs.QUEUED[verb](self._platform.environments, _asked(request))

    def list(self) -> list[dict[str, Any]]:
        return environment_verbs.listed(self._platform.environments)

    def ask(self, verb: str, request: dict[str, Any]) -> dict[str, Any]:
        return environment_verbs.ANSWERED[verb](self._platform.environments, _asked(request))


def _asked(request: dict[str, Any]) -> Asked:
    return Asked(**{"owner": getpass.getuser(), **request})
