"""Says what an archive would hold and what it costs, by package, before it is made."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nbplat.environment.pack_record import PackOptions, PackSource
from nbplat.environment.packing.collect import Content, collect
from nbplat.environment.packing.compiled import bytecode_of
from nbplat.environment.packing.container import container_of
from nbplat.environment.packing.members import MemberStore
from nbplat.environment.packing.ports import PackTools
from nbplat.environment.store import Store

__all__ = ["PackExplanation", "PackedPackage", "explain_pack"]


@dataclass(frozen=True, slots=True)
class PackedPackage:
    """What one package adds to an archive.

    Attributes:
        files: How many go in, bytecode left out.
        bytes: Of these in the prefix.
        packed_bytes: Compressed, bytecode counted in; None while its layers were never made.
        left_out_bytes: What rules leave out of it.
    """

    name: str
    version: str
    kind: str
    files: int
    bytes: int
    packed_bytes: int | None
    left_out_bytes: int


@dataclass(frozen=True, slots=True)
class PackExplanation:
    """An archive before it is made.

    Attributes:
        packages: Largest first.
        left_out: (files, bytes) that each slimming rule leaves out; ``drop`` for the caller's own globs.
        strays: Files of the prefix that no package brought, and that therefore do not travel; bytecode not counted.
    """

    options: PackOptions
    packages: tuple[PackedPackage, ...]
    left_out: dict[str, tuple[int, int]]
    strays: tuple[str, ...]

    @property
    def bytes(self) -> int:
        return sum(one.bytes for one in self.packages)

    @property
    def packed_bytes(self) -> int | None:
        """Of the whole archive, its small head left out; None while a layer was never made."""
        known = [one.packed_bytes for one in self.packages if one.packed_bytes is not None]
        return sum(known) if len(known) == len(self.packages) else None

    def record(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "packages": [asdict(one) for one in self.packages],
            "left_out": {rule: {"files": files, "bytes": size} for rule, (files, size) in self.left_out.items()},
            "strays": list(self.strays),
            "bytes": self.bytes,
            "packed_bytes": self.packed_bytes,
        }

    def text(self) -> str:
        """A table for a terminal."""
        lines = [f"{'package':32} {'files':>7} {'MB':>9} {'packed MB':>10} {'left out MB':>12}"]
        lines += [
            f"{f'{one.name} {one.version}':32} {one.files:7,} {_mb(one.bytes):>9} {_mb(one.packed_bytes):>10} "
            f"{_mb(one.left_out_bytes):>12}"
            for one in self.packages
        ]
        lines.append(
            f"{'together':32} {sum(p.files for p in self.packages):7,} {_mb(self.bytes):>9} {_mb(self.packed_bytes):>10}"
        )
        lines += [
            f"left out as {rule}: {files:,} files, {_mb(size)} MB" for rule, (files, size) in self.left_out.items()
        ]
        if self.strays:
            lines.append(f"of no package, left behind: {len(self.strays):,} files, e.g. {self.strays[0]}")
        return "\n".join(lines)


def explain_pack(source: PackSource, options: PackOptions, store: Store, tools: PackTools) -> PackExplanation:
    """List what goes into an archive; nothing is written.

    Raises:
        RequestError, DataError: what `pack` would refuse.
    """
    options = options.checked()
    collected = collect(source, options, store)
    members = MemberStore(store.members, container_of(options, tools.codec))
    compiled = {one.package: one.key for one in bytecode_of(collected.contents, source)} if options.pyc else {}
    packages, rules, files = [], Counter[str](), Counter[str]()
    for content in collected.contents:
        out = 0
        for rule, path in content.left_out:
            size = _size(source.prefix / path)
            rules[rule] += size
            files[rule] += 1
            out += size
        packed = _packed(members, [content.layer().key, compiled.get(content.name, "")])
        size = sum(_size(source.prefix / file.path) for file in content.files)
        count = len(content.files)
        packages.append(PackedPackage(content.name, content.version, content.kind, count, size, packed, out))
    return PackExplanation(
        options,
        tuple(sorted(packages, key=lambda one: (-one.bytes, one.name))),
        {rule: (files[rule], rules[rule]) for rule in sorted(rules)},
        _strays(source.prefix, collected.contents),
    )


def _packed(members: MemberStore, keys: Iterable[str]) -> int | None:
    found = [members.find(key) for key in keys if key]
    return sum(one.size for one in found if one is not None) if all(found) else None


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _strays(prefix: Path, contents: Iterable[Content]) -> tuple[str, ...]:
    known = {file.path for content in contents for file in content.files}
    known |= {path for content in contents for _, path in content.left_out}
    found = []
    for folder, _, names in os.walk(prefix):
        below = Path(folder).relative_to(prefix).as_posix()
        if below.split("/")[0] in (".nbplat", "conda-meta"):
            continue
        paths = (name if below == "." else f"{below}/{name}" for name in names if not name.endswith(".pyc"))
        found += [
            path
            for path in paths
            if path not in known and not path.endswith((".dist-info/direct_url.json", "CACHEDIR.TAG"))
        ]
    return tuple(sorted(found))


def _mb(count: int | None) -> str:
    return "?" if count is None else f"{count / 1e6:,.1f}"
