"""Writes the class-data archive of a kind of JVM: starts one, has it load what sessions use, and lets it end."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from .class_archive import archive_for, sweep
from .spark_host import LAUNCH, SparkHost, spark_home
from .warm_up import exercise, warm_conf

__all__ = ["main", "write_archive"]

_END_S = 300.0


def write_archive(spec: dict[str, Any], folder: str) -> dict[str, Any]:
    """Write the archive when it is not there.

    Args:
        spec: ``conf`` (Spark's settings), ``archives`` (their folder), ``measure``: whether one start without it and
            one with it are timed, and ``again``: whether it is tried though it failed before.
        folder: For what Spark writes.

    Returns:
        ``path`` and ``bytes``; ``fresh``, whether it was written now; ``failed``, why there is none (empty: there is);
        ``cold_s`` and ``with_s`` when they were measured, seconds from a JVM's start to its first result.
    """
    conf = {str(key): str(value) for key, value in spec["conf"].items()}
    launch = {key: value for key, value in conf.items() if key in LAUNCH}
    Path(spec["archives"]).mkdir(mode=0o700, parents=True, exist_ok=True)
    found = archive_for(spec["archives"], launch, spark_home())
    if found is None:
        return {"failed": "the session's Java options choose their own archive", "fresh": False}
    about: dict[str, Any] = {"path": str(found.path), "fresh": False, "failed": ""}
    if spec.get("measure"):
        about["cold_s"] = _first_result_s(conf, folder, "")
    if not found.whole:
        if found.failed and not spec.get("again"):
            return {**about, "failed": found.failed}
        about["fresh"] = True
        _write(conf, folder, spec["archives"])
        try:
            found.keep()
        except OSError:
            about["failed"] = "the JVM wrote none (a folder on its class path that is not empty keeps it from that)"
            found.note({"failed": about["failed"]})
            return about
    sweep(spec["archives"])
    about["bytes"] = found.path.stat().st_size
    if spec.get("measure"):
        about["with_s"] = _first_result_s(conf, folder, spec["archives"])
    return about


def _write(conf: dict[str, str], folder: str, archives: str) -> None:
    host = SparkHost(_say)
    host.launch(conf, archives, write=True)
    try:
        # With the page: its classes are a session's that wants it.
        host.claim({**warm_conf(conf, folder), "spark.ui.enabled": "true", "spark.ui.port": "0"})
        exercise(host.session, folder, much=True)
    finally:
        host.close(_END_S)


def _first_result_s(conf: dict[str, str], folder: str, archives: str) -> float:
    began = time.monotonic()
    host = SparkHost(_say)
    host.launch(conf, archives)
    try:
        host.claim(warm_conf(conf, folder))
        host.session.range(10).count()
        return time.monotonic() - began
    finally:
        host.close()


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def main() -> int:
    """Read ``spec.json`` of the folder given as the only argument, and leave ``result.json`` there."""
    folder = Path(sys.argv[1])
    spec = json.loads((folder / "spec.json").read_text())
    with tempfile.TemporaryDirectory(dir=str(folder)) as scratch:
        try:
            about = write_archive(spec, scratch)
        except Exception as exc:  # noqa: BLE001 - told to whoever asked
            about = {"failed": f"{type(exc).__name__}: {exc}", "fresh": False}
    (folder / "result.json").write_text(json.dumps(about))
    return 1 if about["failed"] else 0
