"""A plan and a run in words: label and value pairs that every surface draws in its own way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from nbplat.backfill.frames import NAMESPACE
from nbplat.backfill.plan import BackfillPlan
from nbplat.backfill.states import RunState

__all__ = ["explain_audit", "explain_plan", "explain_units", "next_step"]


def explain_plan(plan: BackfillPlan, prices: Mapping[str, Any] | None = None) -> list[tuple[str, str]]:
    """What the run would read, compute, write and change.

    Args:
        prices: ``cpu_hour``, ``storage_gb_month`` and ``currency`` from the config; a price of 0 or
            None shows no cost.
    """
    facts = [
        ("table", f"{plan.base.table} at snapshot {plan.base.snapshot_id}, {plan.partitioning}"),
        ("new columns", ", ".join(f"{column.name} {column.type}" for column in plan.columns)),
        ("keys", f"{', '.join(plan.keys)} ({plan.key_check})"),
        ("window", f"{plan.window} on {plan.time_column or 'no time column'}; rows outside it stay null"),
    ]
    facts += [
        (
            "frame" if source.pin.table.startswith(f"{NAMESPACE}.") else "source",
            f"{source.pin.table} at snapshot {source.pin.snapshot_id}: {', '.join(source.columns) or 'row count'}"
            f" of {source.rows} rows in {source.files} files, {_bytes(source.read_bytes)}",
        )
        for source in plan.sources
    ]
    runs = f"{len(plan.groups)} {'query' if len(plan.groups) == 1 else 'queries'}"
    how = f"in {runs}" if plan.row_wise else "once over the whole window, then cut to files"
    if plan.python is not None:
        facts.append(("python", _python(plan.python)))
    facts += [
        ("engine", f"{plan.engine}; the body runs {how}, because {plan.why}"),
        ("units", f"{len(plan.units)} data files, {plan.rows} rows"),
        ("read", f"{_bytes(plan.read_bytes)} (exact, from the manifests)"),
        ("write", f"{_bytes(plan.write_bytes)} staged ({plan.write_basis})"),
    ]
    if plan.seconds is not None:
        facts.append(("time", f"about {max(plan.seconds, 0.1):.1f} s to stage (sampled)"))
    strategies = Counter((unit.strategy, unit.reason) for unit in plan.units)
    facts += [
        ("promotion", f"{count} files by {strategy}: {reason}") for (strategy, reason), count in strategies.items()
    ]
    facts.append(("copy", f"{_bytes(plan.copy_bytes)} copied at promotion and held twice until old snapshots expire"))
    facts += [("cost", cost) for cost in _cost(plan, prices or {})]
    facts += [("conflict", conflict) for conflict in plan.conflicts]
    return facts


def explain_units(plan: BackfillPlan, limit: int = 12) -> tuple[list[str], list[list[Any]]]:
    """The first `limit` units as a table: header and rows."""
    header = ["unit", "partition", "rows", "file bytes", "read bytes", "lands by"]
    rows: list[list[Any]] = [
        [unit.id, unit.partition, unit.rows, unit.file_bytes, unit.read_bytes, unit.strategy]
        for unit in plan.units[:limit]
    ]
    return header, rows


def explain_audit(audit: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """An audit record as a table: header and rows."""
    return ["rule", "column", "verdict", "seen"], [
        [
            finding["rule"],
            finding["column"],
            "ok" if finding["passed"] else "blocks" if finding["blocks"] else "warns",
            finding["message"],
        ]
        for finding in audit["findings"]
    ]


def next_step(state: str, run_id: str) -> str:
    """The sentence that tells a person what to do with a run in this state; empty when there is nothing."""
    match RunState(state):
        case RunState.PLANNED:
            return f"run the cell again, or `%backfill retry {run_id}`"
        case RunState.STAGING | RunState.STAGED | RunState.AUDITING | RunState.AUDITED | RunState.PROMOTING:
            return f"it goes on by itself; `%backfill attach {run_id}` follows it"
        case RunState.REJECTED:
            return f"`%backfill show {run_id}` says why; mend the body and run the cell again"
        case RunState.AWAITING_PROMOTION:
            return f"try it with `%%training … --stage {run_id}`, then `%backfill promote {run_id}`"
        case RunState.PROMOTED:
            return f"`%backfill rollback {run_id}` takes it back"
        case _:
            return ""


def _python(body: Mapping[str, Any]) -> str:
    """What runs a Python body, what its batch holds and what is shipped with it."""
    shipped = [*body["shipped"], *(module["name"] for module in body["modules"])]
    params = ", ".join(f"{name}={value!r}" for name, value in body["params"].items())
    parts = [
        f"{body['interpreter']} ({body['found']})",
        f"the batch holds {', '.join(body['reads'])}",
        "types found on a sample" + (f" but {', '.join(body['declared'])}" if body["declared"] else ""),
        *([f"ships {', '.join(shipped)}"] if shipped else []),
        *([f"with {params}"] if params else []),
    ]
    return "; ".join(parts)


def _cost(plan: BackfillPlan, prices: Mapping[str, Any]) -> list[str]:
    currency = prices.get("currency", "")
    lines = []
    if prices.get("cpu_hour") and plan.seconds is not None:
        lines.append(f"{plan.seconds / 3600 * prices['cpu_hour']:.4f} {currency} of CPU to stage (sampled)")
    if prices.get("storage_gb_month"):
        held = (plan.copy_bytes + plan.write_bytes) / 1e9 * prices["storage_gb_month"]
        lines.append(f"{held:.4f} {currency} a month for the copy and the staged files")
    return lines


def _bytes(count: int) -> str:
    size, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{count} bytes" if unit == "B" else f"{size:.1f} {unit}"
