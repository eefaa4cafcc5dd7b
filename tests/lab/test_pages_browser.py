"""Every part of the panel, every form and every page in both themes: what it says, and no serious fault for axe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from nbplat.remote.failure import KernelError
from nbplat.remote.task import Task
from nbplat.sequence.definition_file import parse_definition
from nbplat.session.records import SessionDraft
from nbplat.session.states import SessionState
from tests.fixtures.browser import Browser
from tests.fixtures.channels import SmallChannel
from tests.fixtures.environments import build_small
from tests.fixtures.jupyter import jupyter_server
from tests.fixtures.lakehouse import Lake
from tests.fixtures.product import Product
from tests.lab.conftest import LabPage

pytestmark = [pytest.mark.process, pytest.mark.kernel]

SPEND = """SELECT base.id, sum(e.amount) AS spend
FROM base LEFT JOIN shop.events e ON e.customer = base.customer AND e.at < base.ts GROUP BY base.id"""
SEQUENCE = """source: shop.visits
entity: customer
time: at
events: {view: {last: 20, within: 90d}}
as_of: {time: ts, strict: true}
"""
NOTEBOOK = "study.ipynb"
REFUSED = {"code": "session.start", "message": "Java is not there", "fix": "install Java 17"}


def refuse(task: Task) -> list[dict[str, Any]]:
    raise KernelError("toy.data", "the vendor's file has no column price", fix="ask the vendor")


@pytest.fixture(scope="module")
def world(shop: Product, small_channel: SmallChannel) -> dict[str, str]:
    """One thing of each kind and of each look, and where each is found: ``kind/id``."""
    with closing(Lake(shop.home)) as lake:
        lake.promote(lake.stage("bought", "SELECT id, CAST(id % 2 AS int) AS bought FROM base"))
        lake.stage("spend", SPEND)
        lake.submit("holes", "SELECT id, x AS holes FROM base", checks={"nulls.max_share": "0.01"})
        lake.work()
        visits = lake.table("shop.events").scan().to_arrow()
        lake.make("shop.visits", visits.append_column("event_type", pa.array(["view"] * len(visits))))
        lake.platform.sequences.keep(parse_definition(SEQUENCE, "history"), owner="ann")
        session = lake.platform.store.add_session(SessionDraft("pyspark", "cold", "ann", "", {}, {"spark.master": "x"}))
        lake.platform.store.move_session(session.id, SessionState.STARTING)
        lake.platform.store.move_session(session.id, SessionState.ERROR, reason=REFUSED)
        lake.stage_by(refuse)
        lake.submit("broken", "SELECT id, x AS broken FROM base")
        lake.fail()
    words = ["training", "run", "gain", "--table", "shop.orders", "--label", "bought", "--time", "ts"]
    # The product of the tests has no memory to speak of, so that each of its files is a query.
    kernel = {"JPY_SESSION_NAME": str(shop.folder / "work" / NOTEBOOK), "NBPLAT_LIMITS_MEMORY_BYTES": str(1 << 30)}
    shop.run(*words, "--stage", "spend@1", "--epochs", "1", **kernel)
    built = build_small(small_channel, shop.home / "env", "nbplat-marker")
    return {
        **{f"backfill-{name}": f"run/backfill/{name}@1" for name in ("bought", "spend", "holes", "broken")},
        "training": "run/training/gain@1",
        "sequence": "run/sequence/history@1",
        "environment": f"environment/{built.ref.key}",
        "session": f"session/{session.id}",
        "log": "log/j000001",
    }


@pytest.fixture(scope="module")
def desk(world: dict[str, str], shop: Product, bundle: Path, browser: Browser) -> Iterator[LabPage]:
    """One tab with the panel for all of them."""
    options = ("--expose-app-in-browser",)
    with (
        jupyter_server(shop.folder, shop.env, *options, app="jupyterlab") as server,
        closing(browser.page()) as page,
    ):
        page.size(1400, 900)
        lab = LabPage(server, page)
        lab.write_notebook(NOTEBOOK)
        lab.open()
        lab.open_panel()
        yield lab


def in_both_themes(lab: LabPage, axe: str, where: str, name: str) -> None:
    for theme in ("Dark", "Light"):
        lab.theme(theme)
        assert [] == lab.serious(where, axe), theme
        lab.picture(f"page-{name}-{theme.lower()}")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("backfill-bought", "splices 6 of 6 files"),
        ("backfill-spend", "awaiting promotion"),
        ("backfill-holes", "Fix: look at the body's joins"),
        ("backfill-broken", "the vendor's file has no column price"),
        ("training", "without spend"),
        ("sequence", "last 20, within 90 d"),
        ("environment", "nbplat-marker"),
        ("session", "Java is not there"),
        ("log", "lines"),
    ],
)
def test_a_page_in_both_themes(desk: LabPage, world: dict[str, str], axe: str, name: str, told: str) -> None:
    """Each page tells what it is of, and axe finds no serious fault in it in either theme."""
    what, *rest = world[name].split("/")
    desk.command("nbplat:open", what=what, **dict(zip(("kind", "id") if what == "run" else ("id",), rest, strict=True)))
    shown = ".nbp-page:not(.lm-mod-hidden)"
    desk.wait_for(told, shown, 60)
    in_both_themes(desk, axe, shown, name)
    assert [] == desk.page.faults
    desk.command("application:close")
    desk.page.wait(f"!document.querySelector({shown!r})")


@pytest.mark.parametrize("section", ["sessions", "backfill", "training", "environment", "sequence"])
def test_a_form_in_both_themes(desk: LabPage, axe: str, section: str) -> None:
    """Each form, unfolded and with what is missing said, has no serious fault for axe in either theme."""
    desk.command("nbplat:new", section=section)
    desk.page.wait("document.querySelector('#nbplat-board form')?.contains(document.activeElement)", 40)
    desk.page.value("document.querySelectorAll('#nbplat-board form details').forEach(each => { each.open = true; })")
    if section != "sessions":
        desk.button("Insert the cell", "#nbplat-board")
        desk.wait_for("is needed")
    in_both_themes(desk, axe, "#nbplat-board", f"form-{section}")
    desk.button("Close", "#nbplat-board")
    desk.page.wait("!document.querySelector('#nbplat-board form')")


def test_the_panel_in_both_themes(desk: LabPage, world: dict[str, str], axe: str) -> None:
    """A row of each kind says state, table, owner, age and what went wrong; axe finds no serious fault."""
    rows = {row.split(",")[0]: row for row in desk.rows()}

    key = world["environment"].partition("/")[2][:12]
    assert {"cold", "bought@1", "spend@1", "holes@1", "broken@1", "gain@1", key, "history@1"} == set(rows)
    assert "rejected by the audit, shop.orders · me" in rows["holes@1"]
    assert "nulls holes: 12 of 60 rows are null" in rows["holes@1"]
    assert "stage failed" in rows["broken@1"]
    assert "Java is not there. Fix: install Java 17" in rows["cold"]
    assert "kept, shop.orders" in rows["gain@1"]
    assert "kept, shop.visits · ann" in rows["history@1"]
    in_both_themes(desk, axe, "#nbplat-board", "panel")


def test_a_row_leads_to_the_notebook_that_asked(desk: LabPage) -> None:
    """The notebook that a training was run from, here by a shell in it, opens from its row and stands on its page."""
    desk.command("nbplat:open", what="run", kind="training", id="gain@1")
    desk.wait_for(NOTEBOOK, ".nbp-page-head", 60)
    desk.button("Notebook of gain@1", "#nbplat-board")
    desk.page.wait(f"window.jupyterapp.shell.currentWidget?.context?.path === {NOTEBOOK!r}", 60)
    assert not desk.page.value("!!document.querySelector('#nbplat-board [aria-label=\"Notebook of bought@1\"]')")
