"""Sessions and batches with their drivers, by where each runs."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from nbplat.compose.ground import Ground
from nbplat.compose.warm_starts import class_archives, open_pool
from nbplat.config import Config

if TYPE_CHECKING:
    from nbplat.adapters.driver import ClusterDrivers, PlacedDrivers, UpstreamDrivers, WarmPool
    from nbplat.compose.session_environments import SessionEnvironments
    from nbplat.session.batches import Batches
    from nbplat.session.life import Limits
    from nbplat.session.ports import Drivers
    from nbplat.session.sessions import Sessions
    from nbplat.session.tenure import Tenure

__all__ = ["SessionParts"]


class SessionParts:
    """Opens the sessions and the batches of one service.

    Args:
        environments: Names the Python of a driver.
    """

    def __init__(self, ground: Ground, environments: Callable[[], SessionEnvironments]) -> None:
        self._ground = ground
        self._environments = environments

    def open(self, sockets: Path) -> Sessions:
        """See `nbplat.compose.platform.Platform.open_sessions`."""
        from nbplat.session.sessions import Sessions

        ground = self._ground
        pool = open_pool(ground, sockets)
        return Sessions(
            ground.session_store,
            self._drivers(sockets, pool),
            clock=ground.clock,
            limits=_limits(ground.config),
            on_close=pool.close,
            warm=pool.counts,
            tenure=self._tenure,
        )

    def open_batches(self) -> Batches:
        """The batches of this service; see `nbplat.session.batches.Batches`."""
        from nbplat.adapters.driver.batches import LocalBatches, spark_submit
        from nbplat.session.batches import Batches

        config = self._ground.config
        roots = [Path(text) for text in config.session_batch_roots.split(os.pathsep) if text]
        python = self._environments().interpreter
        processes = LocalBatches(
            config.home / "batches", roots, lambda batch, conf: spark_submit(batch, conf, python(batch.conf))
        )
        return Batches(
            self._ground.batch_store,
            processes,
            self._ground.clock,
            keep_s=config.session_keep_batch_seconds,
            tenure=self._tenure,
        )

    @functools.cached_property
    def _tenure(self) -> Tenure:
        from nbplat.session.tenure import Tenure

        config, host = self._ground.config, platform.node()
        return Tenure(self._ground.store, f"{host}:{config.home}", host, ttl_s=config.lease_seconds)

    def _drivers(self, sockets: Path, pool: WarmPool) -> PlacedDrivers:
        """Drivers here, and those elsewhere once a session asks for one."""
        from nbplat.adapters.driver import CLUSTER_PLACE, UPSTREAM_PLACE, LocalDrivers, PlacedDrivers
        from nbplat.session.masters import driver_place

        config, home = self._ground.config, self._ground.config.home
        python = self._environments().interpreter
        here = LocalDrivers(
            home / "sessions",
            sockets,
            home / "remote",
            lambda session: python(session.conf),
            config.session_alone_seconds,
            pool,
            class_archives(config),
        )
        others: dict[str, Callable[[], Drivers]] = {
            CLUSTER_PLACE: lambda: _on_cluster(config),
            UPSTREAM_PLACE: lambda: _upstream(config),
        }
        return PlacedDrivers(here, others, lambda session: driver_place(session.conf))


def _on_cluster(config: Config) -> ClusterDrivers:
    from nbplat.adapters.driver import ClusterDrivers, Hub

    home = config.home
    hub = Hub(home / "run", home / "sessions", config.session_dial_host, config.session_dial_port)
    return ClusterDrivers(home / "sessions", hub, config.session_alone_seconds)


def _upstream(config: Config) -> UpstreamDrivers:
    from nbplat.adapters.driver import LivyHttp, UpstreamDrivers

    user, password = config.session_livy_user, config.session_livy_password
    site = hashlib.sha256(str(config.home.resolve()).encode()).hexdigest()[:8]
    return UpstreamDrivers(config.home / "sessions", lambda url: LivyHttp(url, user, password), site)


def _limits(config: Config) -> Limits:
    from nbplat.session.caps import Caps
    from nbplat.session.life import Limits

    return Limits(
        idle_s=config.session_idle_seconds,
        park_s=config.session_park_seconds,
        keep_s=config.session_keep_seconds,
        result_bytes=config.session_result_bytes,
        kept_result_bytes=config.session_kept_result_bytes,
        frame_bytes=config.frame_bytes,
        output_chars=config.session_output_chars,
        keep_statements=config.session_keep_statements,
        max_processes=config.session_max_processes,
        caps=Caps(config.session_most, config.session_most_each, config.session_most_starting),
    )
