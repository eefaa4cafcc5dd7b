"""`%%backfill`, `%backfill …` and `nbplat backfill …`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nbplat.backfill.explain import explain_audit, explain_plan, explain_units, next_step
from nbplat.backfill.plan import BackfillPlan
from nbplat.clock import iso
from nbplat.config import Config
from nbplat.errors import NotFound, RequestError, did_you_mean
from nbplat.ui.call import Call
from nbplat.ui.desk import Desk, open_desk
from nbplat.ui.handlers.follow import RESTING, follow, job_result
from nbplat.ui.handlers.job import whole_log
from nbplat.ui.render.figures import bytes_text
from nbplat.ui.render.result import Result
from nbplat.ui.render.table import fields_html, fields_text, table_html, table_text
from nbplat.ui.shipping import frames_kept, python_source, read_params

__all__ = [
    "attach",
    "audit",
    "cancel",
    "followed",
    "list_runs",
    "logs",
    "promote",
    "retry",
    "rollback",
    "run",
    "show",
    "status",
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
    }
    desk = open_desk()
    with frames_kept(desk, _frames(call), dry_run=bool(options.dry_run)) as tables:
        spec["frames"] = tables
        if options.dry_run:
            return plan_result(BackfillPlan.from_record(desk.plan(spec)), desk.config)
        asked = desk.submit(spec, new=options.new)
    return followed(desk, asked, wait=options.wait, show=call.show)


def followed(desk: Desk, asked: dict[str, Any], *, wait: bool, show: Callable[[Result], None]) -> Result:
    """What came of a submission; with `wait`, once the run rests."""
    run_id = asked["run"]["id"]
    if wait:
        seen, _ = follow(desk, run_id, asked["job"], show)
        return run_result(seen, asked["notes"])
    return run_result(desk.show(run_id), asked["notes"])


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
    options = call.options
    runs = [
        run
        for run in open_desk().runs("backfill", 1000)
        if (not options.table or run["plan"]["base"]["table"] == options.table)
        and (not options.state or run["state"] in options.state)
    ][: options.limit]
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
        return run_result(desk.show(call.options.run), [])
    runs = [run for run in desk.runs("backfill", 200) if run["state"] not in ("rolled_back", "expired", "superseded")]
    header = ["run", "state", "staged files", "job", "next"]
    rows = []
    for run in runs:
        seen = desk.show(run["id"])
        live = [job for job in seen["jobs"] if not job["ended"]]
        done = f"{seen['units']['done']}/{len(run['plan']['units'])}"
        rows.append(
            [run["id"], run["state"], done, live[0]["id"] if live else None, next_step(run["state"], run["id"])]
        )
    return Result(table_text(header, rows), table_html(header, rows), value=runs, data=runs)


def show(call: Call) -> Result:
    """Everything of one run: request, plan, audit, outputs, jobs."""
    desk = open_desk()
    seen = desk.show(call.options.run)
    run = seen["run"]
    plan = BackfillPlan.from_record(run["plan"])
    head = [("run", run["id"]), ("state", run["state"]), ("by", run["owner"]), ("body", _body_text(run["spec"]))]
    facts = head + explain_plan(plan, _prices(desk.config)) + _outcome(run)
    parts = [("", explain_units(plan))]
    if run["outputs"].get("audit"):
        parts.append(("audit", explain_audit(run["outputs"]["audit"])))
    jobs = [[job["id"], job["kind"], job["state"], job["attempts"]] for job in seen["jobs"]]
    parts.append(("jobs", (["job", "step", "state", "tries"], jobs)))
    text = "\n\n".join([fields_text(facts), *(table_text(*table) for _, table in parts)])
    html = fields_html(facts) + "".join(table_html(*table, caption=title) for title, table in parts)
    return Result(text, html, value=seen, data=seen)


def attach(call: Call) -> Result:
    """Follow a run until it rests."""
    desk = open_desk()
    seen = desk.show(call.options.run)
    live = [job for job in seen["jobs"] if not job["ended"]]
    if live or seen["run"]["state"] not in RESTING:
        seen, _ = follow(desk, seen["run"]["id"], live[0] if live else None, call.show)
    return run_result(seen, [])


def cancel(call: Call) -> Result:
    """End a run's live job."""
    desk = open_desk()
    run_id = desk.show(call.options.run)["run"]["id"]
    desk.step(run_id, "cancel")
    if not call.options.wait:
        return run_result(desk.show(run_id), ["asked to end"])
    live = [job for job in desk.show(run_id)["jobs"] if not job["ended"]]
    seen, job = follow(desk, run_id, live[0] if live else None, call.show)
    return run_result(seen, [f"job {job['id']} {job['state']}"] if job else [])


def audit(call: Call) -> Result:
    """Judge the staged columns again."""
    return _step(call, "audit")


def promote(call: Call) -> Result:
    """Publish audited columns."""
    return _step(call, "promote")


def rollback(call: Call) -> Result:
    """Take promoted columns out again, or drop what was staged."""
    return _step(call, "rollback")


def retry(call: Call) -> Result:
    """Stage what failed again."""
    return _step(call, "retry")


def logs(call: Call) -> Result:
    """The logs of a run's jobs, oldest first."""
    desk = open_desk()
    seen = desk.show(call.options.run)
    if not seen["jobs"]:
        raise NotFound("job.unknown", f"{seen['run']['id']} has no job yet", fix="run the cell again")
    pieces = []
    for job in reversed(seen["jobs"]):
        text = whole_log(desk, job["id"], call.options.offset)
        pieces.append(f"-- {job['id']} {job['kind']} {job['state']}\n{text}")
    lines = "\n".join(pieces).rstrip().splitlines()
    text = "\n".join(lines[-call.options.tail :] if call.options.tail else lines)
    return Result(text, data={"run": seen["run"]["id"], "log": text})


def plan_result(plan: BackfillPlan, config: Config) -> Result:
    """A plan as text and HTML; nothing was done."""
    head = [("plan", f"{plan.name} (dry run: nothing was written)")]
    facts, units = head + explain_plan(plan, _prices(config)), explain_units(plan)
    more = f"\n… and {len(plan.units) - len(units[1])} more" if len(plan.units) > len(units[1]) else ""
    return Result(
        f"{fields_text(facts)}\n\n{table_text(*units)}{more}",
        fields_html(facts) + table_html(*units, caption=f"first {len(units[1])} of {len(plan.units)} units"),
        value=plan,
        data=plan.record(),
    )


def run_result(seen: dict[str, Any], notes: list[str]) -> Result:
    """Where a run is, in one greppable line with what to do next, and a small table."""
    run = seen["run"]
    plan = BackfillPlan.from_record(run["plan"])
    head = f"{run['id']} {run['state']} {seen['units'].get('done', 0)}/{len(plan.units)} files {plan.rows:,} rows"
    facts: list[tuple[str, Any]] = [
        ("run", run["id"]),
        ("state", run["state"].replace("_", " ")),
        ("table", plan.base.table),
        ("new columns", ", ".join(f"{column.name} {column.type}" for column in plan.columns)),
        ("staged", f"{seen['units'].get('done', 0)} of {len(plan.units)} files, {plan.rows:,} rows"),
        *_outcome(run),
        *(("note", note) for note in notes),
    ]
    following = next_step(run["state"], run["id"])
    if following:
        facts.append(("next", following))
    lines = [head, *(f"  {note}" for note in notes)]
    if run["error"]:
        lines.append(f"  last error: {run['error']['code']}: {run['error']['message']}")
    if following:
        lines.append(f"  next: {following}")
    job = job_result(seen["jobs"][0]).job if seen["jobs"] else None
    return Result("\n".join(lines), fields_html(facts), job=job, value=seen, data={**seen, "notes": notes})


def _step(call: Call, verb: str) -> Result:
    options = call.options
    desk = open_desk()
    run_id = desk.show(options.run)["run"]["id"]
    if getattr(options, "dry_run", False):
        seen = desk.show(run_id)
        plan = BackfillPlan.from_record(seen["run"]["plan"])
        facts = [
            ("would", f"{verb} {run_id}, which is {seen['run']['state']}"),
            *explain_plan(plan, _prices(desk.config)),
        ]
        return Result(fields_text(facts), fields_html(facts), data=seen)
    asked = desk.step(run_id, verb)
    if options.wait:
        seen, _ = follow(desk, run_id, asked["job"], call.show)
    else:
        seen = desk.show(run_id)
    return run_result(seen, asked["notes"])


def _outcome(run: dict[str, Any]) -> list[tuple[str, Any]]:
    """What a run has produced so far, as facts."""
    outputs, facts = run["outputs"], []
    if outputs.get("staging_table"):
        size = bytes_text(outputs["staged_bytes"])
        facts.append(("staging table", f"{outputs['staging_table']} ({size})"))
    if outputs.get("audit"):
        findings = outputs["audit"]["findings"]
        bad = [finding for finding in findings if not finding["passed"]]
        said = "; ".join(f"{finding['rule']} {finding['column']}: {finding['message']}" for finding in bad)
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
    if outputs.get("reverted"):
        facts.append(("rolled back", f"to snapshot {outputs['reverted']['snapshot_id']}"))
    if run["error"]:
        facts.append(("last error", f"{run['error']['code']}: {run['error']['message']}"))
    return facts


def _body_text(spec: dict[str, Any]) -> str:
    return str(spec["sql"] or (spec.get("python") or {}).get("source", ""))


def _prices(config: Config) -> dict[str, Any]:
    return {
        "cpu_hour": config.cpu_price_hour,
        "storage_gb_month": config.storage_price_gb_month,
        "currency": config.currency,
    }
