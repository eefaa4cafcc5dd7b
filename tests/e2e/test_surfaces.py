"""Magic, command line, Python and HTTP say the same, and what they leave behind tells no secret."""

from __future__ import annotations

import json
import stat
import urllib.error
import urllib.request
from typing import Any

import nbformat
import pyarrow as pa
import pytest

from tests.fixtures.product import SPEND, Product

pytestmark = [pytest.mark.process, pytest.mark.kernel]

SQL = SPEND.format(column="same")
PYTHON = f"""
import json, nbplat as nb
by_python = nb.backfill("same", table="retail.train", keys=["example_id"], sql={SQL!r}, dry_run=True)
print(json.dumps([by_magic.record(), by_python.value.record(), by_magic.plan_hash, by_python.value.plan_hash]))
"""


def cells(*sources: str) -> nbformat.NotebookNode:
    """A notebook of these cells, the extension loaded."""
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in ("%load_ext nbplat", *sources)])


def timeless(plan: dict[str, Any]) -> dict[str, Any]:
    """A plan without the one figure that a clock makes."""
    return {key: value for key, value in plan.items() if key != "seconds"}


def test_every_surface_makes_the_same_plan(retail: Product) -> None:
    """A dry run by magic, Python, command line and HTTP gives one plan record, and changes nothing.

    The plan that ``--out`` bound is shown as the cell showed it.
    """
    retail.run("status")
    before = retail.picture()
    notebook = cells(
        f"%%backfill same --table retail.train --key example_id --dry-run --out by_magic\n{SQL}", "by_magic", PYTHON
    )
    retail.execute(notebook)
    _, planned, looked_at, _ = notebook.cells
    assert planned.outputs[-1].data == looked_at.outputs[-1].data
    by_magic, by_python, *hashes = json.loads(notebook.cells[-1].outputs[0].text)
    by_cli = retail.json(*retail.cell("same", SQL), "--dry-run")
    spec = {"name": "same", "table": "retail.train", "sql": SQL, "keys": ["example_id"]}
    by_http = retail.client().post("/api/v1/backfills/plan", {"spec": spec})["plan"]
    assert timeless(by_magic) == timeless(by_python) == timeless(by_cli) == timeless(by_http)
    assert hashes[0] == hashes[1]
    assert before == retail.picture()


def test_the_service_stages_what_this_process_does(retail: Product, calm: pa.Table) -> None:
    """A run by the service holds the values that `nb.local()` computes."""
    retail.run(*retail.cell("served"))
    assert calm.equals(retail.staged("served"))


def test_no_secret_is_left_behind(retail: Product) -> None:
    """The token is in a 0600 file and nowhere else: no log, table, notebook, setting or status; events hold no SQL."""
    notebook = cells(
        f"%%backfill quiet --table retail.train --key example_id --background\n{SQL}",
        "%backfill attach quiet",
        "%nbplat config",
        "%nbplat service status",
    )
    retail.execute(notebook)
    _, token = retail.address()
    said = [retail.run(*words.split()).out for words in ("config --json", "service status", "backfill logs quiet")]
    said += [nbformat.writes(notebook), retail.run("backfill", "show", "quiet", "--json").out]
    assert [] == [text for text in said if token in text]
    assert 0o600 == stat.S_IMODE((retail.home / "run" / "service.json").stat().st_mode)
    assert 0o700 == stat.S_IMODE(retail.home.stat().st_mode)
    files = [path for path in retail.home.rglob("*") if path.is_file()]
    assert ["service.json"] == [path.name for path in files if token.encode() in path.read_bytes()]
    with retail.platform() as platform:
        events = json.dumps([event.data for event in platform.store.events(limit=100_000)]).lower()
    logs = "".join(path.read_text() for path in (retail.home / "logs").rglob("*.log"))
    assert [] == [word for word in ("select", "coalesce", "interval 90") if word in events or word in logs.lower()]


@pytest.mark.parametrize(
    "path", ["/api/v1/status", "/api/v1/runs", "/api/v1/events", "/openapi.json", "/iceberg/v1/config"]
)
@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer wrong"}])
def test_without_the_token_nothing_is_told(retail: Product, path: str, header: dict[str, str]) -> None:
    """A request without the token, or with another, is answered 401."""
    retail.run("status")
    request = urllib.request.Request(retail.address()[0] + path, headers=header)  # noqa: S310
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)  # noqa: S310
    caught.value.close()
    assert 401 == caught.value.code
