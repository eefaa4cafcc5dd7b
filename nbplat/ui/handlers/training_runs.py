"""`%training list|show|replay|release`: what was trained, trained again, and let go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nbplat.clock import iso
from nbplat.errors import Conflict
from nbplat.job import JobState
from nbplat.job.caller import Caller
from nbplat.terms import counted
from nbplat.training.states import ALL_RUNS, JOB, KIND, REPLAY, TrainingState
from nbplat.ui.call import Call
from nbplat.ui.desk import open_desk
from nbplat.ui.handlers.training import progress_of
from nbplat.ui.handlers.training_result import training_result
from nbplat.ui.render.progress import progress_text
from nbplat.ui.render.result import Result
from nbplat.ui.render.table import fields_html, fields_text, table_html, table_text
from nbplat.ui.spoken import spoken
from nbplat.ui.training_work import Work, find_run, holds, learner_elsewhere, learner_of_text

if TYPE_CHECKING:
    from nbplat.compose import Platform
    from nbplat.job import Job, Run

__all__ = ["list_runs", "release", "replay", "show"]


def list_runs(call: Call) -> Result:
    """Runs, newest first: how far they are, both figures, and whether their snapshots are held."""
    from nbplat.compose import open_platform

    platform = open_platform()
    try:
        platform.end_lost()
        runs = platform.store.runs(KIND, limit=call.options.limit, plans=False)
        jobs = {job.run_id: job for job in _under_way(platform)}
    finally:
        platform.close()
    header = ["run", "state", "table", "joined", "AUC without", "AUC with", "gain", "held", "begun"]
    rows = [_row(run, jobs.get(run.id)) for run in runs]
    data = [
        {
            "id": run.id,
            "state": run.state,
            "owner": run.owner,
            "error": run.error,
            "progress": jobs[run.id].progress.record() if run.id in jobs else None,
            "spec": dict(run.spec),
            **dict(run.outputs),
        }
        for run in runs
    ]
    return Result(table_text(header, rows), table_html(header, rows), value=data, data=data)


def show(call: Call) -> Result:
    """A kept run as it was shown when it was trained; of another, how far it is or why it ended."""
    from nbplat.compose import open_platform
    from nbplat.training.result import TrainingResult

    platform = open_platform()
    try:
        platform.end_lost()
        run = find_run(platform, call.options.run)
        jobs = platform.store.jobs(run_id=run.id)
    finally:
        platform.close()
    if run.state != TrainingState.KEPT:
        return _unfinished(run, next((job for job in jobs if job.kind == JOB), None))
    told = _kept(run)
    before = "\n".join(_replayed(job) for job in jobs if job.kind == REPLAY)
    return training_result(TrainingResult.from_record({**told, "run": run.id}), before=before)


def _replayed(job: Job) -> str:
    """A replay in a line."""
    if job.state is JobState.RUNNING:
        return f"is replayed by {job.id}: {progress_text('', job.state.value, job.progress).strip()}"
    end = iso(job.ended_ms) if job.ended_ms else ""
    if job.state is JobState.SUCCEEDED:
        return f"replayed {end} ({job.id}): {_same(job.result or {})}"
    return f"replay {job.state.value} {end} ({job.id})" + (f": {job.error['code']}" if job.error else "")


def _same(told: Mapping[str, Any]) -> str:
    return "; ".join(told.get("differences", ())) or "the same figures, on the snapshots that it read"


def _unfinished(run: Run, job: Job | None) -> Result:
    facts: list[tuple[str, Any]] = [("run", run.id), ("table", _table(run)), ("joined", _joined(run))]
    facts += [("state", run.state), ("begun", iso(run.created_ms)), ("by", run.owner)]
    if job is not None:
        caller = Caller.of(job.worker)
        title = "progress" if job.state is JobState.RUNNING else "ended"
        facts += [
            ("job", job.id),
            ("notebook", job.params.get("notebook") or None),
            ("process", f"{caller.pid} on {caller.host}" if caller else None),
            (title, progress_text("", job.state.value, job.progress).strip()),
        ]
    if run.error:
        facts += [("error", f"{run.error['code']}: {run.error['message']}"), ("fix", spoken(run.error["fix"]))]
    data = {"id": run.id, "state": run.state, "owner": run.owner, "error": run.error, "job": job and job.id}
    return Result(fields_text(facts), fields_html(facts), value=run, data=data)


def replay(call: Call) -> Result:
    """Train again from the kept plan, and say whether the figures are the same."""
    from nbplat.compose import open_platform
    from nbplat.training.provenance import differences, model_source

    platform = open_platform()
    try:
        platform.end_lost()
        run = find_run(platform, call.options.run, kept=True)
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
    first = f"replay of {run.id}: {_same({'differences': differences(told, result)})}"
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
    platform.end_lost()
    read = {job.run_id: job for job in _under_way(platform) if job.kind == REPLAY}
    if named:
        runs = [find_run(platform, each) for each in named]
        if busy := next((read[run.id] for run in runs if run.id in read), None):
            raise Conflict(
                "run.busy",
                f"{busy.run_id} is being replayed (job {busy.id}), which reads its snapshots",
                fix=f"wait for job {busy.id}, or cancel it",
            )
        return runs
    before = platform.clock.now_ms() - int(older_than_s * 1000)
    return [
        run
        for run in platform.store.runs(KIND, limit=ALL_RUNS)
        if run.created_ms <= before and holds(run) and run.state != TrainingState.TRAINING and run.id not in read
    ]


def _under_way(platform: Platform) -> list[Job]:
    """Trainings and replays that run."""
    return [job for job in platform.store.jobs(states={JobState.RUNNING}, limit=ALL_RUNS) if job.kind in (JOB, REPLAY)]


def _ids(runs: list[Run]) -> list[str]:
    return [run.id for run in runs]


def _kept(run: Run) -> dict[str, Any]:
    """The record of a run's result.

    Raises:
        Conflict: ``training.not_kept``: it has none.
        RequestError: ``training.plan_format``: it is of a version that recorded less.
    """
    from nbplat.training.plan import TrainingPlan

    if run.state != TrainingState.KEPT:
        raise Conflict(
            "training.not_kept",
            f"{run.id} is {run.state} and has no figures",
            fix=f"`%training show {run.id}` says how far it is, or why it ended",
        )
    TrainingPlan.from_record(run.plan)
    return dict(run.outputs)


def _row(run: Run, job: Job | None) -> list[Any]:
    told = run.outputs
    return [
        run.id,
        _state(run, job),
        _table(run),
        _joined(run),
        *(f"{told[name]['value']:.3f}" if told.get(name) else None for name in ("auc_without", "auc_with")),
        f"{told['gain']['value']:+.3f}" if told.get("gain") else None,
        holds(run),
        iso(run.created_ms),
    ]


def _state(run: Run, job: Job | None) -> str:
    if job is not None:
        state = run.state if job.kind == JOB else f"{run.state}, replayed"
        return progress_text("", state, job.progress).strip() + (f" {job.progress.what}" if job.progress.what else "")
    return f"{run.state}: {run.error['code']}" if run.error else run.state


def _table(run: Run) -> str:
    return str(run.spec.get("table") or run.spec["join"]["base"])


def _joined(run: Run) -> str | None:
    told = run.outputs
    if "auc_without" in told:
        names = [*told.get("staged_features", ()), *(each["ref"] for each in told.get("sequences", ()))]
    else:
        join = run.spec.get("join", {})
        names = [*(each["ref"] for each in join.get("stage", ())), *join.get("sequences", ())]
    return ", ".join(names) or None
