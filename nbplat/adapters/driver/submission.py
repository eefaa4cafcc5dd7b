"""Submits a driver to a cluster: its settings, the one program that it is, and spark-submit to send both."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbplat.adapters.driver.command import in_folder
from nbplat.adapters.driver.hub import write_spec
from nbplat.adapters.driver.kept import start_kept, write_private
from nbplat.adapters.driver.properties import properties_text
from nbplat.adapters.driver.spark_program import PYSPARK
from nbplat.remote.bundle import bundle_bytes
from nbplat.remote.driver.cluster_main import SPEC

if TYPE_CHECKING:
    from nbplat.session.records import Session

__all__ = ["CONF", "SUBMIT_LOG", "Program", "launcher_variables", "submit"]

Program = Callable[[str, Sequence[str]], list[str]]
"""Makes the command of a program of Spark's, of a pyspark to borrow and the program's words."""

SUBMIT_LOG = "submit.log"
CONF = "spark.conf"

_MAIN = "nbplat_driver.py"
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


def submit(
    folder: Path, session: Session, where: Mapping[str, Any], alone_s: float, program: Program
) -> dict[str, Any]:
    """Start spark-submit in a session's fresh folder; what finds that process again.

    Args:
        where: What `Hub.open` says: where the driver calls.
        alone_s: A driver that no service spoke to for so long ends itself.
    """
    pod = f"nbplat-session-{session.id}-{secrets.token_hex(4)}"
    master, first = session.conf["spark.master"], secrets.token_urlsafe(24)
    spec: dict[str, Any] = {
        "session": session.id,
        "token": secrets.token_urlsafe(24),
        "dial_tokens": [first],
        "renewed": False,
        "master": master,
        "pod": f"{session.conf.get('spark.kubernetes.namespace', 'default')}:{pod}",
        "pyspark": session.conf.get(PYSPARK, ""),
        "user": session.proxy_user,
    }
    told = {
        "kind": session.kind,
        "conf": {},
        "token": spec["token"],
        "alone_s": alone_s,
        "dial": {**where, "session": session.id, "token": first},
    }
    write_spec(folder, spec)
    write_private(folder / _MAIN, _DRIVER.format(bundle=base64.b64encode(bundle_bytes()).decode()))
    write_private(folder / "log4j2.properties", _LOGGING)
    conf = in_folder(dict(session.conf), folder)
    conf[SPEC] = base64.b64encode(json.dumps(told).encode()).decode()
    conf.setdefault("spark.app.name", f"nbplat session {session.id}")
    # A second try would be another driver, without the variables of the first.
    conf |= {"spark.yarn.maxAppAttempts": "1", "spark.yarn.submit.waitAppCompletion": "false"}
    main, variables = str(folder / _MAIN), launcher_variables(folder)
    if master.startswith("k8s://"):
        conf |= {"spark.kubernetes.submission.waitAppCompletion": "false", "spark.kubernetes.driver.pod.name": pod}
        main, more = _by_config_map(folder)
        variables |= more
    write_private(folder / CONF, properties_text(conf))
    whose = ["--proxy-user", session.proxy_user] if session.proxy_user else []
    words = ["spark-submit", "--load-spark-defaults", *whose, "--properties-file", str(folder / CONF), main]
    return start_kept(folder, SUBMIT_LOG, program(spec["pyspark"], words), environ=variables)


def launcher_variables(folder: Path) -> dict[str, str]:
    """Variables of Spark's own programs: their log's form, and a JVM that is quick for seconds."""
    options = f"-Dlog4j2.configurationFile=file:{folder}/log4j2.properties -XX:TieredStopAtLevel=1"
    return {"SPARK_SUBMIT_OPTS": options, "SPARK_LAUNCHER_OPTS": "-XX:TieredStopAtLevel=1"}


def _by_config_map(folder: Path) -> tuple[str, dict[str, str]]:
    """Spark gives a driver's pod the text files of its conf folder: our program comes as one of them."""
    made = folder / "conf"
    made.mkdir(mode=0o700)
    given = os.environ.get("SPARK_CONF_DIR", "")
    for path in sorted(Path(given).iterdir()) if given else ():
        if path.is_file():
            shutil.copy(path, made / path.name)
    (folder / _MAIN).rename(made / _MAIN)
    return f"local:///opt/spark/conf/{_MAIN}", {"SPARK_CONF_DIR": str(made)}
