"""The plan and the result as lines a person reads."""

from __future__ import annotations

from collections import defaultdict

from nbplat.training.plan import Coverage, JoinPlan
from nbplat.training.run import TrainingResult

__all__ = ["explain_plan", "explain_result"]


def explain_plan(plan: JoinPlan) -> list[str]:
    """What will be read and attached, every default with its value; no data file is read."""
    spec = plan.spec
    keys = "columns named id or ending in _id" if spec.keys is None else ", ".join(spec.keys) or "none"
    chosen = "every numeric column but keys, label and time" if spec.features is None else "as named"
    lines = [
        f"training {spec.name} on {spec.table}, snapshot {plan.base.snapshot_id}: {plan.rows:,} rows"
        f" in {len(plan.files)} files · plan {plan.plan_id[:12]}",
        f"label {spec.label} · time {spec.time} · keys left out: {keys}",
        f"plain columns ({chosen}): {', '.join(plan.features)}",
    ]
    for at, use in enumerate(plan.staged):
        if use.from_base:
            source = "promoted: read from the base table"
        else:
            staged = [file.staged[at] for file in plan.files]
            dense = sum(1 for file in staged if file is not None and file.dense)
            source = f"staged: {sum(f is not None for f in staged)} of {len(staged)} files attached by position"
            source += f", {dense} dense" if dense < len(staged) else ""
            if use.planned_on != plan.base.snapshot_id:
                source += f" (computed on snapshot {use.planned_on})"
        lines.append(f"{use.run_id} → {', '.join(use.names)} · {source}")
    lines += [
        f"sequence {use.ref} → {len(use.columns):,} columns, {use.shape} · version {use.version[:12]}"
        f" · as of {', '.join(use.reads)}"
        for use in plan.sequences
    ]
    if spec.runs_in:
        lines.append(f"the model runs in {spec.runs_in}")
    if not plan.staged and not plan.sequences:
        lines.append("no staged run is joined: --stage RUN joins one, --sequence NAME the features of a sequence")
    lines += _coverage(plan.coverage())
    lines.append(
        f"split: oldest {spec.split:.0%} by {spec.time} train, the rest test · batches of {spec.batch_rows} rows"
        f" · {spec.epochs} epochs · seed {spec.seed} · files not covered: {spec.uncovered}"
    )
    return lines


def explain_result(result: TrainingResult) -> list[str]:
    """Both AUCs, the gain, and what they rest on."""
    lines = [f"AUC without {result.auc_without}" + ("" if result.auc_with else " · no staged run was joined")]
    if result.auc_with and result.gain:
        joined = ", ".join([*result.staged_features, *(f"sequence {each.ref}" for each in result.sequences)])
        lines = [
            f"AUC without {result.auc_without} · with {joined} {result.auc_with}"
            f" · gain {result.gain.value:+.3f} [{result.gain.low:+.3f}, {result.gain.high:+.3f}]"
            + (" · the interval holds 0: no gain is shown" if result.gain.low <= 0 <= result.gain.high else "")
        ]
    lines += [
        "intervals: 95 %, bootstrap of the test rows, the same resamples for both models",
        f"trained on {result.rows_train:,} rows before {result.cut}, tested on {result.rows_test:,} rows from then on"
        f" ({result.label_share_test:.1%} with label 1)",
        *(f"{name}: null in {count:,} rows" for name, count in result.nulls.items()),
        *(
            f"sequence {each.ref}: {each.columns:,} columns, {each.shape} · {each.rows_empty:,} rows with an empty one,"
            f" kept · version {each.version[:12]}"
            for each in result.sequences
        ),
        *_coverage(result.coverage),
        *(f"columns: {line}" for line in result.preprocessing),
        f"{result.batches:,} batches, {result.rows_read:,} rows at {result.rows_per_second:,.0f} rows/s"
        f" · {result.epochs} epochs {'from memory' if result.kept_in_memory else 'from the files'}"
        f" · {result.seconds:.1f} s · plan {result.plan_id[:12]}",
    ]
    return lines


def _coverage(coverage: tuple[Coverage, ...]) -> list[str]:
    by_run: dict[str, list[Coverage]] = defaultdict(list)
    for entry in coverage:
        by_run[entry.run_id].append(entry)
    lines = []
    for run_id, entries in by_run.items():
        rows, covered = sum(e.rows for e in entries), sum(e.covered for e in entries)
        short = [f"{e.period} {e.covered:,}/{e.rows:,}" for e in entries if e.covered < e.rows]
        tail = f" · short in {', '.join(short)}" if short else f" · all {len(entries)} periods whole"
        lines.append(f"coverage of {run_id}: {covered:,} of {rows:,} rows ({covered / rows:.1%}){tail}")
    return lines
