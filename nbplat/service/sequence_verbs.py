"""What a verb does to a kept definition, the same over HTTP and in process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from nbplat.errors import NbplatError, NotFound, RequestError
from nbplat.service.asker import owner_said
from nbplat.service.records import job_record, run_record
from nbplat.terms import RunId, Window

if TYPE_CHECKING:
    from nbplat.job import Job, Run
    from nbplat.sequence.definition import Definition
    from nbplat.sequence.sequences import Sequences

__all__ = [
    "Asked",
    "build",
    "changes_of",
    "compared",
    "correct",
    "definition_of",
    "export",
    "keep",
    "listed",
    "plan",
    "seen",
]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person asks of a definition.

    Attributes:
        name: Of a kept one, ``home`` or ``home@2``; of `definition` when that is given.
        definition: As `nbplat.sequence.definition_json.to_record` writes it; None takes the kept one.
        lines: Where its keys were written, as `Definition.lines`, for errors; None: they name no place.
        owner: Who asks.
        on: The examples.
        engine: ``local``, ``ray`` or ``spark``.
        variant: None takes the definition itself.
        start, end: ISO moments of a half-open window; None leaves that side open.
        publish: A correction also writes what it found.
        to: The table that an export makes.
        replace: An export takes the place of any table of that name.
        form: ``lists`` or ``padded``, of an export.
        carry: Columns of the examples that an export takes along; None: those that tell one example from another.
    """

    # It is also the body of a request, which pydantic reads; an unknown key is refused.
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    name: str
    definition: Mapping[str, Any] | None = None
    lines: Mapping[str, str] | None = None
    owner: str = ""
    on: str | None = None
    engine: str = "local"
    variant: str | None = None
    start: str | None = None
    end: str | None = None
    publish: bool = False
    to: str | None = None
    replace: bool = False
    form: str = "lists"
    carry: tuple[str, ...] | None = None


def definition_of(sequences: Sequences, asked: Asked) -> Definition:
    """The definition that is meant.

    Raises:
        NotFound: nothing is kept under the name.
        RequestError: a record that is no definition.
    """
    if asked.definition is not None:
        from nbplat.sequence.definition_json import from_record

        return replace(from_record(asked.definition), lines=MappingProxyType(dict(asked.lines or {})))
    return sequences.definition(sequences.find(asked.name))


def keep(sequences: Sequences, asked: Asked) -> dict[str, Any]:
    """Keep a definition under its name and version; an equal one is the same run."""
    outputs = {} if asked.on is None else {"on": asked.on}
    return run_record(sequences.keep(definition_of(sequences, asked), owner=owner_said(asked.owner), outputs=outputs))


def listed(sequences: Sequences, limit: int) -> list[dict[str, Any]]:
    """Kept definitions, newest first."""
    from nbplat.sequence.states import KIND

    return [_summary(run) for run in sequences.store.runs(KIND, limit=limit)]


def seen(sequences: Sequences, ref: str) -> dict[str, Any]:
    """A kept definition: its text, what is taken by default, variants, index and jobs.

    ``index`` is None while nothing is built; its ``moved`` is None when the source cannot be asked, and then
    ``trouble`` says why.
    """
    from nbplat.sequence.definition_json import to_record
    from nbplat.sequence.variants import variant

    run = sequences.find(ref)
    definition = sequences.definition(run)
    alone = {name: variant(definition, name) for name in definition.variants}
    return {
        **_summary(run),
        "text": str(run.spec["definition"]),
        "record": to_record(definition),
        "defaults": list(definition.defaults),
        "variants": {
            name: {"version": alone[name].version, "changes": dict(changes)}
            for name, changes in definition.variants.items()
        },
        "index": _index(sequences, run),
        "jobs": [job_record(job) for job in sequences.store.jobs(run_id=run.id)],
    }


def plan(sequences: Sequences, asked: Asked) -> dict[str, Any]:
    """What a build would do, as a record and as lines; of a built index what bringing it up to date would."""
    from nbplat.sequence.amendments import Amendments
    from nbplat.sequence.builds import Builds
    from nbplat.sequence.plan import explain_plan

    bound = sequences.bind(definition_of(sequences, asked))
    if sequences.find_index(bound, other_rows=True) is None:
        made = Builds(sequences).plan(bound, engine=asked.engine)
        return {"kind": "build", "plan": made.record(), "lines": list(explain_plan(made))}
    found = Amendments(sequences).plan_increment(bound, engine=asked.engine)
    if found is None:
        return {"kind": "none", "plan": None, "lines": ["the index is that of the present source: nothing to do"]}
    from nbplat.sequence.amend_plan import explain_amendment

    return {"kind": found.kind, "plan": found.record(), "lines": list(explain_amendment(found))}


def build(sequences: Sequences, asked: Asked) -> dict[str, Any]:
    """Queue the build of an index, or what brings it up to date; attaches to a job under way.

    Returns:
        ``run``, ``job`` (None: the index is that of the present source) and ``notes``.
    """
    from nbplat.sequence.builds import Builds

    definition = definition_of(sequences, asked)
    run, job = Builds(sequences).queue(definition, owner=owner_said(asked.owner), engine=asked.engine)
    return _queued(run, job, [] if job is not None else ["the index is that of the present source"])


def correct(sequences: Sequences, asked: Asked) -> dict[str, Any]:
    """Queue the comparison of a window of the source with the index; with `publish` the change is written."""
    from nbplat.sequence.amendments import Amendments

    window = Window.parse(asked.start, asked.end)
    definition = definition_of(sequences, asked)
    run, job = Amendments(sequences).correct(
        definition,
        owner=owner_said(asked.owner),
        window=(_us(window.start), _us(window.end)),
        engine=asked.engine,
        publish=asked.publish,
    )
    return _queued(run, job, [])


def compared(sequences: Sequences, ref: str, other: str | None) -> dict[str, Any]:
    """What differs between two kept definitions (or variants, ``home.short``).

    Without `other` a definition is compared with the version of its name before it, and with its index; a variant with
    its definition.

    Returns:
        ``old``, ``new`` (labels and versions), ``changes`` (path, old and new value), and what `old` is (``against``):
        ``given``, ``previous`` or ``declared`` (of a variant); or ``index``: the definition that built it, where there
        is no version before. Without `other` also ``index``, as `seen` has it, and ``present``: what bringing it up
        to date would compare.

    Raises:
        NotFound: nothing is kept under a name; ``sequence.not_built``: there is nothing to compare with.
    """
    label, definition = _labelled(sequences, ref)
    run, index = sequences.find(ref.partition(".")[0]), None
    earlier = _earlier(sequences, run)
    if other is not None:
        against, (before, old) = "given", _labelled(sequences, other)
    else:
        index = _index(sequences, run)
        if "." in ref:
            against, before = "declared", run.id
        elif earlier is not None:
            against, before = "previous", earlier
        elif index is not None:
            against, before = "index", str(index["built_by"]) or run.id
        else:
            raise NotFound(
                "sequence.not_built",
                f"{label} is the first version of its name and has no index: there is nothing to compare it with",
                fix=f"name another definition, or build the index: %sequence build {ref}",
            )
        old = sequences.definition(sequences.find(before))
    return {
        "old": {"label": before, "version": old.version},
        "new": {"label": label, "version": definition.version},
        "against": against,
        "changes": changes_of(old, definition, whole="." not in f"{before}{label}"),
        "index": index,
        "present": plan(sequences, Asked(run.id))["lines"] if index is not None else [],
    }


def _earlier(sequences: Sequences, run: Run) -> str | None:
    """The version of its name before it."""
    from nbplat.sequence.states import ALL_RUNS, KIND

    number = RunId.parse(run.id).number
    kept = [RunId.parse(each.id) for each in sequences.store.runs(KIND, name=run.name, limit=ALL_RUNS)]
    return str(max(before)) if (before := [each for each in kept if each.number < number]) else None


def export(sequences: Sequences, asked: Asked) -> dict[str, Any]:
    """Queue the writing of the sequences as lists into a table; see `nbplat.sequence.exports.Exports.queue`."""
    from nbplat.sequence.exports import Exports

    if not asked.on or not asked.to:
        raise RequestError(
            "sequence.export", "an export needs examples and a table", fix="give --on EXAMPLES and --to NAMESPACE.TABLE"
        )
    run, job = Exports(sequences).queue(
        definition_of(sequences, asked),
        asked.on,
        asked.to,
        owner=owner_said(asked.owner),
        variant=asked.variant,
        form=asked.form,
        carry=asked.carry,
        replace=asked.replace,
    )
    return _queued(run, job, [])


def changes_of(old: Definition, new: Definition, *, whole: bool) -> list[dict[str, Any]]:
    """What two definitions differ in, key by key; without `whole` their variants are left aside."""
    from nbplat.sequence.definition_diff import diff_definitions

    if not whole:
        old, new = (replace(each, variants=MappingProxyType({})) for each in (old, new))
    return [{"path": path, "old": was, "new": now} for path, was, now in diff_definitions(old, new)]


def _labelled(sequences: Sequences, ref: str) -> tuple[str, Definition]:
    """A kept definition, or one of its variants."""
    from nbplat.sequence.variants import variant

    name, _, chosen = ref.partition(".")
    run = sequences.find(name)
    definition = sequences.definition(run)
    return (f"{run.id}.{chosen}", variant(definition, chosen)) if chosen else (run.id, definition)


def _summary(run: Run) -> dict[str, Any]:
    outputs, record = run.outputs, run.spec["record"]
    return {
        "id": run.id,
        "name": run.name,
        "state": run.state,
        "version": run.identity,
        "definition": record,
        "index_version": outputs.get("index_version"),
        "table": outputs.get("index"),
        "on": outputs.get("on"),
        "owner": run.owner,
        "created_ms": run.created_ms,
    }


def _index(sequences: Sequences, run: Run) -> dict[str, Any] | None:
    """The index of a kept definition as it is stored now."""
    table = run.outputs.get("index")
    state = sequences.tables.state(str(table)) if table else None
    if state is None or state.report is None or state.source is None:
        return None
    moved, trouble = None, ""
    try:
        moved = sequences.sources.open(state.source.name).pin != state.source
    except NbplatError as exc:
        trouble = exc.message
    return {
        "table": state.pin.table,
        "snapshot_id": state.pin.snapshot_id,
        "buckets": state.buckets,
        "source": state.source.record(),
        "report": state.report.record(),
        "built_by": state.summary.get("nbplat.run", ""),
        "engine": state.summary.get("nbplat.engine", ""),
        "moved": moved,
        "trouble": trouble,
    }


def _queued(run: Run, job: Job | None, notes: list[str]) -> dict[str, Any]:
    return {"run": run_record(run), "job": None if job is None else job_record(job), "notes": notes}


def _us(moment: datetime | None) -> int | None:
    """Microseconds since 1970 UTC."""
    return None if moment is None else (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
