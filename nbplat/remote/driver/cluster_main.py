"""Where a driver begins that a cluster started: its spec comes with Spark's own settings."""

from __future__ import annotations

import base64
import json
import os
import threading
from pathlib import Path

from .cluster_gateway import cluster_gateway
from .main import Driver

__all__ = ["SPEC", "main"]

SPEC = "spark.nbplat.driver.secret"
"""The setting that holds the spec, base64 of JSON; Spark hides its value by its name."""


def main() -> int:
    """Take the spec from the JVM that started us, and serve from the working folder."""
    system = cluster_gateway().jvm.java.lang.System
    spec = json.loads(base64.b64decode(system.getProperty(SPEC)))
    # Neither the context's settings nor its executors need it.
    system.clearProperty(SPEC)
    threading.current_thread().name = "driver"
    folder = Path.cwd() / f"nbplat-{os.getpid()}"
    folder.mkdir(mode=0o700)
    return Driver(str(folder), spec).run()
