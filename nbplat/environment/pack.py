"""Makes the archive of a built environment: equal locks give equal bytes, and what did not change is not done again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from nbplat.environment.key_lock import hold
from nbplat.environment.manifest import beside_manifest, inside_manifest
from nbplat.environment.pack_record import Pack, PackOptions, PackSource
from nbplat.environment.packing.assemble import DamagedMember, assemble
from nbplat.environment.packing.collect import Collected, collect
from nbplat.environment.packing.compiled import Bytecode, bytecode_of, compile_layers
from nbplat.environment.packing.container import container_of
from nbplat.environment.packing.files import Layer
from nbplat.environment.packing.head import head_files, head_text
from nbplat.environment.packing.members import Member, MemberStore, make_members
from nbplat.environment.packing.ports import PackTools
from nbplat.environment.packing.read_file import FileReader
from nbplat.environment.ports import Phase, Say
from nbplat.environment.store import Store
from nbplat.environment.store_faults import store_faults
from nbplat.errors import RequestError
from nbplat.terms import content_hash

__all__ = ["pack"]

_NOT_COMPILED = "no Python of this machine makes its bytecode: packed without"


def pack(source: PackSource, options: PackOptions, store: Store, tools: PackTools, say: Say) -> Pack:
    """Make the archive, or find it made.

    Layers are kept compressed, one a package; an archive is its layers one after the other behind a small head.

    Raises:
        RequestError: an option that cannot be; ``env.editable``; ``env.pulled``: it came as an archive that is gone.
        DataError: ``env.hash``: a file is not the one of its package, neither in the cache nor in the prefix;
            ``env.prefix``: the prefix does not hold what the lock says; ``env.clobber``, ``env.link``, ``env.unsafe``.
        SetupError: ``env.space``, ``env.readonly``, ``env.compile``.
    """
    options = options.checked()
    if (source.prefix / ".nbplat" / "relocate.json").is_file():
        return _pulled(source, options, store)
    wanted = _Wanted(store, source, options)
    with store_faults(store.root):
        kept = wanted.find()
        if kept is not None:
            return kept
        with (
            store.in_use(lambda who: say(Phase("wait", what=f"{who} sweeps the store"))),
            hold(wanted.lock_file, waiting=lambda who: say(Phase("wait", what=f"{who} packs {source.name}"))),
        ):
            store.sweep()
            return wanted.find() or _made(source, options, store, tools, wanted, say)


def _made(source: PackSource, options: PackOptions, store: Store, tools: PackTools, wanted: _Wanted, say: Say) -> Pack:
    packing = _Packing(source, options, store, tools, say)
    while True:
        try:
            made = packing.run()
        except DamagedMember as damaged:
            packing.members.discard(damaged.member)
            continue
        wanted.note(made)
        return made


def _pulled(source: PackSource, options: PackOptions, store: Store) -> Pack:
    """The archive that an environment came in, whose hash is its key: its packages were never here."""
    archive = store.packs / f"{source.key}.{options.format}"
    found = _read_pack(archive)
    if found is None or found.sha256 != source.key:
        raise RequestError(
            "env.pulled",
            f"{source.name} came as an archive, which is not here any more or is no {options.format}",
            fix="pull it again and pack it as what it came as, or build it from its lock: nbplat env build",
        )
    return found


def _read_pack(archive: Path) -> Pack | None:
    """A finished archive; None when it is not there, or is not what it was."""
    beside = archive.with_name(f"{archive.name}.json")
    try:
        with archive.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
            size = os.fstat(file.fileno()).st_size
        manifest = json.loads(beside.read_bytes())
        if found != archive.name.partition(".")[0]:
            return None
        # Whoever sweeps goes by this time; of a store that others keep it cannot be set.
        with suppress(PermissionError):
            os.utime(archive)
    except (OSError, ValueError):
        return None
    return Pack(archive, found, size, manifest, beside)


class _Wanted:
    """The note which archive was made for what: asked for again, nothing is read but the archive."""

    def __init__(self, store: Store, source: PackSource, options: PackOptions) -> None:
        self._packs = store.packs
        decides = [source.key, source.name, source.lock_digest, list(source.requested), source.lock.platform]
        asked = [getattr(options, name) for name in options.__slots__ if name != "threads"]
        text = content_hash([*decides, json.loads(json.dumps(asked)), hashlib.sha256(head_text().encode()).hexdigest()])
        self._note = store.packs / f"made-{text[:32]}.json"
        self.lock_file = store.locks / f"pack-{text[:32]}"

    def find(self) -> Pack | None:
        """The archive; None when it was not made, or is not what it was."""
        try:
            name = str(json.loads(self._note.read_bytes())["archive"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return _read_pack(self._packs / name)

    def note(self, made: Pack) -> None:
        if not made.notes:
            half = self._note.with_suffix(f".{os.getpid()}.half")
            half.write_text(json.dumps({"archive": made.archive.name}), encoding="utf-8")
            half.replace(self._note)


class _Packing:
    """One archive on its way."""

    def __init__(self, source: PackSource, options: PackOptions, store: Store, tools: PackTools, say: Say) -> None:
        self._source, self._options, self._store, self._tools, self._say = source, options, store, tools, say
        self._container = container_of(options, tools.codec)
        self.members = MemberStore(store.members, self._container)
        self._threads = options.threads or os.cpu_count() or 1
        self._notes: list[str] = []
        self._done = self._total = 0

    def run(self) -> Pack:
        """Do it.

        Raises:
            DamagedMember: a kept layer was damaged; forget it and run again.
        """
        collected = collect(self._source, self._options, self._store)
        layers = [content.layer() for content in collected.contents]
        bytecode = bytecode_of(collected.contents, self._source) if self._options.pyc and self._source.python else []
        with self._store.scratch() as scratch:
            members, made = self._members(layers, bytecode, scratch)
            return self._archive(collected, layers, bytecode, members, made, scratch)

    def _members(
        self, layers: Sequence[Layer], bytecode: list[Bytecode], scratch: Path
    ) -> tuple[dict[str, Member], int]:
        """Every layer, kept or made now; and how many were made."""
        keys = [*(one.key for one in layers), *(one.key for one in bytecode)]
        found = {key: self.members.find(key) for key in keys}
        members = {key: member for key, member in found.items() if member is not None}
        missing = [layer for layer in layers if layer.key not in members]
        uncompiled = [one for one in bytecode if one.key not in members]
        self._done, self._total = 0, sum(layer.size for layer in missing)
        reader = FileReader(str(self._source.prefix))
        with ThreadPoolExecutor(1) as beside:
            compiling = beside.submit(self._compile, uncompiled, scratch / "compiled") if uncompiled else None
            members |= self._make(missing, reader, scratch)
            compiled = compiling.result() if compiling is not None else []
        if compiled is None:
            self._notes.append(_NOT_COMPILED)
            bytecode.clear()
        else:
            self._total += sum(layer.size for layer in compiled)
            members |= self._make(compiled, reader, scratch)
        return members, len(missing) + len(compiled or ())

    def _make(self, layers: Sequence[Layer], reader: FileReader, scratch: Path) -> dict[str, Member]:
        # Large ones first: the last piece of work is a small one, and no core waits for it.
        order = sorted(layers, key=lambda layer: -layer.size)
        return make_members(
            order, self.members, self._container, reader, scratch, threads=self._threads, said=self._said
        )

    def _compile(self, wanted: Sequence[Bytecode], scratch: Path) -> list[Layer] | None:
        return compile_layers(wanted, self._source, self._tools.compile_modules, scratch, self._threads)

    def _archive(
        self,
        collected: Collected,
        layers: Sequence[Layer],
        bytecode: Sequence[Bytecode],
        members: dict[str, Member],
        made: int,
        scratch: Path,
    ) -> Pack:
        packages = [*((layer.package, layer.key) for layer in layers), *((one.package, one.key) for one in bytecode)]
        ordered = [members[key] for _, key in packages]
        relocations = [one for member in ordered for one in member.relocations]
        packed: dict[str, int] = {}
        unpacked: dict[str, int] = {}
        for package, key in packages:
            packed[package] = packed.get(package, 0) + members[key].size
            unpacked[package] = unpacked.get(package, 0) + members[key].raw_bytes
        inside = inside_manifest(
            self._source,
            self._options,
            collected,
            packed,
            unpacked,
            relocations,
            pyc=bool(bytecode),
            codec=self._container.name,
        )
        taken = {file.path for content in collected.contents for file in content.files}
        folders = {*collected.folders, *_bytecode_folders(bytecode)}
        head = head_files(self._source, folders, taken, relocations, inside)
        out = scratch / "archive"
        self._done, self._total = 0, sum(member.size for member in ordered)
        sha256, size = assemble(out, head, ordered, self._container, self._copied)
        return self._keep(out, sha256, size, inside, len(ordered), made)

    def _keep(self, out: Path, sha256: str, size: int, inside: dict[str, Any], layers: int, made: int) -> Pack:
        name = f"{sha256}.{self._options.format}"
        archive, manifest_file = self._store.packs / name, self._store.packs / f"{name}.json"
        manifest = beside_manifest(inside, sha256=sha256, size=size, file_name=name, version=self._tools.version)
        self._store.packs.mkdir(parents=True, exist_ok=True)
        beside = out.with_suffix(".json")
        beside.write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        for half, whole in ((beside, manifest_file), (out, archive)):
            # Readable by whoever the store is: a umask must not decide whether executors can read it.
            half.chmod(0o644)
            half.replace(whole)
        return Pack(archive, sha256, size, manifest, manifest_file, layers, made, tuple(self._notes))

    def _said(self, layer: Layer, count: int) -> None:
        self._done += count
        self._say(Phase("pack", self._done, max(self._total, self._done), what=layer.name))

    def _copied(self, count: int) -> None:
        self._done += count
        self._say(Phase("pack", min(self._done, self._total), self._total, what="archive"))


def _bytecode_folders(bytecode: Sequence[Bytecode]) -> set[str]:
    return {f"{path.rpartition('/')[0]}/__pycache__/" for one in bytecode for path, _ in one.modules}
