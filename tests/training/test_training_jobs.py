"""A training run as a job of the ledger: its own process does it, every surface shows it, its death ends it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nbplat.errors import Conflict, DataError
from nbplat.job import Job, JobState
from nbplat.ui.cli import main
from nbplat.ui.desk import LocalDesk
from nbplat.ui.python import Local
from tests.fixtures.lakehouse import Lake, demo
from tests.fixtures.waiting import wait_until

__all__ = ["demo"]

TRAIN = "retail.train"
TARGET: dict[str, Any] = {"label": "label", "time": "label_ts"}


@pytest.fixture(scope="module")
def local(demo: Lake) -> Local:
    return Local(LocalDesk(demo.platform))


def _last_job(demo: Lake) -> Job:
    return demo.platform.store.jobs(limit=1)[0]


def _cli(demo: Lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    monkeypatch.setenv("NBPLAT_HOME", str(demo.home))
    assert 0 == main(["training", *words])
    return capsys.readouterr().out


class Watched:
    """A model that looks at the ledger from inside its own training, and may be cancelled from there."""

    def __init__(self, demo: Lake, *, cancel: bool = False) -> None:
        self.demo, self.cancel = demo, cancel
        self.seen: list[Job] = []

    def __deepcopy__(self, memo: Any) -> Watched:
        return self

    def partial_fit(self, x: Any, y: Any, classes: Any = None) -> None:
        self.seen.append(_last_job(self.demo))
        if self.cancel:
            self.demo.platform.store.request_cancel(self.seen[-1].id)

    def predict_proba(self, x: Any) -> Any:
        import numpy as np

        return np.column_stack([1 - x[:, 0], x[:, 0]])


def test_a_run_is_a_job_while_it_trains_and_keeps_its_figures(demo: Lake, local: Local) -> None:
    """Running in this process with progress in rows, then succeeded with the figures; no worker may take it."""
    model = Watched(demo)
    result = local.training_join(TRAIN, name="watched", model=model, epochs=2, hold=False, **TARGET)
    during = model.seen[-1]
    assert ("training.run", "watched@1", JobState.RUNNING) == (during.kind, during.run_id, during.state)
    assert during.worker is not None
    assert during.worker.startswith("caller/")
    job = _last_job(demo)
    assert (JobState.SUCCEEDED, 3 * 1_943, "rows") == (job.state, job.progress.total, job.progress.unit)
    assert job.progress.total == job.progress.done
    assert job.result is not None
    assert result.auc_without.record() == job.result["auc_without"]
    run = demo.platform.store.run("training", "watched@1")
    assert ("kept", job.id) == (run.state, run.outputs["provenance"]["job"])


def test_a_cancel_from_elsewhere_ends_the_run(
    demo: Lake, local: Local, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The process hears it between two batches; the run is cancelled, holds nothing, and is listed as that."""
    tags = len(demo.table(TRAIN).metadata.refs)
    with pytest.raises(Conflict, match=r"job\.cancelled: stopped@1 was cancelled"):
        local.training_join(TRAIN, name="stopped", model=Watched(demo, cancel=True), epochs=10**6, **TARGET)
    assert JobState.CANCELLED == _last_job(demo).state
    assert "cancelled" == demo.platform.store.run("training", "stopped@1").state
    assert tags == len(demo.table(TRAIN).metadata.refs)
    assert "cancelled" in _cli(demo, monkeypatch, capsys, "show", "stopped")


def test_a_run_that_fails_says_why_in_the_ledger(
    demo: Lake, local: Local, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Our errors as they are, a model's own without its text; it is neither replayed nor taken for the newest kept."""
    with pytest.raises(DataError, match=r"training\.one_label"):
        local.training_join(TRAIN, name="failing", split=0.9999, **TARGET)
    failed = demo.platform.store.run("training", "failing@1")
    assert failed.error is not None
    assert ("failed", "training.one_label") == (failed.state, failed.error["code"])
    bad = (
        "class Bad:\n    def partial_fit(self, X, y): raise ValueError('secret')\n    def predict_proba(self, X): ...\n"
    )
    with pytest.raises(ValueError, match="secret"):
        local.training_join(TRAIN, name="failing", model=bad + "model = Bad()", **TARGET)
    job = _last_job(demo)
    assert job.error is not None
    assert ("job.raised", False) == (job.error["code"], "secret" in json.dumps(job.error))
    assert "failed: job.raised" in _cli(demo, monkeypatch, capsys, "list")
    monkeypatch.setenv("NBPLAT_HOME", str(demo.home))
    assert 2 == main(["training", "replay", "failing@2"])
    assert "training.not_kept: failing@2 is failed" in capsys.readouterr().err
    assert 2 == main(["training", "replay", "failing"])
    assert "there is no kept training run 'failing'" in capsys.readouterr().err


_SCRIPT = """
import sys, time, nbplat as nb
from pathlib import Path

class Slow:
    def __deepcopy__(self, memo): return self
    def partial_fit(self, x, y, classes=None):
        Path(sys.argv[1]).touch()
        time.sleep(600)
    def predict_proba(self, x): ...

nb.local().training_join("retail.train", name="dying", model=Slow(), label="label", time="label_ts")
"""


def test_a_run_whose_process_was_killed_is_lost_and_can_be_released(
    demo: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """While it lives it is listed as training; killed, the next look says job.lost, and release takes its tags."""
    monkeypatch.setenv("NBPLAT_HOME", str(demo.home))
    begun = tmp_path / "begun"
    tags = len(demo.table(TRAIN).metadata.refs)
    child = subprocess.Popen([sys.executable, "-c", _SCRIPT, str(begun)], cwd=tmp_path)
    try:
        wait_until(lambda: begun.exists() or child.poll() is not None, limit_s=120)
        assert child.poll() is None
        (mine,) = [
            each for each in json.loads(_cli(demo, monkeypatch, capsys, "list", "--json")) if each["id"] == "dying@1"
        ]
        assert ("training", "rows") == (mine["state"], mine["progress"]["unit"])
        assert f"{child.pid} on " in _cli(demo, monkeypatch, capsys, "show", "dying")
        assert demo.platform.store.claim_job("worker", lease_ms=1) is None
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert "failed: job.lost" in _cli(demo, monkeypatch, capsys, "list")
    assert f"process {child.pid}" in _cli(demo, monkeypatch, capsys, "show", "dying")
    assert tags + 1 == len(demo.table(TRAIN).metadata.refs)
    assert "released 1 run: dying@1" in _cli(demo, monkeypatch, capsys, "release", "dying@1")
    assert tags == len(demo.table(TRAIN).metadata.refs)


_LOOKING = """
import json, os, time
from pathlib import Path
import numpy as np
from nbplat.compose import open_platform

class Looking:
    def __deepcopy__(self, memo): return self
    def partial_fit(self, x, y, classes=None):
        folder = Path(os.environ["LOOKING"])
        platform = open_platform()
        job = platform.store.jobs(limit=1)[0]
        with (folder / "seen").open("a") as seen:
            seen.write(json.dumps([job.kind, job.run_id, job.state, job.progress.unit]) + "\\n")
        if (folder / "cancel").exists(): platform.store.request_cancel(job.id)
        platform.close()
        if (folder / "wait").exists(): time.sleep(600)
        if (folder / "cancel").exists(): time.sleep(0.5)  # a slow model: cancels are heard within a second
    def predict_proba(self, x): return np.column_stack([1 - x[:, 0], x[:, 0]])

model = Looking()
"""


@pytest.fixture
def looking(demo: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the model of a kept run writes down what it sees of the ledger; files there tell it what to do."""
    monkeypatch.setenv("NBPLAT_HOME", str(demo.home))
    monkeypatch.setenv("LOOKING", str(tmp_path))
    return tmp_path


@pytest.fixture
def looked(demo: Lake, local: Local, looking: Path, request: pytest.FixtureRequest) -> str:
    """A kept run of that model, held; one a test."""
    name = f"looked_{request.node.name[-20:].strip('_')}"
    result = local.training_join(TRAIN, name=name, model=_LOOKING, epochs=2, **TARGET)
    (looking / "seen").unlink()
    return result.run


def test_a_replay_is_a_job_of_the_run_that_it_replays(
    demo: Lake, looking: Path, looked: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Running with progress in rows, then succeeded with the figures and the run; the run tells of it."""
    assert "the same figures" in _cli(demo, monkeypatch, capsys, "replay", looked)
    during = [json.loads(line) for line in (looking / "seen").read_text().splitlines()]
    assert ["training.replay", looked, "running", "rows"] == during[-1]
    job, run = _last_job(demo), demo.platform.store.run("training", looked)
    assert (JobState.SUCCEEDED, "training.replay", "kept") == (job.state, job.kind, run.state)
    assert job.progress.total == job.progress.done > 0
    assert job.result is not None
    assert (looked, [], run.plan["join"]["base"]["snapshot_id"] > 0) == (
        job.result["replays"],
        job.result["differences"],
        True,
    )
    assert run.outputs["auc_without"] == job.result["auc_without"]
    assert f"({job.id}): the same figures" in _cli(demo, monkeypatch, capsys, "show", looked)


def test_a_replay_that_is_cancelled_or_fails_leaves_its_run(
    demo: Lake, looking: Path, looked: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Cancelled from elsewhere it ends between two batches; the run stays kept, with its snapshots held."""
    held = demo.table(TRAIN).metadata.refs
    (looking / "cancel").touch()
    assert 2 == main(["training", "replay", looked])
    assert "job.cancelled" in capsys.readouterr().err
    assert JobState.CANCELLED == _last_job(demo).state
    run = demo.platform.store.run("training", looked)
    assert ("kept", None) == (run.state, run.error)
    assert set(held) == set(demo.table(TRAIN).metadata.refs)
    assert "replay cancelled" in _cli(demo, monkeypatch, capsys, "show", looked)


def test_a_replay_whose_process_was_killed_is_lost_and_its_run_is_free_again(
    demo: Lake, looking: Path, looked: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """While it lives nobody replays or releases the run; killed, the next look ends it, and the run is kept."""
    (looking / "wait").touch()
    child = subprocess.Popen([sys.executable, "-m", "nbplat.ui.cli", "training", "replay", looked], cwd=looking)
    try:
        wait_until(lambda: (looking / "seen").exists() or child.poll() is not None, limit_s=120)
        assert child.poll() is None
        (mine,) = [
            each for each in json.loads(_cli(demo, monkeypatch, capsys, "list", "--json")) if each["id"] == looked
        ]
        assert ("kept", "rows") == (mine["state"], mine["progress"]["unit"])
        assert f"is replayed by {_last_job(demo).id}" in _cli(demo, monkeypatch, capsys, "show", looked)
        for verb in ("replay", "release"):
            assert 2 == main(["training", verb, looked])
            assert "run.busy" in capsys.readouterr().err
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    told = _cli(demo, monkeypatch, capsys, "show", looked)
    assert "replay failed" in told
    assert "job.lost" in told
    assert "kept" == demo.platform.store.run("training", looked).state
    assert f"released 1 run: {looked}" in _cli(demo, monkeypatch, capsys, "release", looked)
