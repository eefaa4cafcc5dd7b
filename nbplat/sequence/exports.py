"""Exports as jobs: asked for here, written in a process of their own, safe to repeat after a kill."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nbplat.job import Job, JobDraft, Run, StepContext
from nbplat.sequence.definition import Definition
from nbplat.sequence.examples import read_examples
from nbplat.sequence.export import FORMS, check_export, export_mark, export_sequences
from nbplat.sequence.opened import Opened
from nbplat.sequence.ports import SourcePin
from nbplat.sequence.states import KIND, SequenceStep

if TYPE_CHECKING:
    from nbplat.sequence.bound import Bound
    from nbplat.sequence.sequences import Sequences

__all__ = ["Exports", "keys_among"]


def keys_among(names: Sequence[str]) -> tuple[str, ...]:
    """Columns that tell one example from another, by their names: ``id`` and all that end in ``_id``."""
    return tuple(name for name in names if name == "id" or name.endswith("_id"))


@dataclass(frozen=True, slots=True)
class Exports:
    """Writes sequences into tables with the parts of `sequences`."""

    sequences: Sequences

    def queue(
        self,
        definition: Definition,
        on: str,
        to: str,
        *,
        owner: str,
        variant: str | None = None,
        form: str = FORMS[0],
        carry: Sequence[str] | None = None,
        replace: bool = False,
    ) -> tuple[Run, Job]:
        """Keep a definition and queue its export.

        Args:
            on: The examples: a table, a path or a frame; pinned now.
            to: The table that is made.
            form: ``lists`` or ``padded``.
            carry: Columns of the examples to take along; None: `keys_among` them.
            replace: Take the place of any table of the name.

        Returns:
            The run, and the job: the one that is queued or running already, if there is one.

        Raises:
            NbplatError: what `Sequences.bind` and `check_export` raise; nothing is queued then.
        """
        sequences = self.sequences
        sequences.bind(definition, variant=variant, examples=on)
        source, events = sequences.sources.open(on), sequences.sources.open(definition.source)
        taken = keys_among(source.schema.names) if carry is None else tuple(carry)
        check_export(definition.name, sequences.exports, to, form, replace=replace)
        run = sequences.keep(definition, owner=owner)
        # A frame lives in this process only: its rows are stored now.
        _ = [each.parts for each in (source, events) if each.pin.kind == "frame"]
        params = {
            "variant": variant,
            "events": events.pin.record(),
            "examples": source.pin.record(),
            "to": to,
            "form": form,
            "carry": list(taken),
            "replace": replace,
        }
        return run, sequences.store.submit(
            JobDraft(SequenceStep.EXPORT, run.id, params), kind_of_run=KIND, owner=owner
        )[0]

    def do(self, run: Run, context: StepContext) -> dict[str, Any]:
        """Write; the table is as it was until the one commit at the end."""
        params, definition = context.job.params, self.sequences.definition(run)
        self.sweep(context.job)
        if (before := self.sequences.exports.made_by(params["to"], _job(context.job))) is not None:
            return before.record()
        sequences = self.sequences.pinned({definition.source: SourcePin.from_record(params["events"])})
        bound = sequences.bind(definition, variant=params["variant"])
        index = sequences.open(bound)
        pin = SourcePin.from_record(params["examples"])
        examples = read_examples(sequences.sources.open(pin.name, pin), bound.definition, params["carry"])
        reading = Opened(sequences, bound, index, moved=False).reading
        try:
            done = export_sequences(
                reading,
                examples,
                sequences.exports,
                params["to"],
                form=params["form"],
                replace=params["replace"],
                provenance=self._provenance(run, bound, context),
                mark=export_mark(_job(context.job)),
                progress=context.report.progress,
            )
        except BaseException:
            # What was being written when it failed; where that cannot be asked, the next try does it.
            with suppress(Exception):
                self.sweep(context.job)
            raise
        return done.record()

    def sweep(self, job: Job) -> None:
        """Remove the files of tries that died before their commit."""
        for location in self.sequences.exports.unnamed(job.params["to"], export_mark(_job(job)), self.sequences.files):
            self.sequences.files.delete(location)

    def _provenance(self, run: Run, bound: Bound, context: StepContext) -> Mapping[str, str]:
        found = {"nbplat.run": run.id, "nbplat.job": _job(context.job)}
        if bound.variant is not None:
            found["nbplat.variant"] = bound.variant
        return found | {f"nbplat.version.{name}": version for name, version in self.sequences.versions.items()}


def _job(job: Job) -> str:
    return f"{job.run_id}/{job.id}"
