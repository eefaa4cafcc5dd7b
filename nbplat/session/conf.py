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


# Of two equal options of Java the later one counts, of two classes the earlier one.
_LATER_COUNTS = frozenset(("spark.driver.extraJavaOptions", "spark.executor.extraJavaOptions"))
_EARLIER_COUNTS = frozenset(("spark.driver.extraClassPath", "spark.executor.extraClassPath"))


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
    """Spark's settings of a session; later wins, but Java options and class paths are joined: ours are needed as well.

    Args:
        defaults: What we choose.
        site: The configuration's.
        request: As `read_session_request` gives it.
        forced: What nobody may change: where it runs, the catalog's token.
        profile: Name and settings of the request's profile; over the site's, under the request's.
    """
    found = {key: Setting(value, "default") for key, value in defaults.items()}
    found.update(_joined(found, {key: Setting(value, "site") for key, value in site.items()}))
    mine = {key: Setting(value, f"profile {profile[0]}") for key, value in profile[1].items()}
    found.update(_joined(found, mine))
    for field, key in FIELD_SETTINGS.items():
        if request.get(field):
            value = request[field]
            text = ",".join(value) if isinstance(value, list) else str(value)
            found[key] = Setting(text, f"request field {field}")
    asked = {key: Setting(value, "request") for key, value in request.get("conf", {}).items()}
    found.update(_joined(found, asked))
    found.update((key, Setting(value, "platform")) for key, value in forced.items())
    return found


def _joined(before: Mapping[str, Setting], after: Mapping[str, Setting]) -> dict[str, Setting]:
    """The settings of `after`, those that are lists together with what was there before."""
    found = dict(after)
    for key in after.keys() & before.keys():
        old, new = before[key].value, after[key]
        if key in _LATER_COUNTS:
            found[key] = Setting(f"{old} {new.value}".strip(), new.origin)
        elif key in _EARLIER_COUNTS:
            found[key] = Setting(":".join(filter(None, (new.value, old))), new.origin)
    return found
