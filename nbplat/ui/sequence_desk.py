"""Where definitions, their indexes and their jobs are kept: the service over HTTP, or this process."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from nbplat.service import sequence_verbs
from nbplat.service.sequence_verbs import Asked

if TYPE_CHECKING:
    from nbplat.compose import Platform
    from nbplat.sequence.sequences import Sequences
    from nbplat.ui.client import ServiceClient

__all__ = ["LocalSequences", "SequenceDesk", "ServiceSequences"]

_LONG_S = 600


class SequenceDesk(Protocol):
    """What a person asks about kept definitions.

    A request holds fields of `nbplat.service.sequence_verbs.Asked`.
    """

    def keep(self, request: dict[str, Any]) -> dict[str, Any]:
        """Keep a definition under its name and version; returns the run's record."""

    def list(self, limit: int) -> list[dict[str, Any]]:
        """Kept definitions, newest first, each with its index."""

    def show(self, ref: str) -> dict[str, Any]:
        """A kept definition with its text, variants, index and jobs."""

    def plan(self, request: dict[str, Any]) -> dict[str, Any]:
        """What a build would read and write; nothing is done."""

    def build(self, request: dict[str, Any]) -> dict[str, Any]:
        """Queue a build, or attach to the one under way; returns run, plan, job, attached, notes."""

    def diff(self, ref: str, other: str | None) -> dict[str, Any]:
        """See `nbplat.service.sequence_verbs.compared`."""

    def correct(self, request: dict[str, Any]) -> dict[str, Any]:
        """Queue the comparison of days of the source with the index; with ``publish`` what follows from it."""

    def export(self, request: dict[str, Any]) -> dict[str, Any]:
        """Queue the writing of the sequences as lists into a table."""


class ServiceSequences:
    """Asks the service."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    def keep(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._post("", request)

    def list(self, limit: int) -> list[dict[str, Any]]:
        return list(self._client.get("/api/v1/sequences", limit=limit)["sequences"])

    def show(self, ref: str) -> dict[str, Any]:
        return dict(self._client.get(f"/api/v1/sequences/{ref}", timeout_s=_LONG_S))

    def plan(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._post("/plan", request)

    def build(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._post("/build", request)

    def diff(self, ref: str, other: str | None) -> dict[str, Any]:
        return dict(self._client.get(f"/api/v1/sequences/{ref}/diff", timeout_s=_LONG_S, other=other))

    def correct(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._post("/correct", request)

    def export(self, request: dict[str, Any]) -> dict[str, Any]:
        return self._post("/export", request)

    def _post(self, verb: str, request: dict[str, Any]) -> dict[str, Any]:
        body = {"owner": getpass.getuser(), **request}
        return dict(self._client.post(f"/api/v1/sequences{verb}", body, timeout_s=_LONG_S))


class LocalSequences:
    """Does everything in this process, where DataFrames have names; a queued job is for whoever works on the ledger.

    Args:
        frames: Name -> DataFrame that definitions and examples may name.
    """

    def __init__(self, platform: Platform, frames: Mapping[str, Any] = MappingProxyType({})) -> None:
        self._platform, self._frames = platform, frames

    @property
    def _sequences(self) -> Sequences:
        return self._platform.sequences_of(self._frames)

    def keep(self, request: dict[str, Any]) -> dict[str, Any]:
        return sequence_verbs.keep(self._sequences, _asked(request))

    def list(self, limit: int) -> list[dict[str, Any]]:
        return sequence_verbs.listed(self._sequences, limit)

    def show(self, ref: str) -> dict[str, Any]:
        return sequence_verbs.seen(self._sequences, ref)

    def plan(self, request: dict[str, Any]) -> dict[str, Any]:
        return sequence_verbs.plan(self._sequences, _asked(request))

    def build(self, request: dict[str, Any]) -> dict[str, Any]:
        return sequence_verbs.build(self._sequences, _asked(request))

    def diff(self, ref: str, other: str | None) -> dict[str, Any]:
        return sequence_verbs.compared(self._sequences, ref, other)

    def correct(self, request: dict[str, Any]) -> dict[str, Any]:
        return sequence_verbs.correct(self._sequences, _asked(request))

    def export(self, request: dict[str, Any]) -> dict[str, Any]:
        return sequence_verbs.export(self._sequences, _asked(request))


def _asked(request: dict[str, Any]) -> Asked:
    return Asked(**{"owner": getpass.getuser(), **request})
