"""The child process of the conda library: what comes back, and what becomes of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from nbplat.adapters.conda.child import run_child
from nbplat.environment.ports import Phase
from nbplat.environment.redact import Redactor
from nbplat.errors import InternalError, RequestError
from tests.fixtures.waiting import wait_until

TASKS = """
import os, signal, sys, time
from nbplat.errors import RequestError

def echo(request, tell):
    print("noise on standard output")
    tell("solve", 1, 2, what="half")
    tell("solve", 2, 2, what="done")
    return request["value"]

def refuse(request, tell):
    raise RequestError("env.test", "no", fix="yes", where="line 1")

def crash(request, tell):
    sys.stderr.write("last words\\n")
    sys.stderr.flush()
    os.kill(os.getpid(), signal.SIGSEGV)

def leak(request, tell):
    raise RuntimeError('at https://me:hunter22@host/t/tk-12345/x with s3cret-"value"')

def secret(request, tell):
    path = os.environ["RATTLER_AUTH_FILE"]
    return {"mode": os.stat(path).st_mode & 0o777, "path": path}

def wait(request, tell):
    tell("solve", what="waiting")
    time.sleep(120)
"""


def ignore(phase: Phase) -> None:
    """Nobody looks."""


@pytest.fixture(autouse=True)
def _tasks_of_tests(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "odd_tasks.py").write_text(TASKS)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))


def test_result_and_phases_come_back() -> None:
    """A task's result and its phases come back, whatever libraries print between."""
    told: list[Phase] = []

    assert run_child("odd_tasks:echo", {"value": [1, "é"]}, say=told.append) == [1, "é"]

    assert [Phase("solve", 1, 2, "B", "half"), Phase("solve", 2, 2, "B", "done")] == told


def test_refusal_is_raised_as_it_was() -> None:
    """What a task refuses is raised as the same error on this side."""
    with pytest.raises(RequestError) as caught:
        run_child("odd_tasks:refuse", {}, say=ignore)

    assert ("env.test", "no", "yes", "line 1") == (
        caught.value.code,
        caught.value.message,
        caught.value.fix,
        caught.value.where,
    )


def test_crash_is_told_with_the_last_lines() -> None:
    """A child that dies without a result is our error, with the signal and its last words."""
    with pytest.raises(InternalError, match=r"(?s)SIGSEGV.*last words"):
        run_child("odd_tasks:crash", {}, say=ignore)


def test_secrets_reach_the_child_and_no_text() -> None:
    """Credentials come in a file of mode 0600 that is gone afterwards, and texts that come back hold none."""
    secrets = {"host": {"BearerToken": 's3cret-"value"'}}

    found = run_child("odd_tasks:secret", {}, say=ignore, secrets=secrets)
    assert 0o600 == found["mode"]
    assert not Path(found["path"]).exists()

    with pytest.raises(InternalError) as caught:
        run_child("odd_tasks:leak", {}, say=ignore, secrets=secrets)
    for secret in ("hunter22", "tk-12345", "s3cret"):
        assert secret not in str(caught.value)
    assert "https://***@host/t/***/x" in str(caught.value)


def test_child_ends_when_the_caller_gives_up() -> None:
    """What the listener of phases raises ends the child and is raised on."""
    pids: list[int] = []

    def stop(phase: Phase) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_child("odd_tasks:wait", {}, say=stop, started=pids.append)

    assert not psutil.pid_exists(pids[0])


@pytest.mark.process
def test_child_ends_with_its_killed_parent(tmp_path: Path) -> None:
    """A parent killed with SIGKILL takes its child along, and what was handed to it."""
    (tmp_path / "scratch").mkdir()
    pid_file = tmp_path / "pid"
    code = (
        "from pathlib import Path\n"
        "from nbplat.adapters.conda.child import run_child\n"
        "run_child('odd_tasks:wait', {}, say=lambda p: None, secrets={'host': {'BearerToken': 'x'}}, "
        f"started=lambda pid: Path({str(pid_file)!r}).write_text(str(pid)))\n"
    )
    environ = {**os.environ, "TMPDIR": str(tmp_path / "scratch")}
    parent = subprocess.Popen([sys.executable, "-c", code], env=environ)
    try:
        pid = int(wait_until(lambda: pid_file.exists() and pid_file.read_text(), what="the child's pid"))
        child = psutil.Process(pid)
        wait_until(lambda: list((tmp_path / "scratch").rglob("auth.json")), what="the credentials")
    finally:
        parent.kill()
        parent.wait()

    wait_until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, what="the child's end")
    assert [] == list((tmp_path / "scratch").iterdir())


def test_redactor_masks_what_addresses_carry() -> None:
    """Passwords in addresses, tokens in paths and known secrets are masked, also as an address encodes them."""
    redact = Redactor(["p@ss/word", "abc"])

    assert "https://***@h/t/***/c abc *** ***" == redact("https://u:p@h/t/tk-1/c abc p@ss/word p%40ss%2Fword")
