import pytest


@pytest.fixture(autouse=True)
def _sweep(swept: None) -> None:
    """Every test here leaves no socket for the next one's filters."""
