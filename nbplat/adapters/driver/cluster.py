"""Drivers inside a cluster: submitted by spark-submit, which ends; they call back over TLS."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import os
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbplat.adapters.driver.dialled import DialledLine
from nbplat.adapters.driver.hub import Hub, write_spec
from nbplat.adapters.driver.kept import (
    fresh_folder,
    kept_lives,
    kill_kept,
    log_of,
    start_kept,
    write_private,
)
from nbplat.adapters.driver.managers import Manager, Standing, manager_of
from nbplat.adapters.driver.processes import FOLDER
from nbplat.adapters.driver.properties import properties_text
from nbplat.errors import RemoteError
from nbplat.remote.bundle import bundle_bytes
from nbplat.remote.driver.arrow_pages import page_path, results_of
from nbplat.remote.driver.cluster_main import SPEC
from nbplat.session.ports import Ending

if TYPE_CHECKING:
    from nbplat.session.ports import Drivers
    from nbplat.session.records import Session

__all__ = ["CLUSTER_PLACE", "ClusterDrivers"]

CLUSTER_PLACE = "cluster"
"""In a driver's record, as ``place``."""

_log = logging.getLogger("nbplat.session")

_SUBMIT_LOG = "submit.log"
_LOG = "driver.log"
_CONF = "spark.conf"
_MAIN = "nbplat_driver.py"
_STANDING = "standing.json"
_PYSPARK = "spark.nbplat.environment.pyspark"
# A driver that lost its line calls again within seconds; asking the cluster's manager takes a whole JVM.
_QUIET_S = 15.0
_ASK_AGAIN_S = 30.0
_ASK_LIMIT_S = 90.0
# A pod that is deleted has half a minute to end, and runs as far as Kubernetes says.
_GRACE_S = 45.0
_ASK_AGAIN_S = 1.0
_TAIL_LINES = 20

_RUN = """
import importlib.util, os, sys
spec = importlib.util.find_spec("pyspark")
home = os.path.dirname(spec.origin) if spec else sys.argv[1]
if not home:
    sys.exit("there is no pyspark here: install nbplat[spark]")
for name in ("PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON"):
    os.environ.pop(name, None)
os.environ["SPARK_HOME"] = home
os.execv(home + "/bin/" + sys.argv[2], sys.argv[2:])
"""
_DRIVER = """import base64, os, sys
folder = os.path.join(os.getcwd(), "nbplat-code-%d" % os.getpid())
os.mkdir(folder, 0o700)
path = os.path.join(folder, "remote.zip")
with open(path, "wb") as out:
    out.write(base64.b64decode({bundle!r}))
sys.path.insert(0, path)
from nbplat.remote.driver.cluster_main import main
sys.exit(main())
"""
_LOGGING = """rootLogger.level = warn
rootLogger.appenderRef.stderr.ref = console
logger.yarn.name = org.apache.spark.deploy.yarn
logger.yarn.level = info
logger.k8s.name = org.apache.spark.deploy.k8s
logger.k8s.level = info
appender.console.type = Console
appender.console.name = console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss} submit %p %c{1}: %m%n
"""


class ClusterDrivers:
    """Starts drivers on YARN and Kubernetes, and takes their calls.

    Args:
        folder: Holds a folder a session; made when missing.
        hub: Where they call.
        alone_s: A driver that no service spoke to for so long ends itself.
        python: Has pyspark, for spark-submit.
        quiet_s: Without a line for so long the cluster's manager is asked what became of a driver.
    """

    def __init__(
        self,
        folder: Path,
        hub: Hub,
        alone_s: float = 86_400.0,
        python: str = sys.executable,
        quiet_s: float = _QUIET_S,
    ) -> None:
        self._folder = folder
        self._hub = hub
        self._alone_s = alone_s
        self._python = python
        self._quiet_s = quiet_s
        self._changing = threading.Lock()
        self._asking: set[int] = set()
        # Sessions whose end is being made sure of, and whether their folder is to go then.
        self._ensuring: dict[int, bool] = {}
        # Per session, by monotonic time: when its line was there last, and when the manager was asked last.
        self._heard: dict[int, float] = {}
        self._asked: dict[int, float] = {}

    def start(self, session: Session) -> dict[str, Any]:
        """Submit a driver; see `nbplat.session.ports.Drivers`."""
        where = self._hub.open()
        folder = self._folder / str(session.id)
        if folder.exists():
            self._end_earlier(folder)
        fresh_folder(folder)
        pod = f"nbplat-session-{session.id}-{secrets.token_hex(4)}"
        master, first = session.conf["spark.master"], secrets.token_urlsafe(24)
        spec = {
            "session": session.id,
            "token": secrets.token_urlsafe(24),
            "dial_tokens": [first],
            "renewed": False,
            "master": master,
            "pod": f"{session.conf.get('spark.kubernetes.namespace', 'default')}:{pod}",
            "pyspark": session.conf.get(_PYSPARK, ""),
            "user": session.proxy_user,
        }
        told = {
            "kind": session.kind,
            "conf": {},
            "token": spec["token"],
            "alone_s": self._alone_s,
            "dial": {**where, "session": session.id, "token": first},
        }
        write_spec(folder, spec)
        write_private(folder / _MAIN, _DRIVER.format(bundle=base64.b64encode(bundle_bytes()).decode()))
        write_private(folder / "log4j2.properties", _LOGGING)
        conf = {key: value.replace(FOLDER, str(folder)) for key, value in session.conf.items()}
        conf[SPEC] = base64.b64encode(json.dumps(told).encode()).decode()
        conf.setdefault("spark.app.name", f"nbplat session {session.id}")
        # A second try would be another driver, without the variables of the first.
        conf |= {"spark.yarn.maxAppAttempts": "1", "spark.yarn.submit.waitAppCompletion": "false"}
        main, variables = str(folder / _MAIN), self._variables(folder)
        if master.startswith("k8s://"):
            conf |= {
                "spark.kubernetes.submission.waitAppCompletion": "false",
                "spark.kubernetes.driver.pod.name": pod,
            }
            main, more = _by_config_map(folder, variables)
            variables |= more
        write_private(folder / _CONF, properties_text(conf))
        whose = ["--proxy-user", session.proxy_user] if session.proxy_user else []
        submit = ["spark-submit", "--load-spark-defaults", *whose, "--properties-file", str(folder / _CONF), main]
        found = start_kept(folder, _SUBMIT_LOG, self._command(spec, submit), environ=variables)
        self._heard[session.id] = time.monotonic()
        return {**found, "place": CLUSTER_PLACE, "session": session.id}

    def lives(self, driver: Mapping[str, Any]) -> bool:
        """Whether it is there, for all that is known: its line, the submission, and at last the manager's word."""
        if not driver or not Path(driver["folder"]).is_dir():
            return False
        if _standing(driver) is not None:
            return False
        if kept_lives(driver):
            return True
        if not self._application(driver):
            # The submission has ended and made nothing.
            return False
        number = driver["session"]
        now = time.monotonic()
        with self._changing:
            quiet = now - self._heard.setdefault(number, now) > self._quiet_s
            due = now - self._asked.get(number, -_ASK_AGAIN_S) >= _ASK_AGAIN_S
            if not (quiet and due) or number in self._asking:
                return True
            self._asking.add(number)
        threading.Thread(target=self._look, args=(dict(driver),), name="standing", daemon=True).start()
        return True

    def open(self, driver: Mapping[str, Any], after: int) -> DialledLine | None:
        """The line that the driver has made; None while it has made none."""
        self._hub.open()
        number = driver["session"]
        connection = self._hub.take(number)
        if connection is None:
            return None
        folder = Path(driver["folder"])
        spec = json.loads((folder / "spec.json").read_text())
        try:
            line = DialledLine(connection, spec["token"], after, folder, ended=lambda: self._ended(driver))
        except OSError:
            return None
        self._renew(folder)
        line.left = lambda: self._hear(number)
        self._heard[number] = float("inf")
        return line

    def left_behind(self, driver: Mapping[str, Any], after: int) -> list[dict[str, Any]]:
        """Nothing: a driver that ends keeps its events until they are taken; one that is killed takes them along."""
        return []

    def ending(self, driver: Mapping[str, Any]) -> Ending:
        """How it came to its end, by the manager's word or the submission's log."""
        _, lines = self.log(driver, after=-_TAIL_LINES, limit=_TAIL_LINES)
        standing = _standing(driver)
        if standing is None:
            return Ending(_submitted(driver), lines)
        return Ending(standing.code, [*lines, standing.said])

    def page(self, driver: Mapping[str, Any], statement_id: int, page: int) -> Path | None:
        """The file of a page of a statement's rows, which its line has fetched."""
        path = page_path(driver["folder"], statement_id, page)
        return path if path.is_file() else None

    def drop_rows(self, driver: Mapping[str, Any], statement_ids: Sequence[int]) -> None:
        """Delete the rows that statements left."""
        for statement in statement_ids:
            shutil.rmtree(results_of(driver["folder"], statement), ignore_errors=True)

    def new_frame(self, driver: Mapping[str, Any]) -> Path:
        """A new file in the session's folder, which its line sends."""
        folder = Path(driver["folder"], "frames")
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder / secrets.token_hex(8)

    def kill(self, driver: Mapping[str, Any]) -> None:
        """End submission and application."""
        if not driver or not Path(driver["folder"]).is_dir():
            return
        if _standing(driver) is not None:
            return
        application = self._application(driver)
        kill_kept(driver)
        if application:
            self._end(driver, application)
        _write_standing(driver, Standing(True, None, "the session was ended"))

    def log(self, driver: Mapping[str, Any], *, after: int = 0, limit: int = 1000) -> tuple[int, list[str]]:
        """Lines of the submission, then those of the driver."""
        lines = log_of(driver, _SUBMIT_LOG, limit=sys.maxsize)[1] + log_of(driver, _LOG, limit=sys.maxsize)[1]
        start = max(0, len(lines) + after) if after < 0 else after
        return len(lines), lines[start : start + limit]

    def remove(self, driver: Mapping[str, Any]) -> None:
        """Delete the folder."""
        self._hub.forget(driver["session"])
        with self._changing:
            if driver["session"] in self._ensuring:
                self._ensuring[driver["session"]] = True  # whoever makes sure of its end needs the folder
                return
        shutil.rmtree(driver["folder"], ignore_errors=True)

    def close(self) -> None:
        """Take no more calls."""
        self._hub.close()

    # -- what is known of an application -----------------------------------------------------------
    def _application(self, driver: Mapping[str, Any]) -> str:
        folder = Path(driver["folder"])
        with contextlib.suppress(OSError, ValueError):
            spec = json.loads((folder / "spec.json").read_text())
            if spec["master"].startswith("k8s://") and _submitted(driver) not in (0, None):
                return ""
            text = (folder / _SUBMIT_LOG).read_text(errors="replace")
            return manager_of(spec["master"], "").application(text, spec)
        return ""

    def _manager(self, driver: Mapping[str, Any]) -> tuple[Manager, dict[str, Any]]:
        spec: dict[str, Any] = json.loads((Path(driver["folder"]) / "spec.json").read_text())
        return manager_of(spec["master"], str(Path(driver["folder"]) / _CONF)), spec

    def _look(self, driver: Mapping[str, Any]) -> None:
        number = driver["session"]
        try:
            manager, spec = self._manager(driver)
            standing = manager.standing(self._run(driver, spec, manager.status(self._application(driver))))
            if standing is not None and standing.ended:
                _write_standing(driver, standing)
        except OSError as exc:
            _log.warning("session %d: its cluster's manager is not asked: %s", number, exc)
        finally:
            with self._changing:
                self._asked[number] = time.monotonic()
                self._asking.discard(number)

    def _end(self, driver: Mapping[str, Any], application: str) -> None:
        manager, spec = self._manager(driver)
        answer = self._run(driver, spec, manager.kill(application))
        limit = time.monotonic() + _GRACE_S
        standing = manager.standing(self._run(driver, spec, manager.status(application)))
        while standing is not None and not standing.ended and time.monotonic() < limit:
            time.sleep(_ASK_AGAIN_S)
            standing = manager.standing(self._run(driver, spec, manager.status(application)))
        if standing is None or not standing.ended:
            raise RemoteError(
                "session.driver",
                f"the cluster does not end {application}: {answer.strip()[-300:]}",
                fix="stop the session again when the cluster answers, or end the application there",
            )

    def _end_earlier(self, folder: Path) -> None:
        """What an earlier try of the same start has submitted is ended, or the session would have two drivers."""
        driver = {"folder": str(folder), "session": int(folder.name)}
        application = self._application(driver) if (folder / "spec.json").is_file() else ""
        if application and _standing(driver) is None:
            self._end(driver, application)

    def _ended(self, driver: Mapping[str, Any]) -> None:
        """It has said its end, and all that it told is stored."""
        _write_standing(driver, Standing(False, 0, "the driver has ended"))
        with self._changing:
            self._ensuring[driver["session"]] = False
        # A little later nothing of the application may be left; nobody waits for that.
        threading.Thread(target=self._make_sure, args=(dict(driver),), name="making sure", daemon=True).start()

    def _make_sure(self, driver: Mapping[str, Any]) -> None:
        try:
            with contextlib.suppress(OSError, RemoteError):
                self._end_late(driver)
        finally:
            with self._changing:
                remove = self._ensuring.pop(driver["session"], False)
            if remove:
                shutil.rmtree(driver["folder"], ignore_errors=True)

    def _end_late(self, driver: Mapping[str, Any]) -> None:
        """Wait for the end of an application whose driver has ended; it is ended when it does not come."""
        manager, spec = self._manager(driver)
        application = self._application(driver)
        deadline = time.monotonic() + _ASK_AGAIN_S
        while application and time.monotonic() < deadline:
            standing = manager.standing(self._run(driver, spec, manager.status(application)))
            if standing is None or standing.ended:
                return
            time.sleep(2.0)
        if application:
            self._end(driver, application)

    def _hear(self, number: int) -> None:
        self._heard[number] = time.monotonic()

    def _renew(self, folder: Path) -> None:
        """The token that came by the cluster's files is worth nothing from now on."""
        spec = json.loads((folder / "spec.json").read_text())
        if not spec["renewed"]:
            write_spec(folder, {**spec, "renewed": True, "dial_tokens": spec["dial_tokens"][-1:]})

    def _command(self, spec: Mapping[str, Any], words: Sequence[str]) -> list[str]:
        return [self._python, "-I", "-c", _RUN, str(spec["pyspark"]), *words]

    def _run(self, driver: Mapping[str, Any], spec: Mapping[str, Any], words: Sequence[str]) -> str:
        """What a program of Spark's says."""
        try:
            done = subprocess.run(
                self._command(spec, words),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_ASK_LIMIT_S,
                check=False,
                env={**os.environ, **self._variables(Path(driver["folder"])), **_asking_for(spec)},
            )
        except (OSError, subprocess.TimeoutExpired) as exc:
            _log.warning("session %d: %s", driver["session"], exc)
            return ""
        return done.stdout + done.stderr

    def _variables(self, folder: Path) -> dict[str, str]:
        options = f"-Dlog4j2.configurationFile=file:{folder}/log4j2.properties -XX:TieredStopAtLevel=1"
        return {"SPARK_SUBMIT_OPTS": options, "SPARK_LAUNCHER_OPTS": "-XX:TieredStopAtLevel=1"}


def _asking_for(spec: Mapping[str, Any]) -> dict[str, str]:
    """Hadoop's own way to ask for another user, under this one's right to do so."""
    return {"HADOOP_PROXY_USER": spec["user"]} if spec.get("user") else {}


def _by_config_map(folder: Path, variables: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Spark gives a driver's pod the text files of its conf folder: our program comes as one of them."""
    made = folder / "conf"
    made.mkdir(mode=0o700)
    given = os.environ.get("SPARK_CONF_DIR", "")
    for path in sorted(Path(given).iterdir()) if given else ():
        if path.is_file():
            shutil.copy(path, made / path.name)
    (folder / _MAIN).rename(made / _MAIN)
    return f"local:///opt/spark/conf/{_MAIN}", {"SPARK_CONF_DIR": str(made)}


def _submitted(driver: Mapping[str, Any]) -> int | None:
    """Exit code of the submission; None while it runs."""
    with contextlib.suppress(OSError, ValueError):
        return int(Path(driver["folder"], "exit").read_text())
    return None


def _standing(driver: Mapping[str, Any]) -> Standing | None:
    """What is written down of its end; None while it lives."""
    with contextlib.suppress(OSError, ValueError):
        return Standing(*json.loads(Path(driver["folder"], _STANDING).read_text()))
    return None


def _write_standing(driver: Mapping[str, Any], standing: Standing) -> None:
    # The folder may be gone: the session was deleted meanwhile.
    with contextlib.suppress(OSError):
        fresh = Path(driver["folder"], f".{_STANDING}")
        fresh.write_text(json.dumps(list(standing)))
        fresh.replace(Path(driver["folder"], _STANDING))


if TYPE_CHECKING:
    _KEEPS_THE_PORT: type[Drivers] = ClusterDrivers
