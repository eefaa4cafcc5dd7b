"""A plan and a run in words: label and value pairs that every surface draws in its own way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from nbplat.backfill.audit.finding import Level
from nbplat.backfill.audit.rules import RULES
from nbplat.backfill.audit.settings import Checks
from nbplat.backfill.cost import HOW_TO_SET, Prices, plan_cost
from nbplat.backfill.frames import NAMESPACE
from nbplat.backfill.plan import BackfillPlan
from nbplat.backfill.states import RunState
from nbplat.job import JobState

__all__ = [
    "bytes_by_partition",
    "check_words",
    "explain_audit",
    "explain_plan",
    "explain_rejection",
    "explain_units",
    "finding_subject",
    "next_step",
]

_DRAWN = 24


def explain_plan(plan: BackfillPlan, prices: Prices | None = None) -> list[tuple[str, str]]:
    """What the run would read, compute, write and change.

    Args:
        prices: The user's; None leaves the line about cost out.
    """
    facts = [
        ("table", f"{plan.base.table} at snapshot {plan.base.snapshot_id}, {plan.partitioning}"),
        ("new columns", ", ".join(f"{column.name} {column.type}" for column in plan.columns)),
        ("keys", f"{', '.join(plan.keys)} ({plan.key_check})"),
        ("window", _window(plan)),
        *_sources(plan),
        *_work(plan),
        *_landing(plan),
        *(("audit", check) for check in plan.checks),
    ]
    if prices is not None:
        cost = plan_cost(plan, prices)
        facts += [("cost", line) for line in (cost.lines() if cost else [HOW_TO_SET])]
    facts += [("conflict", conflict) for conflict in plan.conflicts]
    facts += [("overlap", overlap) for overlap in plan.overlaps]
    return facts


def check_words(checks: Checks) -> tuple[str, ...]:
    """What an audit will look at, by what a broken rule does; with the thresholds that were set."""
    found: dict[Level, list[str]] = {}
    for rule in RULES:
        limits = [(each, checks.limit(rule, each)) for each in rule.thresholds]
        told = ", ".join(
            f"{each.name} {'none' if value is None else f'{value:g}'}"
            for each, value in limits
            if value != each.default
        )
        found.setdefault(checks.level(rule), []).append(f"{rule.code} ({told})" if told else rule.code)
    words = {Level.BLOCK: "blocks", Level.WARN: "warns", Level.OFF: "off"}
    return tuple(f"{words[level]}: {', '.join(found[level])}" for level in words if level in found)


def _window(plan: BackfillPlan) -> str:
    text = f"{plan.window} on {plan.time_column or 'no time column'}"
    owner = "keeps its" if len(plan.replaced) == 1 else "keep their"
    kept = f"{', '.join(plan.replaced)} {owner} old values outside it"
    if len(plan.replaced) == len(plan.columns):
        return f"{text}; {kept}"
    return f"{text}; rows outside it stay null" + (f", {kept}" if plan.replaced else "")


def _sources(plan: BackfillPlan) -> list[tuple[str, str]]:
    facts = []
    for source in plan.sources:
        frame = source.pin.table.startswith(f"{NAMESPACE}.")
        facts.append(
            (
                "frame" if frame else "source",
                f"{source.pin.table} at snapshot {source.pin.snapshot_id}: {', '.join(source.columns) or 'row count'}"
                f" of {source.rows} rows in {source.files} files, {_bytes(source.read_bytes)}, read once",
            )
        )
    return facts


def _work(plan: BackfillPlan) -> list[tuple[str, str]]:
    runs = f"{len(plan.groups)} {'query' if len(plan.groups) == 1 else 'queries'}"
    how = f"in {runs}" if plan.row_wise else "once over the whole window, then cut to files"
    if not plan.row_wise and len(plan.groups) > 1:
        how = f"in {runs} over whole partitions, which its groups do not cross"
    facts = [("python", _python(plan.python))] if plan.python is not None else []
    facts += [("environment", note) for note in (plan.python or {}).get("notes", ())]
    facts += [
        ("engine", f"{plan.engine}; the body runs {how}, because {plan.why}"),
        *_shuffle(plan),
        ("units", f"{len(plan.units)} data files, {plan.rows} rows"),
        ("read", f"{_bytes(plan.read_bytes)} (exact, from the manifests)"),
        ("write", f"{_bytes(plan.write_bytes)} staged ({plan.write_basis})"),
    ]
    if plan.seconds is not None:
        facts.append(("time", f"about {max(plan.seconds, 0.1):.1f} s to stage (sampled)"))
    return facts


def _shuffle(plan: BackfillPlan) -> list[tuple[str, str]]:
    """What is known before Spark has planned: it alone decides, and the job's log says what it did and why."""
    if plan.engine != "spark" or plan.python is not None:
        return []
    if plan.partitioning == "unpartitioned":
        return [("shuffle", "not storage-partitioned: the table is not partitioned, so rows are brought together")]
    text = f"none where the body groups rows as {plan.partitioning} does (storage-partitioned)"
    return [("shuffle", f"{text}; `%backfill logs` says what Spark did, and why")]


def _landing(plan: BackfillPlan) -> list[tuple[str, str]]:
    """How each file lands, grouped by the reason; and what stays stored twice."""
    counts = Counter((unit.strategy, unit.reason) for unit in plan.units)
    sizes: Counter[tuple[str, str]] = Counter()
    for unit in plan.units:
        sizes[unit.strategy, unit.reason] += unit.file_bytes
    facts = [
        ("promotion", f"{count} {'file' if count == 1 else 'files'} by {how} ({_bytes(sizes[how, why])}): {why}")
        for (how, why), count in counts.most_common()
    ]
    held = plan.copy_bytes + plan.write_bytes
    return [
        *facts,
        ("copy", f"{_bytes(plan.copy_bytes)} copied at promotion"),
        (
            "held",
            f"{_bytes(held)} extra until `%backfill expire` and the table's own snapshot expiry:"
            f" {_bytes(plan.write_bytes)} staged, {_bytes(plan.copy_bytes)} of old files",
        ),
    ]


def bytes_by_partition(plan: BackfillPlan) -> list[tuple[str, int, int]]:
    """Partition -> bytes that staging reads of it, bytes that promotion copies; in partition order.

    Where there are more than 24, those that are alike in their first field are one.
    """
    whole = len({unit.partition for unit in plan.units}) <= _DRAWN
    read: Counter[str] = Counter()
    copied: Counter[str] = Counter()
    for unit in plan.units:
        name = unit.partition if whole else unit.partition.split(", ")[0]
        read[name] += unit.read_bytes
        copied[name] += unit.file_bytes
    return [(name, read[name], copied[name]) for name in sorted(copied)]


def explain_units(plan: BackfillPlan, limit: int = 12) -> tuple[list[str], list[list[Any]]]:
    """The first `limit` units as a table: header and rows."""
    header = ["unit", "partition", "rows", "file bytes", "read bytes", "lands by"]
    rows: list[list[Any]] = [
        [unit.id, unit.partition, unit.rows, unit.file_bytes, unit.read_bytes, unit.strategy]
        for unit in plan.units[:limit]
    ]
    return header, rows


def explain_rejection(findings: Iterable[Mapping[str, Any]]) -> tuple[str, str]:
    """What blocks a rejected run, and what may mend it (empty: no rule knows), from the records of an audit."""
    blocking = [each for each in findings if each["blocks"] and not each["passed"]]
    said = "; ".join(f"{finding_subject(each)}: {each['message']}" for each in blocking)
    return said, "; ".join(dict.fromkeys(each["fix"] for each in blocking if each["fix"]))


def finding_subject(finding: Mapping[str, Any]) -> str:
    """The rule of a finding, and the column where it is about one."""
    return " ".join(filter(None, (finding["rule"], finding["column"])))


def explain_audit(audit: Mapping[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """An audit record as a table: header and rows."""
    return ["rule", "column", "verdict", "seen"], [
        [
            finding["rule"],
            finding["column"],
            "ok" if finding["passed"] else "blocks" if finding["blocks"] else "warns",
            finding["message"],
        ]
        for finding in audit["findings"]
    ]


def next_step(state: str, run_id: str, job: str = "") -> str:
    """The sentence that tells a person what to do with a run in this state; empty when there is nothing.

    Args:
        job: State of its live job; empty when it has none.
    """
    goes_on = f"it goes on by itself; `%backfill attach {run_id}` follows it"
    if job:
        waits = f"`%backfill resume {run_id}` lets it go on, `%backfill cancel {run_id}` ends it"
        return waits if JobState(job) is JobState.PAUSED else goes_on
    match RunState(state):
        case RunState.PLANNED:
            return f"run the cell again, or `%backfill retry {run_id}`"
        case RunState.STAGED:
            return f"`%backfill audit {run_id}` judges it; its last audit was cancelled or failed"
        case RunState.REJECTED:
            return f"`%backfill show {run_id}` says why; mend the body and run the cell again"
        case RunState.AWAITING_PROMOTION:
            return f"try it with `%%training … --stage {run_id}`, then `%backfill promote {run_id}`"
        case RunState.PROMOTED:
            return f"`%backfill rollback {run_id}` takes it back"
        case RunState.ROLLED_BACK | RunState.SUPERSEDED | RunState.EXPIRED:
            return ""
        case _:
            # Between the end of one job and the start of the next there is a moment without any.
            return goes_on


def _python(body: Mapping[str, Any]) -> str:
    """What runs a Python body, what its batch holds and what is shipped with it."""
    shipped = [*body["shipped"], *(module["name"] for module in body["modules"])]
    params = ", ".join(f"{name}={value!r}" for name, value in body["params"].items())
    built = body.get("environment")
    where = f"environment {built['name']} ({built['key'][:12]})" if built else body["interpreter"]
    parts = [
        f"{where} ({body['found']})",
        f"the batch holds {', '.join(body['reads'])}",
        "types found on a sample" + (f" but {', '.join(body['declared'])}" if body["declared"] else ""),
        *([f"ships {', '.join(shipped)}"] if shipped else []),
        *([f"with {params}"] if params else []),
    ]
    return "; ".join(parts)


def _bytes(count: int) -> str:
    size, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{count} bytes" if unit == "B" else f"{size:.1f} {unit}"
