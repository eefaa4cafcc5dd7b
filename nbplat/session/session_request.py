"""A request to start a session in our own words, checked before anything is started."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from nbplat.errors import RequestError, did_you_mean
from nbplat.session.livy_request import KINDS, LivyRefusal, duration_ms, refused_conf

__all__ = ["ENVIRONMENT", "FIELDS", "check_name", "read_start"]

FIELDS = {
    "name": "name",
    "driver_memory": "driverMemory",
    "driver_cores": "driverCores",
    "executor_memory": "executorMemory",
    "executor_cores": "executorCores",
    "num_executors": "numExecutors",
    "queue": "queue",
    "jars": "jars",
    "py_files": "pyFiles",
    "files": "files",
    "archives": "archives",
    "ttl": "ttl",
    "idle_timeout": "idleTimeout",
}
"""Our names of the fields that have one in Livy, and Livy's."""

ENVIRONMENT = "spark.nbplat.environment"
"""Setting that names the declared environment which the session runs in."""

_RUNS = ("pyspark", "sql", "spark", "shared")
_NAME = re.compile(r"[^\W\d_][\w .@-]{0,99}\Z|\d[\w .@-]*[^\d\s][\w .@-]*\Z")
_MEMORY = re.compile(r"\d+\s*[kmgt]?b?\Z", re.IGNORECASE)


def read_start(data: Mapping[str, Any]) -> dict[str, Any]:
    """Check a request and give it in Livy's names, as `nbplat.session.livy_request.read_session_request` does.

    Args:
        data: `FIELDS`, ``kind``, ``conf``, ``master``, ``environment``, ``profile``, each in its type; None and missing
            are alike.

    Raises:
        RequestError: ``session.master``, ``session.environment``, ``session.kind``, ``session.name``,
            ``session.conf``, ``session.value``.
    """
    if data.get("master"):
        raise RequestError(
            "session.master",
            f"a session cannot choose its master ({data['master']})",
            fix="set spark.master (NBPLAT_SPARK_MASTER) where the service runs",
            where="master",
        )
    found: dict[str, Any] = {
        "kind": _kind(data.get("kind") or "pyspark"),
        "conf": _conf(data.get("conf") or {}, data.get("environment") or ""),
    }
    for ours, livys in FIELDS.items():
        if data.get(ours) not in (None, "", []):
            found[livys] = data[ours]
    if data.get("profile"):
        found["profile"] = data["profile"]
    if "name" in found:
        check_name(found["name"])
    for ours in ("driver_memory", "executor_memory"):
        if FIELDS[ours] in found and not _MEMORY.fullmatch(str(found[FIELDS[ours]]).strip()):
            raise _wrong(ours, found[FIELDS[ours]], "write 2g or 800m")
    for ours in ("ttl", "idle_timeout"):
        if FIELDS[ours] in found:
            _check_duration(ours, str(found[FIELDS[ours]]))
    return found


def check_name(name: str) -> None:
    """Raises RequestError for a name that could be taken for an id, or that no line could hold."""
    if not _NAME.fullmatch(name):
        raise RequestError(
            "session.name",
            f"{name[:120]!r} cannot be a session's name",
            fix="give up to 100 letters, digits, spaces and . _ @ -, not digits alone",
            where="name",
        )


def _kind(kind: str) -> str:
    found = KINDS.get(kind)
    if found not in _RUNS:
        known = [name for name, meant in KINDS.items() if meant in _RUNS]
        raise RequestError("session.kind", f"nothing here runs {kind!r}", fix=did_you_mean(kind, known), where="kind")
    return found


def _conf(conf: Mapping[str, str], environment: str) -> dict[str, str]:
    for key in conf:
        if refused_conf(key):
            raise RequestError(
                "session.conf",
                f"a session cannot set {key}: where it runs is the platform's word",
                fix="leave it out",
                where=f"conf.{key}",
            )
    if not environment:
        return dict(conf)
    if conf.get(ENVIRONMENT, environment) != environment:
        raise RequestError(
            "session.environment",
            f"two environments: {environment} and {ENVIRONMENT}={conf[ENVIRONMENT]}",
            fix="give one of them",
            where="environment",
        )
    return {**conf, ENVIRONMENT: environment}


def _check_duration(field: str, text: str) -> None:
    try:
        if duration_ms(text) > 0:
            return
    except LivyRefusal:
        pass
    raise _wrong(field, text, "write 90s, 30m, 8h or 2d")


def _wrong(field: str, value: Any, mend: str) -> RequestError:
    return RequestError("session.value", f"{field} {str(value)[:100]!r} is not understood", fix=mend, where=field)
