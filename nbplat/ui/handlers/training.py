"""`%%training`, `%training plan` and the same of `nbplat training`: in this process, on staged columns of any run."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from nbplat.errors import RequestError
from nbplat.terms import Progress
from nbplat.ui.call import Call
from nbplat.ui.desk import Desk, open_desk
from nbplat.ui.handlers.training_result import training_result
from nbplat.ui.render.progress import progress_html, progress_text
from nbplat.ui.render.result import Result
from nbplat.ui.training_work import Learner, Work, learner_elsewhere, learner_of_text, make_spec

if TYPE_CHECKING:
    from nbplat.compose import Platform
    from nbplat.training.result import TrainingResult

__all__ = ["progress_of", "run", "train"]


def run(call: Call) -> Result:
    """Plan (``--dry-run``), or train with and without the joined columns."""
    from nbplat.compose import open_platform
    from nbplat.training.explain import explain_plan

    options = call.options
    platform = open_platform()
    try:
        work = Work(platform, open_desk)
        learner, environment = None, None
        notes: Sequence[str] = ()
        if options.env:
            learner, environment, notes = learner_elsewhere(platform, options.env, call.body or "")
        spec = _spec(options, environment)
        if getattr(options, "dry_run", False):
            plan = work.plan(spec)
            text = "\n".join([*explain_plan(plan), *notes])
            page = f'<div style="white-space:pre-wrap">{html.escape(text)}</div>'
            return Result(text, page, value=plan, data=plan.record())
        learner = learner or learner_of_text(call.body or "", call.namespace, options.name)
        return training_result(
            work.train(spec, learner, hold=options.hold, progress=progress_of(call, f"{options.name} training"))
        )
    finally:
        platform.close()


def train(
    desk: Desk,
    platform: Platform,
    table: str,
    *,
    label: str,
    time: str,
    name: str = "training",
    model: Any = None,
    env: str | None = None,
    hold: bool = True,
    **options: Any,
) -> TrainingResult:
    """Train from Python; see `nbplat.ui.python.training_join`."""
    if env:
        if model is not None and not isinstance(model, str):
            raise RequestError(
                "training.model",
                f"a {type(model).__name__} of this process cannot be sent into {env}",
                fix="give model as text that binds it: model='from … import …\\nmodel = …'",
            )
        learner, options["environment"], _ = learner_elsewhere(platform, env, model or "")
    elif isinstance(model, str):
        learner = learner_of_text(model, {}, name)
    else:
        learner = Learner() if model is None else Learner(model, None)
    spec = make_spec(name, table, label=label, time=time, **options)
    return Work(platform, lambda: desk).train(spec, learner, hold=hold)


def progress_of(call: Call, title: str) -> Callable[[Progress], None]:
    """Shows the rows that went through the models, in the place of the call's output."""

    def show(progress: Progress) -> None:
        call.show(Result(progress_text(title, "running", progress), progress_html(title, "running", progress)))

    return show


def _spec(options: SimpleNamespace, environment: Any) -> Any:
    same = ("label", "time", "stage", "missing", "min_coverage", "join", "split", "batch_rows", "epochs")
    return make_spec(
        options.name,
        options.table,
        **{
            name: getattr(options, name)
            for name in (*same, "max_unit_bytes", "shuffle", "window", "seed", "world", "features")
        },
        sequences=options.sequence,
        on=options.on or (),
        dates=(options.start, options.end),
        dates_by=options.dates_by or "",
        environment=environment,
    )
