import pytest

from tests.fixtures.spark import spark, swept

__all__ = ["spark", "swept"]


@pytest.fixture(autouse=True)
def _sweep(swept: None) -> None:
    """Every test here leaves no socket for the next one's filters."""
