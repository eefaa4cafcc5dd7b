"""`nbplat demo init` and `nbplat demo run`: the example tables, and the quickstart run headless."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from nbplat.compose import open_platform
from nbplat.config import load_config
from nbplat.errors import DataError, NotFound, SetupError
from nbplat.terms import TableName
from nbplat.ui.call import Call
from nbplat.ui.render.figures import bytes_text, duration_text
from nbplat.ui.render.result import Result

__all__ = ["init", "run"]

_NOTEBOOK = "notebooks/01_quickstart.ipynb"
_STEP_TAG = "step:"


def init(call: Call) -> Result:
    """Load the example tables; nothing happens when they are there."""
    platform = open_platform()
    try:
        report = platform.load_demo(
            rows=call.options.rows,
            seed=call.options.seed,
            replace=call.options.replace,
            say=lambda line: call.show(Result(line)),
        )
    finally:
        platform.close()
    tables = [
        f"{table.table} {table.rows:,} rows in {table.files} files, {bytes_text(table.file_bytes)}"
        f" ({'loaded' if table.created else 'there already'})"
        for table in (report.events, report.train)
    ]
    cleaning = report.cleaning
    dropped = (
        f"cleaned: {cleaning.rows_in:,} lines in, {cleaning.exact_duplicates:,} exact duplicates,"
        f" {cleaning.without_customer:,} without a customer, {cleaning.fees:,} fees,"
        f" {cleaning.zero_price + cleaning.adjustments:,} adjustments left out"
    )
    return Result("\n".join([*tables, dropped]), value=report, data=report.record())


def run(call: Call) -> Result:
    """Run the quickstart notebook in a real kernel, write it and a page of it, and sum up."""
    folder = Path(call.options.folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    # Its own state folder, so that a demo never meets the runs of a person's work.
    home = Path(os.environ.get("NBPLAT_HOME") or folder / "state").absolute()
    os.environ["NBPLAT_HOME"] = str(home)
    try:
        seconds = _execute(call, folder)
        lines, data = _summary(folder, seconds)
    finally:
        from nbplat.ui.client import stop_service

        stop_service(load_config())
    return Result("\n".join(lines), data=data)


def _execute(call: Call, folder: Path) -> dict[str, float]:
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    notebook = nbformat.read(_find_notebook(), as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    client = NotebookClient(notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    seconds: dict[str, float] = {}
    target = folder / "01_quickstart.ipynb"
    try:
        # The kernel's own chatter is not the demo's.
        with (folder / "kernel.log").open("w") as chatter, client.setup_kernel(stderr=chatter):
            for index, cell in enumerate(notebook.cells):
                if cell.cell_type != "code":
                    continue
                step = _step_of(cell)
                call.show(Result(f"demo: {step} ({cells.index(cell) + 1} of {len(cells)} cells)"))
                client.execute_cell(cell, index)
                seconds[step] = seconds.get(step, 0.0) + _cell_seconds(cell)
    except CellExecutionError as exc:
        raise DataError(
            "demo.failed",
            f"a cell failed: {exc.ename}: {exc.evalue}",
            fix="read the executed notebook",
            where=str(target),
        ) from None
    finally:
        nbformat.write(notebook, target)
        _write_page(notebook, target.with_suffix(".html"))
    return seconds


def _write_page(notebook: Any, target: Path) -> None:
    from nbconvert import HTMLExporter

    page, _ = HTMLExporter(theme="light").from_notebook_node(notebook)
    target.write_text(page)


def _summary(folder: Path, seconds: dict[str, float]) -> tuple[list[str], dict[str, Any]]:
    """Ten lines of what happened, read back from the ledger and the tables."""
    platform = open_platform()
    try:
        backfill = platform.store.runs("backfill", limit=1)[0]
        training = platform.store.runs("training", limit=1)[0].outputs
        tables = platform.backfills.tables
        events, train = (tables.describe(TableName.parse(name)).rows for name in ("retail.events", "retail.train"))
    finally:
        platform.close()
    outputs, published = backfill.outputs, backfill.outputs["publication"]
    timing = ", ".join(f"{name} {duration_text(took)}" for name, took in seconds.items())
    with_staged = training["auc_with"]["value"]
    data = {
        "events_rows": events,
        "train_rows": train,
        "run": backfill.id,
        "units": outputs["staged_files"],
        "staged_bytes": outputs["staged_bytes"],
        "copied_bytes": outputs["copied_bytes"],
        "auc_without": training["auc_without"]["value"],
        "auc_with": with_staged,
        "snapshots": [published["previous_snapshot_id"], published["snapshot_id"], outputs["reverted"]["snapshot_id"]],
        "seconds": seconds,
    }
    lines = [
        f"nbplat demo: the quickstart ran in {duration_text(sum(seconds.values()))}",
        f"tables      retail.events {events:,} rows, retail.train {train:,} rows",
        f"backfill    {backfill.id}: {', '.join(column['name'] for column in backfill.plan['columns'])}",
        f"staged      {outputs['staged_rows']:,} rows in {outputs['staged_files']} units, "
        f"{bytes_text(outputs['staged_bytes'])} as {outputs['staging_table']}",
        f"trained     AUC {training['auc_without']['value']:.3f} without, {with_staged:.3f} with the staged column",
        f"promoted    {outputs['spliced_files']} files spliced: {bytes_text(outputs['copied_bytes'])} copied, "
        f"{bytes_text(outputs['added_bytes'])} added",
        f"snapshots   before {published['previous_snapshot_id']}, promoted {published['snapshot_id']}, "
        f"rolled back {outputs['reverted']['snapshot_id']}",
        f"seconds     {timing}",
        f"notebook    {folder / '01_quickstart.ipynb'} and 01_quickstart.html beside it",
        "next        make lab opens the notebook; docs/ explains what you saw",
    ]
    return lines, data


def _find_notebook() -> Path:
    """The quickstart of this checkout: below the working folder, or beside the package."""
    for root in (Path.cwd(), Path(__file__).parents[3]):
        if (root / _NOTEBOOK).is_file():
            return root / _NOTEBOOK
    raise NotFound("demo.notebook", f"{_NOTEBOOK} is not here", fix="run this in a checkout of nbplat: make demo")


def _step_of(cell: Any) -> str:
    """The step a cell belongs to, from its tag ``step:stage``."""
    for tag in cell.metadata.get("tags", ()):
        if tag.startswith(_STEP_TAG):
            return str(tag.removeprefix(_STEP_TAG))
    raise SetupError("demo.notebook", "a code cell of the quickstart has no step tag", fix="tag it step:NAME")


def _cell_seconds(cell: Any) -> float:
    from datetime import datetime

    timing = cell.metadata["execution"]
    start, end = (datetime.fromisoformat(timing[key]) for key in ("iopub.execute_input", "shell.execute_reply"))
    return (end - start).total_seconds()
