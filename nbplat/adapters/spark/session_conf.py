"""What a lasting session's Spark is given where nobody says otherwise."""

from __future__ import annotations

import contextlib
from pathlib import Path

from nbplat.adapters.spark.conf import spark_conf
from nbplat.adapters.spark.jars import iceberg_jar
from nbplat.adapters.spark.session import LOGGING, SparkSettings
from nbplat.config import Config
from nbplat.errors import NbplatError

__all__ = ["default_conf"]


def default_conf(config: Config, folder: str, logging_file: Path, service_url: str, token: str) -> dict[str, str]:
    """Spark's settings of a session, with the embedded catalog when the Iceberg jar is there.

    Args:
        folder: Of the session.
        logging_file: Written here: how the JVM logs.
        token: The catalog's scoped token.
    """
    logging_file.parent.mkdir(parents=True, exist_ok=True)
    logging_file.write_text(LOGGING)
    jar = None
    with contextlib.suppress(NbplatError):
        jar = iceberg_jar(config)
    settings = SparkSettings(
        master=config.spark_master,
        scratch=Path(folder),
        memory_bytes=config.memory_bytes,
        threads=config.threads,
        iceberg_jar=jar,
        quick=True,
    ).values()
    settings["spark.driver.extraJavaOptions"] = settings["spark.driver.extraJavaOptions"].replace(
        f"file:{Path(folder) / 'log4j2.properties'}", f"file:{logging_file}"
    )
    if jar is not None and not config.catalog:
        settings |= spark_conf(config, service_url, token)
    return settings
