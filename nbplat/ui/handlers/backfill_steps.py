"""The verbs that move a run: `%backfill attach|pause|resume|cancel|retry|audit|promote|rollback`."""

from __future__ import annotations

from typing import Any

from nbplat.backfill.plan import BackfillPlan
from nbplat.ui.call import Call
from nbplat.ui.desk import Desk, open_desk
from nbplat.ui.handlers.backfill_result import followed, plan_facts, run_result, unless_rejected
from nbplat.ui.handlers.follow import RESTING, follow, live_job
from nbplat.ui.render.result import Result
from nbplat.ui.render.table import fields_html, fields_text

__all__ = [
    "attach",
    "attached",
    "audit",
    "cancel",
    "extend",
    "extended",
    "pause",
    "promote",
    "resume",
    "retry",
    "rollback",
    "stepped",
]


def attach(call: Call) -> Result:
    """Follow a run until it rests."""
    return attached(open_desk(), call.options.run, show=call.show)


def attached(desk: Desk, run: str, *, show: Any = lambda _: None) -> Result:
    """Follow a run until it rests or is paused."""
    seen = desk.show(run)
    live = live_job(seen)
    if live or seen["run"]["state"] not in RESTING:
        seen, _ = follow(desk, seen["run"]["id"], live, show)
    return run_result(seen, [])


def pause(call: Call) -> Result:
    """Stop a run between two files."""
    return _step(call, "pause")


def cancel(call: Call) -> Result:
    """End a run's live job."""
    return _step(call, "cancel")


def resume(call: Call) -> Result:
    """Let a paused run go on."""
    return _step(call, "resume")


def retry(call: Call) -> Result:
    """Stage what failed again."""
    return _step(call, "retry")


def audit(call: Call) -> Result:
    """Judge the staged columns again."""
    return _step(call, "audit")


def promote(call: Call) -> Result:
    """Publish audited columns."""
    return _step(call, "promote", call.options.run)


def rollback(call: Call) -> Result:
    """Take promoted columns out again, or drop what was staged."""
    return _step(call, "rollback", params={"drop_column": call.options.drop_column or None})


def extend(call: Call) -> Result:
    """Fill a promoted run's columns where files lack them."""
    options = call.options
    return extended(
        open_desk(), options.run, to=options.end, promote=not options.hold, wait=options.wait, show=call.show
    )


def extended(
    desk: Desk, run: str, *, to: str | None = None, promote: bool = True, wait: bool = True, show: Any = lambda _: None
) -> Result:
    """Ask for an extension, which is a run of its own, and with `wait` follow that."""
    asked = desk.step(desk.show(run)["run"]["id"], "extend", params={"to": to, "promote": promote})
    return followed(desk, asked, wait=wait, show=show)


def stepped(
    desk: Desk, verb: str, runs: tuple[str, ...], *, wait: bool = True, show: Any = lambda _: None, params: Any = None
) -> Result:
    """Carry out a verb on a run, or on several of one table, and with `wait` follow it until the first rests."""
    first, *more = [desk.show(run)["run"]["id"] for run in runs]
    asked = desk.step(first, verb, more=more, params=params)
    notes = list(asked["notes"])
    if wait:
        seen, job = follow(desk, first, asked["job"], show)
        notes += [f"job {job['id']} {job['state']}"] if job and verb == "cancel" else []
    else:
        seen = desk.show(first)
        notes += {"cancel": ["asked to end"], "pause": ["asked to pause"]}.get(verb, [])
    others = [f"in the same pass: {run} {desk.show(run)['run']['state']}" for run in more]
    result = run_result(seen, [*notes, *others])
    return unless_rejected(result, seen["run"], show) if wait and verb == "audit" else result


def _step(call: Call, verb: str, runs: tuple[str, ...] = (), params: Any = None) -> Result:
    desk = open_desk()
    runs = runs or (call.options.run,)
    if getattr(call.options, "dry_run", False):
        return _would(desk, verb, runs)
    return stepped(desk, verb, runs, wait=call.options.wait, show=call.show, params=params)


def _would(desk: Desk, verb: str, runs: tuple[str, ...]) -> Result:
    seen = [desk.show(run) for run in runs]
    facts: list[tuple[str, Any]] = []
    for each in seen:
        run = each["run"]
        words = {"rollback": "roll back"}.get(verb, verb)
        facts.append(("would", f"{words} {run['id']}, which is {run['state'].replace('_', ' ')}"))
        planned = plan_facts(BackfillPlan.from_record(run["plan"]), desk.config)
        # A roll back reads, stages and audits nothing of it again.
        facts += [fact for fact in planned if verb != "rollback" or fact[0] in ("table", "new columns")]
    return Result(fields_text(facts), fields_html(facts), data=seen[0] if len(seen) == 1 else seen)
