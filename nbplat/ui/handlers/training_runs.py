"""`%training list|show|replay|release`: what was trained, trained again, and let go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbplat.clock import iso
from nbplat.terms import counted
from nbplat.ui.call import Call
from nbplat.ui.desk import open_desk
from nbplat.ui.handlers.training import progress_of
from nbplat.ui.handlers.training_result import training_result
from nbplat.ui.render.result import Result
from nbplat.ui.render.table import table_html, table_text
from nbplat.ui.training_work import KIND, Work, find_run, learner_elsewhere, learner_of_text

if TYPE_CHECKING:
    from nbplat.compose import Platform
    from nbplat.job import Run

__all__ = ["list_runs", "release", "replay", "show"]

_ALL = 1_000_000


def list_runs(call: Call) -> Result:
    """Runs, newest first, with both figures and whether their snapshots are held."""
    from nbplat.compose import open_platform

    platform = open_platform()
    try:
        runs = platform.store.runs(KIND, limit=call.options.limit, plans=False)
    finally:
        platform.close()
    header = ["run", "table", "joined", "AUC without", "AUC with", "gain", "held", "trained"]
    rows = [_row(run) for run in runs]
    data = [{"id": run.id, "spec": dict(run.spec), **dict(run.outputs)} for run in runs]
    return Result(table_text(header, rows), table_html(header, rows), value=data, data=data)


def show(call: Call) -> Result:
    """A kept run as it was shown when it was trained."""
    from nbplat.compose import open_platform
    from nbplat.training.result import TrainingResult

    platform = open_platform()
    try:
        run = find_run(platform, call.options.run)
    finally:
        platform.close()
    told = _kept(run)
    return training_result(TrainingResult.from_record({**told, "run": run.id}))


def replay(call: Call) -> Result:
    """Train again from the kept plan, and say whether the figures are the same."""
    from nbplat.compose import open_platform
    from nbplat.training.provenance import differences, model_source

    platform = open_platform()
    try:
        run = find_run(platform, call.options.run)
        told = _kept(run)
        source = model_source(run.id, told)
        work = Work(platform, open_desk)
        where = run.spec.get("environment")
        if where:
            learner, _, _ = learner_elsewhere(platform, str(where.get("name") or where["path"]), source)
        else:
            learner = learner_of_text(source, call.namespace, run.name)
        result = work.replay(run, learner, progress=progress_of(call, f"{run.id} replay"))
    finally:
        platform.close()
    odd = differences(told, result)
    first = f"replay of {run.id}: " + ("; ".join(odd) if odd else "the same figures, on the snapshots that it read")
    return training_result(result, before=first)


def release(call: Call) -> Result:
    """Let the snapshots of runs go; with ``--dry-run`` only say whose."""
    from nbplat.compose import open_platform

    options = call.options
    platform = open_platform()
    try:
        taken = _taken(platform, options.run, options.older_than)
        done = [] if options.dry_run else [(run, Work(platform, open_desk).release(run)) for run in taken]
    finally:
        platform.close()
    names = ", ".join(run.id for run in taken)
    if options.dry_run or not taken:
        verb = "would release" if options.dry_run else "released"
        return Result(f"{verb} {counted(len(taken), 'run')}" + (f": {names}" if taken else ""), data=_ids(taken))
    shared = [run.id for run, gone in done if not gone]
    lines = [f"released {counted(len(taken), 'run')}: {names}"]
    if shared:
        lines.append(f"the snapshots of {', '.join(shared)} stay: another run reads by the same plan")
    return Result("\n".join(lines), data=_ids(taken))


def _taken(platform: Platform, named: tuple[str, ...], older_than_s: float) -> list[Run]:
    if named:
        return [find_run(platform, each) for each in named]
    before = platform.clock.now_ms() - int(older_than_s * 1000)
    return [
        run
        for run in platform.store.runs(KIND, limit=_ALL)
        if run.created_ms <= before
        and run.outputs.get("provenance", {}).get("held")
        and not run.outputs.get("released")
    ]


def _ids(runs: list[Run]) -> list[str]:
    return [run.id for run in runs]


def _kept(run: Run) -> dict[str, Any]:
    """The record of a run's result.

    Raises:
        RequestError: ``training.plan_format``: it is of a version that recorded less.
    """
    from nbplat.training.plan import TrainingPlan

    TrainingPlan.from_record(run.plan)
    return dict(run.outputs)


def _row(run: Run) -> list[Any]:
    told = run.outputs
    held = told.get("provenance", {}).get("held") and not told.get("released")
    joined = [*told.get("staged_features", ()), *(each["ref"] for each in told.get("sequences", ()))]
    table = run.spec.get("table") or run.spec["join"]["base"]
    return [
        run.id,
        table,
        ", ".join(joined) or None,
        *(f"{told[name]['value']:.3f}" if told.get(name) else None for name in ("auc_without", "auc_with")),
        f"{told['gain']['value']:+.3f}" if told.get("gain") else None,
        bool(held),
        iso(run.created_ms),
    ]
