"""Environments over HTTP: the same requests and records as in process, refused before a job is queued."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbplat.compose import Platform, open_platform
from nbplat.config import load_config
from nbplat.service.app import make_app
from nbplat.service.callers import Callers
from tests.fixtures.asgi import AsgiClient, ByName
from tests.fixtures.channels import SmallChannel

TOKEN = "t0ken-of-this-test"
URL = "/api/v1/environments"


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    (tmp_path / "r").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "r"))
    config = load_config({"home": str(tmp_path / "home")}, environ={}, cwd=tmp_path, user_file=tmp_path / "none.toml")
    opened = open_platform(config)
    yield opened
    opened.close()


@pytest.fixture
def http(platform: Platform) -> AsgiClient:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    return AsgiClient(make_app(platform, TOKEN), base_url="http://127.0.0.1:1", headers=headers)


@pytest.fixture
def declared(small_channel: SmallChannel) -> dict[str, Any]:
    text = f"name: served\nchannels: [{small_channel.url}]\ndependencies: [python, nbplat-marker=7.7.7]\n"
    return {"text": text, "owner": "ann"}


def work(platform: Platform, reply: Any) -> dict[str, Any]:
    """The result of the job that a reply names, done here."""
    assert 200 == reply.status_code, reply.text
    job = reply.json()["job"]
    [ended] = platform.work_here("here")
    assert (job["id"], "succeeded") == (ended.id, ended.state.value), ended.error
    return dict(ended.result or {})


def test_the_life_of_an_environment_over_http(platform: Platform, http: AsgiClient, declared: dict[str, Any]) -> None:
    """Define, lock, build, show, conf, check, verify, usage, gc: each answers with the records of the domain."""
    defined = http.post(f"{URL}/define", json=declared).json()
    assert ("served", ["python", "nbplat-marker 7.7.7.*"]) == (
        defined["record"]["name"],
        defined["record"]["dependencies"],
    )
    assert "line 2, column 11" == defined["places"]["channels"]

    locked = work(platform, http.post(f"{URL}/lock", json=declared))
    assert 2 == locked["platforms"]["linux-64"]["packages"]
    built = work(platform, http.post(f"{URL}/build", json=declared))
    assert Path(built["ref"]["prefix"]).is_dir()

    asked = {"environment": "served"}
    [listed] = http.get(URL).json()["environments"]
    shown = http.post(f"{URL}/show", json=asked).json()
    conf = http.post(f"{URL}/conf", json={**asked, "target": "local"}).json()
    assert listed["key"] == shown["key"] == built["ref"]["key"]
    assert ["environment.build", "environment.lock"] == [job["kind"] for job in shown["jobs"]]
    assert f"{built['ref']['prefix']}/bin/python" == conf["driver"]
    assert http.post(f"{URL}/check", json=asked).json()["fits"]
    assert http.post(f"{URL}/verify", json=asked).json()["whole"]
    assert 1 == len(http.post(f"{URL}/usage", json={}).json()["environments"])
    assert not http.post(f"{URL}/gc", json={}).json()["done"]


def test_the_same_request_is_one_job(platform: Platform, http: AsgiClient, declared: dict[str, Any]) -> None:
    """Asked twice in the same words, there is one job; in other words, the second is refused while the first lives."""
    first = http.post(f"{URL}/lock", json=declared).json()["job"]["id"]
    assert first == http.post(f"{URL}/lock", json=declared).json()["job"]["id"]

    other = http.post(f"{URL}/lock", json={**declared, "upgrade": True})

    assert (409, "env.busy") == (other.status_code, other.json()["code"])
    assert f"nbplat job cancel {first}" in other.json()["fix"]
    platform.work_here("here")
    assert 200 == http.post(f"{URL}/lock", json={**declared, "upgrade": True}).status_code


@pytest.mark.parametrize(
    ("verb", "more", "status", "code"),
    [
        ("lock", {"text": "dependencies: [a, a]", "name": "x"}, 400, "env.twice"),
        ("build", {}, 404, "env.lock_missing"),
        ("build", {"lock": "version: 7\n"}, 400, "env.lock_file"),
        ("pack", {"environment": "nosuch"}, 404, "env.unknown"),
        ("conf", {"environment": "nosuch", "target": "local"}, 404, "env.unknown"),
        ("lock", {"colour": "red"}, 400, "request.invalid"),
    ],
)
def test_a_bad_request_queues_nothing(
    platform: Platform,
    http: AsgiClient,
    declared: dict[str, Any],
    verb: str,
    more: dict[str, Any],
    status: int,
    code: str,
) -> None:
    """What is wrong is answered as a record, and there is no job."""
    reply = http.post(f"{URL}/{verb}", json={**declared, **more})

    assert (status, code) == (reply.status_code, reply.json()["code"])
    assert [] == platform.store.jobs()


def test_a_job_that_fails_keeps_the_error(platform: Platform, http: AsgiClient, declared: dict[str, Any]) -> None:
    """A package that no channel has ends the job with the nearest names; the environment's run takes the next job."""
    text = declared["text"].replace("nbplat-marker=7.7.7", "nbplat-markr")
    http.post(f"{URL}/lock", json={"text": text})
    [ended] = platform.work_here("here")

    assert ("failed", "env.package") == (ended.state.value, (ended.error or {})["code"])
    assert "nbplat-marker" in (ended.error or {})["fix"]
    assert 200 == http.post(f"{URL}/lock", json=declared).status_code


def test_work_is_its_askers_whatever_the_request_says(
    platform: Platform, tmp_path: Path, declared: dict[str, Any]
) -> None:
    """Only an admin speaks for others: the owner of a run is who logged in."""

    def owner(name: str) -> str:
        client = AsgiClient(
            make_app(platform, TOKEN, callers=Callers(TOKEN, [ByName()])), base_url="http://127.0.0.1:1"
        )
        reply = client.post(
            f"{URL}/lock", json={**declared, "text": declared["text"].replace("served", name)}, auth=(name, "x")
        )
        assert 200 == reply.status_code, reply.text
        return str(reply.json()["run"]["owner"])

    assert "bob" == owner("bob")
    assert "ann" == owner("root")
