"""Says what an archive would hold and what it costs, by package, before it is made."""

from __future__ import annotations

import os
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
from nbplat.environment.slim import Slimming
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
        could: The same for what `slim` would leave out, where it was not asked for.
        strays: Files of the prefix that no package brought, and that therefore do not travel; bytecode not counted.
    """

    options: PackOptions
    packages: tuple[PackedPackage, ...]
    left_out: dict[str, tuple[int, int]]
    could: dict[str, tuple[int, int]]
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

        def counted(found: dict[str, tuple[int, int]]) -> dict[str, dict[str, int]]:
            return {rule: {"files": files, "bytes": size} for rule, (files, size) in found.items()}

        return {
            "packages": [asdict(one) for one in self.packages],
            "left_out": counted(self.left_out),
            "could": counted(self.could),
            "strays": list(self.strays),
            "bytes": self.bytes,
            "packed_bytes": self.packed_bytes,
            "lines": self.lines(),
        }

    def lines(self) -> list[str]:
        """What is left out, what could be, and what does not travel; a sentence each."""
        found = [f"left out as {rule}: {_files(*counted)}" for rule, counted in self.left_out.items()]
        found += [f"--slim would leave out as {rule}: {_files(*counted)}" for rule, counted in self.could.items()]
        if self.strays:
            found.append(f"of no package, left behind: {len(self.strays):,} files, e.g. {self.strays[0]}")
        return found


def explain_pack(source: PackSource, options: PackOptions, store: Store, tools: PackTools) -> PackExplanation:
    """List what goes into an archive; nothing is written.

    Raises:
        RequestError, DataError: what `pack` would refuse.
    """
    options = options.checked()
    collected = collect(source, options, store)
    members = MemberStore(store.members, container_of(options, tools.codec))
    compiled = {one.package: one.key for one in bytecode_of(collected.contents, source)} if options.pyc else {}
    packages = [
        PackedPackage(
            content.name,
            content.version,
            content.kind,
            len(content.files),
            sum(_size(source.prefix / file.path) for file in content.files),
            _packed(members, [content.layer().key, compiled.get(content.name, "")]),
            sum(_size(source.prefix / path) for _, path in content.left_out),
        )
        for content in collected.contents
    ]
    left_out = [one for content in collected.contents for one in content.left_out]
    slim = Slimming(True, options.keep, (), [one.name for one in collected.contents])
    paths = (file.path for content in collected.contents for file in content.files)
    could = [(rule, path) for path in paths if (rule := slim.out(path))]
    return PackExplanation(
        options,
        tuple(sorted(packages, key=lambda one: (-one.bytes, one.name))),
        _by_rule(left_out, source.prefix),
        {} if options.slim else _by_rule(could, source.prefix),
        _strays(source.prefix, collected.contents),
    )


def _by_rule(paths: Iterable[tuple[str, str]], prefix: Path) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for rule, path in paths:
        files, size = found.get(rule, (0, 0))
        found[rule] = (files + 1, size + _size(prefix / path))
    return dict(sorted(found.items()))


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


def _files(count: int, size: int) -> str:
    return f"{count:,} files, {size / 1e6:,.1f} MB"
