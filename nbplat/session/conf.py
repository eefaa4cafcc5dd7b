"""Which Spark settings a session gets, and who said each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["FIELD_SETTINGS", "Setting", "session_conf"]

FIELD_SETTINGS = {
    "driverMemory": "spark.driver.memory",
    "driverCores": "spark.driver.cores",
    "executorMemory": "spark.executor.memory",
    "executorCores": "spark.executor.cores",
    "numExecutors": "spark.executor.instances",
    "queue": "spark.yarn.queue",
    "jars": "spark.jars",
    "pyFiles": "spark.submit.pyFiles",
    "files": "spark.files",
    "archives": "spark.archives",
}
"""Livy's fields, and the Spark setting that each is."""


class Setting(NamedTuple):
    """A value and its origin: ``default``, ``site``, ``profile NAME``, ``request`` or ``request field NAME``."""

    value: str
    origin: str


def session_conf(
    defaults: Mapping[str, str],
    site: Mapping[str, str],
    request: Mapping[str, Any],
    forced: Mapping[str, str],
    profile: tuple[str, Mapping[str, str]] = ("", {}),
) -> dict[str, Setting]:
    """Spark's settings of a session; later wins.

    Args:
        defaults: What we choose.
        site: The configuration's.
        request: As `read_session_request` gives it.
        forced: What nobody may change: where it runs, the catalog's token.
        profile: Name and settings of the request's profile; over the site's, under the request's.
    """
    found = {key: Setting(value, "default") for key, value in defaults.items()}
    found.update((key, Setting(value, "site")) for key, value in site.items())
    found.update((key, Setting(value, f"profile {profile[0]}")) for key, value in profile[1].items())
    for field, key in FIELD_SETTINGS.items():
        if request.get(field):
            value = request[field]
            text = ",".join(value) if isinstance(value, list) else str(value)
            found[key] = Setting(text, f"request field {field}")
    found.update((key, Setting(value, "request")) for key, value in request.get("conf", {}).items())
    found.update((key, Setting(value, "platform")) for key, value in forced.items())
    return found
