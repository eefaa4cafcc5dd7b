"""Sessions in a declared environment: named in the conf, checked and pinned before a driver starts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nbplat.compose import Platform, open_platform
from nbplat.config import load_config
from nbplat.environment.settings import Settings
from nbplat.errors import NbplatError
from nbplat.service.livy import make_livy
from nbplat.session.masters import master_of
from nbplat.session.sessions import Sessions
from nbplat.session.states import FINAL
from nbplat.terms import EnvironmentRef
from tests.fixtures.asgi import AsgiClient
from tests.fixtures.channels import SmallChannel, small_channel
from tests.fixtures.drivers import sockets
from tests.fixtures.environments import build_small
from tests.fixtures.waiting import wait_until

__all__ = ["small_channel", "sockets"]

pytestmark = pytest.mark.process

WHERE = "import sys, nbplat_marker\n(sys.prefix, nbplat_marker.__version__)"


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    options = {
        "home": str(tmp_path / "home"),
        "limits.threads": 1,
        "session.warm_count": 0,
        "session.class_archive": False,
    }
    made = open_platform(load_config(options, environ={}, cwd=tmp_path, user_file=tmp_path / "none"))
    yield made
    made.close()


@pytest.fixture
def sessions(platform: Platform, sockets: Path) -> Iterator[Sessions]:
    made = platform.open_sessions(sockets)
    yield made
    for session in made.store.sessions(limit=100)[1]:
        made.delete(session.id)
    made.close()


def built(platform: Platform, channel: SmallChannel, version: str = "7.7.7") -> EnvironmentRef:
    root = platform.config.home / "env"
    return build_small(channel, root, "python", f"nbplat-marker =={version}", name="fraud").ref


def draft(platform: Platform, kind: str, **conf: str) -> Any:
    fields = {"kind": kind, "conf": {key.replace("__", "."): value for key, value in conf.items()}}
    return platform.session_draft(fields, "ann", "http://127.0.0.1:1", "token")


def value(sessions: Sessions, session_id: int, code: str) -> str:
    asked = sessions.submit(session_id, code, "pyspark")

    def ended() -> Any:
        found = sessions.store.statement(session_id, asked.id)
        return found if found.state in FINAL else None

    statement = wait_until(ended, limit_s=120, what="the statement ends")
    assert statement.output is not None
    assert "data" in statement.output, statement.output
    return str(statement.output["data"]["text/plain"])


def test_a_session_runs_in_the_build_that_its_environment_meant_when_it_was_asked_for(
    platform: Platform, sessions: Sessions, small_channel: SmallChannel
) -> None:
    """Its cells see the environment's prefix and packages; a session asked for later gets the newer build."""
    first = built(platform, small_channel)
    asked = draft(platform, "python", spark__nbplat__environment="fraud")
    second = built(platform, small_channel, "8.8.8")
    later = draft(platform, "python", spark__nbplat__environment="fraud")
    for one, ref, version in ((asked, first, "7.7.7"), (later, second, "8.8.8")):
        assert f"('{ref.prefix}', '{version}')" == value(sessions, sessions.start(one).id, WHERE)
    plain = draft(platform, "python")
    assert f"'{sys.prefix}'" == value(sessions, sessions.start(plain).id, "import sys\nsys.prefix")


def test_a_session_whose_build_is_gone_ends_with_the_command(
    platform: Platform, sessions: Sessions, small_channel: SmallChannel
) -> None:
    """No other interpreter takes its place."""
    ref = built(platform, small_channel)
    asked = draft(platform, "python", spark__nbplat__environment="fraud")
    Path(ref.prefix).rename(Path(ref.prefix).with_name("away"))
    session = sessions.start(asked)
    assert "error" == session.state
    assert session.reason is not None
    assert "env.gone" == session.reason["code"]
    assert "nbplat env build fraud" == session.reason["fix"].partition(": ")[2]


@pytest.mark.parametrize(
    ("name", "code"),
    [("frued", "env.unknown"), ("old", "env.check")],
)
def test_a_session_that_cannot_run_is_refused_before_it_is_kept(
    platform: Platform,
    small_channel: SmallChannel,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    code: str,
) -> None:
    """A name that nobody built, and a Python that is too old for our code."""
    from nbplat.adapters.interpreter import probe

    real = probe.probe_interpreter
    build_small(small_channel, platform.config.home / "env", "python", name="old")
    monkeypatch.setattr(probe, "probe_interpreter", lambda python, *args, **more: {**real(python), "python": "3.8.18"})
    with pytest.raises(NbplatError) as caught:
        draft(platform, "python", spark__nbplat__environment=name)
    assert code == caught.value.code
    assert [] == platform.session_store.sessions(limit=1)[1]


def test_livys_clients_are_told_in_livys_words(platform: Platform, sessions: Sessions) -> None:
    """A name that nobody built is a rejected request, with what builds it, and no session is kept."""
    app = make_livy(
        sessions,
        lambda fields, owner: draft(platform, fields["kind"], **fields["conf"]),
        platform.open_batches(),
        lambda fields, owner: platform.batch_draft(fields, owner, "http://127.0.0.1:1", "token"),
    )
    client = AsgiClient(app, base_url="http://gateway")
    answer = client.post("/sessions", json={"kind": "pyspark", "conf": {"spark.nbplat.environment": "frued"}})
    assert 400 == answer.status_code
    assert answer.json()["msg"].startswith("Rejected, Reason: no environment 'frued' is built")
    assert "nbplat env build frued" in answer.json()["msg"]
    assert (0, []) == sessions.store.sessions()


def test_nobody_names_a_build_by_its_key_past_the_check(platform: Platform, small_channel: SmallChannel) -> None:
    """The settings that pin a build are ours: what a request says there is left out."""
    made = draft(platform, "python", spark__nbplat__environment__key="f" * 64)
    assert not [key for key in made.conf if key.startswith("spark.nbplat")]


@pytest.mark.jvm
def test_spark_runs_its_workers_in_the_environment_of_the_session(
    platform: Platform, sessions: Sessions, small_channel: SmallChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no pyspark and takes Spark's own; driver and workers tell its prefix, whatever the shell pins."""
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    ref = built(platform, small_channel)
    session = sessions.start(draft(platform, "pyspark", spark__nbplat__environment="fraud"))
    code = (
        "def tell(_):\n    import sys, nbplat_marker\n    return [(sys.prefix, nbplat_marker.__version__)]\n"
        "spark.sparkContext.parallelize([1], 1).mapPartitions(tell).collect()"
    )
    assert f"[('{ref.prefix}', '7.7.7')]" == value(sessions, session.id, code)
    assert f"'{ref.prefix}'" == value(sessions, session.id, "import sys\nsys.prefix")


_TARGETS = [
    ("yarn", "client", "yarn-client"),
    ("yarn", "cluster", "yarn-cluster"),
    ("k8s://https://a:6443", "cluster", "k8s-cluster"),
    ("sc://a:15002", "client", "connect"),
    ("spark://a:7077", "client", "standalone"),
]


def test_the_environment_goes_where_the_session_runs(platform: Platform, small_channel: SmallChannel) -> None:
    """Each place is sent the archive in its own way; another Livy server knows none, and that is said first."""
    built(platform, small_channel)
    asked: list[str] = []

    class Workers:
        def settings(self, engine: str, environment: Any, target: str = "") -> Settings:
            asked.append(target)
            return Settings(target, "archive", conf={"spark.archives": "x#environment"}, artifacts=("x#environment",))

    environments = replace(platform._environments.of_sessions, workers=Workers())  # type: ignore[arg-type]
    for master, mode, _ in _TARGETS:
        conf = environments.settled({"spark.nbplat.environment": "fraud"}, master_of(master, mode))
        sent = (conf["spark.archives"], conf["spark.nbplat.environment.artifacts"])
        assert ("x#environment", "x#environment") == sent
    assert [target for _, _, target in _TARGETS] == asked
    with pytest.raises(NbplatError) as caught:
        environments.settled({"spark.nbplat.environment": "fraud"}, master_of("livy+http://a:8998"))
    assert "env.target" == caught.value.code
    assert "--for livy" in caught.value.fix
