"""Everything here talks to a server that the tests start."""

from __future__ import annotations

from tests.fixtures.engines import ray_cluster
from tests.fixtures.s3_catalog import s3_catalog
from tests.fixtures.s3_server import bucket, s3_server

__all__ = ["bucket", "ray_cluster", "s3_catalog", "s3_server"]
