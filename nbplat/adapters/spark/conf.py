"""The Spark conf that reaches the embedded catalog through our service."""

from __future__ import annotations

from nbplat.config import Config
from nbplat.errors import RequestError

__all__ = ["CATALOG", "spark_conf"]

# Spark's name of the catalog; the service strips it from rename targets, and table keys in the database hold it.
CATALOG = "nbplat"


def spark_conf(config: Config, service_url: str, token: str) -> dict[str, str]:
    """Conf keys for a session that sees the embedded catalog as `nbplat` and uses it by default.

    Args:
        service_url: Address of the service, ``http://127.0.0.1:8765``; a trailing slash is fine.
        token: The scoped token, `nbplat.service.routes.iceberg.catalog_token`. Its key ends in ``token``, which
            Spark's own redaction hides in the web page, the logs and the event log.

    Raises:
        RequestError: when the configuration names another catalog: that one's own conf is the user's.
    """
    if config.catalog:
        raise RequestError(
            "spark.catalog",
            f"catalog.name is {config.catalog!r}, so there is no embedded catalog to hand to Spark",
            fix="give Spark the conf of that catalog, or unset catalog.name",
        )
    key = f"spark.sql.catalog.{CATALOG}"
    return {
        "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        "spark.sql.defaultCatalog": CATALOG,
        key: "org.apache.iceberg.spark.SparkCatalog",
        f"{key}.type": "rest",
        f"{key}.uri": f"{service_url.rstrip('/')}/iceberg",
        f"{key}.token": token,
        # The token neither expires nor can be exchanged: the service has no OAuth endpoint.
        f"{key}.token-refresh-enabled": "false",
        # A cached table would hide what Python has just committed; the service answers 304 instead.
        f"{key}.cache-enabled": "false",
        f"{key}.table-default.commit.retry.num-retries": "20",
        # min and max ignore NaN, so an aggregate answered from statistics may be wrong.
        "spark.sql.iceberg.aggregate-push-down.enabled": "false",
        "spark.sql.session.timeZone": "UTC",
    }
