"""The whole path once: our kernel, a real service, a real Spark session, its catalog and its jobs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbplat.adapters.spark.jars import fetch_jars
from tests.fixtures.kernels import Kernel, started_kernel
from tests.fixtures.product import Product, product_folder
from tests.fixtures.spark import JARS
from tests.fixtures.waiting import wait_until

pytestmark = [pytest.mark.jvm, pytest.mark.kernel, pytest.mark.timeout(600)]

_SETTINGS = {"limits.memory_bytes": 1_400_000_000, "limits.threads": 2}


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """A service with Spark, and the kernel registered for it."""
    folder = tmp_path_factory.mktemp("spark-kernel")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NBPLAT_JARS", os.environ.get("NBPLAT_JARS") or str(JARS))
        patch.setenv("JUPYTER_PATH", str(folder / "share" / "jupyter"))
        with product_folder(folder, _SETTINGS) as made:
            fetch_jars(made.config)
            made.env["NBPLAT_JARS"] = os.environ["NBPLAT_JARS"]
            made.run("kernel", "install", "--prefix", str(folder))
            made.run("service", "status")
            yield made


@pytest.fixture(scope="module")
def kernel(product: Product) -> Iterator[Kernel]:
    """One kernel and its session."""
    notebook = str(product.folder / "lake.ipynb")
    with started_kernel("nbplat-spark", **{**product.env, "JPY_SESSION_NAME": notebook}) as started:
        yield started


def test_a_notebook_works_on_spark(kernel: Kernel, product: Product, tmp_path: Path) -> None:
    """Plain cells, SQL and Scala share one session; its tables are completed, its jobs are shown and interrupted."""
    first = kernel.run("spark.range(7).count()")
    assert ("7", True) == (first.value, "starting session lake (" in first.stderr)
    kernel.run("%%sql\nCREATE NAMESPACE IF NOT EXISTS shop")
    kernel.run("%%sql\nCREATE TABLE shop.orders AS SELECT id, id * 2 AS twice FROM range(10)")
    shown = kernel.run("%%sql -o top -n 3\nSELECT * FROM shop.orders ORDER BY id")
    assert "the first 3 rows, there are more" in shown.value
    assert "[0, 2, 4]" == kernel.run("%%local\nlist(top['twice'])").value
    sampled = kernel.run("%%spark -o few -m sample -r 0.5 -q\nfew = spark.range(1000)")
    assert "ok" == sampled.reply["status"]
    assert "True" == kernel.run("%%local\n200 < len(few) < 800").value
    assert "val n: Int = 42" in kernel.run("%%spark -l scala\nval n = 6 * 7").stdout + kernel.run("%%local\n_").value

    # The catalog is asked beside the key press, which waits for a moment only.
    wait_until(lambda: "shop.orders" in kernel.complete("%%sql\nSELECT * FROM shop.or"), what="the table is offered")
    wait_until(lambda: "twice" in kernel.complete("%%sql\nSELECT * FROM shop.orders WHERE tw"), what="its column is")
    kernel.run("orders = spark.table('shop.orders')")
    assert ["createOrReplaceTempView"] == list(kernel.complete("orders.createOrReplaceT"))
    assert "DataFrame" in kernel.inspect("orders")

    failed = kernel.fails("spark.table('shop.order').count()")
    assert "TABLE_OR_VIEW_NOT_FOUND" in failed.traceback
    assert 40 > len(failed.traceback.splitlines())

    sent = kernel.send(
        "import time\nprint('begun', flush=True)\n"
        "spark.sparkContext.parallelize(range(4), 4).map(lambda n: time.sleep(60)).count()"
    )
    kernel.printed("begun")
    kernel.manager.interrupt_kernel()
    ended = kernel.ended(sent)
    assert "Cancelled" == ended.reply["ename"]
    assert "7" == kernel.run("spark.range(7).count()").value
