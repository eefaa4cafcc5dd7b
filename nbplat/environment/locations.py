"""Where archives are shipped to: URIs, what lies beside an archive, and what no URI may hold."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from nbplat.errors import RequestError

__all__ = ["FORMATS", "Parcel", "depot_uri", "is_shared_path", "join", "parcel_of", "shared_path", "spark_uri"]

# Ending -> what `Pack.format` says.
FORMATS = ("tar.gz", "zip", "tar.zst")
_PARCEL = re.compile(r"(?P<sha256>[0-9a-f]{64})\.(?P<format>tar\.gz|tar\.zst|zip)")
_READ_ONLY = ("http", "https")
_HADOOP_S3 = ("s3", "s3n")


@dataclass(frozen=True, slots=True)
class Parcel:
    """One archive at a place, named by its content.

    Attributes:
        folder: URI of the folder, without a slash at its end.
        sha256: Of the archive's bytes, 64 hex digits.
        format: ``tar.gz``, ``zip`` or ``tar.zst``.
    """

    folder: str
    sha256: str
    format: str

    @property
    def uri(self) -> str:
        """The archive."""
        return f"{self.folder}/{self.sha256}.{self.format}"

    @property
    def manifest_uri(self) -> str:
        """Its manifest, as it lies inside too."""
        return f"{self.uri}.json"

    @property
    def seal_uri(self) -> str:
        """Written last, when the bytes there were read back and were right."""
        return f"{self.uri}.seal"

    def key_uri(self, key: str) -> str:
        """A mark under the key of the environment, so that who knows a lock finds its archives."""
        return f"{self.folder}/keys/{key}/{self.sha256}.{self.format}"


def depot_uri(text: str, *, write: bool = False) -> str:
    """A folder to ship to, or a file to fetch, as one spelling of a URI.

    Args:
        text: ``s3://bucket/envs``, ``https://host/envs``, ``memory://envs``, ``file:///mnt/envs`` or a path.
        write: Whether something is going to be written there.

    Raises:
        RequestError: ``env.location``: a password in it, nothing but a scheme, or HTTP that was to be written.
    """
    scheme, colon, rest = text.partition("://")
    if not colon:
        if not text.strip():
            raise RequestError("env.location", "the place to ship to is empty", fix="give a URI or a path")
        return Path(text.removeprefix("file:")).expanduser().absolute().as_uri()
    if scheme == "file":
        return Path(url2pathname("/" + rest.lstrip("/"))).as_uri()
    if not re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme) or not rest.strip("/"):
        raise RequestError(
            "env.location", f"{text!r} names no place", fix="write it as s3://bucket/folder, file:///folder or a path"
        )
    parts = urlsplit(text)
    if "@" in parts.netloc and scheme not in ("abfs", "abfss"):
        raise RequestError(
            "env.location",
            "the URI holds credentials",
            fix="leave them out: they are taken from the environment (AWS_PROFILE, …) or the catalog's properties",
            where=f"{scheme}://***@{parts.netloc.rpartition('@')[2]}{parts.path}",
        )
    if write and scheme in _READ_ONLY:
        raise RequestError(
            "env.location",
            f"nothing can be written to {text}: HTTP is read only here",
            fix="push to the store that the server shows (s3://…, file:///…); pull and launchers may read it by HTTP",
        )
    return text.rstrip("/")


def parcel_of(uri: str) -> Parcel | None:
    """The archive that a URI names; None when it names a folder."""
    folder, _, name = uri.rpartition("/")
    found = _PARCEL.fullmatch(name)
    return Parcel(folder, found["sha256"], found["format"]) if found else None


def join(folder: str, name: str) -> str:
    """A name below a folder."""
    return f"{folder.rstrip('/')}/{name}"


def is_shared_path(uri: str) -> bool:
    """Whether nodes would open it as a path of a disk."""
    return uri.startswith(("file:", "/"))


def shared_path(uri: str) -> str:
    """The path that a ``file:`` URI means.

    Raises:
        RequestError: ``env.location``: it is no ``file:`` URI.
    """
    if uri.startswith("/"):
        return uri
    if not uri.startswith("file:"):
        raise RequestError("env.location", f"{uri} is no path of a disk", fix="push to file:///shared/folder")
    return url2pathname("/" + uri.removeprefix("file:").lstrip("/"))


def spark_uri(uri: str) -> str:
    """As Hadoop's file systems spell it: ``s3a://`` for S3."""
    scheme, colon, rest = uri.partition("://")
    return f"s3a://{rest}" if colon and scheme in _HADOOP_S3 else uri
