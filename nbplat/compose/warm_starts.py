"""What makes sessions start sooner: drivers that are kept warm, and an archive of Spark's classes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbplat.compose.ground import Ground
from nbplat.config import Config
from nbplat.errors import SetupError

if TYPE_CHECKING:
    from nbplat.adapters.driver import WarmPool

__all__ = ["class_archives", "kept_warm", "open_pool", "write_class_archive"]


def open_pool(ground: Ground, sockets: Path) -> WarmPool:
    """The warm drivers of this service, those of the one before among them."""
    from nbplat.adapters.driver import WarmPool
    from nbplat.session.states import SessionState
    from nbplat.session.warm import WarmLimits

    store, config = ground.session_store, ground.config
    pool = WarmPool(
        config.home / "sessions",
        sockets,
        config.home / "remote",
        WarmLimits(config.session_warm_count, config.session_warm_seconds, config.session_warm_free_bytes),
        clock=ground.clock,
        busy=lambda: bool(store.sessions(limit=1, states=[SessionState.STARTING])[0]),
        archives=class_archives(config),
    )
    pool.start({str(one.driver.get("folder", "")) for one in store.sessions(limit=1_000_000)[1]})
    return pool


def class_archives(config: Config) -> Path | None:
    """Folder of class archives; None where sessions use none."""
    return config.home / "class-archives" if config.session_class_archive else None


def write_class_archive(config: Config, interpreter: str, conf: Mapping[str, str]) -> dict[str, Any]:
    """See `nbplat.compose.platform.Platform.write_class_archive`.

    Args:
        interpreter, conf: Of a session that will use it.
    """
    from nbplat.adapters.driver.archives import ArchiveWriter
    from nbplat.session.warm import recipe_of

    home = config.home
    recipe = recipe_of(interpreter, conf)
    if recipe is None:
        about = {"failed": f"drivers of {conf.get('spark.master')} start in a way of their own"}
    else:
        about = ArchiveWriter(home / "sessions", home / "remote", home / "class-archives").write(recipe)
    if about["failed"]:
        raise SetupError(
            "session.class_archive", f"no class archive was written: {about['failed']}", fix="look at nbplat doctor"
        )
    return about


def kept_warm(config: Config) -> str:
    """What is here that makes sessions start sooner, for people."""
    from nbplat.adapters.driver.warm import warm_here

    archives = [path.stat().st_size for path in (config.home / "class-archives").glob("*.jsa")]
    drivers = warm_here(config.home / "sessions")
    return (
        f"{len(drivers)} warm drivers with {sum(drivers) / 1e6:.0f} MB of memory, "
        f"{len(archives)} class archives with {sum(archives) / 1e6:.0f} MB on disk"
    )
