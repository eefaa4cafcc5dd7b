"""`%%sequence`, `%sequence …` and `nbplat sequence …`: runs in this process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbplat.clock import iso
from nbplat.compose import Platform, open_platform
from nbplat.errors import NotFound, RequestError, did_you_mean
from nbplat.terms import TableName
from nbplat.ui.call import Call
from nbplat.ui.render.result import Result
from nbplat.ui.render.table import fields_html, fields_text, table_html, table_text

if TYPE_CHECKING:
    import pyarrow as pa

    from nbplat.sequence.early_preview import SequencePreview
    from nbplat.sequence.spec import SequenceSpec

__all__ = ["SequenceHandle", "list_definitions", "preview", "sequence_of", "show"]

_KIND = "sequence"


@dataclass(frozen=True, slots=True)
class SequenceHandle:
    """What ``--out`` binds: the definition held against its tables.

    Attributes:
        id: ``history@1``, the kept definition.
        spec: The definition.
        on: The table of examples.
        preview: What the cell shows.
    """

    id: str
    spec: SequenceSpec
    on: str
    preview: SequencePreview

    def features(self, keys: tuple[str, ...] = ()) -> pa.Table:
        """The sequences of all examples as Arrow lists, newest first; see `nbplat.sequence.run.features`."""
        from nbplat.sequence.run import features

        platform = open_platform()
        try:
            return features(self.spec, platform.rows_of(self.spec.source), platform.rows_of(self.on), keys=keys)
        finally:
            platform.close()


def preview(call: Call) -> Result:
    """Retrieve, show, and keep the definition."""
    from nbplat.sequence.explain import explain_html, explain_preview

    if not call.body:
        raise RequestError("sequence.empty", "the cell has no definition", fix="write its YAML below the first line")
    platform = open_platform()
    try:
        handle = sequence_of(platform, call.options.name, call.body, call.options.on, call.options.examples)
    finally:
        platform.close()
    lines = explain_preview(handle.preview)
    return Result("\n".join(lines), explain_html(handle.preview), value=handle, data=handle.preview.record())


def list_definitions(_call: Call) -> Result:
    """Kept definitions, newest first."""
    platform = open_platform()
    try:
        runs = platform.store.runs(_KIND)
    finally:
        platform.close()
    header = ["definition", "source", "types", "version", "kept"]
    rows = [
        [
            run.id,
            run.spec["source"],
            ", ".join(f"{rule['event_type']}:{rule['last']}" for rule in run.spec["events"]),
            run.identity[:12],
            iso(run.created_ms),
        ]
        for run in runs
    ]
    data = [{"id": run.id, "version": run.identity, "definition": run.spec} for run in runs]
    return Result(table_text(header, rows), table_html(header, rows), data=data)


def show(call: Call) -> Result:
    """One definition and its version."""
    platform = open_platform()
    try:
        runs = platform.store.runs(_KIND, limit=1000)
    finally:
        platform.close()
    name = call.options.name
    found = next((run for run in runs if name in (run.id, run.name)), None)
    if found is None:
        known = {run.id for run in runs}
        raise NotFound(
            "sequence.unknown",
            f"there is no sequence {name!r}",
            fix=did_you_mean(name, known) or "keep one with %%sequence",
        )
    facts: list[tuple[str, Any]] = [("definition", found.id), ("version", found.identity)]
    facts += [(key, str(value)) for key, value in found.spec.items()]
    return Result(fields_text(facts), fields_html(facts), value=found.spec, data={"id": found.id, **found.spec})


def sequence_of(platform: Platform, name: str, definition: str, on: str, examples: int) -> SequenceHandle:
    """Parse a definition, hold it against its tables, and keep it under its version.

    Raises:
        RequestError: what is wrong with the definition, with its line.
    """
    from nbplat.sequence.run import preview as build
    from nbplat.sequence.spec import parse_spec

    spec = parse_spec(definition, name)
    TableName.parse(on)
    shown = build(spec, platform.rows_of(spec.source), platform.rows_of(on), count=examples, clock=platform.clock)
    kept = platform.keep(
        _KIND, name, spec.version, spec=spec.record(), plan={"on": on}, outputs={"seconds": shown.seconds}
    )
    return SequenceHandle(kept.id, spec, on, shown)
