"""What a person waits for in JupyterLab: the magics, the panel, and the truth after something has gone wrong."""

from __future__ import annotations

import gzip
import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.measure import Figure, fresh_environ
from benchmarks.start import loading
from nbplat.config import Config

__all__ = ["measure"]

ROOT = Path(__file__).resolve().parents[1]
_RUNS = 3
_MANY = 500
_HIDDEN_S = 10.0
_WATCHED_S = 8.0
_TRUTH_S = 5.0
_LIMIT_S = 120.0

_PANEL = """(async () => { const began = performance.now();
  window.jupyterapp.commands.execute('nbplat:open-panel');
  while (document.querySelectorAll('#nbplat-board [data-row]').length < 12) {
    await new Promise(done => setTimeout(done, 5)); }
  return performance.now() - began; })()"""
_ASKED = "performance.getEntriesByType('resource').filter(each => each.name.includes('/nbplat/')).length"
# Counts what a person sees move: another figure in the row of the job.
_WATCH = """(() => { const row = document.querySelector('[data-row="backfill/counted@1"]');
  const shown = () => row.querySelector('[role=progressbar]')?.ariaValueNow;
  window.seen = 0; let last = shown();
  new MutationObserver(() => { if (shown() !== last) { last = shown(); window.seen += 1; } })
    .observe(row, { subtree: true, childList: true, attributes: true, characterData: true }); })()"""
_TROUBLE = "document.querySelector('#nbplat-board .nbp-trouble')?.innerText ?? ''"


def measure() -> list[Figure]:
    subprocess.run(["sh", ROOT / "scripts" / "labextension.sh", "build"], check=True, timeout=600)
    figures = [*loading(), _size()]
    with tempfile.TemporaryDirectory(prefix="nbplat-bench-") as folder, _world(Path(folder)) as world:
        figures += [world.opening(), world.hidden(), world.updates(), world.restarted(), world.kernel_gone()]
        figures += [world.wrong_token(), world.server_down()]
    return figures


def _size() -> Figure:
    files = sorted((ROOT / "labextension" / "dist" / "static").glob("*.js"))
    whole = [path.read_bytes() for path in files]
    packed = sum(len(gzip.compress(each)) for each in whole) / 1000
    against = f"the same uncompressed ({sum(map(len, whole)) / 1000:.0f} kB in {len(files)} files)"
    return Figure("labextension, compressed", packed, "kB", 400, "lower", against, 0.0, 0.0)


class _World:
    """A service of toy jobs, a JupyterLab beside it, and a tab with the panel."""

    def __init__(self, config: Config, folder: Path, lab: Any, kit: ExitStack) -> None:
        self.config, self.folder, self.lab, self.kit = config, folder, lab, kit
        self._number = 0

    def opening(self) -> Figure:
        """The panel with many runs, in a page that has never shown it."""
        from nbplat.adapters.store import open_store
        from nbplat.clock import SystemClock
        from nbplat.job import RunDraft

        with closing(open_store(self.config, clock=SystemClock())) as store:
            for number in range(_MANY):
                name = f"many_{number}"
                store.open_run(RunDraft("backfill", name, name, "promoted", frozenset(), {"table": "a.b"}, {}, "ann"))
        took = []
        for _ in range(_RUNS):
            self.lab.open()
            took.append(self.lab.page.value(_PANEL) / 1000)
        said = f"nothing; {_MANY} runs in the ledger, a page that has just loaded"
        return _waited(f"panel with {_MANY} jobs stands", took, 1.0, said)

    def hidden(self) -> Figure:
        """Requests of a panel that nobody sees."""
        self.lab.open()
        self.lab.open_panel()
        self.lab.command("application:toggle-left-area")
        self.lab.page.wait("!document.querySelector('#nbplat-board')?.offsetParent")
        # One that was on its way when the panel was closed is its own.
        time.sleep(1.0)
        before = self.lab.page.value(_ASKED)
        time.sleep(_HIDDEN_S)
        made = self.lab.page.value(_ASKED) - before
        return Figure(
            f"requests of a hidden panel in {_HIDDEN_S:g} s",
            made,
            "requests",
            0,
            "lower",
            f"{before} that it made while it was open",
            0.0,
            _HIDDEN_S,
        )

    def updates(self) -> Figure:
        """How often a job's figures move that reports more often than anyone can read."""
        self._panel()
        self._submit("counted", "backfill.count", n=1000)
        self.lab.wait_for("staging", "[data-row='backfill/counted@1']", _LIMIT_S)
        self.lab.page.wait(
            "document.querySelector('[data-row=\"backfill/counted@1\"] [role=progressbar]')?.ariaValueNow"
        )
        self.lab.page.value(_WATCH)
        time.sleep(_WATCHED_S)
        # The first belongs to the moment before.
        seen = max(0, self.lab.page.value("window.seen") - 1) / _WATCHED_S
        return Figure(
            "updates of a running job",
            seen,
            "a second",
            2,
            "lower",
            "what the job counts: up to 50 a second",
            0.0,
            _WATCHED_S,
        )

    def restarted(self) -> Figure:
        """The service killed while a job runs: until the row says its end again."""
        from nbplat.service.discovery import service_lock
        from nbplat.service.lock import holder_of

        took = []
        for number in range(_RUNS):
            name, gate = f"killed_{number}", self.folder / f"killed_{number}.gate"
            self._submit(name, "backfill.wait", file=str(gate))
            row = f"[data-row='backfill/{name}@1']"
            self.lab.wait_for("staging", row, _LIMIT_S)
            os.kill(int((holder_of(service_lock(self.config)) or {})["pid"]), signal.SIGKILL)
            began = time.perf_counter()
            gate.touch()
            ended = self._ended(name)
            self.lab.wait_for("staged", row, _LIMIT_S)
            took.append(time.perf_counter() - max(began, ended))
        return _truth("service killed during a run: from the job's end until the row says it", took)

    def kernel_gone(self) -> Figure:
        """The kernel of a cell deleted: from the job's end until the cell says it."""
        from tests.lab.toy_backfills import saved_output

        took = []
        for number in range(_RUNS):
            name, gate = f"orphan_{number}", self.folder / f"orphan_{number}.gate"
            job = self._submit(name, "backfill.wait", file=str(gate))
            self.lab.write_notebook(f"{name}.ipynb", saved_output(job, f"{name}@1"))
            self.lab.open(f"lab/tree/{name}.ipynb?reset")
            self.lab.ready()
            self.lab.wait_for("staging", ".nbp-output [data-live]", _LIMIT_S)
            for kernel in self.lab.server.ask("GET", "api/kernels").json:
                self.lab.server.ask("DELETE", f"api/kernels/{kernel['id']}")
            gate.touch()
            ended = self._ended(name)
            self.lab.wait_for("staged", ".nbp-output [data-ended]", _LIMIT_S)
            took.append(time.perf_counter() - ended)
        return _truth("kernel gone: from the job's end until its cell says it", took)

    def wrong_token(self) -> Figure:
        """A team's service with another token than the file holds."""
        from tests.fixtures.jupyter import jupyter_server
        from tests.lab.conftest import LabPage

        token = self.folder / "token"
        client = self._client()
        token.write_text(client.token)
        team = {"NBPLAT_URL": client.url, "NBPLAT_TOKEN_FILE": str(token)}
        place = self.folder / "team"
        place.mkdir()
        server = self.kit.enter_context(
            jupyter_server(
                place, {**os.environ, **_environ(self.config), **team}, "--expose-app-in-browser", app="jupyterlab"
            )
        )
        lab = LabPage(server, self.lab.page)
        # Once: a token that was good is kept by the server extension as long as it is.
        token.write_text("wrong")
        lab.open()
        lab.command("nbplat:open-panel")
        began = time.perf_counter()
        lab.page.wait(f"({_TROUBLE}).includes('NBPLAT_TOKEN_FILE')", _LIMIT_S)
        return _truth("token wrong: from opening the panel until it says so", [time.perf_counter() - began])

    def server_down(self) -> Figure:
        """The Jupyter server killed: it can be killed only once."""
        self._panel()
        self.lab.server.process.kill()
        began = time.perf_counter()
        self.lab.page.wait(f"({_TROUBLE}).includes('does not answer')", _LIMIT_S)
        return _truth("Jupyter server killed: until the panel says so", [time.perf_counter() - began])

    def _panel(self) -> None:
        self.lab.open()
        self.lab.open_panel()

    def _submit(self, name: str, kind: str, **params: object) -> str:
        from tests.lab.toy_backfills import backfill

        return backfill(self.config, name, kind, **params)

    def _ended(self, name: str) -> float:
        """Wait for the end of a run's job; when it was, on the clock of this process."""
        from nbplat.adapters.store import open_store
        from nbplat.clock import SystemClock
        from tests.fixtures.waiting import wait_until

        with closing(open_store(self.config, clock=SystemClock())) as store:
            ended = wait_until(
                lambda: store.jobs(run_id=f"{name}@1")[0].ended_ms, limit_s=_LIMIT_S, what=f"the end of {name}"
            )
        return time.perf_counter() - (time.time() - ended / 1000)

    def _client(self) -> Any:
        from nbplat.ui.client import find_or_start
        from tests.fixtures.toy_platform import FACTORY

        return find_or_start(self.config, factory=FACTORY)


@contextmanager
def _world(folder: Path) -> Iterator[_World]:
    # The tests' own kit: a browser, a Jupyter server and jobs that are told what to do.
    from nbplat.ui.client import find_or_start
    from tests.fixtures.browser import open_browser
    from tests.fixtures.jupyter import jupyter_server
    from tests.fixtures.service import service_folder
    from tests.fixtures.toy_platform import FACTORY
    from tests.lab.conftest import LabPage

    with ExitStack() as kit:
        config = kit.enter_context(service_folder(folder))
        find_or_start(config, factory=FACTORY)
        environ = {**fresh_environ(), **_environ(config)}
        server = kit.enter_context(jupyter_server(folder, environ, "--expose-app-in-browser", app="jupyterlab"))
        page = kit.enter_context(closing(kit.enter_context(open_browser(folder / "browser")).page()))
        page.size(1400, 900)
        yield _World(config, folder, LabPage(server, page), kit)


def _environ(config: Config) -> dict[str, str]:
    from nbplat.service.discovery import environ_of

    return environ_of(config)


def _waited(figure: str, took: list[float], goal: float, against: str) -> Figure:
    middle = statistics.median(took)
    return Figure(figure, middle, "s", goal, "lower", f"{against}; longest {max(took):.2f} s", 0.0, middle)


def _truth(figure: str, took: list[float]) -> Figure:
    return _waited(figure, took, _TRUTH_S, f"nothing; {len(took)} times")
