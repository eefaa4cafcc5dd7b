"""Spark's settings for jobs of seconds on little data: what costs more to start than it saves is left out."""

from __future__ import annotations

from nbplat.session.conf import Setting

__all__ = ["SMALL_JOBS", "small_job_conf"]

SMALL_JOBS = "small-jobs"
"""Name of these settings, as a site's profile may include them."""

_CONF = {
    # The second compiler pays after minutes; until then it takes half the CPU. The serial collector starts at once.
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.sql.adaptive.enabled": "true",
    "spark.sql.adaptive.coalescePartitions.enabled": "true",
    "spark.dynamicAllocation.enabled": "false",
    # A task of milliseconds is over before a better place for it is free.
    "spark.locality.wait": "0s",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}


def small_job_conf(cores: int, *, ui: bool = False) -> dict[str, Setting]:
    """Settings that make small jobs start and end sooner, each with the origin ``small-jobs``.

    Java options are joined to those that are there already, as `nbplat.session.conf.session_conf` does.

    Args:
        cores: Of all executors; two shuffle partitions each, since a partition is a task however small.
        ui: Whether Spark's web page is started: about half a second and a port.
    """
    conf = {**_CONF, "spark.sql.shuffle.partitions": str(2 * max(1, cores)), "spark.ui.enabled": str(ui).lower()}
    return {key: Setting(value, SMALL_JOBS) for key, value in conf.items()}
