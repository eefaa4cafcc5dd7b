"""Push an archive to a place under the name of its content, and fetch it back; nothing unverified is trusted."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

from nbplat.environment.launcher import launcher_name, launcher_text
from nbplat.environment.locations import Parcel, depot_uri, join, parcel_of
from nbplat.environment.pack_record import Pack
from nbplat.environment.ports import Depot, Phase, Say
from nbplat.environment.shipped import Shipped
from nbplat.errors import DataError, NotFound, RemoteError, RequestError

__all__ = ["Shipped", "fetch", "find_archive", "manifest_at", "parcel_at", "push", "shipped_at"]

_BLOCK = 1 << 20
_REST_S = 2.0
_MANIFEST_BYTES = 64 << 20


def push(pack: Pack, uri: str, depot: Depot, *, say: Say) -> Shipped:
    """Put an archive, its manifest and its launcher to a place, unless they are there and right.

    The archive's bytes are held against its hash here and there; the seal that later pushes and pulls rely on is
    written last, so that an upload that was torn is done again.

    Raises:
        RequestError: ``env.location``.
        DataError: ``env.hash``: the archive on this machine is not what was packed.
        RemoteError: ``env.upload``: what lies there after the upload is something else; ``storage.failed``.
    """
    parcel = Parcel(depot_uri(uri, write=True), pack.sha256, _format_of(pack))
    sent = 0
    if not _is_sealed(parcel, pack.size, depot):
        _check_here(pack, say)
        sent = _upload(pack, parcel, depot, say)
    manifest = json.dumps(pack.manifest, sort_keys=True, indent=1).encode() + b"\n"
    shipped = _shipped(parcel, pack.size, pack.manifest)
    launcher = launcher_text(shipped, pack.manifest)
    shipped = replace(shipped, launcher=join(parcel.folder, launcher_name(launcher)))
    texts = {parcel.manifest_uri: manifest, shipped.launcher: launcher.encode()}
    if shipped.key:
        texts[parcel.key_uri(shipped.key)] = b""
    for place, content in texts.items():
        if not _holds(place, content, depot):
            depot.write(place, content)
            sent += len(content)
    return replace(shipped, sent=sent)


def shipped_at(uri: str, depot: Depot) -> Shipped:
    """What lies at the URI of an archive, by its manifest.

    Raises:
        NotFound: ``env.shipped``.
        RequestError: ``env.location``: the URI names no archive.
    """
    parcel = parcel_at(uri)
    size = depot.size(parcel.uri)
    if size is None:
        raise _missing(parcel.uri)
    return _shipped(parcel, size, _manifest(parcel, depot))


def manifest_at(uri: str, depot: Depot) -> Mapping[str, Any]:
    """The manifest of the archive at a URI; empty when none was shipped with it. No hash holds it: it only informs.

    Raises:
        NotFound: ``env.shipped``.
        RequestError: ``env.location``: the URI names no archive.
    """
    parcel = parcel_at(uri)
    if depot.size(parcel.uri) is None:
        raise _missing(parcel.uri)
    return _manifest(parcel, depot)


def find_archive(folder: str, key: str, depot: Depot) -> tuple[str, ...]:
    """URIs of the archives of an environment at a place, by its key; what is found is built already.

    A place that cannot be listed (plain HTTP) gives none.
    """
    place = depot_uri(folder)
    found = (parcel_of(join(place, name)) for name in depot.names(f"{place}/keys/{key}"))
    return tuple(one.uri for one in found if one is not None)


def fetch(
    uri: str, into: Path, depot: Depot, *, scratch: Path | None = None, say: Say
) -> tuple[Path, Mapping[str, Any]]:
    """Bring an archive to a folder of this machine, where it appears only when its bytes are right.

    Args:
        scratch: Folder of the same disk for what is not whole yet; None takes `into`.

    Returns:
        Where it lies (``<into>/<sha256>.<format>``, the manifest beside it as ``.json``), and the manifest; empty when
        none was shipped with it.

    Raises:
        NotFound: ``env.shipped``.
        DataError: ``env.hash``: the bytes there are not those of the name; nothing is kept.
    """
    parcel = parcel_at(uri)
    target = into / f"{parcel.sha256}.{parcel.format}"
    manifest = _manifest(parcel, depot)
    if not (target.is_file() and parcel.sha256 == _hash(target.open("rb"), lambda done: None)):
        into.mkdir(parents=True, exist_ok=True)
        size = depot.size(parcel.uri)
        if size is None:
            raise _missing(parcel.uri)
        part = (scratch or into) / f".{parcel.sha256[:16]}-{secrets.token_hex(6)}.part"
        try:
            with depot.open(parcel.uri) as source, part.open("xb") as out:
                found = _hash(source, lambda done: say(Phase("pull", done, size, what=parcel.uri)), out)
            if found != parcel.sha256:
                raise _wrong(parcel.uri, found, parcel.sha256)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    if manifest:
        beside = into / f"{target.name}.json"
        fresh = (scratch or into) / f".{target.name}-{secrets.token_hex(6)}.json"
        fresh.write_text(json.dumps(manifest, sort_keys=True, indent=1) + "\n")
        fresh.replace(beside)
    return target, manifest


def _shipped(parcel: Parcel, size: int, manifest: Mapping[str, Any]) -> Shipped:
    key, name = str(manifest.get("key", "")), str(manifest.get("name", ""))
    return Shipped(parcel.uri, parcel.sha256, size, parcel.format, key, name)


def _format_of(pack: Pack) -> str:
    found = parcel_of(f"/{pack.archive.name}")
    if found is None or found.sha256 != pack.sha256:
        raise DataError(
            "env.archive", f"{pack.archive.name} is not named by its hash", fix="pack it again", where=str(pack.archive)
        )
    return found.format


def _upload(pack: Pack, parcel: Parcel, depot: Depot, say: Say) -> int:
    """Send the bytes, read them back, seal them; returns the bytes sent."""
    sent = 0
    if depot.size(parcel.uri) != pack.size or parcel.sha256 != _there(parcel, pack.size, depot, say):
        depot.upload(pack.archive, parcel.uri, lambda done: say(Phase("push", done, pack.size, what=parcel.uri)))
        sent = pack.size
        if (found := _there(parcel, pack.size, depot, say)) != parcel.sha256:
            raise RemoteError(
                "env.upload",
                f"what was read back after the upload is not the archive (sha256 {found[:16]}…)",
                fix="push again; when it happens again, the store or the way to it damages data",
                where=parcel.uri,
            )
    seal = {"sha256": parcel.sha256, "size": pack.size, "mark": depot.mark(parcel.uri)}
    # Written anew though it may be there: from a later second it vouches for more.
    depot.write(parcel.seal_uri, json.dumps(seal, sort_keys=True).encode() + b"\n")
    return sent


def _there(parcel: Parcel, size: int, depot: Depot, say: Say) -> str:
    """Hash of what lies at the place."""
    with depot.open(parcel.uri) as source:
        return _hash(source, lambda done: say(Phase("verify", done, size, what=parcel.uri)))


def _is_sealed(parcel: Parcel, size: int, depot: Depot) -> bool:
    """Whether the archive was verified there and has not changed since."""
    if depot.size(parcel.uri) != size or depot.size(parcel.seal_uri) is None:
        return False
    with depot.open(parcel.seal_uri) as file:
        text = file.read(_BLOCK)
    try:
        seal = json.loads(text)
    except ValueError:
        return False
    wanted = {"sha256": parcel.sha256, "size": size, "mark": depot.mark(parcel.uri)}
    # Stores tell whole seconds: what was written in the second of its seal may have been written once more after it.
    rested_s = depot.written_s(parcel.seal_uri) - depot.written_s(parcel.uri)
    return bool(seal == wanted and wanted["mark"] and rested_s >= _REST_S)


def _check_here(pack: Pack, say: Say) -> None:
    with pack.archive.open("rb") as file:
        found = _hash(file, lambda done: say(Phase("check", done, pack.size, what=pack.archive.name)))
    if found != pack.sha256:
        raise _wrong(str(pack.archive), found, pack.sha256)


def _holds(uri: str, content: bytes, depot: Depot) -> bool:
    if depot.size(uri) != len(content):
        return False
    with depot.open(uri) as file:
        return file.read(len(content) + 1) == content


def _hash(file: BinaryIO, say: Callable[[int], None], copy: BinaryIO | None = None) -> str:
    """SHA-256 of a file that is closed then, copied on the way."""
    digest, done = hashlib.sha256(), 0
    with file:
        while block := file.read(_BLOCK):
            digest.update(block)
            if copy is not None:
                copy.write(block)
            done += len(block)
            say(done)
    return digest.hexdigest()


def parcel_at(uri: str) -> Parcel:
    """The archive that a URI names.

    Raises:
        RequestError: ``env.location``: it names none.
    """
    parcel = parcel_of(depot_uri(uri))
    if parcel is None:
        raise RequestError(
            "env.location",
            f"{uri} names no archive",
            fix="give the URI that push printed: <place>/<64 hex digits>.tar.gz (or .zip, .tar.zst)",
        )
    return parcel


def _manifest(parcel: Parcel, depot: Depot) -> Mapping[str, Any]:
    """The manifest beside the archive; empty when there is none."""
    if depot.size(parcel.manifest_uri) is None:
        return {}
    with depot.open(parcel.manifest_uri) as file:
        text = file.read(_MANIFEST_BYTES)
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise DataError(
            "env.manifest",
            "the manifest beside the archive is no JSON object",
            fix="push the environment again",
            where=parcel.manifest_uri,
        )
    return found


def _missing(uri: str) -> NotFound:
    return NotFound("env.shipped", "there is no archive there", fix="push it: nbplat env push NAME URI", where=uri)


def _wrong(where: str, found: str, wanted: str) -> DataError:
    return DataError(
        "env.hash",
        f"the archive is damaged or was changed: its sha256 is {found[:16]}…, not {wanted[:16]}…",
        fix="pack and push it again; nothing was unpacked",
        where=where,
    )
