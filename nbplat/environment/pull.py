"""From the URI of an archive to an environment in the store: fetched, verified, unpacked, put in its place, started."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from nbplat.clock import Clock
from nbplat.environment.built import Built, write_built
from nbplat.environment.key_lock import hold
from nbplat.environment.locations import parcel_of
from nbplat.environment.lock_record import CondaPackage, LocalLayer, PipPackage, PlatformLock
from nbplat.environment.package_files import list_files, write_list
from nbplat.environment.ports import Depot, Phase, Say
from nbplat.environment.ship import fetch
from nbplat.environment.smoke import smoke_check
from nbplat.environment.store import Store
from nbplat.environment.store_faults import store_faults
from nbplat.environment.store_index import Named, StoreIndex
from nbplat.environment.unpack import relocate_for, unpack
from nbplat.environment.virtual import this_platform
from nbplat.errors import DataError, InternalError, NotFound, RequestError
from nbplat.terms import EnvironmentRef

__all__ = ["PULLED_FILES", "pull", "unpack_again"]

PULLED_FILES = ".nbplat/files.json"
"""In a prefix that came as an archive: every file of it, as `package_files` lists them."""

_INSIDE = ".nbplat/manifest.json"


def pull(
    uri: str, store: Store, depot: Depot, clock: Clock, *, name: str = "", project: str = "", say: Say
) -> EnvironmentRef:
    """Have the environment of an archive on this machine, and let a name mean it from now on.

    It is an environment of its own, under the archive's hash for a key: an archive may leave files out that a build
    has. Pulling what is there already fetches nothing.

    Args:
        name: What it is called; empty takes the name that it was packed under.
        project: Where the name is used.

    Raises:
        NotFound: ``env.shipped``.
        RequestError: ``env.location``; ``env.platform``: it is for other machines.
        DataError: ``env.hash``, ``env.unsafe``, ``env.archive``, ``env.manifest``, ``env.python``; nothing stays.
        RemoteError: ``storage.failed``.
        SetupError: ``env.space``, ``env.readonly``.
    """
    parcel = parcel_of(uri.rstrip("/"))
    built = store.built(parcel.sha256) if parcel is not None else None
    if built is None:
        with store.in_use(), store.scratch() as scratch:
            archive, beside = fetch(uri, store.packs, depot, scratch=scratch, say=say)
        _for_this_machine(beside, uri)
        key = _hash_of(archive)
        with store.in_use(), hold(store.lock_file(key), waiting=lambda who: say(Phase("wait", what=f"{who} pulls it"))):
            built = store.built(key) or _place(archive, key, store, clock, uri, say)
    chosen = name or built.name
    with store.in_use():
        named = Named(chosen, project, built.platform, built.key, built.lock_digest, clock.now_ms())
        StoreIndex(store.index).name(named)
    return built.ref(chosen)


def _place(archive: Path, key: str, store: Store, clock: Clock, uri: str, say: Say) -> Built:
    prefix = store.prefix(key)
    # Of a pull that was killed: never built upon.
    store.discard(prefix)
    try:
        with store.scratch() as scratch, store_faults(store.root):
            half = unpack(archive, scratch / "env", key, say, relocated=False)
            relocate_for(half, prefix)
            prefix.parent.mkdir(parents=True, exist_ok=True)
            half.rename(prefix)
        # The one inside is held by the archive's hash; what lies beside it is only a copy.
        manifest = _inside(prefix, uri)
        _for_this_machine(manifest, uri)
        built = _record(manifest, key, prefix, clock)
        smoke_check(prefix, built.lock, (), imports=False, say=say)
        with store_faults(store.root):
            # What `env verify` holds it against: an archive keeps no list of what relocation makes of its files.
            write_list(prefix / PULLED_FILES, list_files(prefix))
            write_built(built)
    except BaseException:
        store.discard(prefix)
        raise
    return built


def unpack_again(built: Built, store: Store, clock: Clock, *, say: Say) -> Built:
    """Unpack a damaged environment anew in its place, from its archive in the store.

    Raises:
        NotFound: ``env.shipped``: the store no longer has the archive.
        DataError: as `pull`; the damaged one comes back.
    """
    archive = next((path for path in sorted(store.packs.glob(f"{built.key}.*")) if path.suffix != ".json"), None)
    if archive is None:
        raise NotFound(
            "env.shipped",
            f"the archive of {built.name} is no longer in the store",
            fix=f"pull it again from where it came, after removing {built.prefix}",
            where=built.prefix,
        )
    prefix = store.prefix(built.key)
    with (
        store.in_use(),
        hold(store.lock_file(built.key), waiting=lambda who: say(Phase("wait", what=f"{who} pulls it"))),
        store.scratch() as scratch,
    ):
        prefix.rename(scratch / "damaged")
        try:
            return _place(archive, built.key, store, clock, str(archive), say)
        except BaseException:
            (scratch / "damaged").rename(prefix)
            raise


def _inside(prefix: Path, uri: str) -> Mapping[str, Any]:
    try:
        found = json.loads((prefix / _INSIDE).read_text("utf-8"))
        if not isinstance(found, dict):
            raise TypeError
        return found
    except (OSError, ValueError, TypeError):
        raise DataError(
            "env.manifest",
            f"the archive holds no {_INSIDE}: it was not made by nbplat env pack",
            fix="pack the environment with nbplat, or unpack this archive yourself and give its folder: --env PATH",
            where=uri,
        ) from None


def _for_this_machine(manifest: Mapping[str, Any], uri: str) -> None:
    platform = manifest.get("platform", "")
    if platform and platform != this_platform():
        raise RequestError(
            "env.platform",
            f"the archive is for {platform}, this machine is {this_platform()}",
            fix="pull it on such a machine; settings for a cluster need only its URI: nbplat env conf NAME --at URI",
            where=uri,
        )


def _record(manifest: Mapping[str, Any], key: str, prefix: Path, clock: Clock) -> Built:
    """What the manifest tells of it, as of an environment that was built here."""
    try:
        return Built(
            name=str(manifest["name"]),
            key=key,
            platform=str(manifest["platform"]),
            prefix=str(prefix),
            lock_digest=str(manifest["lock_digest"]),
            lock=_lock(manifest),
            requested=tuple(manifest["requested"]),
            built_ms=clock.now_ms(),
            linked=False,
            files=int(manifest["files"]),
            size_bytes=int(manifest["bytes"]),
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise DataError(
            "env.manifest", f"the manifest inside the archive cannot be read: {exc}", fix="pack the environment again"
        ) from None


def _lock(manifest: Mapping[str, Any]) -> PlatformLock:
    platform = str(manifest["platform"])
    packages = manifest["packages"]
    conda = [
        CondaPackage(
            name=one["name"],
            version=one["version"],
            build=one["build"],
            build_number=0,
            channel=one["channel"],
            subdir=platform,
            file_name=f"{one['name']}-{one['version']}-{one['build']}.conda",
            sha256=one["sha256"],
        )
        for one in packages
        if one["kind"] == "conda"
    ]
    pip = [PipPackage(one["name"], one["version"], tuple(one["hashes"])) for one in packages if one["kind"] == "pip"]
    local = [
        LocalLayer(one["name"], one["version"], "", one["source_hash"]) for one in packages if one["kind"] == "local"
    ]
    return PlatformLock(platform, MappingProxyType(dict(manifest["virtual"])), tuple(conda), tuple(pip), tuple(local))


def _hash_of(archive: Path) -> str:
    parcel = parcel_of(f"/{archive.name}")
    if parcel is None:
        raise InternalError("env.archive", f"{archive.name} is no name of an archive", fix="report it")
    return parcel.sha256
