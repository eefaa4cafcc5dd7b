"""What the store need not keep: found first, shown on request, removed under locks and judged once more there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbplat.clock import Clock
from nbplat.environment.built import Built
from nbplat.environment.disk import inodes_in
from nbplat.environment.key_lock import try_hold
from nbplat.environment.references import NAME, Reason, last_uses, processes_in, reasons
from nbplat.environment.store import Store
from nbplat.environment.store_index import StoreIndex
from nbplat.errors import RequestError

__all__ = ["GcRules", "Kept", "Sweeping", "Swept", "plan_gc", "sweep"]

Needed = Callable[[], Mapping[str, Sequence[str]]]

_DAY_MS = 24 * 3600 * 1000
_HOUR_MS = 3600 * 1000


@dataclass(frozen=True, slots=True)
class GcRules:
    """What may go.

    Attributes:
        rest_ms: How long an environment that nothing refers to must have rested, and any archive, wheel or compressed
            member that belongs to no kept environment. Never under an hour: whoever was just given one is still on
            the way to it.
        older_than_ms: Remove environments that are only kept for their name, too, when nobody used them for so long;
            None keeps them. Kernels, runs and running processes keep theirs always.
    """

    rest_ms: int = _DAY_MS
    older_than_ms: int | None = None

    def __post_init__(self) -> None:
        if self.rest_ms < _HOUR_MS or (self.older_than_ms is not None and self.older_than_ms < _HOUR_MS):
            raise RequestError(
                "env.gc",
                "less than an hour is no rest: what was just found may be about to start",
                fix="take 1h or more",
            )


@dataclass(frozen=True, slots=True)
class Swept:
    """One thing that goes.

    Attributes:
        kind: ``environment``, ``package``, ``archive``, ``member``, ``wheel``, ``unfinished``.
        name: For people.
        why: In words.
        bytes: Allocated by it; files that stay by another name included.
    """

    kind: str
    name: str
    path: str
    why: str
    bytes: int
    key: str = ""

    def record(self) -> dict[str, Any]:
        return {"kind": self.kind, "name": self.name, "path": self.path, "why": self.why, "bytes": self.bytes}


@dataclass(frozen=True, slots=True)
class Kept:
    """One environment that stays, and why."""

    name: str
    key: str
    why: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        return {"name": self.name, "key": self.key, "why": list(self.why)}


@dataclass(frozen=True, slots=True)
class Sweeping:
    """What goes and what stays.

    Attributes:
        frees_bytes: On the disk, each file once, those that stay by another name left out.
        done: True when it was removed; False for a plan.
    """

    swept: tuple[Swept, ...]
    kept: tuple[Kept, ...]
    frees_bytes: int
    done: bool = False

    def record(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "swept": [one.record() for one in self.swept],
            "kept": [one.record() for one in self.kept],
            "frees_bytes": self.frees_bytes,
            "done": self.done,
        }


def plan_gc(store: Store, rules: GcRules, clock: Clock, needed: Needed = dict) -> Sweeping:
    """Find what may go; nothing is touched.

    Args:
        needed: Gives the environments that something beside the store needs, by key, with why in words.
    """
    built = store.every()
    now_ms = clock.now_ms()
    used, why_kept = last_uses(store, built), reasons(store, needed())
    gone: list[Swept] = []
    kept: list[Kept] = []
    stay: list[Built] = []
    for one in built:
        why = _kept_for(one, store, rules, why_kept.get(one.key, []), now_ms - used[one.key])
        if why:
            kept.append(Kept(one.name, one.key, tuple(why)))
            stay.append(one)
        else:
            gone.append(_environment(one, store, now_ms - used[one.key], bool(why_kept.get(one.key))))
    gone += _unfinished(store, built)
    gone += _rest(store, stay, rules, now_ms)
    frees = inodes_in(*(Path(one.path) for one in gone)).own_bytes
    return Sweeping(tuple(gone), tuple(kept), frees)


def sweep(
    store: Store,
    rules: GcRules,
    clock: Clock,
    needed: Needed = dict,
    *,
    waiting: Callable[[str], None] | None = None,
) -> Sweeping:
    """Remove what may go. Waits for builds that are under way, and lets none begin meanwhile.

    Args:
        waiting: Called with who is waited for.

    Raises:
        SetupError: ``env.readonly``.
    """
    with store.alone(waiting):
        store.sweep()
        plan = plan_gc(store, rules, clock, needed)
        index = StoreIndex(store.index)
        for one in plan.swept:
            if one.kind == "environment":
                # Out of the index first: a kill in between leaves an environment without a name, not the reverse.
                index.forget(one.key)
            store.discard(Path(one.path))
        for path in _old_locks(store):
            with try_hold(path) as mine:
                if mine:
                    path.unlink(missing_ok=True)
    return Sweeping(plan.swept, plan.kept, plan.frees_bytes, done=True)


def _kept_for(built: Built, store: Store, rules: GcRules, why: list[Reason], rested_ms: int) -> list[str]:
    found = [f"process {pid} runs in it" for pid in processes_in(store.prefix(built.key))[:3]]
    aged = rules.older_than_ms is not None and rested_ms >= rules.older_than_ms
    if not (aged and all(one.kind == NAME for one in why)):
        found += [one.text for one in why]
    if rested_ms < rules.rest_ms:
        found.append(f"used {_ago(rested_ms)} ago")
    return found


def _environment(built: Built, store: Store, rested_ms: int, named: bool) -> Swept:
    prefix = store.prefix(built.key)
    why = "nobody used it for" if named else "nothing refers to it; not used for"
    return Swept("environment", built.name, str(prefix), f"{why} {_ago(rested_ms)}", inodes_in(prefix).bytes, built.key)


def _unfinished(store: Store, built: list[Built]) -> Iterator[Swept]:
    """Of builds that were killed, or of another format; what is being built is its builder's."""
    finished = {store.prefix(one.key) for one in built}
    for path in sorted(store.envs.iterdir()) if store.envs.is_dir() else ():
        if path not in finished and path.is_dir() and not _held(store.locks / f"env-{path.name}"):
            yield Swept("unfinished", path.name, str(path), "its build did not end", inodes_in(path).bytes)


def _held(lock: Path) -> bool:
    if not lock.exists():
        return False
    with try_hold(lock) as free:
        return not free


def _rest(store: Store, stay: list[Built], rules: GcRules, now_ms: int) -> Iterator[Swept]:
    packages = {one.sha256 for built in stay for one in built.lock.conda}
    wheels = {one.source_hash for built in stay for one in built.lock.local}
    keys = {built.key for built in stay}
    why = "no environment here was built from it"
    for path in _rested(store.pkgs, rules, now_ms):
        if path.name not in packages:
            yield Swept("package", _package_name(path), str(path), why, inodes_in(path).bytes)
    for path in _rested(store.wheels, rules, now_ms):
        if path.name not in wheels:
            yield Swept("wheel", _package_name(path), str(path), why, inodes_in(path).bytes)
    for path in _rested(store.packs, rules, now_ms):
        if not keys & {path.name.partition(".")[0], _pack_key(path, store)}:
            yield Swept("archive", path.name, str(path), "of no environment here", inodes_in(path).bytes)
    for path in _rested(store.members, rules, now_ms):
        yield Swept("member", path.name, str(path), "not used for an archive lately", inodes_in(path).bytes)


def _rested(folder: Path, rules: GcRules, now_ms: int) -> list[Path]:
    """What was not used for a while. A use sets the time of the file or folder; what lies beside a file goes by it."""
    if not folder.is_dir():
        return []
    used: dict[str, int] = {}
    found = sorted(folder.iterdir())
    for path in found:
        name = path.name.partition(".")[0]
        used[name] = max(used.get(name, 0), path.stat().st_mtime_ns // 1_000_000)
    return [path for path in found if now_ms - used[path.name.partition(".")[0]] >= rules.rest_ms]


def _package_name(path: Path) -> str:
    names = sorted(one.name for one in path.iterdir() if one.is_dir() or one.suffix == ".whl") if path.is_dir() else []
    return names[0] if names else path.name


def _pack_key(path: Path, store: Store) -> str:
    """Key of the environment that an archive holds; empty when its manifest does not say.

    Args:
        path: An archive, its manifest, or the note (``made-….json``) which archive was made for what.
    """
    manifest = path if path.suffix == ".json" else path.with_name(f"{path.name}.json")
    try:
        found = json.loads(manifest.read_text(encoding="utf-8"))
        if "key" not in found and isinstance(found.get("archive"), str):
            found = json.loads((store.packs / f"{found['archive']}.json").read_text(encoding="utf-8"))
        return str(found.get("key", ""))
    except (OSError, ValueError, AttributeError):
        return ""


def _old_locks(store: Store) -> list[Path]:
    return [path for path in store.locks.iterdir() if path.name != "store"] if store.locks.is_dir() else []


def _ago(ms: int) -> str:
    for unit, name in ((_DAY_MS, "days"), (_HOUR_MS, "hours"), (60_000, "minutes")):
        if ms >= 2 * unit:
            return f"{ms // unit} {name}"
    return f"{max(ms, 0) // 1000} seconds"
