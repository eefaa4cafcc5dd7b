"""Values of settings: from what a file, a variable or a call gave, and back into text without secrets."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nbplat.errors import RequestError

__all__ = ["PROFILES", "SPARK_CONF", "convert", "profile_table", "redact_url", "shown", "spark_conf", "spark_text"]

SPARK_CONF = "spark.conf"
PROFILES = "profiles"

_SECRET = re.compile(r"(?i)secret|password|token|access[._]?key")


def redact_url(text: str) -> str:
    """Hide the password of a URL: ``postgresql://me:***@host/db``."""
    return re.sub(r"(://[^:/@\s]*):[^@/\s]*@", r"\1:***@", text)


def shown(name: str, value: Any) -> Any:
    """A setting's value without the secrets in it."""
    if name == "spark_conf" and value:
        return json.dumps({key: "***" if _SECRET.search(key) else text for key, text in json.loads(value).items()})
    if name == "service_oidc_client_secret" and not str(value).startswith(("file:", "env:")) and value:
        return "***"  # no reference: somebody wrote the secret itself
    if name == PROFILES and value:
        return ", ".join(sorted(json.loads(value)))
    return redact_url(value) if isinstance(value, str) else value


def profile_table(raw: Any, source: str) -> dict[str, Any]:
    """Profiles as a table of tables."""
    try:
        given = json.loads(raw or "{}") if isinstance(raw, str) else raw
        if not isinstance(given, Mapping) or not all(isinstance(each, Mapping) for each in given.values()):
            raise ValueError
    except ValueError:
        raise RequestError(
            "config.value",
            f"{PROFILES} is no table of profiles",
            fix='write [profiles.NAME] tables in nbplat.toml, or {"NAME": {"driver_memory": "4g"}}',
            where=source,
        ) from None
    return dict(given)


def spark_conf(raw: Any, source: str) -> str:
    """Spark's settings as canonical JSON text; empty for none."""
    try:
        given = json.loads(raw) if isinstance(raw, str) and raw.strip() else raw or {}
        if not isinstance(given, Mapping) or any(isinstance(value, Mapping | list) for value in given.values()):
            raise ValueError
    except ValueError:
        raise RequestError(
            "config.value",
            f"{SPARK_CONF} = {raw!r} is no table of Spark settings",
            fix='write {"spark.executor.memory": "4g"}, or a [spark.conf] table in nbplat.toml',
            where=source,
        ) from None
    return json.dumps({str(key): spark_text(value) for key, value in given.items()}, sort_keys=True) if given else ""


def spark_text(value: Any) -> str:
    """A value as Spark spells it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def convert(raw: Any, annotation: Any, key: str, source: str) -> Any:
    """A value of the type that a setting is declared with; raises RequestError (``config.value``)."""
    name = str(annotation)
    try:
        if name == "bool":
            if isinstance(raw, bool):
                return raw
            return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[str(raw).lower()]
        if name == "int":
            if isinstance(raw, bool):
                raise ValueError
            return int(raw)
        if name == "float":
            return float(raw)
        if name == "Path":
            return Path(str(raw))
        return str(raw)
    except (ValueError, KeyError):
        raise RequestError(
            "config.value",
            f"{key} = {raw!r} is not of type {name}",
            fix=f"give {key} a value of type {name}",
            where=source,
        ) from None
