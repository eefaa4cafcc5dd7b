"""What the service, the worker and a step ask of the platform that `nbplat.compose` builds."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from nbplat.clock import Clock
from nbplat.config import Config
from nbplat.job import Job, JobStore, StepContext, Unit

if TYPE_CHECKING:
    from nbplat.backfill.expire_run import Expirer
    from nbplat.backfill.frames import Frames
    from nbplat.backfill.run import Backfills
    from nbplat.backfill.spec import BackfillSpec
    from nbplat.environment.environments import Environments
    from nbplat.sequence.sequences import Sequences
    from nbplat.session.batch import BatchDraft
    from nbplat.session.batches import Batches
    from nbplat.session.profiles import Profiles
    from nbplat.session.records import SessionDraft
    from nbplat.session.sessions import Sessions

__all__ = ["Platform", "platform_factory"]


class Platform(Protocol):
    """The product behind one configuration."""

    @property
    def config(self) -> Config: ...

    @property
    def store(self) -> JobStore: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def backfills(self) -> Backfills: ...

    @property
    def sequences(self) -> Sequences: ...

    @property
    def environments(self) -> Environments: ...

    @property
    def frames(self) -> Frames: ...

    @property
    def expirer(self) -> Expirer: ...

    def backfill_spec(self, record: dict[str, Any]) -> BackfillSpec:
        """Read a backfill's declaration from JSON."""

    def run_step(self, context: StepContext) -> dict[str, Any]:
        """Do the work of one job in this process; returns the job's result as JSON."""

    def settle(self, job: Job) -> None:
        """Move the run of an ended job on, by its kind's table. Safe to repeat; nothing happens to a live job."""

    @property
    def session_profiles(self) -> Profiles:
        """The site's profiles of sessions."""

    def open_sessions(self, sockets: Path) -> Sessions:
        """The sessions of this service; `sockets` is a short folder of ours alone."""

    def open_batches(self) -> Batches:
        """The batches of this service."""

    def batch_draft(self, fields: dict[str, Any], owner: str, service_url: str, token: str) -> BatchDraft:
        """What a checked request of a batch comes to here; `token` is the catalog's."""

    def session_draft(self, fields: dict[str, Any], owner: str, service_url: str, token: str) -> SessionDraft:
        """What a checked request of a session comes to here; `token` is the catalog's."""

    def bury(self, job: Job, how: str) -> list[Unit]:
        """Count the try of the units that a job's process had under way when it died of itself, and return them.

        Args:
            how: What became of the process, for people: ``died of SIGKILL``.
        """

    def end_lost(self) -> list[Job]:
        """End the jobs of notebooks and scripts that did them themselves and have died; returns them."""

    def close(self) -> None:
        """Let go of connections."""


def platform_factory(name: str) -> Callable[[Config], Platform]:
    """Import ``module:function``."""
    module, _, function = name.partition(":")
    return cast("Callable[[Config], Platform]", getattr(import_module(module), function))
