"""What a lasting session's Spark is given where nobody says otherwise."""

from __future__ import annotations

import contextlib
from pathlib import Path

from nbplat.adapters.spark.conf import spark_conf
from nbplat.adapters.spark.jars import iceberg_jar
from nbplat.adapters.spark.session import LOGGING, SparkSettings
from nbplat.config import Config
from nbplat.errors import NbplatError
from nbplat.session.masters import Master, master_of

__all__ = ["default_conf"]

# Paths of the service's host, and what its own driver alone can have.
_OF_THIS_HOST = frozenset(
    (
        "spark.local.dir",
        "spark.sql.warehouse.dir",
        "spark.driver.extraClassPath",
        "spark.driver.extraJavaOptions",
        # Where YARN and Kubernetes show a driver, its page is how a person sees it.
        "spark.ui.enabled",
    )
)


def default_conf(
    config: Config, folder: str, logging_file: Path, service_url: str, token: str, master: Master | None = None
) -> dict[str, str]:
    """Spark's settings of a session, with the embedded catalog when the Iceberg jar is there.

    Args:
        folder: Of the session.
        logging_file: Written here: how the JVM logs.
        token: The catalog's scoped token.
        master: Where it runs; None: ``spark.master``, with the driver here.
    """
    master = master or master_of(config.spark_master)
    if master.kind in ("connect", "livy"):
        # That server has chosen all of it when it started, or does so itself.
        return {"spark.master": master.url}
    logging_file.parent.mkdir(parents=True, exist_ok=True)
    logging_file.write_text(LOGGING)
    jar = None
    with contextlib.suppress(NbplatError):
        jar = iceberg_jar(config)
    settings = SparkSettings(
        master=master.url,
        scratch=Path(folder),
        memory_bytes=config.memory_bytes,
        threads=config.threads,
        iceberg_jar=jar,
        quick=True,
    ).values()
    settings["spark.driver.extraJavaOptions"] = settings["spark.driver.extraJavaOptions"].replace(
        f"file:{Path(folder) / 'log4j2.properties'}", f"file:{logging_file}"
    )
    if master.kind == "yarn":
        # What spark-submit says of a Python file; our JVM learns its master later.
        settings["spark.yarn.isPython"] = "true"
    if master.cluster:
        options = {"spark.driver.extraJavaOptions": "-Duser.timezone=UTC -XX:TieredStopAtLevel=1"}
        return {key: value for key, value in settings.items() if key not in _OF_THIS_HOST} | options
    if jar is not None and not config.catalog:
        settings |= spark_conf(config, service_url, token)
    return settings
