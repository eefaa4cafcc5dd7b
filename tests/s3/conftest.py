"""Everything here talks to a server that the tests start."""

from tests.fixtures.s3_server import bucket, s3_server  # noqa: F401 - fixtures
