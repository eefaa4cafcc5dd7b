"""Comparisons as every face asks for them: a spec from options, a plan, a run that is kept and held, a replay."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from nbplat.errors import NotFound, RequestError, did_you_mean
from nbplat.terms import Progress, Window
from nbplat.ui.training_place import DeskRuns, stages

if TYPE_CHECKING:
    from nbplat.compose import Platform
    from nbplat.job import Run
    from nbplat.training.join.open import OpenJoin
    from nbplat.training.plan import TrainingPlan
    from nbplat.training.result import TrainingResult
    from nbplat.training.spec import TrainingSpec
    from nbplat.ui.desk import Desk

__all__ = ["KIND", "Learner", "Work", "find_run", "learner_elsewhere", "learner_of_text", "make_spec"]

KIND = "training"
_ALL = 1_000_000
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
    stage: Sequence[str | Mapping[str, Any]] = (),
    sequences: Sequence[str] = (),
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
        on=(on,) if isinstance(on, str) else tuple(on),
        stage=stages(stage),
        dates=Window.parse(*dates),
        time=dates_by,
        sequences=tuple(sequences),
        **{each: options.pop(each) for each in _JOIN if each in options},
    )
    taken = tuple(features) if features else None
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
        """Plan without any effect."""
        from nbplat.training.plan import plan_training

        platform = self.platform
        return plan_training(spec, platform.join_source, DeskRuns(self.desk), platform.sequence_columns)

    def train(
        self,
        spec: TrainingSpec,
        learner: Learner,
        *,
        hold: bool = True,
        progress: Callable[[Progress], None] = lambda _progress: None,
    ) -> TrainingResult:
        """Plan, train, keep the run with its provenance, and hold its snapshots.

        Raises:
            NbplatError: what is wrong with the request or the data; nothing is kept or held then.
        """
        from nbplat.training.join.open import tag_of
        from nbplat.training.provenance import made_of

        plan = self.plan(spec)
        with self._kit(learner) as kit, self.platform.open_join(plan.join) as opened:
            with self._held(opened, hold) as notes:
                result = self._run(plan, opened, kit, progress)
            told = made_of(
                plan,
                source=learner.source,
                model=kit.describe(),
                held=tag_of(plan.join.plan_id) if hold else "",
                notes=notes,
            )
        result = replace(result, provenance=told)
        kept = self.platform.keep(
            KIND, spec.name, plan.plan_id, spec=spec.record(), plan=plan.record(), outputs=result.record()
        )
        return replace(result, run=kept.id)

    def replay(
        self, run: Run, learner: Learner, *, progress: Callable[[Progress], None] = lambda _progress: None
    ) -> TrainingResult:
        """Train a kept run's plan again, on the snapshots that it read; nothing is kept.

        Raises:
            Conflict: a snapshot, file or sequence of it is gone.
        """
        from nbplat.training.plan import TrainingPlan

        plan = TrainingPlan.from_record(run.plan)
        with self._kit(learner) as kit, self.platform.open_join(plan.join) as opened:
            return replace(self._run(plan, opened, kit, progress), run=run.id)

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
    def _held(self, opened: OpenJoin, hold: bool) -> Iterator[list[str]]:
        """Snapshots are tagged before they are read, and let go when that fails; gives what a person should know."""
        notes: list[str] = []
        if not hold:
            yield notes
            return
        if unsafe := opened.hold():
            notes.append(f"{', '.join(unsafe)} cannot be tagged here: expiring it ends what can be replayed")
        try:
            yield notes
        except BaseException:
            if not self._needed(opened.plan.plan_id):
                opened.release()
            raise

    def _needed(self, join_plan_id: str) -> bool:
        """Whether a kept run that was not released reads by this plan."""
        return any(
            run.outputs.get("provenance", {}).get("join_plan_id") == join_plan_id
            and run.outputs["provenance"]["held"]
            and not run.outputs.get("released")
            for run in self.platform.store.runs(KIND, limit=_ALL, plans=False)
        )


def find_run(platform: Platform, asked: str) -> Run:
    """A kept run by ``name@number``, or the newest of a name.

    Raises:
        NotFound: there is none, with the names that there are.
    """
    store = platform.store
    if "@" in asked:
        return store.run(KIND, asked)
    runs = store.runs(KIND, name=asked, limit=1)
    if not runs:
        known = sorted({run.name for run in store.runs(KIND, plans=False)})
        raise NotFound(
            "run.unknown",
            f"there is no training run {asked!r}",
            fix=did_you_mean(asked, known) or "train one with %%training",
        )
    return runs[0]


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
    from nbplat.ui.shipping import environment_named

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
