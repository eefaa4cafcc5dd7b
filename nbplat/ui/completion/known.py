"""The names that the running service knows, remembered for a moment and asked for beside the key press."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as TooSlow
from pathlib import Path
from typing import Any

from nbplat.clock import Clock, SystemClock
from nbplat.config import Config, load_config
from nbplat.errors import NbplatError
from nbplat.ui.kernel.asking import running_client

__all__ = ["LIMIT_S", "Known"]

LIMIT_S = 0.3
"""How long one key press waits for names; what comes later is there for the next one."""

_KEPT_S = 10.0
_ASK_S = 20.0
_INNER = ("nb_frames.", "nb_sequences.")


class Known:
    """Names by kind. Nothing is known while no service runs, and asking starts none.

    Args:
        variables: The notebook's, looked up at each question.
        client: Gives a client of the running service, or None.
    """

    def __init__(
        self,
        variables: Callable[[], Mapping[str, Any]] = dict,
        *,
        client: Callable[[], Any] | None = None,
        clock: Clock | None = None,
        limit_s: float = LIMIT_S,
    ) -> None:
        self._variables = variables
        self._client = client or _running
        self._clock = clock or SystemClock()
        self._limit_s = limit_s
        self._kept: dict[str, tuple[float, list[str]]] = {}
        self._asked: dict[str, Future[list[str]]] = {}
        self._guard = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    def tables(self) -> list[str]:
        """Tables that people made."""
        every = self._names("/api/v1/tables", lambda reply: reply["tables"])
        return [name for name in every if not name.startswith(_INNER)]

    def columns(self, table: str) -> list[str]:
        """The columns of a table; empty when there is no such table."""
        if table.count(".") != 1:
            return []
        return self._names(f"/api/v1/tables/{table}", lambda reply: [each["name"] for each in reply["columns"]])

    def runs(self) -> list[str]:
        """Names of backfill runs, newest first, then each run by number."""
        ids = self._names("/api/v1/runs?kind=backfill", lambda reply: [each["id"] for each in reply["runs"]])
        return [*dict.fromkeys(run.partition("@")[0] for run in ids), *ids]

    def sequences(self) -> list[str]:
        """Names of kept definitions, then each version."""
        ids = self._names("/api/v1/runs?kind=sequence", lambda reply: [each["id"] for each in reply["runs"]])
        return [*dict.fromkeys(run.partition("@")[0] for run in ids), *ids]

    def environments(self) -> list[str]:
        """Declarations of this folder, then what is built."""
        built = self._names("/api/v1/environments", lambda reply: [each["name"] for each in reply["environments"]])
        declared = sorted(path.stem for path in Path("envs").glob("*.yml"))
        return list(dict.fromkeys([*declared, *built]))

    def sessions(self) -> list[str]:
        """Names of living sessions, ids of those without one."""
        return self._names(
            "/api/v1/sessions?limit=1000",
            lambda reply: [each["name"] or str(each["id"]) for each in reply["sessions"] if not each["ended"]],
        )

    def trainings(self) -> list[str]:
        """Names of training runs, newest first, then each run by number."""
        ids = self._names("/api/v1/runs?kind=training", lambda reply: [each["id"] for each in reply["runs"]])
        return [*dict.fromkeys(run.partition("@")[0] for run in ids), *ids]

    def jobs(self) -> list[str]:
        """Ids of jobs, newest first."""
        return self._names("/api/v1/jobs?limit=100", lambda reply: [each["id"] for each in reply["jobs"]])

    def profiles(self) -> list[str]:
        """Names of profiles of sessions."""
        return self._names("/api/v1/session-profiles", lambda reply: [each["name"] for each in reply["profiles"]])

    def variables(self) -> list[str]:
        """Public names of the notebook."""
        return sorted(name for name in self._variables() if not name.startswith("_"))

    def _names(self, path: str, pick: Callable[[Any], list[str]]) -> list[str]:
        with self._guard:
            at, known = self._kept.get(path, (0.0, []))
            if known and self._clock.monotonic_s() - at < _KEPT_S:
                return known
            asked = self._asked.get(path)
            if asked is None or asked.done():
                self._pool = self._pool or ThreadPoolExecutor(max_workers=2, thread_name_prefix="nbplat-names")
                asked = self._asked[path] = self._pool.submit(self._ask, path, pick)
        try:
            return asked.result(self._limit_s)
        except TooSlow:
            return known

    def _ask(self, path: str, pick: Callable[[Any], list[str]]) -> list[str]:
        client = self._client()
        if client is None:
            return []
        where, _, query = path.partition("?")
        words = dict(pair.split("=") for pair in query.split("&")) if query else {}
        try:
            found = pick(client.get(where, timeout_s=_ASK_S, **words))
        except (NbplatError, KeyError, TypeError):
            return []
        with self._guard:
            self._kept[path] = (self._clock.monotonic_s(), found)
        return found


def _running() -> Any:
    try:
        config: Config = load_config()
    except NbplatError:
        return None
    return running_client(config)
