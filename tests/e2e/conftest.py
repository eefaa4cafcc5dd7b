"""Fixtures of the end-to-end tests: real processes on state folders of their own."""

from __future__ import annotations

import pyarrow as pa
import pytest

from nbplat.ui.python import local
from tests.fixtures.product import SPEND, Product, product, retail, shop

__all__ = ["calm", "product", "retail", "shop"]


@pytest.fixture(scope="session")
def calm(retail: Product) -> pa.Table:
    """The 90-day spend as an undisturbed run without a service stages it."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(retail.env):
            if name.startswith("NBPLAT_"):
                patch.setenv(name, retail.env[name])
        with local() as here:
            run = here.backfill("calm", table="retail.train", sql=SPEND.format(column="calm"), keys=["example_id"])
    return retail.staged(run.value["run"]["id"])
