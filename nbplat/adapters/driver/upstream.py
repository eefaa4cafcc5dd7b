"""Sessions on another Livy server: started there, followed from here, kept here."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbplat.adapters.driver.kept import fresh_folder, log_of
from nbplat.adapters.driver.upstream_http import LivyAnswer, LivyHttp
from nbplat.adapters.driver.upstream_line import UpstreamLine
from nbplat.errors import RemoteError, SetupError
from nbplat.remote.driver.event_log import read_events
from nbplat.session.ports import Ending

if TYPE_CHECKING:
    from nbplat.session.ports import Drivers
    from nbplat.session.records import Session

__all__ = ["UPSTREAM_PLACE", "UpstreamDrivers"]

UPSTREAM_PLACE = "livy"
"""In a driver's record, as ``place``."""

_LOG = "driver.log"
_READY = ("idle", "busy")
_GONE = ("shutting_down", "error", "dead", "killed", "success")
_SEEN_S = 0.5
_TAIL_LINES = 20
_NOT_SENT = ("spark.master", "spark.nbplat.")


class UpstreamDrivers:
    """Drivers that another server looks after.

    Args:
        folder: Holds a folder a session; made when missing.
        reach: Makes what reaches a server, of its address.
        site: Tells our sessions from those of others there: the same after every restart, and nobody else's.
    """

    def __init__(self, folder: Path, reach: Callable[[str], LivyHttp], site: str) -> None:
        self._folder = folder
        self._reach = reach
        self._site = site
        self._lock = threading.Lock()
        # By our number: the state there, and when it was asked for, by monotonic time.
        self._seen: dict[int, tuple[float, str]] = {}

    def start(self, session: Session) -> dict[str, Any]:
        """Start one there; see `nbplat.session.ports.Drivers`."""
        folder, url = self._folder / str(session.id), session.conf["spark.master"]
        fresh_folder(folder)
        http = self._reach(url)
        name = f"nbplat-{self._site}-{session.id}"
        body: dict[str, Any] = {
            "kind": session.kind,
            "name": name,
            "conf": {key: value for key, value in session.conf.items() if not key.startswith(_NOT_SENT)},
        }
        if session.proxy_user:
            body["proxyUser"] = session.proxy_user
        try:
            found = self._named(http, name) or http.post("/sessions", body)
        except LivyAnswer as exc:
            raise SetupError(
                "session.upstream",
                f"the Livy server starts no session: {exc.status} {exc.text.strip()}",
                fix="mend the request, or ask who runs that server",
                where=url,
            ) from None
        # The number stands for a process id: what finds it again.
        number = int(found["id"])
        return {"place": UPSTREAM_PLACE, "pid": number, "folder": str(folder), "session": session.id, "url": url}

    def lives(self, driver: Mapping[str, Any]) -> bool:
        """Whether the server has it and it has not ended; while the server is away nothing has."""
        if not driver:
            return False
        return self._state(driver) not in _GONE

    def open(self, driver: Mapping[str, Any], after: int) -> UpstreamLine | None:
        """A line once the session is ready."""
        if self._state(driver) not in _READY:
            return None
        return UpstreamLine(self._reach(driver["url"]), int(driver["pid"]), Path(driver["folder"]), after)

    def left_behind(self, driver: Mapping[str, Any], after: int) -> list[dict[str, Any]]:
        """What its line had written down."""
        return read_events(str(Path(driver["folder"]) / "events"), after)

    def ending(self, driver: Mapping[str, Any]) -> Ending:
        """What the server says of it."""
        _, lines = self.log(driver, after=-_TAIL_LINES, limit=_TAIL_LINES)
        state = self._state(driver)
        said = "the Livy server does not know the session any more" if state == "dead" else f"it is {state} there"
        return Ending(None, [*lines, said])

    def page(self, driver: Mapping[str, Any], statement_id: int, page: int) -> Path | None:
        """None: rows come as Livy's JSON."""
        return None

    def drop_rows(self, driver: Mapping[str, Any], statement_ids: Sequence[int]) -> None:
        """Nothing: there are none."""

    def new_frame(self, driver: Mapping[str, Any]) -> Path:
        """Refused: Livy takes no DataFrames."""
        raise RemoteError(
            "session.upstream",
            "sessions on another Livy server take no DataFrames from here",
            fix="write it to storage that the cluster reads, and read it there",
            where=driver["url"],
        )

    def kill(self, driver: Mapping[str, Any]) -> None:
        """End it there."""
        if not driver:
            return
        with contextlib.suppress(LivyAnswer, RemoteError):
            self._keep_log(driver)
        try:
            self._reach(driver["url"]).call("DELETE", f"/sessions/{driver['pid']}")
        except LivyAnswer as exc:
            if exc.status != 404:
                raise RemoteError(
                    "session.upstream",
                    f"the Livy server does not end the session: {exc.status} {exc.text.strip()}",
                    fix="stop it again, or there",
                    where=driver["url"],
                ) from None
        with self._lock:
            self._seen[driver["session"]] = (float("inf"), "dead")

    def log(self, driver: Mapping[str, Any], *, after: int = 0, limit: int = 1000) -> tuple[int, list[str]]:
        """Lines of its log there, or what was kept of it."""
        if not driver:
            return 0, []
        with contextlib.suppress(LivyAnswer, RemoteError):
            found = self._reach(driver["url"]).get(
                f"/sessions/{driver['pid']}/log?from={after}&size={min(limit, 1_000_000)}"
            )
            return int(found["total"]), [str(line) for line in found["log"]]
        return log_of(driver, _LOG, after=after, limit=limit)

    def remove(self, driver: Mapping[str, Any]) -> None:
        """Delete the folder."""
        shutil.rmtree(driver["folder"], ignore_errors=True)
        with self._lock:
            self._seen.pop(driver["session"], None)

    def close(self) -> None:
        """Nothing is held open."""

    def _named(self, http: LivyHttp, name: str) -> dict[str, Any] | None:
        """One that an earlier try of the same start has made."""
        with contextlib.suppress(LivyAnswer):
            found: dict[str, Any] = http.get(f"/sessions/{name}")
            return found if found.get("name") == name and found["state"] not in _GONE else None
        return None

    def _state(self, driver: Mapping[str, Any]) -> str:
        number = int(driver["session"])
        with self._lock:
            asked, state = self._seen.get(number, (0.0, ""))
        if time.monotonic() - asked < _SEEN_S and state:
            return state
        try:
            state = str(self._reach(driver["url"]).get(f"/sessions/{driver['pid']}/state")["state"])
        except LivyAnswer as exc:
            state = "dead" if exc.status == 404 else state or "away"
        except RemoteError:
            state = "away"
        if state in _GONE:
            with contextlib.suppress(LivyAnswer, RemoteError):
                self._keep_log(driver)
        with self._lock:
            # An end stays one.
            self._seen[number] = (float("inf") if state in _GONE else time.monotonic(), state)
        return state

    def _keep_log(self, driver: Mapping[str, Any]) -> None:
        file = Path(driver["folder"], _LOG)
        if not file.exists() and file.parent.is_dir():
            found = self._reach(driver["url"]).get(f"/sessions/{driver['pid']}/log?from=0&size=10000")
            file.write_text("".join(f"{line}\n" for line in found["log"]))


if TYPE_CHECKING:
    _KEEPS_THE_PORT: type[Drivers] = UpstreamDrivers
