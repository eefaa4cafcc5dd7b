"""Lakes for indexes of sequences."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.lakehouse import Lake, demo
from tests.fixtures.sequences import sequence_lake

__all__ = ["demo"]


@pytest.fixture
def tight(tmp_path: Path) -> Iterator[Lake]:
    """A fresh state folder with so little memory that builds spill; no tables."""
    lake = sequence_lake(tmp_path / "tight")
    yield lake
    lake.close()


@pytest.fixture
def roomy(tmp_path: Path) -> Iterator[Lake]:
    """A fresh state folder with memory for everything; no tables."""
    lake = Lake(tmp_path / "roomy")
    yield lake
    lake.close()
