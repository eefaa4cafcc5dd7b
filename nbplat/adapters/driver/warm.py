"""Warm drivers on this machine: started ahead, claimed once, ended when they are old, in the way, or nobody's."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from nbplat.adapters.driver.archives import ArchiveWriter
from nbplat.adapters.driver.command import DRIVER_LOG, driver_command, in_folder
from nbplat.adapters.driver.kept import end_strays, fresh_folder, kept_lives, kill_kept, start_kept, write_private
from nbplat.adapters.driver.line import Line
from nbplat.adapters.driver.warm_facts import facts_of
from nbplat.errors import NbplatError, RemoteError
from nbplat.session.warm import Kept, Recipe, WarmLimits, key_of, recipe_of, steps

if TYPE_CHECKING:
    from nbplat.clock import Clock
    from nbplat.session.records import Session

__all__ = ["WarmPool", "warm_folders", "warm_here"]

_log = logging.getLogger("nbplat.session")

_PREFIX = "warm-"
_LOOK_S = 1.0
_CLAIM_S = 3.0
_JOIN_S = 5.0
# After the last session that asked: it runs its first cells now.
_AFTER_S = 2.0
# A driver that is not warm by then never will be.
_SLOW_S = 180.0


@dataclass(slots=True)
class _Warm:
    key: str
    recipe: Recipe
    driver: dict[str, Any]
    since_s: float
    line: Line | None = None
    ready: threading.Event = field(default_factory=threading.Event)


class WarmPool:
    """Keeps drivers warm for the kinds of sessions that were asked for; safe between threads.

    A driver is used once: it is claimed by one session, serves it, and ends with it. After a restart of the service
    those that nobody claimed are found again by their folders.

    Args:
        folder: Of the sessions; each warm driver has a folder in it, which becomes its session's.
        sockets: Holds the sockets.
        bundles: Where the code that a driver needs of us is kept.
        busy: Whether a session is starting, which nothing here may delay.
        archives: Folder of class-data archives; None: none are written or used.
        kind: Of the drivers; ``python`` ones have no Spark, and serve sessions of that kind alone.
        alone_s: Without a service for so long an unclaimed driver ends itself.
        free_bytes: How much memory the machine has left.
    """

    def __init__(
        self,
        folder: Path,
        sockets: Path,
        bundles: Path,
        limits: WarmLimits,
        *,
        clock: Clock,
        busy: Callable[[], bool],
        archives: Path | None = None,
        kind: str = "pyspark",
        alone_s: float = 60.0,
        free_bytes: Callable[[], int] = lambda: int(psutil.virtual_memory().available),
    ) -> None:
        self._folder = folder
        self._sockets = sockets
        self._bundles = bundles
        self._limits = limits
        self._clock = clock
        self._busy = busy
        self._archives = archives
        self._writer = None if archives is None else ArchiveWriter(folder, bundles, archives)
        self._kind = kind
        self._alone_s = alone_s
        self._free_bytes = free_bytes
        self._lock = threading.RLock()
        self._kept: dict[str, _Warm] = {}
        self._used: dict[str, tuple[Recipe, float]] = {}
        # Kinds that did not get warm; tried again when their use is forgotten.
        self._hopeless: set[str] = set()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="warm drivers", daemon=True)

    def start(self, known: Collection[str] = ()) -> None:
        """Find the drivers of an earlier service, and keep them warm from now on, until `close`.

        Args:
            known: Folders of sessions' drivers; one that was claimed and is none of them is nobody's.
        """
        for folder in warm_folders(self._folder):
            if str(folder) not in known:
                self._adopt(folder)
        if self._limits.count > 0 or self._writer is not None:
            self._thread.start()

    def claim(self, session: Session, interpreter: str, alone_s: float) -> dict[str, Any] | None:
        """A driver for a session, as `nbplat.session.ports.Drivers.start` returns it; None: start one.

        What is getting warm or being written is ended when the session has to start its own.
        """
        if (session.kind == "python") != (self._kind == "python"):
            return None
        recipe = recipe_of(interpreter, session.conf)
        found = None if recipe is None else self._taken(recipe)
        if found is not None and self._given(found, session, alone_s):
            return found.driver
        self._make_way()
        return None

    def abandon(self, session_id: int) -> None:
        """End what an earlier service claimed for a session and did not get to write down."""
        for folder in warm_folders(self._folder):
            if _read(folder / "claimed") == {"session": session_id}:
                _end(folder)

    def look(self) -> None:
        """End and start what is due; called every second."""
        for name, warm in self._all():
            self._look_at(name, warm)
        if self._writer is not None:
            self._writer.look()
        now_s = self._clock.monotonic_s()
        with self._lock:
            unused = {key: now_s - used_s for key, (_, used_s) in self._used.items()}
            for key in [key for key, age in unused.items() if age > self._limits.keep_s]:
                self._used.pop(key)
                self._hopeless.discard(key)
        wanted = {key: age for key, age in unused.items() if key not in self._hopeless}
        free = self._free_bytes()
        now = steps(
            [Kept(name, warm.key, now_s - warm.since_s) for name, warm in self._all()],
            wanted,
            self._limits,
            free_bytes=free,
            busy=self._waits(unused),
        )
        for name in now.end:
            self._drop(name)
        if self._waits(unused) or free < self._limits.free_bytes:
            return
        if self._writer is not None and self._writes(self._writer):
            return
        if now.start is not None:
            self._warm_up(now.start)

    def counts(self) -> dict[str, int]:
        """Gauges: drivers that are ``ready``, and those ``warming``."""
        ready = sum(one["ready"] for one in self.report())
        return {"ready": ready, "warming": len(self.report()) - ready}

    def report(self) -> list[dict[str, Any]]:
        """Each driver that is here: ``key``, ``ready``, ``pid`` and ``age_s``."""
        now_s = self._clock.monotonic_s()
        return [
            {
                "key": warm.key,
                "ready": warm.ready.is_set(),
                "pid": warm.driver["pid"],
                "age_s": round(now_s - warm.since_s, 1),
            }
            for _, warm in self._all()
        ]

    def close(self) -> None:
        """End every driver that no session has, and what is being written."""
        self._closing.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            # What it starts just now would be left behind.
            self._thread.join(_JOIN_S)
        for name, _ in self._all():
            self._drop(name)
        if self._writer is not None:
            self._writer.stop()

    def _run(self) -> None:
        while not self._closing.wait(_LOOK_S):
            try:
                self.look()
            except Exception:  # noqa: BLE001 - logged; the next look may go better
                _log.exception("warm drivers")

    def _waits(self, unused_s: dict[str, float]) -> bool:
        return any(age < _AFTER_S for age in unused_s.values()) or self._busy()

    def _all(self) -> list[tuple[str, _Warm]]:
        with self._lock:
            return list(self._kept.items())

    def _taken(self, recipe: Recipe) -> _Warm | None:
        """Take one out of the pool, a ready one first; note that its kind was asked for."""
        key = key_of(recipe, facts_of(recipe))
        with self._lock:
            self._used[key] = (recipe, self._clock.monotonic_s())
            fitting = [(not warm.ready.is_set(), name) for name, warm in self._kept.items() if warm.key == key]
            for _, name in sorted(fitting):
                # One that does not listen yet has not even begun.
                if self._kept[name].line is not None:
                    return self._kept.pop(name)
        return None

    def _given(self, warm: _Warm, session: Session, alone_s: float) -> bool:
        folder = Path(warm.driver["folder"])
        line = warm.line
        assert line is not None  # noqa: S101 - `_taken` has looked
        try:
            # Before it is asked: a service that dies between the two must know whose it would have been.
            write_private(folder / "claimed", json.dumps({"session": session.id}))
            os.truncate(folder / DRIVER_LOG, 0)
            conf = in_folder(dict(session.conf), folder)
            if not line.ask("claim", limit_s=_CLAIM_S, kind=session.kind, conf=conf, alone_s=alone_s)["claimed"]:
                raise RemoteError("session.driver", "it is on its way out", fix="")
        except (NbplatError, OSError) as exc:
            _log.warning("a warm driver could not be claimed: %s", exc)
            _end(folder, warm.driver)
            return False
        finally:
            line.close()
        return True

    def _make_way(self) -> None:
        if self._writer is not None:
            self._writer.stop()
        for name, warm in self._all():
            if not warm.ready.is_set():
                self._drop(name)

    def _writes(self, writer: ArchiveWriter) -> bool:
        """Whether an archive is being written, which comes first: those who start later gain by it."""
        if writer.writes:
            return True
        with self._lock:
            waiting = [(key, recipe) for key, (recipe, _) in self._used.items()]
        return any(writer.begin(key, recipe) for key, recipe in waiting)

    def _warm_up(self, key: str) -> None:
        recipe = self._used[key][0]
        folder = self._folder / f"{_PREFIX}{secrets.token_hex(8)}"
        fresh_folder(folder)
        sock = str(self._sockets / f"w-{secrets.token_hex(6)}")
        spec = {
            "warm": True,
            "kind": self._kind,
            "conf": in_folder({**recipe.hints, **recipe.conf}, folder),
            "socket": sock,
            "token": secrets.token_urlsafe(24),
            "warm_alone_s": self._alone_s,
            "archives": "" if self._archives is None else str(self._archives),
        }
        write_private(folder / "spec.json", json.dumps(spec))
        try:
            process = start_kept(folder, DRIVER_LOG, driver_command(recipe.interpreter, self._bundles, folder))
        except NbplatError as exc:
            _log.warning("no warm driver: %s", exc)
            self._hopeless.add(key)
            shutil.rmtree(folder, ignore_errors=True)
            return
        driver = {**process, "socket": sock}
        write_private(folder / "warm.json", json.dumps({"key": key, "recipe": asdict(recipe), "driver": driver}))
        with self._lock:
            self._kept[folder.name] = _Warm(key, recipe, driver, self._clock.monotonic_s())

    def _look_at(self, name: str, warm: _Warm) -> None:
        if warm.line is None:
            with contextlib.suppress(NbplatError, OSError, ValueError):
                spec = json.loads(Path(warm.driver["folder"], "spec.json").read_text())
                warm.line = Line(warm.driver["socket"], spec["token"], 0)
                threading.Thread(target=_listen, args=(warm, warm.line), name="warm driver", daemon=True).start()
        slow = not warm.ready.is_set() and self._clock.monotonic_s() - warm.since_s > _SLOW_S
        if slow or not kept_lives(warm.driver):
            tail = Path(warm.driver["folder"], DRIVER_LOG)
            said = tail.read_text(errors="replace")[-500:] if tail.exists() else ""
            _log.warning("a warm driver %s: %s", "is too slow" if slow else "has ended", said)
            if not warm.ready.is_set():
                self._hopeless.add(warm.key)
            self._drop(name)

    def _drop(self, name: str) -> None:
        with self._lock:
            warm = self._kept.pop(name, None)
        if warm is None:
            return
        if warm.line is not None:
            warm.line.close()
        _end(Path(warm.driver["folder"]), warm.driver)

    def _adopt(self, folder: Path) -> None:
        found = _read(folder / "warm.json")
        try:
            recipe = Recipe(**found["recipe"])
            driver, key = dict(found["driver"]), str(found["key"])
            fits = key_of(recipe, facts_of(recipe)) == key and not (folder / "claimed").exists()
        except (KeyError, TypeError):
            fits = False
        if not fits or not kept_lives(driver):
            _end(folder)
            return
        now_s = self._clock.monotonic_s()
        with self._lock:
            self._used[key] = (recipe, now_s)
            self._kept[folder.name] = _Warm(key, recipe, driver, now_s)


def warm_here(folder: Path) -> list[int]:
    """Memory of each driver that nobody has claimed, with its JVM, bytes; whichever service keeps them."""
    found = []
    for each in warm_folders(folder):
        driver = _read(each / "warm.json").get("driver")
        if driver and not (each / "claimed").exists() and kept_lives(driver):
            found.append(_memory(int(driver["pid"])))
    return found


def _memory(group: int) -> int:
    total = 0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(process.pid) == group:
                total += process.memory_info().rss
    return total


def warm_folders(folder: Path) -> list[Path]:
    """Folders of warm drivers, of those that a session has claimed, and of archives that are being written."""
    return sorted(folder.glob(f"{_PREFIX}*"))


def _listen(warm: _Warm, line: Line) -> None:
    for events in line.events():
        if any(event["event"] == "warm" for event in events):
            warm.ready.set()


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _end(folder: Path, driver: dict[str, Any] | None = None) -> None:
    driver = driver or _read(folder / "warm.json").get("driver")
    if driver:
        kill_kept(driver)
        Path(driver["socket"]).unlink(missing_ok=True)
    # By its command as well: a service may have died before it wrote down which process this is.
    end_strays(folder)
    shutil.rmtree(folder, ignore_errors=True)
