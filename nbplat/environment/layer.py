"""Wheels of the user's own packages: built once per source, kept under the source's hash."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from nbplat.environment.key_lock import hold
from nbplat.environment.lock_record import LocalLayer
from nbplat.environment.ports import Phase, Pip, Say
from nbplat.environment.source_hash import source_hash
from nbplat.environment.store import Store
from nbplat.errors import Conflict, RequestError

__all__ = ["layer_wheels"]


def layer_wheels(
    layers: Sequence[LocalLayer], folder: Path, store: Store, pip: Pip, *, offline: bool, say: Say
) -> tuple[Path, ...]:
    """The wheel of each package of the user's own, built where the store has none of this source.

    Args:
        folder: What the paths of the layers are relative to: the declaration's folder.

    Raises:
        Conflict: ``env.stale``: a source is no longer the one of the lock, and the store holds no wheel of that one.
        RequestError: ``env.local``: it is not there, or does not build.
    """
    return tuple(
        _wheel(one, folder, store, pip, offline=offline, say=say, done=done, total=len(layers))
        for done, one in enumerate(layers)
    )


def _wheel(
    layer: LocalLayer, folder: Path, store: Store, pip: Pip, *, offline: bool, say: Say, done: int, total: int
) -> Path:
    say(Phase("layer", done, total, "packages", layer.name))
    kept = store.wheels / layer.source_hash
    found = _wheel_in(kept)
    if found is not None:
        os.utime(kept)
        return found
    source = folder / layer.path
    _unchanged(layer, source)
    with hold(store.locks / f"wheel-{layer.source_hash[:32]}", waiting=lambda who: _say_wait(say, who, layer)):
        found = _wheel_in(kept)
        if found is not None:
            return found
        with store.scratch() as scratch:
            made = scratch / "made"
            made.mkdir()
            if source.suffix == ".whl":
                (made / source.name).write_bytes(source.read_bytes())
            else:
                pip.wheel(source, made, offline=offline, say=say)
            # A build that writes into its source, or a file saved meanwhile: the wheel would lie under a wrong name.
            _unchanged(layer, source)
            wheel = _wheel_in(made)
            if wheel is None:
                raise RequestError(
                    "env.local",
                    f"the build of {layer.name} left no wheel",
                    fix="see that `uv build --wheel` works in its folder",
                    where=str(source),
                )
            store.wheels.mkdir(parents=True, exist_ok=True)
            made.rename(kept)
    say(Phase("layer", done + 1, total, "packages", layer.name))
    return kept / wheel.name


def _wheel_in(folder: Path) -> Path | None:
    return next(iter(sorted(folder.glob("*.whl"))), None)


def _unchanged(layer: LocalLayer, source: Path) -> None:
    if source_hash(source) != layer.source_hash:
        raise Conflict(
            "env.stale",
            f"the source of {layer.name} is no longer the one of the lock",
            fix="lock again with `nbplat env lock`: only this package's hash changes",
            where=str(source),
        )


def _say_wait(say: Say, who: str, layer: LocalLayer) -> None:
    say(Phase("wait", what=f"{who} builds the wheel of {layer.name}"))
