"""Everything here talks to a server that the tests start."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyiceberg.utils.config import Config as PyIcebergConfig

from tests.fixtures.engines import ray_cluster  # noqa: F401 - a fixture
from tests.fixtures.s3_server import ACCESS_KEY, SECRET_KEY, S3Server, bucket, s3_server

__all__ = ["bucket", "s3_server"]


@pytest.fixture
def s3_catalog(s3_server: S3Server, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Options of a lake whose catalog is on this machine and whose warehouse is a bucket; set by variables only."""
    properties = {
        "URI": f"sqlite:///{tmp_path}/catalog.db",
        "WAREHOUSE": f"s3://{bucket}/warehouse",
        "S3__ENDPOINT": s3_server.endpoint,
        "S3__REGION": "us-east-1",
        "S3__ACCESS_KEY_ID": ACCESS_KEY,
        "S3__SECRET_ACCESS_KEY": SECRET_KEY,
    }
    for name, value in properties.items():
        monkeypatch.setenv(f"PYICEBERG_CATALOG__LAKE__{name}", value)
    # pyiceberg reads the variables once, when it is imported.
    monkeypatch.setattr("pyiceberg.catalog._ENV_CONFIG", PyIcebergConfig())
    return {"catalog.name": "lake"}
