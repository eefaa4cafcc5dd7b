"""A session on another Livy server as a line: statements go there, and what they come to is written down here."""

from __future__ import annotations

import contextlib
import json
import re
import threading
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbplat.adapters.driver.upstream_http import LivyAnswer, LivyHttp
from nbplat.errors import RemoteError
from nbplat.remote.driver.event_log import EventLog

if TYPE_CHECKING:
    from nbplat.session.ports import Driver

__all__ = ["UpstreamLine"]

_QUICK_S = 0.1
_SLOWEST_S = 1.0
_GONE = ("shutting_down", "error", "dead", "killed", "success")
_WORD = re.compile(r"\w*\Z")
_KINDS = {"python": "pyspark", "sql": "sql"}
_FINAL = ("available", "cancelled", "error")
_PLAIN_PROGRESS = {"jobs": 0, "done": 0, "active": 0, "failed": 0, "total": 0, "stages": []}


class UpstreamLine:
    """One session there. A thread asks for what has changed, and numbers it in an event log of ours.

    Args:
        number: The session's there.
        folder: Of the session here: events and ``sent.json``, which statement is which there.
        after: Number of the newest event that is known already.

    Raises:
        RemoteError: the server does not answer.
    """

    def __init__(self, http: LivyHttp, number: int, folder: Path, after: int) -> None:
        self._http = http
        self._path = f"/sessions/{number}"
        self._file = folder / "sent.json"
        self._log = EventLog(str(folder / "events"))
        self._after = after
        self._changing = threading.RLock()
        self._news = threading.Event()
        self._closed = threading.Event()
        self._seen: dict[int, tuple[str, float]] = {}
        self._last, self._open = self._read_sent()
        self._state = ""
        self._find_lost()
        threading.Thread(target=self._follow, name="upstream", daemon=True).start()

    def events(self) -> Iterator[list[dict[str, Any]]]:
        """Rows of events as they come."""
        while True:
            ended = self._closed.is_set()
            row = self._log.read(self._after)
            if row:
                self._after = row[-1]["seq"]
                yield row
            elif ended:
                return
            else:
                self._log.wait(self._after, 1.0)

    def ask(self, what: str, *, limit_s: float = 10.0, **values: Any) -> dict[str, Any]:
        """Pass a question on."""
        try:
            return self._ask(what, values)
        except LivyAnswer as exc:
            raise self._refused(f"it refuses {what!r}: {exc.status} {exc.text.strip()[:500]}") from None

    def close(self) -> None:
        """Follow no more."""
        self._closed.set()
        self._news.set()
        self._log.close()

    def _ask(self, what: str, values: Mapping[str, Any]) -> dict[str, Any]:
        if what == "run":
            return {"fresh": self._run(int(values["id"]), str(values["runner"]), values["body"])}
        if what == "cancel":
            with self._changing:
                number = self._open.get(int(values["id"]))
            if number is not None:
                self._http.post(f"{self._path}/statements/{number}/cancel", {})
            self._news.set()
            return {"is": "ended" if number is None else "running"}
        if what == "complete":
            body = {"code": values["code"], "cursor": str(values["cursor"]), "kind": "pyspark"}
            found = [str(one) for one in self._http.post(f"{self._path}/completion", body)["candidates"]]
            word = _WORD.search(values["code"][: values["cursor"]])
            return {"matches": found, "start": values["cursor"] - len(word[0] if word else ""), "end": values["cursor"]}
        if what == "inspect":
            return {"found": False}
        if what == "add":
            uri = str(values["uri"])
            if urllib.parse.urlsplit(uri).scheme in ("", "file"):
                raise self._refused("that server does not read this machine's files")
            self._http.post(f"{self._path}/add-{values['kind']}", {"uri": uri})
            return {}
        if what == "forget":
            self._log.forget(int(values["up_to"]))
            return {}
        if what == "stop":
            self._http.call("DELETE", self._path)
            return {}
        raise self._refused(f"Livy has nothing like {what!r}")

    def _run(self, number: int, runner: str, body: Mapping[str, Any]) -> bool:
        with self._changing:
            if number <= self._last:
                return False
            if runner not in _KINDS:
                self._last = number
                self._write_sent()
                self._log.append("accepted", id=number)
                self._log.append("started", id=number)
                self._log.append("done", id=number, status="error", output=_unknown(runner))
                return True
            # Written down first: a service that dies in between looks for it there.
            self._last, self._open[number] = number, None
            self._write_sent(code=body["code"])
            found = self._http.post(f"{self._path}/statements", {"code": body["code"], "kind": _KINDS[runner]})
            self._open[number] = int(found["id"])
            self._write_sent()
            self._log.append("accepted", id=number)
        self._news.set()
        return True

    def _follow(self) -> None:
        wait_s = _QUICK_S
        while not self._closed.is_set():
            before = self._log.last
            try:
                self._look()
            except LivyAnswer as exc:
                if exc.status == 404:
                    break
            except RemoteError:
                wait_s = _SLOWEST_S  # it is away; sessions there live on
            wait_s = _QUICK_S if self._log.last > before else min(wait_s * 1.3, _SLOWEST_S)
            self._news.wait(wait_s)
            self._news.clear()
        self.close()

    def _look(self) -> None:
        found = self._http.get(self._path)
        state = str(found["state"])
        if not self._state:
            info = found.get("appInfo") or {}
            self._log.append("spark", app_id=found.get("appId"), ui=info.get("sparkUiUrl"), master=self._http.url)
        if state in _GONE:
            self._closed.set()
            return
        with self._changing:
            waiting = sorted((mine, there) for mine, there in self._open.items() if there is not None)
        for mine, there in waiting:
            if not self._statement(mine, self._http.get(f"{self._path}/statements/{there}")):
                break
        if state != self._state and not waiting:
            self._log.append("state", state=state)
        self._state = state

    def _statement(self, number: int, found: Mapping[str, Any]) -> bool:
        """Tell what is new of a statement; whether it has ended."""
        state, progress = str(found["state"]), float(found.get("progress") or 0.0)
        if state == "waiting":
            return False
        seen, told = self._seen.get(number, ("", 0.0))
        if not seen:
            self._log.append("started", id=number)
        if state not in _FINAL:
            if progress > told:
                self._log.append("progress", id=number, fraction=min(progress, 0.99), **_PLAIN_PROGRESS)
            self._seen[number] = (state, max(progress, told))
            return False
        output = found.get("output")
        failed = output is not None and output["status"] == "error"
        status = "cancelled" if state == "cancelled" else "error" if failed else "ok"
        with self._changing:
            self._log.append("done", id=number, status=status, output=_output(output))
            self._open.pop(number, None)
            self._write_sent()
        self._seen.pop(number, None)
        return True

    def _find_lost(self) -> None:
        """A statement whose sending was cut short by our death: it is there, or is sent again."""
        lost = [mine for mine, there in self._open.items() if there is None]
        if not lost:
            return
        try:
            there = self._http.get(f"{self._path}/statements?size=1000")["statements"]
        except LivyAnswer as exc:
            raise self._refused(f"{exc.status} {exc.text.strip()[:500]}") from None
        known = {number for number in self._open.values() if number is not None}
        sent = json.loads(self._file.read_text())
        for mine in lost:
            fits = [
                int(one["id"])
                for one in there
                if int(one["id"]) > int(sent.get("newest", -1))
                and int(one["id"]) not in known
                and one.get("code") == sent.get("code")
            ]
            if fits:
                self._open[mine] = min(fits)
            else:
                self._open.pop(mine)
                self._last = mine - 1
        self._write_sent()

    def _read_sent(self) -> tuple[int, dict[int, int | None]]:
        with contextlib.suppress(OSError, ValueError):
            found = json.loads(self._file.read_text())
            self._newest = int(found["newest"])
            return int(found["last"]), {int(mine): there for mine, there in found["open"].items()}
        self._newest = -1
        return -1, {}

    def _write_sent(self, code: str = "") -> None:
        self._newest = max([self._newest, *(there for there in self._open.values() if there is not None)])
        kept = {"last": self._last, "open": self._open, "newest": self._newest, "code": code}
        fresh = self._file.with_suffix(".new")
        fresh.write_text(json.dumps(kept))
        fresh.replace(self._file)

    def _refused(self, why: str) -> RemoteError:
        return RemoteError(
            "session.upstream",
            f"the session's Livy server is of no help: {why}",
            fix="do without, or run sessions here: session.master",
            where=self._http.url,
        )


def _output(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if found is None:
        return None
    if found["status"] == "error":
        named = {name: str(found.get(name) or "") for name in ("ename", "evalue")}
        return {**named, "traceback": list(found.get("traceback") or ()), "error_class": "", "dropped": 0}
    return {"data": dict(found.get("data") or {}), "dropped": 0}


def _unknown(runner: str) -> dict[str, Any]:
    what = {"job": "jobs", "put": "DataFrames of a notebook", "take": "rows as Arrow"}.get(runner, repr(runner))
    text = f"sessions on another Livy server have no {what}"
    return {
        "ename": "NotOnLivy",
        "evalue": text,
        "traceback": [f"{text}\n"],
        "error_class": "session.upstream",
        "dropped": 0,
    }


if TYPE_CHECKING:
    _KEEPS_THE_PORT: type[Driver] = UpstreamLine
