"""`%backfill expire`: show what nothing needs any more, and with ``--yes`` delete it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from nbplat.ui.call import Call
from nbplat.ui.desk import open_desk
from nbplat.ui.render.figures import bytes_text, count_text
from nbplat.ui.render.result import Result
from nbplat.ui.render.table import fields_html, fields_text, table_html, table_text
from nbplat.ui.spoken import spoken

__all__ = ["expire", "expire_result"]

_SHOWN = 40
_HEAD = ["what", "run", "name", "bytes"]


def expire(call: Call) -> Result:
    """Sweep; without ``--yes`` it only shows what it would delete."""
    options = call.options
    dry_run = bool(options.dry_run) or not options.yes
    swept = open_desk().expire(options.run, options.older_than, dry_run=dry_run)
    return expire_result(swept, asks=not options.dry_run)


def expire_result(swept: dict[str, Any], *, asks: bool = False) -> Result:
    """A sweep as text and HTML; its value is the record.

    Args:
        asks: Say how to do what was only shown.
    """
    leftovers = swept["leftovers"]
    counts = Counter(each["kind"] for each in leftovers)
    summed = ", ".join(count_text(count, kind) for kind, count in sorted(counts.items())) or "nothing"
    summed = summed.replace("branchs", "branches")  # codespell:ignore branchs
    verb = "deleted" if swept["done"] else "would delete"
    facts: list[tuple[str, Any]] = [(verb, f"{summed}; {bytes_text(swept['file_bytes'])}")]
    expired = [run for run, state in swept["runs"].items() if state == "expired"]
    promoted = [run for run, state in swept["runs"].items() if state == "promoted"]
    if expired:
        facts.append(("expired", ", ".join(expired)))
    if promoted:
        facts.append(
            (
                "promoted",
                f"{', '.join(promoted)}: the column stays; a roll back needs the old snapshot, as long as the table"
                " keeps it",
            )
        )
    facts += [("kept", f"{name}: {spoken(why)}") for name, why in list(swept["kept"].items())[:_SHOWN]]
    if leftovers and not swept["done"] and asks:
        facts.append(("next", "the same with --yes deletes it"))
    rows = _by_run(leftovers)
    more = f"\n… and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
    text = fields_text(facts) + (f"\n\n{table_text(_HEAD, rows[:_SHOWN])}{more}" if rows else "")
    page = fields_html(facts) + (table_html(_HEAD, rows[:_SHOWN]) if rows else "")
    return Result(text, page, value=swept, data=swept)


def _by_run(leftovers: list[dict[str, Any]]) -> list[list[Any]]:
    """One row for each run and kind; many of a kind are counted, the record names each."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for each in leftovers:
        groups.setdefault((each["run"], each["kind"]), []).append(each)
    return [
        [
            kind,
            run or None,
            those[0]["name"] if len(those) == 1 else f"{len(those)}, such as {those[0]['name'].rpartition('/')[2]}",
            sum(each["file_bytes"] for each in those) or None,
        ]
        for (run, kind), those in sorted(groups.items())
    ]
