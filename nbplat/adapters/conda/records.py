"""Packages between our records, JSON and the library's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from nbplat.environment.lock_record import CondaPackage

__all__ = ["as_json", "from_json", "from_record", "package_url", "to_record"]


def as_json(package: CondaPackage) -> dict[str, Any]:
    """A package as a request carries it."""
    return asdict(package)


def from_json(found: Mapping[str, Any]) -> CondaPackage:
    """The package of `as_json`."""
    return CondaPackage(**{**found, "depends": tuple(found["depends"]), "constrains": tuple(found["constrains"])})


def package_url(channel_url: str, subdir: str, file_name: str) -> str:
    """Address of a package file in a channel."""
    return f"{channel_url.rstrip('/')}/{subdir}/{file_name}"


def from_record(record: Any, channels: Mapping[str, str]) -> dict[str, Any]:
    """One of the library's records as the JSON of a package.

    Args:
        channels: Address by name; the record's own address tells which one it came from.
    """
    noarch = record.noarch
    return {
        "name": record.name.normalized,
        "version": str(record.version),
        "build": str(record.build),
        "build_number": record.build_number,
        "channel": _channel_name(record.url, channels),
        "subdir": record.subdir,
        "file_name": record.file_name,
        "sha256": record.sha256.hex() if record.sha256 else "",
        "md5": record.md5.hex() if record.md5 else "",
        "size": record.size or 0,
        "depends": list(record.depends),
        "constrains": list(record.constrains),
        "noarch": "python" if noarch.python else "generic" if noarch.generic else "",
        "site_packages": record.python_site_packages_path or "",
    }


def to_record(found: Mapping[str, Any], channels: Mapping[str, str]) -> Any:
    """The library's record of a package's JSON.

    Args:
        channels: Address by name; a channel that is not among them is taken for an address itself.
    """
    from rattler import BuildString, NoArchType, PackageRecord, RepoDataRecord

    record = PackageRecord(
        name=found["name"],
        version=found["version"],
        build=BuildString(found["build"]),
        build_number=found["build_number"],
        subdir=found["subdir"],
        noarch=NoArchType(found["noarch"] or None),
        depends=list(found["depends"]),
        constrains=list(found["constrains"]),
        sha256=bytes.fromhex(found["sha256"]) if found["sha256"] else None,
        md5=bytes.fromhex(found["md5"]) if found["md5"] else None,
        size=found["size"] or None,
        python_site_packages_path=found["site_packages"] or None,
    )
    url = channels.get(found["channel"], found["channel"])
    return RepoDataRecord(
        record, found["file_name"], package_url(url, found["subdir"], found["file_name"]), url.rstrip("/") + "/"
    )


def _channel_name(url: str, channels: Mapping[str, str]) -> str:
    found = [(len(base), name) for name, base in channels.items() if url.startswith(base.rstrip("/") + "/")]
    # The longest address: a channel may lie below another one's.
    return max(found)[1] if found else url.rsplit("/", 2)[0]
