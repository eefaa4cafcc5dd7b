"""Places that archives are shipped to, over fsspec's file systems."""

from __future__ import annotations

import errno
import io
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

from nbplat.environment.locations import shared_path
from nbplat.errors import NbplatError, NotFound, RemoteError, RequestError, SetupError, from_record
from nbplat.remote.failure import KernelError
from nbplat.remote.storage import filesystem

__all__ = ["FsspecDepot"]

_S3 = ("s3", "s3a", "s3n")
_READ_ONLY = ("http", "https")
_BLOCK = 8 << 20
# How the file systems of fsspec call what changes with a file.
_MARKS = ("size", "ETag", "etag", "mtime", "created", "LastModified", "last_modified", "ino")
# Stores in which a file appears at once when it is closed; elsewhere it is written under another name first.
_WHOLE_ON_CLOSE = (*_S3, "gs", "gcs", "abfs", "abfss", "az", "adl")
_TIMES = ("mtime", "LastModified", "last_modified", "created")


class FsspecDepot:
    """`nbplat.environment.ports.Depot` over fsspec.

    S3 goes through pyarrow's own client, so that nothing has to be installed for it; any other scheme takes the package
    that fsspec names.

    Args:
        options: Gives the options of the store that a location lies on, as pyiceberg names them (``s3.endpoint``,
            ``s3.access-key-id`` …). Without credentials among them those of the process are taken.
    """

    def __init__(self, options: Callable[[str], Mapping[str, str]] = lambda location: {}) -> None:
        self._options = options

    def mark(self, uri: str) -> str:
        """Size, time and tag of a file, as its store tells them."""
        found = self._info(uri)
        if found is None or found.get("type") != "file":
            return ""
        said = [
            found.get(name) for name in ("size", "ETag", "etag", "mtime", "created", "LastModified", "last_modified")
        ]
        return "|".join("" if one is None else str(one) for one in said)

    def written_s(self, uri: str) -> float:
        """When a file was last written, by the store's clock."""
        found = self._info(uri) or {}
        told = next((found[name] for name in _TIMES if found.get(name) is not None), 0.0)
        if isinstance(told, datetime):
            return told.timestamp()
        return float(told) if isinstance(told, int | float) else 0.0

    def size(self, uri: str) -> int | None:
        """Bytes of a file; None when there is none."""
        found = self._info(uri)
        return None if found is None or found.get("type") != "file" else int(found["size"] or 0)

    def open(self, uri: str) -> BinaryIO:
        """Open a file for reading."""
        system, path = self._system(uri)
        with _speaking_of(uri):
            return cast(BinaryIO, system.open(path, "rb"))

    def write(self, uri: str, content: bytes) -> None:
        """Write a small file, whole or not at all."""
        self._put(io.BytesIO(content), uri, lambda done: None)

    def upload(self, source: Path, uri: str, say: Callable[[int], None]) -> None:
        """Copy a file, in parts where the store knows parts."""
        with source.open("rb") as file:
            self._put(file, uri, say)

    def names(self, uri: str) -> tuple[str, ...]:
        """Names of the files in a folder; none when it is not there, or on HTTP."""
        if uri.partition("://")[0] in _READ_ONLY:
            return ()
        system, path = self._system(uri)
        with _speaking_of(uri):
            try:
                found = system.ls(path, detail=True)
            except (FileNotFoundError, NotADirectoryError):
                return ()
        return tuple(sorted(one["name"].rpartition("/")[2] for one in found if one["type"] == "file"))

    def _put(self, source: BinaryIO, uri: str, say: Callable[[int], None]) -> None:
        scheme = uri.partition("://")[0]
        if scheme in _READ_ONLY:
            raise RequestError(
                "env.location", "nothing can be written by HTTP", fix="push to the store behind it", where=uri
            )
        system, path = self._system(uri)
        folder, _, name = path.rpartition("/")
        fresh = path if scheme in _WHOLE_ON_CLOSE else f"{folder}/.{name}-{secrets.token_hex(6)}.part"
        with _speaking_of(uri):
            if scheme not in _WHOLE_ON_CLOSE:
                system.makedirs(folder, exist_ok=True)
            try:
                with system.open(fresh, "wb", block_size=_BLOCK) as out:
                    done = 0
                    while block := source.read(_BLOCK):
                        out.write(block)
                        done += len(block)
                        say(done)
                    if scheme == "file":
                        out.flush()
                        os.fsync(out.fileno())
                if fresh != path:
                    system.mv(fresh, path)
            except BaseException:
                # What was begun is closed by then, and a store shows it: half an object must not stay.
                _forget(system, fresh)
                raise

    def _info(self, uri: str) -> Mapping[str, Any] | None:
        system, path = self._system(uri)
        with _speaking_of(uri):
            try:
                return cast(Mapping[str, Any], system.info(path))
            except (FileNotFoundError, NotADirectoryError):
                return None

    def _system(self, uri: str) -> tuple[Any, str]:
        """The file system of a URI, and the path in it."""
        scheme = uri.partition("://")[0]
        if scheme in _S3:
            from fsspec.implementations.arrow import ArrowFSWrapper

            try:
                system, path = filesystem(uri, self._options(uri))
            except KernelError as error:
                raise from_record(error.record()) from None
            return ArrowFSWrapper(system, skip_instance_cache=True), path
        if scheme == "file":
            from fsspec.implementations.local import LocalFileSystem

            return LocalFileSystem(), shared_path(uri)
        if scheme in _READ_ONLY:
            from nbplat.adapters.fsspec.http import PlainHttp

            return PlainHttp(skip_instance_cache=True), uri
        from fsspec.core import url_to_fs

        try:
            system, path = url_to_fs(uri, use_listings_cache=False)
        except ImportError as exc:
            raise SetupError(
                "env.location", f"{scheme}: needs a package that is not installed", fix=str(exc), where=uri
            ) from None
        except ValueError as exc:
            raise RequestError(
                "env.location", f"{scheme}: cannot be opened: {exc}", fix="use s3, gs, abfs, hdfs, http(s) or a path"
            ) from None
        return system, path


def _forget(system: Any, path: str) -> None:
    try:
        system.rm_file(path)
    except OSError:
        return


@contextmanager
def _speaking_of(uri: str) -> Iterator[None]:
    """Turn what file systems raise into ours."""
    try:
        yield
    except (NbplatError, FileNotFoundError, NotADirectoryError) as exc:
        if isinstance(exc, FileNotFoundError):
            raise NotFound("env.shipped", "there is nothing there", fix="check the URI", where=uri) from None
        raise
    except PermissionError:
        raise SetupError(
            "storage.denied",
            "the store or the folder refuses it",
            fix="check who may read and write there, and the credentials of this process (AWS_PROFILE, …)",
            where=uri,
        ) from None
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise RemoteError(
            "storage.failed", f"the store answers: {exc}", fix="see whether it is up, then run it again", where=uri
        ) from exc
