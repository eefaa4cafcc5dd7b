"""The panel in a real JupyterLab: what stands in it, and what one can do with the keyboard alone."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from nbplat.adapters.store import open_store
from nbplat.clock import SystemClock
from nbplat.config import Config
from nbplat.errors import NbplatError
from nbplat.job import RunDraft
from nbplat.service.discovery import environ_of
from nbplat.ui.client import ServiceClient
from tests.fixtures.browser import Browser
from tests.fixtures.jupyter import JupyterServer, jupyter_server
from tests.lab.conftest import LabPage
from tests.lab.toy_backfills import backfill, saved_output

pytestmark = [pytest.mark.process, pytest.mark.kernel]

BASE = "/user/a%40b/"
# What was asked while the panel was open has come back.
SETTLED = """(async () => { let before = -1;
  for (let round = 0; round < 30 && before !== COUNT; round++) {
    before = COUNT; await new Promise(done => setTimeout(done, 1500)); } return before; })()"""
QUIET = "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"


@pytest.fixture(scope="module")
def lab_server(
    shared_config: Config, shared_client: ServiceClient, bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[JupyterServer]:
    """JupyterLab beside a service of toy jobs, under a base path as JupyterHub gives it."""
    options = ("--expose-app-in-browser", QUIET)
    folder = tmp_path_factory.mktemp("lab")
    with jupyter_server(folder, environ_of(shared_config), *options, app="jupyterlab", base=BASE) as running:
        yield running


def test_an_empty_panel_teaches(lab: LabPage, axe: str) -> None:
    """Each empty section says what it is for and gives a cell that makes one, which is inserted and not run."""
    lab.notebook("empty.ipynb", "1 + 1")
    lab.open_panel()
    lab.wait_for("No Spark session lives")
    lab.wait_for("No sequence is kept")
    lab.picture("panel-empty")
    assert "Nothing is running." in lab.panel()
    assert [] == lab.serious("#nbplat-board", axe)

    lab.button("Insert %%backfill", "#nbplat-board")
    # The magic has to be loaded first: that is a cell as well, in plain sight.
    lab.page.wait("document.querySelectorAll('.jp-Notebook .jp-CodeCell').length == 3")
    first, load, cell = lab.sources()
    assert ["1 + 1", "%load_ext nbplat"] == [first, load]
    assert cell.startswith("%%backfill my_feature --table retail.train")
    prompts = "[...document.querySelectorAll('.jp-InputPrompt')].map(each => each.innerText.replace(/[^0-9*]/g, ''))"
    assert ["", "", ""] == lab.page.value(prompts)


def test_a_form_by_keyboard_alone(lab: LabPage, axe: str) -> None:
    """A form opened from the palette shows the cell while it is filled in, says what is missing, and inserts it."""
    lab.notebook("form.ipynb", "%load_ext nbplat")
    lab.command("nbplat:new", section="backfill")
    lab.page.wait("document.querySelector('#nbplat-board form')?.contains(document.activeElement)", 40)
    for theme in ("Dark", "Light"):
        lab.theme(theme)
        assert [] == lab.serious("#nbplat-board", axe)
        lab.picture(f"form-{theme.lower()}")
    lab.page.type("spend_90d")
    lab.page.key("Enter")
    lab.wait_for("table is needed")
    assert "true" == lab.page.value("document.activeElement.ariaInvalid")
    lab.page.type("retail.train")
    lab.wait_for("%%backfill spend_90d --table retail.train --dry-run")
    lab.page.key("Enter")
    lab.page.wait("document.querySelectorAll('.jp-Notebook .jp-CodeCell').length == 2")
    assert "%%backfill spend_90d --table retail.train --dry-run" == lab.sources()[1].splitlines()[0]
    lab.page.wait("!document.querySelector('#nbplat-board form')")

    # Escape leaves a form; the launcher has a card for each.
    lab.command("nbplat:new", section="sessions")
    lab.page.wait("document.querySelector('#nbplat-board form')?.contains(document.activeElement)")
    lab.page.key("Escape")
    lab.page.wait("!document.querySelector('#nbplat-board form')")
    lab.command("launcher:create")
    cards = "[...document.querySelectorAll('.jp-LauncherCard')].map(each => each.innerText.trim())"
    lab.page.wait(f"{cards}.includes('New backfill') && {cards}.includes('New session')")


def test_bodies_have_the_colours_of_their_language(lab: LabPage) -> None:
    """SQL and YAML below a magic are coloured as keywords and keys are, and Python in the next cell as ever."""
    cells = ("import os", "%%backfill a --table b.c\nSELECT 1 AS x", "%%sequence h\nsource: retail.events")
    lab.notebook("colours.ipynb", *cells)
    script = """word => { for (const each of document.querySelectorAll('.cm-line span'))
        if (each.innerText === word) return getComputedStyle(each).color; return ''; }"""
    lab.page.wait(f"({script})('SELECT') && ({script})('source')")
    keyword, select, key = (lab.page.value(f"({script})({word!r})") for word in ("import", "SELECT", "source"))
    assert keyword == select
    assert "" != key != keyword
    lab.picture("colours")


@pytest.fixture
def warm(shared_client: ServiceClient) -> Iterator[str]:
    """The number of a session that is called warm; it ends with the test."""
    made = shared_client.request("POST", "/api/v1/sessions", query={}, body={"name": "warm", "conf": {}})
    yield str(made["id"])
    with suppress(NbplatError):
        shared_client.request("DELETE", f"/api/v1/sessions/{made['id']}", query={})


def test_a_session_is_attached_from_the_panel(lab: LabPage, warm: str, axe: str) -> None:
    """Attach puts the magic into the notebook and runs it; the session's page shows its settings, and Stop ends it."""
    lab.notebook("attach.ipynb", "1 + 1")
    lab.open_panel()
    lab.wait_for("idle", "#nbplat-board [data-row^=session]", 60)
    lab.button("Attach warm", "#nbplat-board")
    outputs = "[...document.querySelectorAll('.jp-Notebook .jp-OutputArea-output')].map(each => each.innerText).join()"
    lab.page.wait(f"{outputs}.includes('warm')", 60)
    assert ["1 + 1", "%load_ext nbplat", "%session attach warm"] == lab.sources()
    lab.picture("session-attached")

    lab.command("nbplat:open", what="session", id=warm, title="warm")
    lab.wait_for("said by", ".nbp-page", 30)
    for theme in ("Dark", "Light"):
        lab.theme(theme)
        assert [] == lab.serious(".nbp-page", axe)
        lab.picture(f"session-{theme.lower()}")
    lab.button("Stop warm", "#nbplat-board")
    lab.button("Stop session", ".jp-Dialog")
    lab.page.wait("!document.querySelector('#nbplat-board [aria-label^=\"Attach\"]')", 60)


def test_rows_by_keyboard_alone(lab: LabPage, shared_config: Config, axe: str) -> None:
    """Arrows move among the rows, Enter opens one, Delete asks and then ends its job; nothing needs the pointer."""
    gate = shared_config.home / "gate"
    backfill(shared_config, "broken", "backfill.refuse")
    job_id = backfill(shared_config, "held", "backfill.wait", file=str(gate))
    lab.open()
    lab.open_panel()
    lab.wait_for("refuse failed")
    lab.wait_for("staging")
    assert ["held@1", "broken@1"] == [row.split(",")[0] for row in lab.rows()]
    assert "the toy is broken. Fix: glue it" in lab.rows()[1]

    # Tab goes from the filter over the sections' heads into the rows.
    lab.page.value("document.querySelector('#nbplat-board input').focus()")
    focused = "document.activeElement.getAttribute('data-row') ?? ''"
    for _ in range(12):
        lab.page.key("Tab")
        if lab.page.value(focused):
            break
    assert "backfill/held@1" == lab.page.value(focused)
    lab.picture("panel-rows")
    lab.page.key("ArrowDown")
    assert "backfill/broken@1" == lab.page.value(focused)
    lab.page.key("Home")
    lab.page.key("Enter")
    lab.page.wait("document.querySelector('.nbp-page h2')?.innerText.includes('held@1')")
    lab.wait_for("waiting — wartet", ".nbp-page")
    for theme in ("Dark", "Light"):
        lab.theme(theme)
        assert [] == [fault for part in ("#nbplat-board", ".nbp-page") for fault in lab.serious(part, axe)]
        lab.picture(f"run-{theme.lower()}")

    lab.page.value("document.querySelector('#nbplat-board [data-row]').focus()")
    lab.page.key("Delete")
    lab.page.wait("document.querySelector('.jp-Dialog')?.innerText.includes('Cancel held@1?')")
    lab.page.key("Enter")
    with closing(open_store(shared_config, clock=SystemClock())) as store:
        lab.until(lambda: store.job(job_id).state == "cancelled", "the end of the job")
    lab.wait_for("Nothing is running.")


def test_two_tabs_and_two_notebooks_say_the_same(lab: LabPage, shared_config: Config, browser: Browser) -> None:
    """Two notebooks in two tabs of a browser and the panel show one job's start and end, each by itself."""
    job_id = backfill(shared_config, "both", "backfill.wait", file=str(shared_config.home / "never"))
    with closing(browser.page()) as other:
        other.size(1400, 900)
        second = LabPage(lab.server, other)
        for tab, name in ((lab, "first"), (second, "second")):
            tab.write_notebook(f"{name}.ipynb", saved_output(job_id, "both@1"))
            tab.open(f"lab/tree/{name}.ipynb?reset")
            tab.wait_for("staging", ".nbp-output [data-live]", 60)
            tab.open_panel()

        # Where the cell of a run is open, its row leads there.
        lab.command("nbplat:open", what="run", kind="backfill", id="both@1")
        lab.page.wait("document.querySelector('.nbp-page h2')?.innerText.includes('both@1')")
        lab.button("Notebook of both@1", "#nbplat-board")
        lab.page.wait("window.jupyterapp.shell.currentWidget.context?.path === 'first.ipynb'")

        second.button("Cancel both@1", "#nbplat-board")
        second.button("Cancel job", ".jp-Dialog")

        def told() -> None:
            for tab in (lab, second):
                tab.wait_for("planned", "#nbplat-board [data-row='backfill/both@1']", 60)
                tab.wait_for("planned", ".nbp-output [data-ended]", 60)

        lab.measured("two tabs and two notebooks say the end of a job", told)
    with closing(open_store(shared_config, clock=SystemClock())) as store:
        assert "cancelled" == store.job(job_id).state


def test_a_log_is_searched_and_kept(lab: LabPage, shared_config: Config) -> None:
    """The log of a job opens in a tab, keeps the lines that hold the searched words, and can be downloaded."""
    job_id = backfill(shared_config, "told", "backfill.refuse")
    lab.open()
    lab.command("nbplat:open", what="log", id=job_id, title="told@1")
    lab.page.wait("document.querySelector('.nbp-log [role=status]')?.innerText.match(/[1-9][0-9]* lines/)")
    script = """(() => { const input = document.querySelector('.nbp-log input[type=search]');
      Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(input, 'toy BROKEN');
      input.dispatchEvent(new Event('input', { bubbles: true })); })()"""
    lab.page.value(script)
    lab.page.wait("document.querySelector('.nbp-log [role=status]').innerText.includes('with')")
    shown = lab.page.value("document.querySelector('.nbp-lines').innerText")
    assert "the toy is broken" in shown

    # The tab is back after a reload: it is part of the layout.
    kept = "window.jupyterapp.serviceManager.workspaces.fetch('default').then(kept => JSON.stringify(kept))"
    lab.page.wait(f"{kept}.then(text => text.includes('nbplat:log-'))")
    # So is what a link names.
    lab.open("lab?nbplat=run/backfill/told@1")
    lab.page.wait("document.querySelector('.nbp-page h2')?.innerText.includes('told@1')", 40)
    tabs = "[...document.querySelectorAll('.lm-DockPanel-tabBar .lm-TabBar-tabLabel')].map(each => each.innerText)"
    lab.page.wait(f"{tabs}.includes('Log told@1')")


def test_a_hidden_panel_asks_nothing(lab: LabPage) -> None:
    """With the panel closed and nothing running no request is made; opened again it is up to date."""
    lab.open()
    count = "performance.getEntriesByType('resource').filter(each => each.name.includes('/nbplat/')).length"
    assert 0 == lab.page.value(count)
    lab.open_panel()
    lab.command("application:toggle-left-area")
    lab.page.wait("!document.querySelector('#nbplat-board')?.offsetParent")
    lab.page.value(SETTLED.replace("COUNT", count))
    before = lab.page.value(count)
    lab.page.value("new Promise(done => setTimeout(() => done(1), 6000))")
    assert before == lab.page.value(count)


def test_an_end_is_told_while_the_panel_is_closed(lab: LabPage, shared_config: Config, axe: str) -> None:
    """The status bar counts what runs, and its end comes as a notification that leads to the run and its log."""
    job_id = backfill(shared_config, "awaited", "backfill.wait", file=str(shared_config.home / "never"))
    lab.open()
    lab.open_panel()
    lab.wait_for("awaited@1")
    lab.command("application:toggle-left-area")
    lab.wait_for("nbplat: 1 running", ".jp-StatusBar-Widget, #jp-main-statusbar")
    with closing(open_store(shared_config, clock=SystemClock())) as store:
        store.request_cancel(job_id)
    lab.wait_for("awaited@1: planned", ".Toastify", 60)
    # It glides in.
    lab.page.wait("document.querySelector('.Toastify__toast').getBoundingClientRect().right <= window.innerWidth")
    lab.picture("notification")
    assert [] == lab.serious(".Toastify", axe)
    lab.page.wait("!document.querySelector('.nbp-status')?.offsetParent")
    lab.button("Open", ".Toastify")
    lab.wait_for("awaited@1", ".nbp-page h2", 60)


def test_five_hundred_runs(lab: LabPage, shared_config: Config) -> None:
    """The panel with five hundred runs shows a dozen of them, and how many more there are."""
    with closing(open_store(shared_config, clock=SystemClock())) as store:
        for number in range(500):
            name = f"many_{number}"
            store.open_run(RunDraft("backfill", name, name, "promoted", frozenset(), {"table": "a.b"}, {}, "ann"))
    lab.open()
    script = """(async () => { const began = performance.now();
        window.jupyterapp.commands.execute('nbplat:open-panel');
        while (document.querySelectorAll('#nbplat-board [data-row]').length < 12) {
          await new Promise(done => setTimeout(done, 10)); }
        return performance.now() - began; })()"""
    lab.measured("the panel with 500 runs stands", lambda: lab.page.value(script))
    lab.wait_for("Show 488 more")


def test_the_bundle_is_small(bundle: Path) -> None:
    """What a browser fetches is less than 400 KB compressed."""
    sizes = [len(gzip.compress(path.read_bytes())) for path in (bundle / "static").glob("*.js")]

    assert 400_000 > sum(sizes) > 0
