"""One package in the store: fetched, held against the lock's hash, extracted, and checked again before each use.

Works in the child. The library does not hash packages of local channels and trusts what lies in its cache; here
nothing comes under a package's name before its bytes were hashed, and nothing is taken from there unread.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbplat.adapters.conda.records import package_url
from nbplat.environment.channel.lacking import why_lacking
from nbplat.environment.key_lock import hold
from nbplat.environment.package_files import FILES_LIST, changed_files, list_files, read_list, write_list
from nbplat.environment.store import Store
from nbplat.environment.store_faults import fault_in_text
from nbplat.errors import DataError, NbplatError, RemoteError
from nbplat.terms import local_path

__all__ = ["CachedPackages", "Obtained"]

_PIECE_BYTES = 1 << 20
_TRIES = 3
_SHOWN = 3

Counted = Callable[[str, int], None]
"""``counted(phase, bytes)``; from several threads."""


@dataclass(frozen=True, slots=True)
class Obtained:
    """What it took to have a package.

    Attributes:
        folder: The layer that holds it: ``pkgs/<sha256>``.
        fetched_bytes: 0 when it lay there.
        repaired: Files of the cached package that were not what they had been; it was fetched again.
    """

    folder: Path
    fetched_bytes: int = 0
    repaired: tuple[str, ...] = ()


class CachedPackages:
    """The packages of a store, for one install.

    Args:
        channels: ``name``, ``url`` and ``mirrors`` of each.
        client: Makes the library's client when something must come over the network; None when that is not allowed.
    """

    def __init__(
        self,
        store: Store,
        channels: list[Mapping[str, Any]],
        client: Callable[[], Any] | None,
        counted: Counted,
    ) -> None:
        self._store = store
        self._channels = {one["name"]: one for one in channels}
        self._make_client = client
        self._counted = counted
        self._client: Any = None
        self._client_lock = threading.Lock()

    def missing(self, package: Mapping[str, Any]) -> bool:
        """True when it must be fetched, as far as names tell."""
        return not (self._store.pkgs / package["sha256"] / FILES_LIST).is_file()

    def local_file(self, package: Mapping[str, Any]) -> Path | None:
        """The package's file in a channel, or a mirror of one, on this machine; None when it has to be fetched."""
        for url in self._addresses(package):
            if url.startswith("file:"):
                path = local_path(url)
                if path.is_file():
                    return path
        return None

    def obtain(self, package: Mapping[str, Any]) -> Obtained:
        """Have the package, exactly as locked, extracted and unchanged.

        Raises:
            DataError: ``env.hash``, ``env.lock``.
            RemoteError: ``env.channel``.
        """
        folder = self._store.pkgs / package["sha256"]
        with hold(self._store.locks / f"pkg-{package['sha256'][:32]}"):
            changed = self._changed(folder, package) if folder.is_dir() else None
            if changed == ():
                os.utime(folder)
                return Obtained(folder)
            with self._store.scratch() as scratch:
                archive, fetched = self._archive(package, scratch)
                made = self._extract(package, archive, scratch / "made")
                # Only now: a cached package that cannot be had again is refused, not lost.
                self._store.discard(folder)
                folder.parent.mkdir(parents=True, exist_ok=True)
                made.rename(folder)
        return Obtained(folder, fetched, changed or ())

    def _changed(self, folder: Path, package: Mapping[str, Any]) -> tuple[str, ...]:
        listed = read_list(folder / FILES_LIST)
        if listed is None:
            return (FILES_LIST,)
        return tuple(changed_files(folder / _stem(package), listed, lambda count: self._counted("verify", count)))

    def _archive(self, package: Mapping[str, Any], scratch: Path) -> tuple[Path, int]:
        local = self.local_file(package)
        if local is not None:
            return local, self._hash_file(package, local)
        if (address := self._addresses(package)[-1]).startswith("file:"):
            raise _not_in_folder(package, local_path(address))
        if self._make_client is None:
            raise _offline(package)
        path = scratch / package["file_name"]
        return path, self._download(package, path)

    def _hash_file(self, package: Mapping[str, Any], path: Path) -> int:
        digest, count = hashlib.sha256(), 0
        with path.open("rb", buffering=0) as source:
            while piece := source.read(_PIECE_BYTES):
                digest.update(piece)
                count += len(piece)
                self._counted("fetch", len(piece))
        _hold_against_lock(package, digest.hexdigest(), count, str(path))
        return count

    def _download(self, package: Mapping[str, Any], path: Path) -> int:
        url = self._addresses(package)[-1]
        for last in range(_TRIES, 0, -1):
            sink = _Sink(path, lambda count: self._counted("fetch", count))
            try:
                asyncio.run(_stream(self._the_client(), url, sink))
            except Exception as exc:  # noqa: BLE001 - the library's own classes and bare OSErrors, by their text
                self._counted("fetch", -sink.count)
                if sink.refused is not None:
                    raise sink.refused from None
                if last == 1 or _gone(exc):
                    raise _unreachable(package, exc) from None
                continue
            finally:
                sink.close()
            _hold_against_lock(package, sink.digest.hexdigest(), sink.count, url)
            return sink.count
        raise AssertionError("unreachable")

    def _extract(self, package: Mapping[str, Any], archive: Path, made: Path) -> Path:
        from rattler.package_streaming import extract

        made.mkdir()
        folder = made / _stem(package)
        try:
            sha256, _ = extract(archive, folder)
        except Exception as exc:
            if isinstance(exc, OSError) and exc.errno:
                raise
            raise (fault_in_text(str(exc), self._store.root) or _cannot_extract(package, exc)) from None
        if sha256.hex() != package["sha256"]:
            # The file was hashed a moment ago: somebody put another in its place meanwhile.
            raise _other_bytes(package, sha256.hex(), str(archive))
        _hold_against_index(package, folder)
        write_list(made / FILES_LIST, list_files(folder))
        return made

    def _addresses(self, package: Mapping[str, Any]) -> list[str]:
        channel = self._channels.get(package["channel"])
        urls = [*channel["mirrors"], channel["url"]] if channel else [package["channel"]]
        return [package_url(url, package["subdir"], package["file_name"]) for url in urls]

    def _the_client(self) -> Any:
        with self._client_lock:
            if self._client is None:
                assert self._make_client is not None  # noqa: S101 - asked before
                self._client = self._make_client()
            return self._client


class _Sink:
    """Takes the bytes of a download: to a file, into a hash, and counted."""

    def __init__(self, path: Path, counted: Callable[[int], None]) -> None:
        self._file = path.open("wb")
        self._counted = counted
        self.digest = hashlib.sha256()
        self.count = 0
        self.refused: OSError | None = None

    def write(self, piece: bytes) -> int:
        try:
            self._file.write(piece)
        except OSError as exc:
            self.refused = exc
            raise
        self.digest.update(piece)
        self.count += len(piece)
        self._counted(len(piece))
        return len(piece)

    def close(self) -> None:
        self._file.close()


async def _stream(client: Any, url: str, sink: _Sink) -> None:
    from rattler.package_streaming import download_to_writer

    await download_to_writer(client, url, sink)


def _stem(package: Mapping[str, Any]) -> str:
    return f"{package['name']}-{package['version']}-{package['build']}"


def _hold_against_lock(package: Mapping[str, Any], sha256: str, count: int, place: str) -> None:
    if sha256 == package["sha256"]:
        return
    if package["size"] and count < package["size"]:
        raise DataError(
            "env.hash",
            f"the package {_stem(package)} is truncated: {count} of {package['size']} bytes",
            fix=f"mend the channel {package['channel']} (copy the package again), then run the same command; "
            "nothing was installed",
            where=place,
        )
    raise _other_bytes(package, sha256, place)


def _other_bytes(package: Mapping[str, Any], sha256: str, place: str) -> DataError:
    return DataError(
        "env.hash",
        f"the package {_stem(package)} is not the one of the lock: its sha256 is {sha256[:16]}…, "
        f"the lock says {package['sha256'][:16]}…",
        fix=f"find out who changed it in the channel {package['channel']}; if the change is right, lock again with "
        "`nbplat env lock`; nothing was installed",
        where=place,
    )


def _hold_against_index(package: Mapping[str, Any], folder: Path) -> None:
    """The lock's words about a package are the package's own, or the lock was edited."""
    try:
        index = json.loads((folder / "info" / "index.json").read_text(encoding="utf-8"))
        said = {name: str(index[name]) for name in ("name", "version", "build")}
    except (OSError, ValueError, KeyError, TypeError):
        raise _cannot_extract(package, ValueError("no info/index.json that can be read")) from None
    wrong = [name for name, value in said.items() if value != str(package[name])]
    if wrong:
        one = wrong[0]
        raise DataError(
            "env.lock",
            f"the lock is wrong: it says {one} {package[one]!r} of {package['file_name']}, "
            f"the package itself {said[one]!r}",
            fix="write the lock anew with `nbplat env lock`; locks are not edited by hand",
        )


def _cannot_extract(package: Mapping[str, Any], exc: Exception) -> DataError:
    return DataError(
        "env.hash",
        f"the package {_stem(package)} has the hash of the lock but cannot be unpacked: {str(exc)[:200]}",
        fix=f"the channel {package['channel']} holds a broken package: choose another build of it, then lock again",
    )


def _offline(package: Mapping[str, Any]) -> NbplatError:
    return RemoteError(
        "env.channel",
        f"offline: the package {_stem(package)} is not in the store, "
        f"and its channel {package['channel']} is not on this machine",
        fix="run it once without --offline, or give a local mirror of the channel (`nbplat env channel make`)",
    )


def _not_in_folder(package: Mapping[str, Any], path: Path) -> NbplatError:
    folder = path.parent.parent
    found = why_lacking(folder, package["channel"], package["subdir"], package["file_name"])
    if found is None:  # It came back a moment ago.
        return _no_longer(package)
    return RemoteError("env.channel", found[0], fix=found[1], where=str(folder))


def _no_longer(package: Mapping[str, Any]) -> NbplatError:
    return RemoteError(
        "env.channel",
        f"the channel {package['channel']} no longer has the package {_stem(package)} of the lock",
        fix="lock again with `nbplat env lock`, or give a mirror that keeps old packages",
    )


def _unreachable(package: Mapping[str, Any], exc: Exception) -> NbplatError:
    if _gone(exc):
        return _no_longer(package)
    return RemoteError(
        "env.channel",
        f"the package {_stem(package)} cannot be fetched from the channel {package['channel']}: {str(exc)[:300]}",
        fix="see that the channel answers from here (proxy, credentials), then run the same command: "
        "what was fetched is kept",
    )


def _gone(exc: Exception) -> bool:
    return "404" in str(exc) or "410" in str(exc)
