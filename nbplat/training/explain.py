"""The plan and the result as lines a person reads."""

from __future__ import annotations

from collections import defaultdict

from nbplat.remote.training.token import parts_left
from nbplat.training.join.explain import explain_join
from nbplat.training.join.order import windows_of
from nbplat.training.plan import TrainingPlan
from nbplat.training.result import Period, TrainingResult

__all__ = ["basis", "explain_plan", "explain_result", "explain_wait", "making"]

_SLOW_LOADER, _SLOW_MODEL = 0.6, 0.3


def explain_plan(plan: TrainingPlan) -> list[str]:
    """What will be read and joined, every default with its value; no data file is read."""
    spec = plan.spec
    keys = "columns named id or ending in _id" if spec.keys is None else ", ".join(spec.keys) or "none"
    chosen = "every numeric column but keys, label and time" if spec.features is None else "as named"
    lines = [
        f"training {spec.name} on {spec.table} · plan {plan.plan_id[:12]}",
        f"label {spec.label} · time {spec.time} · keys left out: {keys}",
        f"plain columns ({chosen}): {', '.join(plan.features)}",
        *explain_join(plan.join),
    ]
    if spec.runs_in:
        lines.append(f"the model runs in {spec.runs_in}")
    if not plan.join.sides and not plan.join.sequences:
        lines.append("nothing is joined: --stage RUN joins a run, --sequence NAME the features of a sequence")
    order = "in the plan's order" if spec.shuffle == "none" else f"shuffled by {spec.shuffle}"
    lines.append(
        f"split: oldest {spec.split:.0%} by {spec.time} train, the rest test · batches of {spec.batch_rows} rows"
        f" {order} · {spec.epochs} epochs · seed {spec.seed} · partitions that are not staged: {spec.join.missing}"
    )
    if spec.world > 1:
        windows = windows_of(plan.join, spec.order, 0)
        dealt = [
            sum(part.window.rows for part in parts_left(plan.join, spec.order, windows, rank, spec.world, ()))
            for rank in range(spec.world)
        ]
        lines.append(f"dealt to {spec.world} ranks: {', '.join(f'{rows:,}' for rows in dealt)} rows")
    return lines


def explain_result(result: TrainingResult) -> list[str]:
    """Both AUCs, the gain, and what they rest on."""
    return [headline(result), *basis(result), *making(result)]


def headline(result: TrainingResult) -> str:
    """Both AUCs and the gain in one line."""
    if not (result.auc_with and result.gain):
        return f"AUC without {result.auc_without} · no staged run was joined"
    joined = ", ".join([*result.staged_features, *(f"sequence {each.ref}" for each in result.sequences)])
    gain = result.gain
    return (
        f"AUC without {result.auc_without} · with {joined} {result.auc_with}"
        f" · gain {gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
        + (" · the interval holds 0: no gain is shown" if gain.low <= 0 <= gain.high else "")
    )


def basis(result: TrainingResult) -> list[str]:
    """What the figures rest on: rows, nulls, coverage, and who waited for whom."""
    return [
        f"trained on {result.rows_train:,} rows before {result.cut}, tested on {result.rows_test:,} rows from then on"
        f" ({result.label_share_test:.1%} with label 1)",
        *(f"{name}: null in {count:,} rows" for name, count in result.nulls.items()),
        *(
            f"sequence {each.ref}: {each.columns:,} columns, {each.shape} · {each.rows_empty:,} rows with an empty one,"
            f" kept · version {each.version[:12]}"
            for each in result.sequences
        ),
        *_coverage(result.coverage),
        f"{result.batches:,} batches, {result.rows_read:,} rows at {result.rows_per_second:,.0f} rows/s"
        f" · {result.epochs} epochs {'from memory' if result.kept_in_memory else 'from the files'}"
        f" · {result.seconds:.1f} s · plan {result.plan_id[:12]}",
        explain_wait(result),
    ]


def making(result: TrainingResult) -> list[str]:
    """How the figures were made, and what keeps them true: models, seed, code, snapshots, tags."""
    lines = [
        "intervals: 95 %, bootstrap of the test rows, the same resamples for both models",
        *(f"columns: {line}" for line in result.preprocessing),
    ]
    if result.provenance:
        told = result.provenance
        pins = ", ".join(f"{table} {snapshot}" for table, snapshot in told["snapshots"].items())
        lines.append(f"run {result.run} · seed {told['seed']} · code {told['code_hash'][:12]} · snapshots {pins}")
        lines += [f"note: {note}" for note in told["notes"]]
        if told["held"]:
            lines.append(
                f"its snapshots are kept under the tag {told['held']}: `%training replay {result.run}` trains again,"
                f" `%training release {result.run}` lets them go"
            )
    return lines


def explain_wait(result: TrainingResult) -> str:
    """Is the loader or the model slow?"""
    share = result.wait_share
    verdict = (
        "the loader is slow: more threads, fewer columns, or larger batches help"
        if share >= _SLOW_LOADER
        else "the model is slow: the loader keeps up"
        if share <= _SLOW_MODEL
        else "loader and model take about as long"
    )
    return (
        f"wait share {share:.0%}: models waited {result.join_seconds:.2f} s for batches and computed"
        f" {result.compute_seconds:.2f} s · {verdict}"
    )


def _coverage(coverage: tuple[Period, ...]) -> list[str]:
    by_run: dict[str, list[Period]] = defaultdict(list)
    for entry in coverage:
        by_run[entry.ref].append(entry)
    lines = []
    for ref, entries in by_run.items():
        rows, covered = sum(e.rows for e in entries), sum(e.covered for e in entries)
        exact = all(e.exact for e in entries)
        if not exact and entries[0].matched:
            covered, exact = entries[0].matched, True
        short = [f"{e.period} {e.covered:,}/{e.rows:,}" for e in entries if e.covered < e.rows]
        tail = f" · short in {', '.join(short)}" if short else f" · all {len(entries)} periods whole"
        if covered < rows and not short:
            tail = f" · {rows - covered:,} keys without a staged row"
        bound = "" if exact else "at most "
        lines.append(f"coverage of {ref}: {bound}{covered:,} of {rows:,} rows ({covered / max(rows, 1):.1%}){tail}")
    return lines
