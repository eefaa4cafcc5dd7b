"""How a change of columns lands on the live data files: one action for each, decided from records alone.

Promotion, replacement, extension, a train of them and roll back are the same thing here: runs bring
columns that are aligned to data files as they were once, or take columns out; the files of the table
have gone on since. See docs/decisions/0015-landing.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from nbplat.backfill.ports import TableFile
from nbplat.terms import content_hash, root_of

__all__ = ["Action", "Change", "FileAction", "Match", "Part", "Source", "plan_landing"]


class Action(StrEnum):
    """What becomes of a live file; each is carried out in one place, `nbplat.backfill.land`."""

    KEEP = "keep"
    SPLICE = "splice"
    REWRITE = "rewrite"
    RESTORE = "restore"
    # Here Iceberg v4's column files will come in: a file beside the live one, which is not touched.


class Match(StrEnum):
    """How the rows of a source are brought to the rows of a live file."""

    SAME = "same file"
    DIGEST = "spliced since"  # aligned when the keys, in order, are still the same
    KEY = "by key"
    NONE = "nothing to add"


@dataclass(frozen=True, slots=True)
class Source:
    """Values for the rows of one data file as it was.

    Attributes:
        base_path: The data file.
        path: The file with the values: row i is live row i of the data file then. Empty when there
            are none: what the live file holds is left out.
        rows: Of `path`; -1 when its rows can only be found by key.
        dense: True when that is physical row i.
        digest: Of the keys in order; empty when not known.
    """

    base_path: str
    path: str
    rows: int
    dense: bool
    digest: str


@dataclass(frozen=True, slots=True)
class Change:
    """What one run does to the table's files.

    Attributes:
        adds: Columns it brings -> their field ids; empty when it only takes columns out.
        nested: Field ids inside those columns, by path.
        drops: Field ids of columns it takes out.
        sources: Where the values are, by base path.
        roots: Of the live files that it may touch (see `root_of`); None for all.
    """

    run_id: str
    adds: Mapping[str, int]
    drops: frozenset[int] = frozenset()
    sources: Mapping[str, Source] = field(default_factory=dict)
    nested: Mapping[str, int] = field(default_factory=dict)
    roots: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One run's share in an action.

    Attributes:
        sources: Base paths of the sources that can hold its rows.
        drop: Field ids whose chunks it leaves out.
    """

    run_id: str
    match: Match
    sources: tuple[str, ...]
    drop: frozenset[int]


@dataclass(frozen=True, slots=True)
class FileAction:
    """What is to be done with one live file.

    Attributes:
        id: Names the work; the same for equal work, so that what was done before is found again.
        reason: In words, for the run's record.
        old_path: The file to be put back; empty but for a restore.
    """

    file: TableFile
    action: Action
    reason: str
    parts: tuple[Part, ...] = ()
    old_path: str = ""
    id: str = ""

    @property
    def drop(self) -> frozenset[int]:
        """Field ids that every part leaves out."""
        return frozenset(number for part in self.parts for number in part.drop)


def plan_landing(
    files: Sequence[TableFile], changes: Sequence[Change], restore: Mapping[str, str] | None = None
) -> tuple[FileAction, ...]:
    """Decide what becomes of every live file.

    Args:
        files: Main's live files.
        changes: One a run; no two bring or take the same column.
        restore: New path -> old path, for files that hold nothing but what is taken out.

    Returns:
        One action per live file, in the order given.
    """
    roots = defaultdict(list)
    for file in files:
        roots[root_of(file.path)].append(file)
    lost = {change.run_id: _lost(change, roots.keys()) for change in changes}
    return tuple(_action(file, changes, lost, restore or {}, len(roots[root_of(file.path)]) > 1) for file in files)


def _lost(change: Change, live_roots: Iterable[str]) -> tuple[str, ...]:
    """Sources whose data file is gone with everything that we made from it: others have rewritten its rows."""
    alive = set(live_roots)
    return tuple(path for path, source in change.sources.items() if source.path and root_of(path) not in alive)


def _action(
    file: TableFile,
    changes: Sequence[Change],
    lost: Mapping[str, tuple[str, ...]],
    restore: Mapping[str, str],
    doubled: bool,
) -> FileAction:
    if file.path in restore and not file.deletes:
        old = restore[file.path]
        return _named(FileAction(file, Action.RESTORE, "nothing but this run's columns is in the file", (), old), ())
    parts = tuple(
        part
        for change in changes
        if (change.roots is None or root_of(file.path) in change.roots)
        and (part := _part(file, change, lost[change.run_id], doubled)) is not None
    )
    if not parts:
        return FileAction(file, Action.KEEP, "holds no row of the run")
    if file.deletes:
        why = f"{len(file.deletes)} delete files apply: they are applied, as a new file would escape them"
        return _named(FileAction(file, Action.REWRITE, why, parts), changes)
    return _named(FileAction(file, Action.SPLICE, _why(parts), parts), changes)


def _part(file: TableFile, change: Change, lost: tuple[str, ...], doubled: bool) -> Part | None:
    drop = frozenset({*change.drops, *change.adds.values()} & file.columns)
    near = {source.base_path: source for source in change.sources.values()}
    same = near.get(file.path)
    if same is not None and same.path and same.dense and not file.deletes and same.rows == file.rows:
        return Part(change.run_id, Match.SAME, (same.base_path,), drop)
    root = root_of(file.path)
    related = [source for path, source in near.items() if root_of(path) == root]
    if related and not all(source.path for source in related):
        return Part(change.run_id, Match.NONE, (), drop) if drop else None
    if related:
        [*_, source] = related
        aligned = len(related) == 1 and not doubled and not file.deletes and source.rows == file.rows
        match = Match.DIGEST if aligned else Match.KEY
        return Part(change.run_id, match, tuple(each.base_path for each in related), drop)
    if lost and change.adds:
        return Part(change.run_id, Match.KEY, lost, drop)
    # What only leaves the schema need not leave a file that is not ours.
    return Part(change.run_id, Match.NONE, (), drop) if change.drops & file.columns and not change.adds else None


def _why(parts: Sequence[Part]) -> str:
    matches = {part.match for part in parts}
    if matches == {Match.NONE}:
        return "others' columns are in the file: only this run's chunks are left out"
    if Match.KEY in matches:
        return "rows were moved by another writer: values are aligned again by key"
    if Match.DIGEST in matches:
        return "the file was spliced since: its keys, in order, are the same"
    return "no deletes apply: the old bytes are copied and the columns are appended"


def _named(action: FileAction, changes: Sequence[Change]) -> FileAction:
    """Give the action its id: over the file, the deletes that apply, and what is put in or left out."""
    by_run = {change.run_id: change for change in changes}
    record = [
        action.file.path,
        sorted(action.file.deletes),
        str(action.action),
        action.old_path,
        [
            [
                part.run_id,
                str(part.match),
                sorted(part.drop),
                dict(by_run[part.run_id].adds),
                [by_run[part.run_id].sources[path].path for path in part.sources],
            ]
            for part in action.parts
        ],
    ]
    return FileAction(
        action.file, action.action, action.reason, action.parts, action.old_path, content_hash(record)[:12]
    )
