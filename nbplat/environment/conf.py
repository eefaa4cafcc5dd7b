"""Settings of an environment for a target, with the files that they name made ready."""

from __future__ import annotations

import io
import json
import os
import secrets
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nbplat.environment.launcher import SESSION, NodeCache, launcher_name, launcher_text
from nbplat.environment.locations import depot_uri, is_shared_path, join, parcel_of
from nbplat.environment.ports import Depot
from nbplat.environment.settings import Settings
from nbplat.environment.ship import find_archive, manifest_at, shipped_at
from nbplat.environment.shipped import Shipped
from nbplat.environment.store import Store
from nbplat.environment.store_faults import store_faults
from nbplat.environment.targets import Asked, settings_for, target_named, unpacks, way_of
from nbplat.errors import NotFound
from nbplat.terms import EnvironmentRef

__all__ = ["conf", "zipped_launcher"]

# Where the driver runs far away, it cannot read a launcher of this machine.
_FAR = ("k8s-cluster", "livy")
# Masters whose workers are on this machine: they open its files.
_HERE = ("local-cluster", "ray")


def conf(
    ref: EnvironmentRef,
    target: str,
    store: Store,
    depot: Depot,
    *,
    way: str = "",
    at: str = "",
    cache: NodeCache | None = None,
) -> Settings:
    """The settings; a launcher that they name is written.

    It lies in the store, or beside the archive where the cluster has to read it from there.

    Args:
        way: As `Asked.way`.
        at: URI of the archive, or of the place that the environment was pushed to; empty takes the newest archive in
            the store, which sessions then bring along.
        cache: What a launcher does on the nodes.

    Raises:
        RequestError: as `settings_for` and `launcher_text`.
        NotFound: ``env.shipped``.
    """
    name = target_named(target)
    cache = cache or NodeCache()
    archive = shipped_at(_archive_at(at, ref, name, depot), depot) if at else _packed_here(ref, store)
    asked = Asked(ref, name, way, archive, node_cache=cache.folder, named=bool(at))
    if archive is None or way_of(asked) != "launcher":
        return settings_for(asked)
    if not at and not cache.fetch and name not in _HERE:
        cache = replace(cache, fetch=SESSION)
    text = launcher_text(archive, _manifest(archive, depot), cache)
    launcher = _launcher(name, text, archive, store, depot, pushed=bool(at))
    return settings_for(replace(asked, launcher=launcher, fetch_by_session=cache.fetch == SESSION))


def _archive_at(at: str, ref: EnvironmentRef, target: str, depot: Depot) -> str:
    """URI of the archive that is meant; of several at a place one that the target unpacks by itself."""
    place = depot_uri(at)
    if parcel_of(place) is not None:
        return place
    found = find_archive(place, ref.key, depot)
    if not found:
        raise NotFound(
            "env.shipped",
            f"no archive of {ref.name} ({ref.key[:12]}) is found there",
            fix=f"push it: nbplat env push {ref.name} {at}, or give the URI of its archive",
            where=at,
        )
    return min(found, key=lambda uri: (not unpacks(target, parcel_of(uri).format), uri))  # type: ignore[union-attr]


def _launcher(target: str, text: str, archive: Shipped, store: Store, depot: Depot, *, pushed: bool) -> str:
    """Put the launcher where the target reads it; its path or URI."""
    name, content = launcher_name(text), text.encode()
    if target == "ray" and pushed and not is_shared_path(archive.uri):
        # Ray fetches folders only as archives.
        name, content = f"{name}.zip", zipped_launcher(name, content)
    if pushed and (target in _FAR or target == "ray"):
        parcel = parcel_of(archive.uri)
        uri = join(parcel.folder if parcel is not None else archive.uri.rpartition("/")[0], name)
        if depot.size(uri) != len(content):
            depot.write(uri, content)
        return uri
    path = store.root / "launchers" / name
    if not (path.is_file() and path.read_bytes() == content):
        with store_faults(store.root):
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_name(f".{name}-{secrets.token_hex(6)}")
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o755), "wb") as out:
                out.write(content)
            fresh.replace(path)
    return str(path)


def zipped_launcher(name: str, content: bytes) -> bytes:
    """A zip of a launcher, for Ray; equal bytes for equal launchers."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
        entry.external_attr = 0o100755 << 16
        file.writestr(entry, content)
    return out.getvalue()


def _packed_here(ref: EnvironmentRef, store: Store) -> Shipped | None:
    """The newest archive of an environment in the store."""
    found = []
    for beside in store.packs.glob("*.json"):
        parcel = parcel_of(depot_uri(str(beside.with_suffix(""))))
        archive = beside.with_suffix("")
        if parcel is None or not archive.is_file():
            continue
        manifest = json.loads(beside.read_text("utf-8"))
        if ref.key in (manifest.get("key"), parcel.sha256):
            found.append((archive.stat().st_mtime_ns, archive, parcel))
    if not found:
        return None
    _, archive, parcel = max(found)
    return Shipped(parcel.uri, parcel.sha256, archive.stat().st_size, parcel.format, ref.key, ref.name)


def _manifest(archive: Shipped, depot: Depot) -> Mapping[str, Any]:
    return manifest_at(archive.uri, depot)
