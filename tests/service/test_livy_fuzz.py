"""Odd requests to the Livy dialect: no unexpected 500, and it lives on."""

from __future__ import annotations

import json
import logging
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from nbplat.errors import SetupError
from tests.fixtures.asgi import AsgiClient
from tests.fixtures.livy_app import LivyApp
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.process

_FIELDS = (
    "kind", "name", "conf", "jars", "pyFiles", "files", "archives", "ttl", "idleTimeout", "heartbeatTimeoutInSecond",
    "driverMemory", "driverCores", "numExecutors", "queue", "proxyUser", "file", "className", "args", "code", "cursor",
    "job", "jobType", "uri",
)  # fmt: skip
_WORDS = (
    "pyspark",
    "sql",
    "10m",
    "9" * 30,
    "-1",
    "1e999",
    "\x00",
    "\ud800",
    "é\u202e",
    "../..",
    "%2e%2e",
    "/etc/passwd",
)
_SCALARS = (
    st.none() | st.booleans() | st.integers() | st.just(10**60) | st.floats() | st.text(max_size=20)
    | st.sampled_from(_WORDS)
)  # fmt: skip
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_BODIES = st.dictionaries(st.sampled_from(_FIELDS) | st.text(max_size=6), _VALUES, max_size=5)
_ODD_KEYS = ("1", "0", "-1", "9" * 40, "²", "nobody", "a\x00b", "%")
_KEYS = st.just("1") | st.sampled_from(_ODD_KEYS) | st.text(min_size=1, max_size=12)
_NUMBERS = st.sampled_from(["0", "-1", "9" * 40, "", "x", "1.5", "²"]) | st.integers().map(str)
_PATHS = (
    "/sessions", "/sessions/{key}", "/sessions/{key}/state", "/sessions/{key}/log", "/sessions/{key}/connect",
    "/sessions/{key}/completion", "/sessions/{key}/statements", "/sessions/{key}/statements/{number}",
    "/sessions/{key}/statements/{number}/cancel", "/sessions/{key}/submit-job", "/sessions/{key}/run-job",
    "/sessions/{key}/jobs/{number}", "/sessions/{key}/jobs/{number}/cancel", "/sessions/{key}/upload-file",
    "/sessions/{key}/add-file", "/batches", "/batches/{key}", "/batches/{key}/state", "/batches/{key}/log",
    "/version", "/metrics", "/nothing/{key}",
)  # fmt: skip
# What Livy answers with 500 itself; see docs/livy-deviations.md.
_EXPECTED = ("java.lang.", "Can not construct a number", "Numeric value")


@pytest.fixture(scope="module")
def alive(livy_app: LivyApp) -> int:
    """A session that lives, the first."""
    http = AsgiClient(livy_app.app, base_url="http://livy.test")
    number = int(http.post("/sessions", json={}).json()["id"])
    wait_until(lambda: http.get(f"/sessions/{number}").json()["state"] == "idle", what="the session is idle")
    return number


@pytest.fixture(autouse=True)
def few(alive: int, monkeypatch: pytest.MonkeyPatch, livy_app: LivyApp) -> None:
    """Requests that are fit to start something keep it, and start no process: a hundred of them would."""

    def refuse(*_: Any) -> dict[str, Any]:
        raise SetupError("session.interpreter", "nothing starts here", fix="")

    monkeypatch.setattr(livy_app.sessions._drivers, "start", refuse)
    monkeypatch.setattr(livy_app.batches._processes, "start", refuse)


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    verb=st.sampled_from(["get", "post", "delete"]),
    path=st.sampled_from(_PATHS),
    key=_KEYS,
    number=_NUMBERS,
    query=st.dictionaries(st.sampled_from(["from", "size", "order", "doAs"]), _NUMBERS, max_size=3),
    body=_BODIES.map(lambda found: json.dumps(found).encode()) | st.binary(max_size=40),
    kind=st.sampled_from(["application/json", "text/plain", "", "multipart/form-data; boundary=b"]),
)
def test_no_request_breaks_it(
    http: AsgiClient,
    caplog: pytest.LogCaptureFixture,
    verb: str,
    path: str,
    key: str,
    number: str,
    query: dict[str, str],
    body: bytes,
    kind: str,
) -> None:
    """Each answer is a success, a refusal or one of the 500s that Livy has, never a bug of ours."""
    assume((verb, path, key) != ("delete", "/sessions/{key}", "1"))
    where = path.format(key=quote(key, safe="", errors="surrogatepass"), number=quote(number, safe=""))
    options: dict[str, Any] = {"content": body, "headers": {"Content-Type": kind}} if verb == "post" else {}
    caplog.clear()
    with caplog.at_level(logging.ERROR, "nbplat.service"):
        reply = getattr(http, verb)(where, params=query, **options)
    assert [] == [record.getMessage() for record in caplog.records]
    if reply.status_code >= 500:
        assert reply.json().startswith(_EXPECTED)
    assert 200 == http.get("/version").status_code


def test_the_session_in_its_midst_still_runs_code(http: AsgiClient, alive: int) -> None:
    """What was asked of it before has not hurt it."""
    run = http.post(f"/sessions/{alive}/statements", json={"code": "1 + 1", "kind": "pyspark"})
    found = http.get(run.headers["location"], headers={"Prefer": "wait=20"}).json()
    assert {"text/plain": "2"} == found["output"]["data"]


def test_figures_are_counted_by_state(http: AsgiClient) -> None:
    """The shape is that of Livy's metrics library."""
    before = http.get("/metrics").json()["gauges"]["livy.session.count"]["value"]
    http.post("/sessions", json={})
    found = http.get("/metrics").json()
    assert {"version", "gauges", "counters", "histograms", "meters", "timers"} == set(found)
    assert before + 1 == found["gauges"]["livy.session.count"]["value"]
    assert found["gauges"]["livy.session.error"]["value"] >= 1
