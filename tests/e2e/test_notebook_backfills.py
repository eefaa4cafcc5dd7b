"""The notebooks of backfills, training and environments in real kernels."""

from __future__ import annotations

import os
import re

import pytest

from tests.fixtures.notebooks import CHECKS, PLAIN, bundles, read, texts
from tests.fixtures.product import Product
from tests.fixtures.spark import JARS

pytestmark = [pytest.mark.kernel, pytest.mark.process]

LIMIT_S = 240


@pytest.mark.timeout(900)
def test_backfills_and_training_twice(product: Product) -> None:
    """Each runs again over what it and the other have left, and leaves the table as it was."""
    for _ in range(2):
        for name in ("04_backfills", "05_training"):
            notebook = read(name)
            product.execute(notebook, limit_s=LIMIT_S, **PLAIN)
            CHECKS[name](texts(notebook))
            bundles(notebook)
        assert {"lines_60d", "lines_leaky", "bought_90d"}.isdisjoint(product.rows().column_names)


@pytest.mark.jvm
@pytest.mark.timeout(900)
def test_environments_and_sessions_twice(product: Product) -> None:
    """Without a network: from a channel of this Python to a session in it and a cluster's settings; then over it all.

    The second time nothing is solved, built or staged again, and the session is another one.
    """
    jars = os.environ.get("NBPLAT_JARS") or str(JARS)
    for there in ("built in ", "was built before"):
        notebook = read("02_environments_and_sessions")
        product.execute(notebook, limit_s=LIMIT_S, NBPLAT_JARS=jars, **PLAIN)
        CHECKS["02_environments_and_sessions"](texts(notebook))
        assert re.search(rf"^features [0-9a-f]{{12}} {there}", texts(notebook), re.MULTILINE)
        bundles(notebook)
