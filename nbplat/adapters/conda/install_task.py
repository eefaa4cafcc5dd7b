"""The install itself, in the child: every package had and verified, then linked into the prefix, then tidied."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from nbplat.adapters.conda.cached_package import CachedPackages, Obtained
from nbplat.adapters.conda.child_main import Tell
from nbplat.adapters.conda.conda_meta import finish
from nbplat.adapters.conda.network import client_of
from nbplat.adapters.conda.records import to_record
from nbplat.environment.store import Store
from nbplat.environment.store_faults import fault_in_text, free_bytes, no_space, store_faults
from nbplat.errors import DataError, InternalError, NbplatError, SetupError

__all__ = ["install"]

_AT_ONCE = 4


def install(request: dict[str, Any], tell: Tell) -> dict[str, Any]:
    """Make the prefix of a request; see `ports.Conda.install`."""
    store, prefix = Store(Path(request["store"])), Path(request["prefix"])
    urls = {one["name"]: one["url"] for one in request["channels"]}
    packages = request["packages"]
    records = [to_record(one, urls) for one in packages]
    _hold_together(records)
    count = _Counts(tell)
    cache = CachedPackages(store, request["channels"], None if request["offline"] else client_of, count.add)
    with store_faults(store.root):
        _enough_space(store, cache, packages, count)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            # The big ones first: the last to come is then a small one.
            order = sorted(packages, key=lambda one: -one["size"])
            found = dict(zip((one["sha256"] for one in order), pool.map(cache.obtain, order), strict=True))
        _link(request, records, [found[one["sha256"]] for one in packages], prefix, tell)
        finish(prefix, packages, request["requested"])
    return {
        "fetched_bytes": sum(one.fetched_bytes for one in found.values()),
        "fetched": sorted(one["name"] for one in packages if found[one["sha256"]].fetched_bytes),
        "repaired": {
            one["name"]: list(found[one["sha256"]].repaired) for one in packages if found[one["sha256"]].repaired
        },
        "linked": can_link(store.pkgs, prefix),
        "scripts": _link_scripts(prefix),
    }


def can_link(source: Path, target: Path) -> bool:
    """True when files of one folder can be hard-linked into another: the same file system, and one that has links."""
    there = source / f".link-{os.getpid()}"
    here = target / f".link-{os.getpid()}"
    try:
        there.touch()
        os.link(there, here)
    except OSError:
        return False
    else:
        return True
    finally:
        here.unlink(missing_ok=True)
        there.unlink(missing_ok=True)


class _Counts:
    """Bytes of each phase, from several threads, told on."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._lock = threading.Lock()
        self._done: dict[str, int] = {}
        self.totals: dict[str, int] = {}

    def add(self, phase: str, count: int) -> None:
        with self._lock:
            self._done[phase] = self._done.get(phase, 0) + count
            total = self.totals.get(phase, 0)
            self._tell(phase, self._done[phase], max(total, self._done[phase]) if total else 0)


def _hold_together(records: list[Any]) -> None:
    """A lock whose packages do not go together was edited or merged by hand."""
    from rattler import PackageRecord

    try:
        PackageRecord.validate(records)
    except Exception as exc:  # noqa: BLE001 - one class of the library, which it does not export everywhere
        raise DataError(
            "env.lock",
            f"the lock is wrong: {str(exc)[:300]}",
            fix="write the lock anew with `nbplat env lock`; locks are not edited by hand",
        ) from None


def _enough_space(store: Store, cache: CachedPackages, packages: list[Mapping[str, Any]], count: _Counts) -> None:
    """Refuse what cannot fit before anything is fetched; an extracted package is never smaller than its archive."""
    needed = sum(one["size"] for one in packages if cache.missing(one))
    count.totals["fetch"] = needed
    store.pkgs.mkdir(parents=True, exist_ok=True)
    if needed > free_bytes(store.pkgs):
        raise no_space(store.root, needed_bytes=needed)


def _link(request: Mapping[str, Any], records: list[Any], found: list[Obtained], prefix: Path, tell: Tell) -> None:
    from rattler import MatchSpec, PackageCache, Platform, ValidationMode
    from rattler import install as link
    from rattler.package_cache import PackageCacheLayer

    # What is in the layers was read a moment ago; a second look costs as much as the first.
    layers = [PackageCacheLayer(one.folder).with_validation_mode(ValidationMode.skip()) for one in found]
    specs = [MatchSpec(text) for text in request["requested"]]
    work = link(
        records,
        target_prefix=str(prefix),
        platform=Platform(request["platform"]),
        execute_link_scripts=False,
        show_progress=False,
        # The library hands these on without opening them, and takes only what is inside.
        requested_specs=[getattr(one, "_match_spec", one) for one in specs],
        reporter=_Reporter(len(records), tell),
        package_cache=PackageCache.from_layers(layers),
    )
    try:
        asyncio.run(_wait(work))
    except Exception as exc:  # noqa: BLE001 - turned into ours here
        raise _refused(str(exc), prefix, Path(request["store"])) from None


async def _wait(work: Any) -> None:
    await work


class _Reporter:
    """Counts packages as the library links them."""

    def __init__(self, total: int, tell: Tell) -> None:
        self._tell = tell
        self._total = total
        self._done = 0

    def on_link_start(self, operation: int, package_name: str) -> int:
        self._tell("install", self._done, self._total, "packages", package_name)
        return operation

    def on_link_complete(self, index: int) -> None:
        self._done += 1
        self._tell("install", self._done, self._total, "packages")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("on_"):
            return lambda *_: 0
        raise AttributeError(name)


def _refused(text: str, prefix: Path, root: Path) -> NbplatError:
    fault = fault_in_text(text, root)
    if fault is not None:
        return fault
    if "prefix" in text and ("long" in text or "length" in text):
        return SetupError(
            "env.prefix",
            f"the path of the environment is too long for its packages ({len(str(prefix))} characters): {text[:200]}",
            fix="set NBPLAT_HOME to a shorter path",
            where=str(prefix),
        )
    return InternalError(
        "env.install",
        f"the conda library could not link the packages: {text[:500]}",
        fix="run the same command again; if it stays, report it with this text",
    )


def _link_scripts(prefix: Path) -> list[str]:
    """Packages with a script that conda would run after linking, and we do not: code of a package runs in no build."""
    return sorted(path.name[1 : -len("-post-link.sh")] for path in (prefix / "bin").glob(".*-post-link.sh"))
