"""Python bodies and DataFrames through the command line, the service and its worker."""

from __future__ import annotations

import sys
from typing import Any

import nbformat
import psutil
import pyarrow as pa
import pytest

from nbplat.errors import RequestError
from nbplat.ui.client import ServiceClient
from nbplat.ui.desk import ServiceDesk
from nbplat.ui.python import backfill
from tests.fixtures.lakehouse import ORDERS
from tests.fixtures.product import Product
from tests.fixtures.waiting import wait_until

pytestmark = pytest.mark.process


def words(shop: Product, name: str, source: str, *more: str) -> list[str]:
    file = shop.folder / f"{name}.py"
    file.write_text(source)
    return ["backfill", "run", name, "--table", ORDERS, "--key", "id", "--python", str(file), *more]


def staged(shop: Product, run_id: str, column: str) -> list[Any]:
    with shop.platform() as platform:
        table = platform.backfills.find(run_id).outputs["staging_table"]
        return list(platform.catalog.load_table(table).scan().to_arrow().sort_by("id")[column].to_pylist())


def test_a_python_body_from_the_shell(shop: Product) -> None:
    """A file is staged by the worker with the shell's own interpreter; what it prints is in the run's log."""
    source = """
def feature(batch):
    print('rows', len(batch))
    return {'told': [v * k for v in batch['id'].to_pylist()]}
"""
    assert "told@1 awaiting_promotion" in shop.run(*words(shop, "told", source, "--param", "k=3")).out
    assert [3 * v for v in range(60)] == staged(shop, "told@1", "told")
    assert "rows " in shop.run("backfill", "logs", "told").out
    plan = shop.json("backfill", "plan", *words(shop, "told", source, "--param", "k=3")[2:])
    assert sys.executable == plan["python"]["interpreter"]


def test_bad_python_is_refused_in_the_shell(shop: Product) -> None:
    """Exit code and code of the error are those of the request or of the data."""
    free = shop.run(*words(shop, "free", "def feature(batch):\n    return helper(batch)"), code=2)
    assert free.err.startswith("body.free_name: ")
    raises = shop.run(*words(shop, "raises", "def feature(batch):\n    return {'f': 1 / 0}"), code=4)
    assert raises.err.startswith("body.raised: ")
    frame = shop.run(*words(shop, "frame", "def feature(batch):\n    return {}", "--frame", "df"), code=2)
    assert "usage.frame" in frame.err or "notebook" in frame.err


def test_cancel_ends_the_child_interpreters(shop: Product) -> None:
    """A cancelled run leaves neither its step nor the interpreter that is in user code."""
    source = """
import os, pathlib, time
def feature(batch, params):
    # Planning, which runs a sample in the service, goes through.
    if b"nbplat.service.step" in pathlib.Path(f"/proc/{os.getppid()}/cmdline").read_bytes():
        pathlib.Path(params["mark"]).write_text(str(os.getpid()))
        time.sleep(600)
    return {"slow": batch["id"]}
"""
    mark = shop.folder / "mark"
    shop.run(*words(shop, "slow", source, "--param", f"mark={mark}", "--background"))
    wait_until(lambda: mark.exists() and mark.read_text(), limit_s=60, what="user code")
    pid = int(mark.read_text())
    assert pid in {process.pid for process in shop.steps()}
    assert "slow@1 planned" in shop.run("backfill", "cancel", "slow").out
    wait_until(lambda: not shop.steps(), what="the end of every process of the step")
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_killed_step_is_done_again_and_leaves_no_interpreter(shop: Product) -> None:
    """kill -9 of the step that runs user code: its interpreter ends too, and the next try goes on."""
    source = """
import os, pathlib, time
def feature(batch, params):
    mark = pathlib.Path(params["mark"])
    if b"nbplat.service.step" in pathlib.Path(f"/proc/{os.getppid()}/cmdline").read_bytes() and not mark.exists():
        mark.write_text(str(os.getpid()))
        time.sleep(600)
    return {"killed": batch["id"]}
"""
    mark = shop.folder / "killed"
    shop.run(*words(shop, "killed", source, "--param", f"mark={mark}", "--background"))
    wait_until(lambda: mark.exists() and mark.read_text(), limit_s=60, what="user code")
    [step] = [process for process in shop.steps() if process.pid != int(mark.read_text())]
    step.kill()
    assert "killed@1 awaiting_promotion" in shop.run("backfill", "attach", "killed").out
    assert list(range(60)) == staged(shop, "killed@1", "killed")
    assert not psutil.pid_exists(int(mark.read_text()))


def test_frames_through_the_service(shop: Product) -> None:
    """A frame goes as an Arrow stream, is stored once, and a dry run leaves none."""
    shop.run("backfill", "list")
    desk = ServiceDesk(shop.client(), shop.config)
    sql = "select b.id, rates.rate as f from base b left join rates on rates.customer = b.customer"
    rates = pa.table({"customer": pa.array(range(7), pa.int64()), "rate": [v * 0.5 for v in range(7)]})
    ask: dict[str, Any] = {"table": ORDERS, "sql": sql, "keys": ["id"], "frames": {"rates": rates}, "desk": desk}
    backfill("framed", **ask, dry_run=True)
    frames = desk._client.get("/api/v1/frames")
    assert {"named": {}, "unused": []} == frames
    made = [backfill("framed", **ask).value["run"] for _ in range(2)]
    assert ["framed@1", "framed@1"] == [run["id"] for run in made]
    table = made[0]["spec"]["frames"]["rates"]
    assert {"named": {table: ["framed@1"]}, "unused": []} == desk._client.get("/api/v1/frames")
    assert [v % 7 * 0.5 for v in range(60)] == staged(shop, "framed@1", "f")


def test_the_service_refuses_what_is_no_frame(shop: Product) -> None:
    """A body that is no Arrow stream, or too big, is an error record; nothing is stored."""
    shop.run("backfill", "list")
    client: ServiceClient = shop.client()
    with pytest.raises(RequestError) as caught:
        client.post_bytes("/api/v1/frames", b"no arrow", name="df")
    assert "frame.body" == caught.value.code
    with pytest.raises(RequestError) as caught:
        client.post_bytes("/api/v1/frames", bytes(shop.config.frame_bytes + 1), name="df")
    assert "frame.size" == caught.value.code


@pytest.mark.kernel
def test_a_python_cell_in_a_kernel(shop: Product) -> None:
    """Functions and classes of cells are shipped, and a DataFrame of the notebook is read by an SQL cell."""
    cells = [
        "%load_ext nbplat\nimport pandas as pd\nrates = pd.DataFrame({'customer': range(7), 'rate': 1.5})",
        "class Half:\n    by = 0.5\n\ndef half(v):\n    return v * Half.by",
        f"%%backfill halved --table {ORDERS} --key id --lang python --with half --with Half\n"
        "def feature(batch):\n    return {'halved': [half(v) for v in batch['id'].to_pylist()]}",
        f"%%backfill rated --table {ORDERS} --key id --frame rates\n"
        "SELECT base.id, rates.rate AS rated FROM base JOIN rates ON rates.customer = base.customer",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    shop.execute(notebook)
    assert [v * 0.5 for v in range(60)] == staged(shop, "halved@1", "halved")
    assert {1.5} == set(staged(shop, "rated@1", "rated"))
