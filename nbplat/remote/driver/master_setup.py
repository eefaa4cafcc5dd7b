"""What some masters need of the process that starts their JVM."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

__all__ = ["prepare_master"]

_LINKED = ("bin", "jars", "python", "sbin", "RELEASE")


def prepare_master(conf: dict[str, str]) -> None:
    """Set this process's variables for the master of a session.

    ``local`` and ``local-cluster`` are given the loopback, whatever the host's name resolves to. A ``local-cluster``
    writes into Spark's own folder, which may be read-only and is everybody's: it gets one of links.
    """
    master = conf.get("spark.master", "")
    if master.startswith("local"):
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    if master.startswith("local-cluster["):
        os.environ["SPARK_HOME"] = str(_linked_home(Path(conf.get("spark.local.dir") or Path.cwd())))


def _linked_home(folder: Path) -> Path:
    real = Path(os.environ.get("SPARK_HOME") or _installed())
    home = folder / "spark-home"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in _LINKED:
        if (real / name).exists() and not (home / name).exists():
            (home / name).symlink_to(real / name)
    return home


def _installed() -> str:
    spec = importlib.util.find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("pyspark")
    return str(Path(spec.origin).parent)
