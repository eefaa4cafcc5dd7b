"""Jobs and uploads of Livy's Python client over real drivers (plain Python)."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from nbplat.service.livy import make_livy, upload
from tests.fixtures.asgi import AsgiClient
from tests.fixtures.livy_app import LivyApp, batch_draft, session_draft
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def session(livy_app: LivyApp) -> int:
    """An idle session of the module's."""
    http = AsgiClient(livy_app.app, base_url="http://livy.test")
    number = int(http.post("/sessions", json={"kind": "pyspark"}).json()["id"])
    wait_until(lambda: http.get(f"/sessions/{number}").json()["state"] == "idle", what="the session is idle")
    return number


def uploaded(livy_app: LivyApp, session: int) -> set[str]:
    folder = Path(livy_app.sessions.store.session(session).driver["folder"]) / "uploads"
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def submit(http: AsgiClient, session: int, function: Callable[[Any], Any], verb: str = "submit-job") -> int:
    job = base64.b64encode(cloudpickle.dumps(function)).decode()
    reply = http.post(f"/sessions/{session}/{verb}", json={"job": job, "jobType": "pyspark"})
    assert (201, "SENT", None, None) == (
        reply.status_code,
        *(reply.json()[key] for key in ("state", "result", "error")),
    )
    return int(reply.json()["id"])


def result(http: AsgiClient, session: int, job: int) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found = http.get(f"/sessions/{session}/jobs/{job}").json()
        return dict(found) if found["state"] in ("SUCCEEDED", "FAILED", "CANCELLED") else None

    return wait_until(look, what="the job ends")


@pytest.mark.parametrize("verb", ["submit-job", "run-job"])
def test_a_job_gives_its_value_as_livys_client_reads_it(http: AsgiClient, session: int, verb: str) -> None:
    """The value comes back as base64 of base64 of its pickle, and a closure travels with its job."""
    factor = 3

    def job(context: Any) -> dict[str, Any]:
        return {"value": factor * 14, "folder": context.local_tmp_dir}

    job.__module__ = "__main__"
    found = result(http, session, submit(http, session, job, verb))
    assert ("SUCCEEDED", None) == (found["state"], found["error"])
    value = cloudpickle.loads(base64.b64decode(base64.b64decode(found["result"])))
    assert (42, True) == (value["value"], Path(value["folder"]).is_dir())


def test_a_job_that_raises_has_failed_with_its_traceback(http: AsgiClient, session: int) -> None:
    """The error names what was raised; so does a job that needs Spark where there is none."""

    def job(context: Any) -> Any:
        return context.sc

    job.__module__ = "__main__"
    found = result(http, session, submit(http, session, job))
    assert ("FAILED", None) == (found["state"], found["result"])
    assert "RuntimeError: this session has no Spark" in found["error"]


def test_jobs_are_cancelled_and_are_no_statements(http: AsgiClient, session: int) -> None:
    """A cancelled job's code has ended; the list of statements does not show jobs."""

    def job(_: Any) -> None:
        while True:
            pass

    job.__module__ = "__main__"
    number = submit(http, session, job)
    where = f"/sessions/{session}/jobs/{number}"
    wait_until(lambda: http.get(where).json()["state"] == "STARTED", what="it runs")
    assert 200 == http.post(f"{where}/cancel").status_code
    assert "CANCELLED" == result(http, session, number)["state"]
    statement = http.post(f"/sessions/{session}/statements", json={"code": "1"}).json()["id"]
    listed = [one["id"] for one in http.get(f"/sessions/{session}/statements").json()["statements"]]
    assert (True, False) == (statement in listed, number in listed)
    for other in (statement, 77):
        assert 404 == http.get(f"/sessions/{session}/jobs/{other}").status_code


@pytest.mark.parametrize(
    "body", [{}, {"job": 5}, {"job": "no base64!"}, {"job": "aGk=", "jobType": "spark"}, {"job": None}]
)
def test_a_bad_job_is_refused(http: AsgiClient, session: int, body: dict[str, Any]) -> None:
    """What is no base64, or a job of another language, runs nowhere."""
    reply = http.post(f"/sessions/{session}/submit-job", json=body)
    assert (400, True) == (reply.status_code, reply.json()["msg"].startswith("Rejected, Reason: "))


def test_an_uploaded_module_can_be_imported(http: AsgiClient, session: int, livy_app: LivyApp) -> None:
    """It is kept in the session's folder under its own name, whatever path was sent with it."""
    reply = http.post(f"/sessions/{session}/upload-pyfile", files={"file": ("../../tools.py", b"answer = 42\r\n")})
    assert 200 == reply.status_code
    assert "tools.py" in uploaded(livy_app, session)
    run = http.post(f"/sessions/{session}/statements", json={"code": "import tools\ntools.answer"})
    found = http.get(run.headers["location"], headers={"Prefer": "wait=20"}).json()
    assert {"text/plain": "42"} == found["output"]["data"]


@pytest.mark.parametrize("size", [0, 1, 100, 200_000])
def test_an_upload_keeps_every_byte(http: AsgiClient, session: int, livy_app: LivyApp, size: int) -> None:
    """Other fields beside it, and line ends and dashes in it, change nothing."""
    content = (b"\r\n--\x00\xff" * (size // 6 + 1))[:size]
    reply = http.post(f"/sessions/{session}/upload-file", data={"note": "hi"}, files={"file": ("data.bin", content)})
    assert 200 == reply.status_code
    folder = Path(livy_app.sessions.store.session(session).driver["folder"])
    assert content == (folder / "uploads" / "data.bin").read_bytes()


@pytest.mark.parametrize("name", ["..", "", "a/..", "x\x07y", "n" * 300])
def test_a_name_that_leads_elsewhere_is_refused(http: AsgiClient, session: int, livy_app: LivyApp, name: str) -> None:
    """Nothing is written for it."""
    before = uploaded(livy_app, session)
    body = f'--b\r\nContent-Disposition: form-data; name="jar"; filename="{name}"\r\n\r\nx\r\n--b--\r\n'.encode()
    reply = http.post(
        f"/sessions/{session}/upload-jar", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    assert 400 == reply.status_code
    assert before == uploaded(livy_app, session)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/form-data", b""),
        ("multipart/form-data; boundary=b", b""),
        ("multipart/form-data; boundary=b", b"--b--"),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data; name=x\r\n\r\n1\r\n--b--"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="jar"; filename="a"\r\n\r\n1',
        ),
    ],
)
def test_a_body_without_a_whole_file_is_refused(http: AsgiClient, session: int, kind: str, body: bytes) -> None:
    """It leaves nothing behind."""
    reply = http.post(f"/sessions/{session}/upload-jar", content=body, headers={"Content-Type": kind})
    assert 400 == reply.status_code


def test_an_upload_over_the_cap_is_refused(
    http: AsgiClient, session: int, livy_app: LivyApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is turned away on the way, and the part that was written is deleted."""
    before = uploaded(livy_app, session)
    monkeypatch.setattr(upload, "MAX_UPLOAD_BYTES", 100_000)
    reply = http.post(f"/sessions/{session}/upload-file", files={"file": ("big", b"x" * 200_000)})
    assert 413 == reply.status_code
    assert before == uploaded(livy_app, session)


def test_a_session_takes_so_many_bytes_of_files(http: AsgiClient, session: int, livy_app: LivyApp) -> None:
    """What it has taken counts; over ``session.upload_bytes`` nothing of a file stays."""
    before = uploaded(livy_app, session)
    room = sum((Path(livy_app.sessions.folder(session)) / "uploads" / name).stat().st_size for name in before)
    app = make_livy(livy_app.sessions, session_draft, livy_app.batches, batch_draft, upload_bytes=room + 1000)
    small = AsgiClient(app, base_url="http://livy.test")
    reply = small.post(f"/sessions/{session}/upload-file", files={"file": ("much", b"x" * 2000)})
    assert (413, True) == (reply.status_code, "session.upload_bytes" in reply.json()["msg"])
    assert before == uploaded(livy_app, session)


def test_files_are_added_by_path(http: AsgiClient, session: int, tmp_path: Path) -> None:
    """A module of ours is found by the session; what must be fetched, or lacks, is refused."""
    (tmp_path / "added_tools.py").write_text("answer = 7")
    reply = http.post(f"/sessions/{session}/add-pyfile", json={"uri": str(tmp_path / "added_tools.py")})
    assert 200 == reply.status_code
    run = http.post(f"/sessions/{session}/statements", json={"code": "import added_tools\nadded_tools.answer"})
    found = http.get(run.headers["location"], headers={"Prefer": "wait=20"}).json()
    assert {"text/plain": "7"} == found["output"]["data"]
    for body in ({}, {"uri": 5}, {"uri": "http://example.org/x.py"}, {"uri": "x.py"}):
        assert 400 == http.post(f"/sessions/{session}/add-file", json=body).status_code
