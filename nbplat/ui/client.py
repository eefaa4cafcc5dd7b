"""Talk to the service, and start it when it is not there.

On the standard library's http.client: it costs 15 ms to import where httpx costs 120, and every magic
and every CLI verb pays that; a request at a time over loopback needs no pool.
"""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

from nbplat.config import Config
from nbplat.errors import NbplatError, NotFound, RemoteError, SetupError, from_record
from nbplat.job.asked_from import asked_from
from nbplat.service.discovery import (
    NOTEBOOK_HEADER,
    PLATFORM,
    log_file,
    private_folder,
    read_info,
    run_start,
    service_lock,
    version,
    worker_lock,
)
from nbplat.service.lock import holder_of
from nbplat.service.logs import last_lines

if TYPE_CHECKING:
    import http.client

__all__ = ["START_S", "ServiceClient", "find_or_start", "stop_service", "team_client"]

START_S = 20.0
"""How long a service may take to answer at its start."""

_CONNECT_S = 5.0


class ServiceClient:
    """Requests to one service; safe to share between threads.

    Args:
        url: ``http://127.0.0.1:23456``.
        token: Sent as Bearer.
        config: Set for a service of this machine: then one that died is started again by the next call.
        factory: The platform factory a started service opens.
        user: Sent with the token as password (Basic); empty sends the token as Bearer.
    """

    def __init__(
        self, url: str, token: str, *, config: Config | None = None, factory: str = PLATFORM, user: str = ""
    ) -> None:
        self.url = url.rstrip("/")
        self._user = user
        self._token = token
        self._config = config
        self._factory = factory

    @property
    def token(self) -> str:
        """What every request carries."""
        return self._token

    def get(self, path: str, *, timeout_s: float = 60.0, **query: Any) -> Any:
        """GET; None values are left out of the query. Returns the JSON reply."""
        return self.request("GET", path, query=query, timeout_s=timeout_s)

    def post(self, path: str, body: Any = None, *, timeout_s: float = 60.0, **query: Any) -> Any:
        """POST a JSON body. Returns the JSON reply."""
        return self.request("POST", path, query=query, body=body, timeout_s=timeout_s)

    def post_bytes(self, path: str, body: bytes, *, timeout_s: float = 600.0, **query: Any) -> Any:
        """POST bytes as they are. Returns the JSON reply."""
        return self.request("POST", path, query=query, body=body, timeout_s=timeout_s)

    def get_bytes(self, path: str, *, timeout_s: float = 600.0) -> bytes:
        """GET a reply that is no JSON."""
        status, reply = self._answered("GET", path, {}, None, timeout_s)
        if status >= 400:
            self._reply(status, reply)
        return reply

    def delete(self, path: str, *, timeout_s: float = 60.0, **query: Any) -> Any:
        """DELETE. Returns the JSON reply."""
        return self.request("DELETE", path, query=query, timeout_s=timeout_s)

    def request(
        self, verb: str, path: str, *, query: Mapping[str, Any], body: Any = None, timeout_s: float = 60.0
    ) -> Any:
        """One request.

        Raises:
            NbplatError: the service's own error, as its class.
            RemoteError: the service does not answer, or is no nbplat service.
        """
        return self._reply(*self._answered(verb, path, query, body, timeout_s))

    def _answered(
        self, verb: str, path: str, query: Mapping[str, Any], body: Any, timeout_s: float
    ) -> tuple[int, bytes]:
        if self._config is not None and holder_of(service_lock(self._config)) is None:
            # Known without a connection: what listens on a dead service's port must not be shown the token.
            self._restart()
        shown = {key: value for key, value in query.items() if value is not None}
        target = quote(path, safe="/@") + (f"?{urlencode(shown, doseq=True)}" if shown else "")
        try:
            return self._exchange(verb, target, body, timeout_s)
        except ConnectionRefusedError:
            # It died after the look above, before it heard us: nothing was done, so any verb may be sent again.
            if self._config is None:
                raise self._unreachable("it refuses the connection") from None
            self._restart()
            return self._again(verb, target, body, timeout_s)
        except TimeoutError:
            raise self._unreachable(f"no answer within {timeout_s:g} s") from None
        except OSError as exc:
            if self._config is None or verb != "GET":
                raise self._unreachable(f"the connection broke ({exc}); it may have been done all the same") from exc
            self._restart()
            return self._again(verb, target, body, timeout_s)

    def lines(self, path: str, *, timeout_s: float = 60.0, **query: Any) -> Iterator[str]:
        """GET a reply that is streamed; yields its lines as they come, without their ends.

        Args:
            timeout_s: Longest silence.

        Raises:
            NbplatError: the service's own error, as its class.
            RemoteError: ``service.unreachable``: it does not answer, or the stream broke.
        """
        import http.client

        if self._config is not None and holder_of(service_lock(self._config)) is None:
            self._restart()
        shown = {key: value for key, value in query.items() if value is not None}
        target = quote(path, safe="/@") + (f"?{urlencode(shown)}" if shown else "")
        connection = self._connection()
        try:
            reply = self._sent(connection, "GET", target, None, timeout_s)
            if reply.status >= 400:
                self._reply(reply.status, reply.read())
            for line in reply:
                yield line.decode(errors="replace").rstrip("\r\n")
        except (OSError, http.client.HTTPException) as exc:
            raise self._unreachable(f"the stream broke ({type(exc).__name__}: {exc})") from exc
        finally:
            connection.close()

    def wait_job(self, job_id: str, *, timeout_s: float | None = None) -> dict[str, Any]:
        """Wait until a job has ended; returns its record. None waits for ever.

        Raises:
            RemoteError: it has not ended within `timeout_s`.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left = 25.0 if deadline is None else min(25.0, max(0.0, deadline - time.monotonic()))
            job: dict[str, Any] = self.get(f"/api/v1/jobs/{job_id}/wait", timeout_s=left + 30.0, wait_s=left)
            if job["ended"]:
                return job
            if deadline is not None and time.monotonic() >= deadline:
                raise RemoteError(
                    "job.slow", f"job {job_id} is still {job['state']}", fix="wait longer, or look at its log"
                )

    def _again(self, verb: str, target: str, body: Any, timeout_s: float) -> tuple[int, bytes]:
        try:
            return self._exchange(verb, target, body, timeout_s)
        except OSError as exc:
            raise self._unreachable(str(exc)) from exc

    def _exchange(self, verb: str, target: str, body: Any, timeout_s: float) -> tuple[int, bytes]:
        import http.client

        connection = self._connection()
        try:
            reply = self._sent(connection, verb, target, body, timeout_s)
            return reply.status, reply.read()
        except http.client.HTTPException as exc:
            raise ConnectionResetError(f"{type(exc).__name__}: {exc}") from exc
        finally:
            connection.close()

    def _sent(
        self, connection: http.client.HTTPConnection, verb: str, target: str, body: Any, timeout_s: float
    ) -> http.client.HTTPResponse:
        headers = {"Authorization": self._authorization(), "Accept": "application/json"}
        if notebook := asked_from():
            headers[NOTEBOOK_HEADER] = quote(notebook)
        payload = None
        if body is not None:
            raw = isinstance(body, bytes)
            payload = body if raw else json.dumps(body).encode()
            headers["Content-Type"] = "application/octet-stream" if raw else "application/json"
        base = urlsplit(self.url).path.rstrip("/")
        connection.connect()
        if connection.sock is not None:
            connection.sock.settimeout(timeout_s)
        connection.request(verb, base + target, payload, headers)
        return connection.getresponse()

    def _authorization(self) -> str:
        if not self._user:
            return f"Bearer {self._token}"
        return "Basic " + base64.b64encode(f"{self._user}:{self._token}".encode()).decode()

    def _connection(self) -> http.client.HTTPConnection:
        import http.client

        parts = urlsplit(self.url)
        if parts.scheme != "https":
            return http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_CONNECT_S)
        import ssl

        context = ssl.create_default_context()
        if self._config is not None and self._config.service_tls_cert:
            # Our own service on this machine: its own certificate is proof enough, whatever names it holds.
            context.load_verify_locations(self._config.service_tls_cert)
            context.check_hostname = False
        return http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=_CONNECT_S, context=context)

    def _reply(self, status: int, text: bytes) -> Any:
        try:
            reply = json.loads(text) if text else None
        except ValueError:
            raise self._unreachable(f"the reply (HTTP {status}) is not JSON") from None
        if status < 400:
            return reply
        if isinstance(reply, dict) and "code" in reply and "kind" in reply:
            raise from_record(reply)
        raise self._unreachable(f"HTTP {status} without an error record")

    def _restart(self) -> None:
        assert self._config is not None  # noqa: S101 - only called for a local service
        fresh = _start(self._config, self._factory)
        self.url, self._token = fresh["url"], fresh["token"]

    def _unreachable(self, why: str) -> RemoteError:
        fix = "check service.url (NBPLAT_URL)" if self._config is None else "run it again"
        return RemoteError("service.unreachable", f"the service at {self.url} does not answer: {why}", fix=fix)


def find_or_start(config: Config, *, factory: str = PLATFORM) -> ServiceClient:
    """A client of the configured service; a local one that is not running is started, detached.

    Raises:
        SetupError: it cannot start (why, or the last lines of its log), or it is of another version.
        RemoteError: a team's service does not answer.
    """
    if config.service_url:
        client = team_client(config)
        _check_version(client.get("/api/v1/version")["version"], f"the service at {client.url}", "ask for an upgrade")
        return client
    note = holder_of(service_lock(config))
    info = read_info(config) if note is not None and _answers(config) else _start(config, factory)
    if info is None:
        raise SetupError("service.start", "the service's file has gone", fix="run it again", where=str(config.home))
    _check_version(info["version"], f"the running service of {config.home}", "nbplat service stop, then run again")
    return ServiceClient(info["url"], info["token"], config=config, factory=factory)


def team_client(config: Config) -> ServiceClient:
    """A client of the service at ``service.url``, which is not asked. Raises NotFound: there is no token file."""
    return ServiceClient(config.service_url, _read_token(config), user=config.service_user)


def stop_service(config: Config) -> bool:
    """Stop the local service and its worker, jobs given back to the queue; False when none ran."""
    from nbplat.service.supervisor import stop_holder

    stopped = []
    if holder_of(service_lock(config)) is None:
        # A killed service leaves its worker behind, which may be bringing it back just now.
        stopped.append(stop_holder(holder_of(worker_lock(config)), grace_s=30.0))
    for path, grace in ((service_lock(config), 12.0), (worker_lock(config), 8.0)):
        stopped.append(stop_holder(holder_of(path), grace_s=grace))
    return any(stopped)


def _start(config: Config, factory: str) -> dict[str, Any]:
    private_folder(config.home / "run")
    deadline = time.monotonic() + START_S
    try:
        done = run_start(config, factory, START_S)
    except subprocess.TimeoutExpired:
        raise _no_start(config, f"it gave no sign within {START_S:g} s") from None
    if done.returncode:
        raise _failure(config, done.stdout, done.stderr)
    while not _answers(config):
        if time.monotonic() > deadline:
            raise _no_start(config, f"it does not answer after {START_S:g} s")
        time.sleep(0.02)
    info = read_info(config)
    if info is None:
        raise _no_start(config, "its file has gone")
    return info


def _answers(config: Config) -> bool:
    """Whether the holder of the service's lock serves; asked without the token."""
    deadline = time.monotonic() + START_S
    while (note := holder_of(service_lock(config))) is not None and time.monotonic() < deadline:
        info = read_info(config)
        # The file of an earlier service stays until the new one has bound its port.
        if info is not None and info.get("pid") == note.get("pid"):
            try:
                ServiceClient(info["url"], "", factory="").get("/api/v1/health", timeout_s=_CONNECT_S)
                return True
            except NbplatError:
                pass
        time.sleep(0.02)
    return False


def _failure(config: Config, stdout: str, stderr: str) -> NbplatError:
    try:
        return from_record(json.loads(stdout.strip().splitlines()[-1]))
    except (ValueError, IndexError):
        return _no_start(config, stderr.strip()[-500:] or "it gave no reason")


def _no_start(config: Config, why: str) -> SetupError:
    log = log_file(config, "service.log")
    tail = last_lines(log_file(config, "service.err")) or last_lines(log)
    return SetupError(
        "service.start",
        f"the service did not start: {why}" + (f"; its log ends with:\n{tail}" if tail else ""),
        fix=f"read {log}",
        where=str(log),
    )


def _read_token(config: Config) -> str:
    if not config.service_token_file:
        return ""
    try:
        return Path(config.service_token_file).expanduser().read_text().strip()
    except OSError as exc:
        raise NotFound(
            "service.token_file",
            f"the token file {config.service_token_file} cannot be read: {exc.strerror}",
            fix="set service.token_file (NBPLAT_TOKEN_FILE) to a file that holds the token",
        ) from exc


def _check_version(found: str, what: str, mend: str) -> None:
    if found != version():
        raise SetupError(
            "service.version", f"{what} is nbplat {found}, this is {version()}", fix=mend, where="service.version"
        )
