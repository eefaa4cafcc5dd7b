"""`%%backfill`, `%backfill …` and `nbplat backfill …`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nbplat.backfill.explain import explain_audit, explain_units, next_step
from nbplat.backfill.plan import BackfillPlan
from nbplat.clock import iso
from nbplat.errors import NbplatError, NotFound, RequestError, did_you_mean
from nbplat.ui.call import Call
from nbplat.ui.desk import Desk, open_desk
from nbplat.ui.handlers.backfill_logs import failed_table
from nbplat.ui.handlers.backfill_result import coverage_notes, followed, outcome, plan_facts, plan_result, run_result
from nbplat.ui.handlers.follow import live_job
from nbplat.ui.render.audit import run_picture
from nbplat.ui.render.result import Result
from nbplat.ui.render.table import fields_html, fields_text, table_html, table_text
from nbplat.ui.shipping import frames_kept, python_source, read_params
from nbplat.ui.spoken import spoken

__all__ = [
    "list_runs",
    "run",
    "runs_result",
    "show",
    "status",
    "status_result",
    "whole_result",
]


def run(call: Call) -> Result:
    """Plan (``--dry-run``), or attach or start, and by default wait until the run rests."""
    options = call.options
    spec = {
        "name": options.name,
        "table": options.table,
        **_body(call),
        "keys": list(options.key),
        "from": options.start,
        "to": options.end,
        "time": options.time,
        "engine": options.engine,
        "promote": bool(options.promote),
        "as_of": options.as_of,
        "source_times": options.source,
        "replace": list(options.replace),
        "types": options.type,
        "checks": options.check,
    }
    desk = open_desk()
    with frames_kept(desk, _frames(call), dry_run=bool(options.dry_run)) as tables:
        spec["frames"] = tables
        if options.dry_run:
            return plan_result(BackfillPlan.from_record(desk.plan(spec)), desk.config)
        asked = desk.submit(spec, new=options.new, max_cost=options.max_cost)
    return followed(desk, asked, wait=options.wait, show=call.show)


def _body(call: Call) -> dict[str, Any]:
    """The body part of a spec: SQL text, or a Python body with what it takes along."""
    options = call.options
    if not call.body:
        raise RequestError("body.empty", "the body is empty", fix="write one SELECT of the keys and the new columns")
    if options.lang == "python":
        return {
            "python": python_source(
                call.body,
                ship=options.ship,
                py=options.py,
                params=read_params(options.param),
                read=options.read,
                group_by=options.group_by,
                env=options.env,
                namespace=call.namespace,
            )
        }
    given = [flag for flag, name in _PYTHON_ONLY.items() if getattr(options, name)]
    if given:
        raise RequestError(
            "usage.lang", f"{given[0]} goes with a Python body", fix="add --lang python, or leave it out"
        )
    return {"sql": call.body}


_PYTHON_ONLY = {
    "--with": "ship",
    "--py": "py",
    "--param": "param",
    "--read": "read",
    "--group-by": "group_by",
    "--env": "env",
}


def _frames(call: Call) -> dict[str, Any]:
    """The DataFrames that the line names."""
    found = {}
    for name in call.options.frame:
        if call.where == "cli":
            raise RequestError(
                "usage.frame", "--frame names a variable, and there is no notebook", fix="load it as a table"
            )
        if name not in call.namespace:
            known = [each for each in call.namespace if not each.startswith("_")]
            raise NotFound(
                "frame.unknown", f"the notebook has no {name!r}", fix=did_you_mean(name, known) or "define it"
            )
        found[name] = call.namespace[name]
    return found


def list_runs(call: Call) -> Result:
    """Runs, newest first."""
    return runs_result(open_desk(), call.options.table, call.options.state, call.options.limit)


def runs_result(desk: Desk, table: str | None, states: Sequence[str], limit: int) -> Result:
    """Runs on a table (None: on any) in some states (empty: in any), newest first."""
    runs = [
        run
        for run in desk.runs("backfill", 1000)
        if (not table or run["plan"]["base"]["table"] == table) and (not states or run["state"] in states)
    ][:limit]
    header = ["run", "state", "table", "new columns", "by", "opened"]
    rows = [
        [
            run["id"],
            run["state"],
            run["plan"]["base"]["table"],
            ", ".join(column["name"] for column in run["plan"]["columns"]),
            run["owner"],
            iso(run["created_ms"]),
        ]
        for run in runs
    ]
    return Result(table_text(header, rows), table_html(header, rows), value=runs, data=runs)


def status(call: Call) -> Result:
    """One run in a line, or every run that does not rest."""
    desk = open_desk()
    if call.options.run:
        return status_result(desk, call.options.run)
    runs = [run for run in desk.runs("backfill", 200) if run["state"] not in ("rolled_back", "expired", "superseded")]
    header = ["run", "state", "staged files", "job", "next"]
    rows = []
    for run in runs:
        seen = desk.show(run["id"])
        live = live_job(seen)
        done = f"{seen['units']['done']}/{len(run['plan']['units'])}"
        at = f"{live['id']} {live['state']}" if live else None
        following = spoken(next_step(run["state"], run["id"], live["state"] if live else ""))
        rows.append([run["id"], run["state"], done, at, following])
    return Result(table_text(header, rows), table_html(header, rows), value=runs, data=runs)


def status_result(desk: Desk, run: str) -> Result:
    """One run; of a promoted one also the partitions that its columns do not reach."""
    seen = desk.show(run)
    try:
        found = desk.coverage(seen["run"]["id"])
    except NbplatError as exc:
        return run_result(seen, [f"coverage: {exc.message}"])
    return run_result(seen, coverage_notes(found), coverage=found)


def show(call: Call) -> Result:
    """Everything of one run: request, plan, audit, outputs, jobs."""
    return whole_result(open_desk(), call.options.run)


def whole_result(desk: Desk, run_id: str) -> Result:
    """Everything of one run."""
    seen = desk.show(run_id)
    run = seen["run"]
    plan = BackfillPlan.from_record(run["plan"])
    head = [("run", run["id"]), ("state", run["state"]), ("by", run["owner"]), ("body", _body_text(run["spec"]))]
    facts = head + plan_facts(plan, desk.config) + outcome(run)
    parts = [("", explain_units(plan))]
    if run["outputs"].get("audit"):
        parts.append(("audit", explain_audit(run["outputs"]["audit"])))
    if seen["failed_units"]:
        parts.append(("files that failed", failed_table(seen["failed_units"])))
    jobs = [[job["id"], job["kind"], job["state"], job["attempts"]] for job in seen["jobs"]]
    parts.append(("jobs", (["job", "step", "state", "tries"], jobs)))
    text = "\n\n".join([fields_text(facts), *(table_text(*table) for _, table in parts)])
    html = fields_html(facts) + run_picture(run) + "".join(table_html(*table, caption=title) for title, table in parts)
    return Result(text, html, value=seen, data=seen)


def _body_text(spec: dict[str, Any]) -> str:
    return str(spec["sql"] or (spec.get("python") or {}).get("source", ""))
