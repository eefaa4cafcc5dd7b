"""What an archive says of itself: inside as ``.nbplat/manifest.json``, and beside with its own hash."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nbplat.environment.pack_record import PackOptions, PackSource
from nbplat.environment.packing.collect import Collected, Content

__all__ = ["MANIFEST_SCHEMA", "beside_manifest", "inside_manifest"]

MANIFEST_SCHEMA = 1

# Their versions decide whether an environment fits a cluster; looked at by name in manifests of archives far away.
_ENGINES = ("pyspark", "ray", "pandas", "pyarrow", "numpy", "grpcio", "protobuf")


def inside_manifest(
    source: PackSource,
    options: PackOptions,
    collected: Collected,
    packed_bytes: Mapping[str, int],
    bytes_of: Mapping[str, int],
    relocations: Sequence[Mapping[str, Any]],
    *,
    pyc: bool,
    codec: str,
) -> dict[str, Any]:
    """The manifest that travels inside: equal for equal locks and options, so without times, machines and paths.

    Args:
        packed_bytes: Compressed bytes by package, bytecode counted in; `bytes_of` before compression.
        pyc: Whether bytecode is in it.
        codec: Name of the compressor with its level.
    """
    room = min((len(one["placeholder"]) for one in relocations if one["binary"]), default=None)
    versions = {one.name: one.version for one in collected.contents}
    return {
        "schema": MANIFEST_SCHEMA,
        "name": source.name,
        "key": source.key,
        "platform": source.lock.platform,
        "virtual": dict(source.lock.virtual),
        "lock_digest": source.lock_digest,
        "requested": list(source.requested),
        "format": options.format,
        "codec": codec,
        "target": options.target,
        "links": options.links,
        "pyc": "unchecked-hash" if pyc else "none",
        "slim": list(collected.rules),
        "keep": list(options.keep),
        "drop": list(options.drop),
        "python": _python(source),
        "engines": {name: versions[name] for name in _ENGINES if name in versions},
        "relocation": {
            "program": ".nbplat/relocate.py",
            "list": ".nbplat/relocate.json",
            "files": len(relocations),
            "room_bytes": room,
        },
        "packages": [_package(one, source, packed_bytes, bytes_of) for one in collected.contents],
        "files": sum(len(one.files) for one in collected.contents),
        "bytes": sum(bytes_of.values()),
    }


def beside_manifest(
    inside: Mapping[str, Any], *, sha256: str, size: int, file_name: str, version: str
) -> dict[str, Any]:
    """The one that lies beside the archive.

    Args:
        file_name: Of the archive: ``<sha256>.tar.gz``.
        version: Of nbplat.
    """
    archive = {"sha256": sha256, "size": size, "file": file_name, "format": inside["format"]}
    return {**inside, "archive": archive, "created_by": f"nbplat {version}".strip()}


def _python(source: PackSource) -> dict[str, str]:
    package = next((one for one in source.lock.conda if one.name == "python"), None)
    if package is None:
        return {}
    threads = "t" if re.search(r"cp3\d+t", package.build) else ""
    return {
        "version": package.version,
        "abi": f"cp{source.python.replace('.', '')}{threads}",
        "build": package.build,
        "entry": "bin/python",
    }


def _package(
    content: Content, source: PackSource, packed_bytes: Mapping[str, int], bytes_of: Mapping[str, int]
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": content.name,
        "version": content.version,
        "kind": content.kind,
        "files": len(content.files),
        "bytes": bytes_of[content.name],
        "packed_bytes": packed_bytes[content.name],
    }
    if content.kind == "conda":
        package = next(one for one in source.lock.conda if one.name == content.name)
        # What it asks of a machine, so that an archive can be held against one without its lock.
        machine = [spec for spec in package.depends if spec.startswith("__")]
        return {
            **found,
            "build": package.build,
            "channel": package.channel,
            "sha256": package.sha256,
            "machine": machine,
        }
    if content.kind == "local":
        hashes: Iterable[str] = (one.source_hash for one in source.lock.local if _plain(one.name) == content.name)
        return {**found, "source_hash": next(iter(hashes), "")}
    pip = (one.hashes for one in source.lock.pip if _plain(one.name) == content.name)
    return {**found, "hashes": list(next(iter(pip), ()))}


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
