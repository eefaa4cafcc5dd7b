"""Comparisons as every face asks for them: a spec from options, a plan, a run that is kept and held, a replay."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbplat.errors import NotFound, RequestError, did_you_mean
from nbplat.terms import Progress
from nbplat.training.states import ALL_RUNS, JOB, KIND, REPLAY, TrainingState
from nbplat.ui.training_place import DeskRuns, listed, stages, window

if TYPE_CHECKING:
    from nbplat.compose import Platform
    from nbplat.job import Run
    from nbplat.job.caller import CallerJob
    from nbplat.training.join.open import OpenJoin
    from nbplat.training.plan import TrainingPlan
    from nbplat.training.result import TrainingResult
    from nbplat.training.spec import TrainingSpec
    from nbplat.ui.desk import Desk

__all__ = ["Learner", "Work", "find_run", "holds", "learner_elsewhere", "learner_of_text", "make_spec"]

_JOIN = ("missing", "min_coverage", "join", "max_unit_bytes")


@dataclass(frozen=True, slots=True)
class Learner:
    """What learns.

    Attributes:
        model: None for the default one, an estimator of this process, or the place of another interpreter.
        source: The text that made it, empty for the default one; None when it was given as an object.
        elsewhere: True for a place.
    """

    model: Any = None
    source: str | None = ""
    elsewhere: bool = False


def make_spec(
    name: str,
    table: str,
    *,
    label: str,
    time: str,
    stage: str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]] = (),
    sequences: str | Sequence[str] = (),
    on: str | Sequence[str] = (),
    dates: tuple[str | None, str | None] = (None, None),
    dates_by: str = "",
    features: Sequence[str] | None = None,
    **options: Any,
) -> TrainingSpec:
    """A spec from what a cell, a shell or a call gives.

    Raises:
        RequestError: an option that is not known, or not possible.
    """
    from nbplat.training.join import JoinSpec
    from nbplat.training.spec import TrainingSpec

    own = [field for field in TrainingSpec.__dataclass_fields__ if field != "join"]
    for each in options:
        if each not in (*_JOIN, *own):
            known = [*_JOIN, *own, "stage", "sequences", "on", "dates", "model", "env", "hold"]
            raise RequestError("training.option", f"training has no option {each!r}", fix=did_you_mean(each, known))
    join = JoinSpec(
        base=table,
        on=listed(on),
        stage=stages(stage),
        dates=window(dates),
        time=dates_by,
        sequences=listed(sequences),
        **{each: options.pop(each) for each in _JOIN if each in options},
    )
    taken = listed(features) if features else None
    return TrainingSpec(name=name, join=join, label=label, time=time, features=taken, **options)


@dataclass(frozen=True, slots=True)
class Work:
    """Comparisons on one platform.

    Attributes:
        desk: Where runs of backfills are looked up; opened when the first is asked for.
    """

    platform: Platform
    desk: Callable[[], Desk]

    def plan(self, spec: TrainingSpec) -> TrainingPlan:
        """Plan without any effect.

        Raises:
            SetupError: ``training.memory``: a pass would not fit.
        """
        from nbplat.training.plan import plan_training
        from nbplat.training.run import check_fits

        platform = self.platform
        plan = plan_training(spec, platform.join_source, DeskRuns(self.desk), platform.sequence_columns)
        with platform.open_join(plan.join) as opened:
            check_fits(plan, opened)
        return plan

    def train(
        self,
        spec: TrainingSpec,
        learner: Learner,
        *,
        hold: bool = True,
        progress: Callable[[Progress], None] = lambda _progress: None,
    ) -> TrainingResult:
        """Plan, train, keep the run with its provenance, and hold its snapshots.

        From the plan on it is a job of the ledger, which this process does: every surface shows how it goes and ends.

        Raises:
            NbplatError: what is wrong with the request or the data; nothing is held then. A request that has no plan
                leaves no trace, a run that failed or was cancelled stays as such.
        """
        from nbplat.job import JobDraft
        from nbplat.training.join.open import tag_of
        from nbplat.training.provenance import made_of

        plan = self.plan(spec)
        store = self.platform.store
        with self._kit(learner) as kit, self.platform.open_join(plan.join) as opened:
            run = self._begin(spec, plan)
            draft = JobDraft(JOB, run.id, _asked_here())
            with self.platform.job_here(draft, kind_of_run=KIND) as job:
                with self._held(opened, run.id, hold) as notes:
                    result = self._run(plan, opened, kit, _both(job, progress))
                told = made_of(
                    plan,
                    source=learner.source,
                    model=kit.describe(),
                    held=tag_of(plan.join.plan_id) if hold else "",
                    notes=notes,
                )
                told |= {"job": job.job.id, "notebook": draft.params["notebook"]}
                result = replace(result, provenance=told)
                # Taken for dead by another machine, it may be failed already: what was found stands.
                before = [TrainingState.TRAINING, TrainingState.FAILED]
                store.move_run(KIND, run.id, TrainingState.KEPT, frm=before, outputs=result.record())
                job.result = result.figures()
        return replace(result, run=run.id)

    def _begin(self, spec: TrainingSpec, plan: TrainingPlan) -> Run:
        from nbplat.job import RunDraft

        draft = RunDraft(
            KIND,
            spec.name,
            plan.plan_id,
            TrainingState.TRAINING,
            frozenset(),
            spec=spec.record(),
            plan=plan.record(),
            owner=getpass.getuser(),
        )
        return self.platform.store.open_run(draft)[0]

    def replay(
        self, run: Run, learner: Learner, *, progress: Callable[[Progress], None] = lambda _progress: None
    ) -> TrainingResult:
        """Train a kept run's plan again, on the snapshots that it read. It is a job of that run, as its training was.

        The run stays as it is; the job keeps the new figures, what is other about them, and which run they replay.

        Raises:
            Conflict: a snapshot, file or sequence of it is gone; ``run.busy``: it is being replayed.
            SetupError: ``training.memory``: a pass does not fit here.
        """
        from nbplat.job import JobDraft
        from nbplat.training.plan import TrainingPlan
        from nbplat.training.provenance import differences
        from nbplat.training.run import check_fits

        plan = TrainingPlan.from_record(run.plan)
        with self._kit(learner) as kit, self.platform.open_join(plan.join) as opened:
            opened.check_snapshots()
            check_fits(plan, opened)
            draft = JobDraft(REPLAY, run.id, {**_asked_here(), "replays": run.id, "plan_id": plan.plan_id})
            with self.platform.job_here(draft, kind_of_run=KIND) as job:
                result = replace(self._run(plan, opened, kit, _both(job, progress)), run=run.id)
                found = {"replays": run.id, "plan_id": plan.plan_id, "differences": differences(run.outputs, result)}
                job.result = {**result.figures(), **found}
        return result

    def release(self, run: Run) -> bool:
        """Take a run's tags away, unless another run that was not released reads by the same plan.

        Returns:
            False when another run still needs them.
        """
        from nbplat.training.plan import TrainingPlan

        store = self.platform.store
        store.move_run(KIND, run.id, run.state, frm=[run.state], outputs={"released": True})
        if not run.plan.get("join"):
            return True
        plan = TrainingPlan.from_record(run.plan)
        if self._needed(plan.join.plan_id):
            return False
        with self.platform.open_join(plan.join) as opened:
            opened.release()
        return True

    def _run(
        self, plan: TrainingPlan, opened: OpenJoin, kit: Any, progress: Callable[[Progress], None]
    ) -> TrainingResult:
        from nbplat.training.run import run_training

        return run_training(
            plan,
            opened,
            kit,
            progress=progress,
            keep_bytes=self.platform.config.memory_bytes // 8,
            clock=self.platform.clock,
        )

    def _kit(self, learner: Learner) -> Any:
        # A model of this process needs no end; one elsewhere has an interpreter of its own.
        if learner.elsewhere:
            return closing(learner.model.open())
        return nullcontext(self.platform.model_kit(learner.model))

    @contextmanager
    def _held(self, opened: OpenJoin, run_id: str, hold: bool) -> Iterator[list[str]]:
        """Snapshots are tagged before they are read, and let go when that fails; gives what a person should know."""
        notes: list[str] = []
        if not hold:
            yield notes
            return
        self._note(run_id, opened.plan.plan_id)
        if unsafe := opened.hold():
            notes.append(f"{', '.join(unsafe)} cannot be tagged here: expiring it ends what can be replayed")
        try:
            yield notes
        except BaseException:
            self._note(run_id, "")
            if not self._needed(opened.plan.plan_id):
                opened.release()
            raise

    def _note(self, run_id: str, join_plan_id: str) -> None:
        """Write down what a run holds: a process that dies leaves its tags, and its run says so."""
        store = self.platform.store
        state = store.run(KIND, run_id).state
        store.move_run(KIND, run_id, state, frm=[state], outputs={"holding": join_plan_id})

    def _needed(self, join_plan_id: str) -> bool:
        """Whether a run that was not released, or is under way, reads by this plan."""
        return any(
            join_plan_id in (run.outputs.get("holding"), run.outputs.get("provenance", {}).get("join_plan_id"))
            and holds(run)
            for run in self.platform.store.runs(KIND, limit=ALL_RUNS, plans=False)
        )


def holds(run: Run) -> bool:
    """Whether a run's snapshots are tagged for it."""
    told = run.outputs
    return bool(told.get("holding") or told.get("provenance", {}).get("held")) and not told.get("released")


def _both(job: CallerJob, show: Callable[[Progress], None]) -> Callable[[Progress], None]:
    def progress(now: Progress) -> None:
        show(now)
        job.progress(now)

    return progress


def _asked_here() -> dict[str, Any]:
    return {"notebook": _notebook(), "pid": os.getpid()}


def _notebook() -> str:
    """The notebook that this process runs, as Jupyter names it; empty elsewhere."""
    return Path(os.environ.get("JPY_SESSION_NAME", "")).name


def find_run(platform: Platform, asked: str, *, kept: bool = False) -> Run:
    """A run by ``name@number``, or the newest of a name.

    Args:
        kept: Of a name alone take the newest that was trained to its end.

    Raises:
        NotFound: there is none, with the names that there are.
    """
    store = platform.store
    if "@" in asked:
        return store.run(KIND, asked)
    runs = store.runs(KIND, name=asked, limit=ALL_RUNS if kept else 1, plans=False)
    found = next((run for run in runs if not kept or run.state == TrainingState.KEPT), None)
    if found is None:
        known = sorted({run.name for run in store.runs(KIND, plans=False)})
        raise NotFound(
            "run.unknown",
            f"there is no {'kept ' if kept else ''}training run {asked!r}",
            fix=did_you_mean(asked, known) or "train one with %%training",
        )
    return store.run(KIND, found.id)


def learner_of_text(source: str, namespace: Mapping[str, Any], name: str) -> Learner:
    """The model that a text binds, run in this process.

    Raises:
        RequestError: ``training.free_name``: it uses a name that is not here; ``training.model``: it binds none.
    """
    import ast

    code = ast.parse(source, f"<training {name}>")
    if not code.body:
        return Learner()
    variables = {key: value for key, value in namespace.items() if key != "model"}
    exec(compile(code, f"<training {name}>", "exec"), variables)  # noqa: S102 - the user's own text
    if "model" not in variables:
        raise RequestError(
            "training.model", "the cell binds no model", fix="assign an estimator with partial_fit to the name model"
        )
    return Learner(variables["model"], source)


def learner_elsewhere(platform: Platform, env: str, source: str) -> tuple[Learner, Mapping[str, Any], Sequence[str]]:
    """Where a cell's model learns, its record, and notes. The cell stands alone there."""
    from nbplat.backfill.python_body import unshipped_names
    from nbplat.environment.named import environment_named

    for name, (_, line) in unshipped_names(source, {}, {}).items():
        raise RequestError(
            "training.free_name",
            f"the cell uses {name!r}, which it neither defines nor imports",
            fix=f"define {name} in the cell: in another environment it stands alone; or leave --env out",
            where=f"line {line}" if line else "",
        )
    named = environment_named(env)
    place = platform.model_place(named["env"], source, named.get("project", ""))
    return Learner(place, source, elsewhere=True), place.environment, place.notes
