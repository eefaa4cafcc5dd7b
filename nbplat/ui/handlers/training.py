"""`%%training`, `%training …` and `nbplat training …`: runs in this process, on staged columns of any run."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from nbplat.errors import RequestError
from nbplat.terms import Progress, StagedColumns
from nbplat.ui.call import Call
from nbplat.ui.desk import Desk, open_desk, staged_columns
from nbplat.ui.render.progress import progress_html, progress_text
from nbplat.ui.render.result import Result
from nbplat.ui.render.table import table_html

if TYPE_CHECKING:
    from nbplat.compose import Platform
    from nbplat.training.run import TrainingResult

__all__ = ["run", "train", "training_result"]


def run(call: Call) -> Result:
    """Plan (``--dry-run``), or train with and without the staged columns."""
    from nbplat.compose import open_platform
    from nbplat.training.explain import explain_plan
    from nbplat.training.plan import plan_training

    options = call.options
    desk = open_desk() if options.stage else None
    platform = open_platform()
    try:
        chosen = {
            "split": options.split,
            "batch_rows": options.batch_rows,
            "epochs": options.epochs,
            "seed": options.seed,
            "uncovered": options.uncovered,
            "sequences": tuple(options.sequence),
        }
        place = _place(platform, options.env, call.body or "") if options.env else None
        if place is not None:
            chosen["environment"] = place.environment
        spec = _spec(options.name, options.table, options.label, options.time, options.stage, options.features, chosen)
        if getattr(options, "dry_run", False):
            plan = plan_training(spec, platform.training_source, _Staged(desk), platform.sequence_columns)
            notes = place.notes if place is not None else ()
            return Result("\n".join([*explain_plan(plan), *notes]), value=plan, data=plan.record())
        model = place if place is not None else _model_of(call)
        result = _train(desk, platform, spec, model, _shown(call, options))
        return training_result(result)
    finally:
        platform.close()


def train(
    desk: Desk,
    platform: Platform,
    *,
    table: str,
    label: str,
    time: str,
    stage: tuple[str, ...],
    name: str = "training",
    features: tuple[str, ...] | None = None,
    model: Any = None,
    sequences: Sequence[str] = (),
    env: str | None = None,
    **chosen: Any,
) -> TrainingResult:
    """Train from Python; see `nbplat.ui.python.training_join`."""
    if env:
        if model is not None and not isinstance(model, str):
            raise RequestError(
                "training.model",
                f"a {type(model).__name__} of this process cannot be sent into {env}",
                fix="give model as text that binds it: model='from … import …\\nmodel = …'",
            )
        model = _place(platform, env, model or "")
        chosen["environment"] = model.environment
    spec = _spec(name, table, label, time, stage, features, {**chosen, "sequences": tuple(sequences)})
    return _train(desk, platform, spec, model, lambda _progress: None)


def training_result(result: TrainingResult) -> Result:
    """Both AUCs in the first line, the rest below; in HTML a table of the two models."""
    from nbplat.training.explain import explain_result

    lines = explain_result(result)
    rows = [["without", ", ".join(result.features), str(result.auc_without)]]
    if result.auc_with is not None:
        joined = [*result.staged_features, *(f"sequence {each.ref} ({each.shape})" for each in result.sequences)]
        rows.append(["with", "+ " + ", ".join(joined), str(result.auc_with)])
    table = table_html(["model", "columns", "AUC [95 %]"], rows, caption=f"{result.name}: test rows from {result.cut}")
    notes = "".join(f'<div style="opacity:.75">{_escape(line)}</div>' for line in lines)
    return Result("\n".join(lines), table + notes, value=result, data=result.record())


def _train(
    desk: Desk | None, platform: Platform, spec: Any, model: Any, progress: Callable[[Progress], None]
) -> TrainingResult:
    from nbplat.training.plan import plan_training
    from nbplat.training.run import run_training

    source, sequences = platform.training_source, platform.sequence_columns
    plan = plan_training(spec, source, _Staged(desk), sequences)
    # A model of this process needs no end; one elsewhere has an interpreter of its own.
    elsewhere = closing(model.open()) if spec.environment is not None else nullcontext(platform.model_kit(model))
    with elsewhere as kit:
        result = run_training(
            plan,
            source,
            kit,
            sequences=sequences,
            progress=progress,
            keep_bytes=platform.config.memory_bytes // 8,
            clock=platform.clock,
        )
    platform.keep("training", spec.name, plan.plan_id, spec=spec.record(), plan=plan.record(), outputs=result.record())
    return result


def _spec(
    name: str,
    table: str,
    label: str,
    time: str,
    stage: tuple[str, ...],
    features: tuple[str, ...] | None,
    chosen: dict[str, Any],
) -> Any:
    from nbplat.training.spec import TrainingSpec

    return TrainingSpec(
        name=name, table=table, stage=tuple(stage), label=label, time=time, features=features or None, **chosen
    )


def _place(platform: Platform, env: str, source: str) -> Any:
    """Where a cell's model learns. The cell stands alone there: the notebook's variables are not sent along."""
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
    return platform.model_place(named["env"], source, named.get("project", ""))


def _model_of(call: Call) -> Any:
    """Run the cell's Python and take what it binds to ``model``; None without a statement."""
    code = ast.parse(call.body or "", f"<training {call.options.name}>")
    if not code.body:
        return None
    variables = dict(call.namespace)
    variables.pop("model", None)
    exec(compile(code, f"<training {call.options.name}>", "exec"), variables)  # noqa: S102 - the user's own cell
    if "model" not in variables:
        raise RequestError(
            "training.model", "the cell binds no model", fix="assign an estimator with partial_fit to the name model"
        )
    return variables["model"]


def _shown(call: Call, options: SimpleNamespace) -> Callable[[Progress], None]:
    def show(progress: Progress) -> None:
        title = f"{options.name} training"
        call.show(Result(progress_text(title, "running", progress), progress_html(title, "running", progress)))

    return show


def _escape(text: str) -> str:
    import html

    return html.escape(text)


class _Staged:
    """Staged runs as the training domain asks for them."""

    def __init__(self, desk: Desk | None) -> None:
        self._desk = desk

    def staged_columns(self, run_id: str) -> StagedColumns:
        if self._desk is None:
            raise RequestError("training.stage", f"no desk to ask for {run_id}", fix="name the run with --stage")
        return staged_columns(self._desk.staged(run_id))
