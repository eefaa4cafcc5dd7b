"""`%backfill logs`: what the jobs of a run wrote, and why files of it failed."""

from __future__ import annotations

from typing import Any

from nbplat.errors import NotFound
from nbplat.ui.call import Call
from nbplat.ui.desk import Desk, open_desk
from nbplat.ui.handlers.job import whole_log
from nbplat.ui.render.result import Result
from nbplat.ui.render.table import table_text

__all__ = ["failed_table", "logs", "logs_of"]


def logs(call: Call) -> Result:
    """The logs of a run's jobs, oldest first, then the files that failed."""
    return logs_of(open_desk(), call.options.run, offset=call.options.offset, tail=call.options.tail)


def logs_of(desk: Desk, run: str, *, offset: int = 0, tail: int = 0) -> Result:
    """The same from a byte offset of each job's log, or only the last lines."""
    seen = desk.show(run)
    if not seen["jobs"]:
        raise NotFound("job.unknown", f"{seen['run']['id']} has no job yet", fix="run the cell again")
    pieces = []
    for job in reversed(seen["jobs"]):
        text = whole_log(desk, job["id"], offset)
        pieces.append(f"-- {job['id']} {job['kind']} {job['state']}\n{text}")
    lines = "\n".join(pieces).rstrip().splitlines()
    text = "\n".join(lines[-tail:] if tail else lines)
    if seen["failed_units"]:
        text += f"\n\n-- files that failed\n{table_text(*failed_table(seen['failed_units']))}"
    return Result(text, data={"run": seen["run"]["id"], "log": text, "failed_units": seen["failed_units"]})


def failed_table(units: list[dict[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """The files of a run that failed: header and rows."""
    rows = [
        [
            unit["unit"],
            unit["partition"],
            unit["attempts"],
            f"{unit['error'].get('code', 'unknown')}: {unit['error'].get('message', 'no reason was kept')}",
        ]
        for unit in units
    ]
    return ["unit", "partition", "tries", "error"], rows
