"""Fixtures of the whole suite. Each comes from a module in `tests/fixtures`; add yours as one import."""

from __future__ import annotations

import sys
from pathlib import Path

# importlib import mode leaves sys.path alone, and `tests.fixtures` must resolve when pytest is not run as a module.
sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.fixtures.postgres import postgres_server, postgres_url
from tests.fixtures.service import service_config, shared_client, shared_config, toy_client
from tests.fixtures.spark import spark, swept

__all__ = [
    "postgres_server",
    "postgres_url",
    "service_config",
    "shared_client",
    "shared_config",
    "spark",
    "swept",
    "toy_client",
]
