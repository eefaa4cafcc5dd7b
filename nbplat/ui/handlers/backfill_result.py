"""How plans and runs of a backfill are shown, wherever they were asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nbplat.backfill.cost import prices_of
from nbplat.backfill.explain import (
    bytes_by_partition,
    explain_plan,
    explain_rejection,
    explain_units,
    finding_subject,
    next_step,
)
from nbplat.backfill.plan import BackfillPlan
from nbplat.config import Config
from nbplat.errors import DataError
from nbplat.ui.desk import Desk
from nbplat.ui.handlers.follow import follow, job_result, live_job
from nbplat.ui.render.audit import run_picture
from nbplat.ui.render.bars import paired_bars
from nbplat.ui.render.figures import bytes_text, count_text
from nbplat.ui.render.result import Result
from nbplat.ui.render.table import fields_html, fields_text, table_html, table_text
from nbplat.ui.spoken import spoken

__all__ = ["coverage_notes", "followed", "outcome", "plan_facts", "plan_result", "run_result", "unless_rejected"]

_DECIDING = frozenset({"staged", "audited", "rejected", "awaiting_promotion"})


def followed(desk: Desk, asked: dict[str, Any], *, wait: bool, show: Callable[[Result], None]) -> Result:
    """What came of a submission; with `wait`, once the run rests.

    Raises:
        DataError: ``audit.rejected``.
    """
    run_id = asked["run"]["id"]
    if wait:
        seen, _ = follow(desk, run_id, asked["job"], show)
        return unless_rejected(run_result(seen, asked["notes"]), seen["run"], show)
    return run_result(desk.show(run_id), asked["notes"])


def unless_rejected(result: Result, run: dict[str, Any], show: Callable[[Result], None]) -> Result:
    """The result of an audit; a rejected run is shown with its picture, and then an error: what follows must stop.

    Raises:
        DataError: ``audit.rejected``, naming what blocks.
    """
    if run["state"] != "rejected":
        return result
    show(result)
    said, mends = explain_rejection(run["outputs"]["audit"]["findings"])
    raise DataError(
        "audit.rejected",
        f"the audit rejects {run['id']}: {said}",
        fix="; ".join(filter(None, [mends, f"`%backfill show {run['id']}` has the whole report"])),
    )


def plan_facts(plan: BackfillPlan, config: Config) -> list[tuple[str, str]]:
    """A plan in words, with the user's prices."""
    return [(label, spoken(value)) for label, value in explain_plan(plan, prices_of(config))]


def plan_result(plan: BackfillPlan, config: Config) -> Result:
    """A plan as text and HTML; nothing was done."""
    head = [("plan", f"{plan.name} (dry run: nothing was written)")]
    facts, units = head + plan_facts(plan, config), explain_units(plan)
    more = f"\n… and {len(plan.units) - len(units[1])} more" if len(plan.units) > len(units[1]) else ""
    picture = paired_bars(
        [(name or "unpartitioned", float(read), float(copied)) for name, read, copied in bytes_by_partition(plan)],
        ("read to stage", "copied to promote"),
        title=f"Bytes of {plan.base.table} by partition",
        shown=lambda value: bytes_text(int(value)),
    )
    return Result(
        f"{fields_text(facts)}\n\n{table_text(*units)}{more}",
        fields_html(facts) + picture + table_html(*units, caption=f"first {len(units[1])} of {len(plan.units)} units"),
        value=plan,
        data=plan.record(),
    )


_GAPS = 12


def coverage_notes(found: dict[str, Any]) -> list[str]:
    """What a promoted run's columns do not reach, a line a partition; one line when they reach everything."""
    if not found:
        return []
    whole = (
        f"covers {found['covered_rows']:,} of {found['rows']:,} rows in {found['covered_files']} of {found['files']}"
    )
    gaps = found["gaps"]
    lines = [f"{whole} files"]
    lines += [
        f"not covered: {gap['partition'] or 'unpartitioned'}"
        f" ({count_text(gap['rows'], 'row')} in {count_text(gap['files'], 'file')})"
        for gap in gaps[:_GAPS]
    ]
    if len(gaps) > _GAPS:
        lines.append(f"not covered: {len(gaps) - _GAPS} more partitions")
    if gaps:
        lines.append(f"`%backfill extend {found['run_id']}` fills them")
    return lines


def run_result(seen: dict[str, Any], notes: list[str], *, coverage: dict[str, Any] | None = None) -> Result:
    """Where a run is, in one greppable line with what to do next, and a small table."""
    run = seen["run"]
    said = [spoken(note) for note in notes]
    live = live_job(seen)
    paused = live is not None and live["state"] == "paused"
    plan = BackfillPlan.from_record(run["plan"])
    head = f"{run['id']} {run['state']} {seen['units'].get('done', 0)}/{len(plan.units)} files {plan.rows:,} rows"
    facts: list[tuple[str, Any]] = [
        ("run", run["id"]),
        ("state", run["state"].replace("_", " ") + (", paused" if paused else "")),
        ("table", plan.base.table),
        ("new columns", ", ".join(f"{column.name} {column.type}" for column in plan.columns)),
        ("staged", f"{seen['units'].get('done', 0)} of {len(plan.units)} files, {plan.rows:,} rows"),
        *outcome(run),
        *(("note", note) for note in said),
    ]
    following = spoken(next_step(run["state"], run["id"], live["state"] if live else ""))
    if following:
        facts.append(("next", following))
    lines = [f"{head} paused" if paused else head, *(f"  {note}" for note in said)]
    if run["error"]:
        lines.append(f"  last error: {run['error']['code']}: {run['error']['message']}")
    if following:
        lines.append(f"  next: {following}")
    data = {**seen, "notes": notes, **({"coverage": coverage} if coverage else {})}
    job = job_result(seen["jobs"][0]).job if seen["jobs"] else None
    # Drawn while somebody has to decide; `show` draws it always.
    html = fields_html(facts) + (run_picture(run) if run["state"] in _DECIDING else "")
    return Result("\n".join(lines), html, job=job, value=seen, data=data)


def outcome(run: dict[str, Any]) -> list[tuple[str, Any]]:
    """What a run has produced so far, as facts."""
    outputs, facts = run["outputs"], []
    if outputs.get("staging_table"):
        size = bytes_text(outputs["staged_bytes"])
        facts.append(("staging table", f"{outputs['staging_table']} ({size})"))
    if outputs.get("audit"):
        findings = outputs["audit"]["findings"]
        bad = [finding for finding in findings if not finding["passed"]]
        said = "; ".join(f"{finding_subject(finding)}: {finding['message']}" for finding in bad)
        facts.append(
            ("audit", f"{len(findings) - len(bad)} of {len(findings)} findings ok{'; ' + said if said else ''}")
        )
    if outputs.get("publication"):
        published = outputs["publication"]
        facts.append(
            (
                "promoted",
                f"snapshot {published['previous_snapshot_id']} -> {published['snapshot_id']}:"
                f" {outputs['spliced_files']} files spliced, {bytes_text(outputs['copied_bytes'])} copied,"
                f" {bytes_text(outputs['added_bytes'])} added",
            )
        )
        facts += _landed("landed", outputs.get("landing"))
    if outputs.get("reverted"):
        facts.append(("rolled back", f"to snapshot {outputs['reverted']['snapshot_id']}"))
        facts += _landed("undone", outputs.get("undoing"))
    if run["error"]:
        facts.append(("last error", f"{run['error']['code']}: {run['error']['message']}"))
    return facts


def _landed(label: str, report: dict[str, Any] | None) -> list[tuple[str, Any]]:
    """What was done per file, by reason; and what stays in the files unread."""
    if not report:
        return []
    facts: list[tuple[str, Any]] = [
        (label, f"{row['files']} {'file' if row['files'] == 1 else 'files'} by {row['action']}: {row['reason']}")
        for row in report["actions"]
    ]
    if report["dead_bytes"]:
        dead = bytes_text(report["dead_bytes"])
        facts.append((label, f"{dead} of columns left out stay in the files unread until they are compacted"))
    return facts
