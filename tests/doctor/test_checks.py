"""Every check of `nbplat doctor`, once as it should be and once broken."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from nbplat.compose import open_platform
from nbplat.config import Config, load_config
from nbplat.errors import RemoteError, SetupError
from nbplat.job import Lease
from nbplat.service.child import step_mark
from nbplat.service.discovery import STEP_VARIABLE, version, write_info
from nbplat.service.lock import FileLock
from nbplat.ui.doctor import machine, running, stack, tables
from nbplat.ui.doctor.examination import checks_of
from nbplat.ui.doctor.finding import Check, Said, examine
from tests.doctor.asked import FAULT, NOT_NEEDED, OK, WARNING, answer, config, configured, write
from tests.fixtures.waiting import wait_until

__all__ = ["config"]

GIB = 1 << 30


# -- the machine -----------------------------------------------------------------------------------
def test_python():
    """An interpreter that is too old is a fault, with the version that is needed."""
    assert OK is machine.check_python().verdict
    assert "3.11.5" in machine.check_python((3, 10, 9)).text
    assert FAULT is machine.check_python((3, 10, 9)).verdict


@pytest.mark.parametrize(
    ("most", "free", "verdict", "mend"),
    [
        (8 * GIB, 6 * GIB, OK, ""),
        (8 * GIB, GIB, WARNING, f"NBPLAT_LIMITS_MEMORY_BYTES={GIB // 2}"),
        (GIB, GIB, FAULT, f"NBPLAT_LIMITS_MEMORY_BYTES={GIB // 2}"),
    ],
)
def test_memory(config, most, free, verdict, mend):
    """A share that the machine cannot give is a fault, one that others use a warning, each with a value that fits."""
    said = machine.check_memory(config, machine.Memory(most, free, limited=True))
    assert (verdict, True) == (said.verdict, mend in said.mend)
    assert "this container" in said.text


@pytest.mark.parametrize("kind", ["2", "1"])
def test_memory_of_a_container(tmp_path, kind):
    """The limit of the control group counts, or that of one above it, where it is less than the machine's."""
    own = tmp_path / "cgroup"
    own.write_text("0::/pods/mine\n" if kind == "2" else "4:cpu:/x\n7:memory:/pods/mine\n")
    root = tmp_path / "fs" if kind == "2" else tmp_path / "fs" / "memory"
    (root / "pods" / "mine").mkdir(parents=True)
    limit, used = (
        ("memory.max", "memory.current") if kind == "2" else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    )
    (root / "pods" / "mine" / limit).write_text("max\n" if kind == "2" else f"{1 << 62}\n")
    (root / "pods" / limit).write_text(f"{64 << 20}\n")
    (root / "pods" / used).write_text(f"{48 << 20}\n")
    assert machine.Memory(64 << 20, 16 << 20, limited=True) == machine.memory_here(tmp_path / "fs", own)
    assert not machine.memory_here(tmp_path / "fs", tmp_path / "no such file").limited


def test_room(tmp_path, monkeypatch):
    """A folder that cannot be written is a fault; one with little room a warning, with almost none a fault."""
    assert FAULT is machine.check_room("state folder", tmp_path / "not there", "set NBPLAT_HOME").verdict
    for free, verdict in ((2 * GIB, OK), (GIB // 2, WARNING), (GIB // 16, FAULT)):
        monkeypatch.setattr("shutil.disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        said = machine.check_room("state folder", tmp_path, "set NBPLAT_HOME")
        assert (verdict, verdict is not OK) == (said.verdict, "set NBPLAT_HOME" in said.mend)
    assert [] == list(tmp_path.iterdir())


def test_sockets(config, tmp_path, monkeypatch):
    """A folder of sockets that others can open is a fault, and so is one with a path that no socket can have."""
    short = Path(os.path.realpath("/tmp")) / f"nbd-{os.getpid()}"
    short.mkdir(mode=0o700)
    try:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
        verdict, folder, _ = answer("sockets", config)
        assert OK is verdict
        Path(folder).chmod(0o755)
        assert FAULT is answer("sockets", config)[0]
        Path(folder).rmdir()
    finally:
        short.rmdir()
    long = tmp_path / ("long" * 20)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    assert (FAULT, True) == (answer("sockets", config)[0], "too long" in answer("sockets", config)[1])


def test_a_state_folder_that_cannot_be_made(tmp_path):
    """It is a fault, and what needs no folder is checked all the same."""
    (tmp_path / "file").write_text("")
    options = {"home": str(tmp_path / "file" / "home")}
    config = load_config(options, environ={}, cwd=tmp_path, user_file=tmp_path / "none.toml")
    verdict, text, mend = answer("state folder", config)
    assert (FAULT, "set NBPLAT_HOME") == (verdict, mend)
    assert "state folder cannot be made" in text
    names = {each.name for each in checks_of(config, open_platform)}
    assert ({"python", "memory"}, set()) == (names & {"python", "memory"}, names & {"store", "catalog"})


# -- what is installed -----------------------------------------------------------------------------
NEEDED = ["duckdb>=1.4", 'pyspark<4.2,>=4.1.4; extra == "spark"', 'ray>=2.60; extra == "ray"']


def of(**versions: str) -> Callable[[str], str | None]:
    return lambda name: versions.get(name)


def test_packages():
    """A base package that is missing or of another version is a fault that names both versions."""
    assert OK is stack.check_base().verdict
    assert OK is stack.check_base(NEEDED, of(duckdb="1.4.1", nbplat="0.1.0")).verdict
    assert (FAULT, "duckdb is missing") == ((said := stack.check_base(NEEDED, of())).verdict, said.text)
    old = stack.check_base(NEEDED, of(duckdb="1.2"))
    assert (FAULT, "duckdb 1.2 (needed >=1.4)") == (old.verdict, old.text)


def test_optional_packages(tmp_path):
    """A part that is not installed is not needed, until a setting asks for it; another version is always a fault."""
    install = 'pip install "nbplat[spark]"'
    assert (NOT_NEEDED, install) == ((said := stack.check_extra("spark", {}, NEEDED, of())).verdict, said.mend)
    asked = stack.asked_extras(configured(tmp_path, spark__master="spark://host:7077"))
    missing = stack.check_extra("spark", asked, NEEDED, of())
    assert (FAULT, "not installed, and spark.master needs it") == (missing.verdict, missing.text)
    wrong = stack.check_extra("spark", {}, NEEDED, of(pyspark="4.2.0"))
    assert (FAULT, "pyspark 4.2.0 (needed <4.2,>=4.1.4)", install) == (wrong.verdict, wrong.text, wrong.mend)
    assert (OK, "pyspark 4.1.4") == (
        (said := stack.check_extra("spark", {}, NEEDED, of(pyspark="4.1.4"))).verdict,
        said.text,
    )
    half = stack.check_extra("sparkmagic", {}, ['a; extra == "sparkmagic"', 'b; extra == "sparkmagic"'], of(a="1"))
    assert (WARNING, "b is missing") == (half.verdict, half.text)


def test_what_settings_ask_for(tmp_path):
    """The settings of clusters, PostgreSQL and S3 ask for their parts."""
    settings = {"ray__address": "ray://h:1", "store__url": "postgresql://me@h/db", "env__archives": "s3://b/envs"}
    assert {"ray": "ray.address", "postgres": "store.url", "s3": "env.archives"} == stack.asked_extras(
        configured(tmp_path, **settings)
    )
    assert {} == stack.asked_extras(configured(tmp_path))


def test_every_extra_is_checked():
    """No option of the package is left out but the tests' own."""
    from importlib.metadata import metadata

    assert {*(metadata("nbplat").get_all("Provides-Extra") or ()), "test"} == {*stack.EXTRAS, "test"}


def test_the_panel(tmp_path):
    """A panel that is missing is a warning; one of another version or switched off is a fault."""
    data, etc = [str(tmp_path / "data")], [str(tmp_path / "etc")]
    assert WARNING is stack.check_lab(data, etc).verdict
    package = tmp_path / "data" / "labextensions" / "nbplat-lab" / "package.json"
    write(package, {"version": version()})
    assert OK is stack.check_lab(data, etc).verdict
    for off in ({"nbplat-lab:panel": True}, ["nbplat-lab"]):
        write(tmp_path / "etc" / "labconfig" / "page_config.json", {"disabledExtensions": off})
        said = stack.check_lab(data, etc)
        assert (FAULT, "jupyter labextension enable nbplat-lab") == (said.verdict, said.mend)
    write(package, {"version": "0.0.9"})
    assert "is 0.0.9, the package is" in stack.check_lab(data, etc).text


def test_the_server_extension(tmp_path):
    """One that nothing enables is a warning, one that a nearer folder disables a fault."""
    near, far = tmp_path / "near", tmp_path / "far"
    where = [str(near), str(far)]
    assert WARNING is stack.check_server_extension(where).verdict
    on = {"ServerApp": {"jpserver_extensions": {"nbplat.ui.server": True}}}
    write(far / "jupyter_server_config.d" / "nbplat.json", on)
    assert OK is stack.check_server_extension(where).verdict
    on["ServerApp"]["jpserver_extensions"]["nbplat.ui.server"] = False
    write(near / "jupyter_server_config.json", on)
    said = stack.check_server_extension(where)
    assert (FAULT, True) == (said.verdict, said.mend.startswith("jupyter server extension enable"))


def test_java(config, tmp_path, monkeypatch):
    """A JAVA_HOME without Java, and a Java that is too old, are faults with the command that installs one."""
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert (FAULT, True) == ((found := answer("java", config))[0], "has none" in found[1])
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    java.chmod(0o755)
    verdict, text, mend = answer("java", config)
    assert (FAULT, True, True) == (verdict, '"11.0.2"' in text, "openjdk" in mend)
    java.write_text("#!/bin/sh\necho 'openjdk version \"17.0.2\" 2022-01-18' >&2\n")
    assert (OK, True) == ((found := answer("java", config))[0], "by JAVA_HOME" in found[1])


def test_the_iceberg_jar(config, tmp_path, monkeypatch):
    """A jar that is missing or damaged is a fault that the fetch mends."""
    monkeypatch.setenv("NBPLAT_JARS", str(tmp_path))
    assert (FAULT, True) == ((found := answer("iceberg jar", config))[0], "nbplat jars fetch" in found[2])
    (tmp_path / "iceberg-spark-runtime-4.1_2.13-1.12.0.jar").write_bytes(b"not a jar")
    assert (FAULT, True) == ((found := answer("iceberg jar", config))[0], "nbplat jars fetch" in found[2])


def test_spark_that_is_not_installed(config, monkeypatch):
    """Without pyspark nobody needs Java, until a setting asks for Spark."""
    monkeypatch.setattr(stack, "installed_version", lambda name: None)
    assert (NOT_NEEDED, 'pip install "nbplat[spark]"') == ((found := answer("java", config))[0], found[2])


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("uv", "nbplat.adapters.uv.run._uv"),
        ("py-rattler", "nbplat.adapters.conda.library._virtual"),
        ("environment store", "nbplat.environment.store_health.store_health"),
        ("machine", "nbplat.remote.probe.probe"),
        ("kept warm", "nbplat.compose.warm_starts.kept_warm"),
    ],
)
def test_tools_of_environments(config, monkeypatch, name, broken):
    """A tool that does not answer is a fault with its own mend."""
    assert OK is answer(name, config)[0]

    def fail(*_: Any, **__: Any) -> None:
        raise SetupError("env.broken", "it has no program here", fix="install it again")

    monkeypatch.setattr(broken, fail)
    assert (FAULT, "it has no program here", "install it again") == answer(name, config)


# -- the store and the catalog ---------------------------------------------------------------------
def test_the_store(config):
    """A ledger that is no database is a fault."""
    assert (OK, "0 runs kept", "") == answer("store", config)
    other = configured(config.home, home=str(config.home / "other"))
    (other.home / "store.db").write_text("this is no database, whatever its name says" * 100)
    assert FAULT is answer("store", other)[0]


def test_the_catalog(config, tmp_path):
    """A catalog that does not answer is a fault, and its password is not shown."""
    assert OK is answer("catalog", config)[0]
    broken = tmp_path / "broken"
    broken.mkdir()

    class Gone:
        def list_namespaces(self) -> None:
            raise RemoteError("catalog.gone", "http://ann:s3cret@host does not answer", fix="set catalog.name")

    [found] = examine([Check("catalog", "everything", lambda: tables.check_catalog(config, Gone()))])  # type: ignore[arg-type]
    assert (FAULT, "http://ann:***@host does not answer", "set catalog.name") == (
        found.verdict,
        found.text,
        found.mend,
    )


def test_a_catalog_that_cannot_be_written(config, tmp_path):
    """The embedded one is a fault; of a company's catalog it is a warning, since tables may be written all the same."""
    assert (OK, "a namespace was made and dropped", "") == answer("catalog, writing", config)
    platform = open_platform(config)
    assert [] == platform.catalog.list_namespaces()
    platform.close()

    class ReadOnly:
        def create_namespace(self, name: str) -> None:
            raise PermissionError("read-only")

    assert FAULT is tables.check_catalog_writable(config, ReadOnly()).verdict  # type: ignore[arg-type]
    other = configured(tmp_path, catalog__name="company")
    assert WARNING is tables.check_catalog_writable(other, ReadOnly()).verdict  # type: ignore[arg-type]


# -- the service -----------------------------------------------------------------------------------
@pytest.fixture
def posing(config) -> Iterator[Config]:
    """A state folder whose service's lock is held by this process, which serves nothing."""
    (config.home / "run").mkdir(mode=0o700)
    lock = FileLock(running.service_lock(config))
    assert lock.take()
    yield config
    lock.release()


def test_a_service_that_does_not_answer(config, posing):
    """It is a fault that a restart mends; a stopped one is none."""
    write_info(config, {"url": "http://127.0.0.1:9", "token": "t0ken", "version": version()})
    verdict, text, mend = answer("service", config)
    assert (FAULT, True, True) == (verdict, "does not answer" in text, mend.startswith("nbplat service stop"))
    assert "t0ken" not in text + mend


def test_a_stopped_service(config):
    """It is not needed: it starts on demand."""
    assert NOT_NEEDED is answer("service", config)[0]


def test_a_teams_service_that_does_not_answer(tmp_path):
    """It is a fault that names the setting."""
    (tmp_path / "token").write_text("t0ken")
    config = configured(tmp_path, service__url="http://127.0.0.1:9", service__token_file=str(tmp_path / "token"))
    assert (FAULT, True) == ((found := answer("service", config))[0], "NBPLAT_URL" in found[2])
    assert NOT_NEEDED is answer("port", config)[0]


def test_the_port(config):
    """A port of the service that another process has is a fault that names that process."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        write_info(config, {"port": port, "token": "t0ken"})
        verdict, text, mend = answer("port", config)
        assert (FAULT, True, True) == (verdict, f"port {port}" in text, "service.port" in mend)
    assert OK is answer("port", config)[0]


def test_tokens(config):
    """A file of tokens that others can read is a fault, with the command that closes it."""
    assert NOT_NEEDED is running.check_secrets(config).verdict
    write_info(config, {"port": 1, "token": "t0ken"})
    assert OK is running.check_secrets(config).verdict
    file = config.home / "run" / "service.json"
    file.chmod(0o644)
    said = running.check_secrets(config)
    assert (FAULT, f"chmod 600 {file}") == (said.verdict, said.mend)
    file.chmod(0o600)
    file.parent.chmod(0o755)
    assert f"chmod 700 {file.parent}" == running.check_secrets(config).mend


# -- what a killed one left ------------------------------------------------------------------------
def test_leases_and_jobs(config):
    """A right that its holder did not give back, and jobs that wait, are warnings while no worker runs."""
    held, lapsed = Lease("table:a", "w1", 1, 2_000), Lease("table:b", "w2", 1, 500)
    assert OK is running.check_leases([held], 1_000, [], worker=False).verdict
    stale = running.check_leases([held, lapsed], 1_000, [], worker=False)
    assert (WARNING, True) == (stale.verdict, "w2 has not released table:b" in stale.text)
    waits = running.check_leases([], 1_000, ["j000001"], worker=False)
    assert (WARNING, True) == (waits.verdict, "j000001" in waits.text)
    assert OK is running.check_leases([lapsed], 1_000, ["j000001"], worker=True).verdict


def test_a_lease_in_the_ledger(config):
    """The ledger's own leases are looked at: one that has lapsed is told, one that was released is not."""
    platform = open_platform(config)
    given_back = platform.store.take_lease("table:a", "w1", ttl_ms=0)
    platform.store.release_lease(given_back)
    assert (OK, []) == (answer("leases and jobs", config)[0], platform.store.leases())
    platform.store.take_lease("table:b", "w2", ttl_ms=0)
    assert (WARNING, True) == ((found := answer("leases and jobs", config))[0], "table:b" in found[1])
    platform.close()


@pytest.fixture
def sleeper(config) -> Iterator[Callable[..., psutil.Process]]:
    """Starts processes that do nothing; they are gone afterwards."""
    started: list[subprocess.Popen[bytes]] = []

    def start(cwd: Path, **environ: str) -> psutil.Process:
        command = [sys.executable, "-c", "import signal; signal.pause()"]
        started.append(subprocess.Popen(command, cwd=cwd, env={**os.environ, **environ}))
        return psutil.Process(started[-1].pid)

    yield start
    for each in started:
        each.send_signal(signal.SIGKILL)
        each.wait()


def test_a_driver_without_a_session(config, sleeper):
    """A process in a folder that no living session has is a warning, with the command that ends it."""
    folder = config.home / "sessions" / "s1"
    folder.mkdir(parents=True)
    assert OK is answer("drivers", config)[0]
    pid = sleeper(folder).pid
    assert (WARNING, f"kill -9 {pid}") == ((found := answer("drivers", config))[0], found[2])
    assert OK is running.check_drivers(config, {str(folder)}).verdict


def test_a_step_without_a_worker(config, sleeper):
    """A step's process whose worker has died is a warning, with the command that ends it."""
    assert OK is answer("steps", config)[0]
    process = sleeper(config.home, **{STEP_VARIABLE: step_mark(config, "j000001")})
    # Until it is another program it has this process's variables.
    wait_until(lambda: STEP_VARIABLE in process.environ(), what="the process")
    assert (WARNING, f"kill {process.pid}") == ((found := answer("steps", config))[0], found[2])


# -- asking ----------------------------------------------------------------------------------------
def test_a_check_that_hangs():
    """It is a fault after its time, and the others have been told; who waits is shown."""
    gate, told = threading.Event(), []
    checks = [
        Check("slow", "everything", lambda: Said(OK, str(gate.wait(60)))),
        Check("quick", "everything", lambda: Said(OK, "here")),
    ]
    slow, quick = examine(checks, limit_s=3.0, waiting=told.append)
    gate.set()
    assert (FAULT, "no answer within 3 s", OK) == (slow.verdict, slow.text, quick.verdict)
    assert ["slow"] in told


def test_a_check_that_breaks():
    """A bug in a check is a fault of that check alone."""
    [found] = examine([Check("odd", "everything", lambda: {}["nothing"])])  # type: ignore[return-value]
    assert (FAULT, "the check broke: KeyError: 'nothing'") == (found.verdict, found.text)
    assert "report it with this line" == found.mend
