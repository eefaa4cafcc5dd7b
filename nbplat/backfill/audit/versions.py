"""Earlier versions of the new columns, counted on the same bins as the staged values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nbplat.backfill.audit.measures import measures
from nbplat.backfill.audit.sketch import Scale, Sketch
from nbplat.backfill.audit.survey import Survey
from nbplat.backfill.ports import StagedWriter
from nbplat.errors import NbplatError
from nbplat.terms import StagedFile

__all__ = ["Previous", "Version", "earlier_versions"]


@dataclass(frozen=True, slots=True)
class Previous:
    """An earlier version of a column: the staged files of a run that was promoted once."""

    run_id: str
    files: tuple[StagedFile, ...]


@dataclass(frozen=True, slots=True)
class Version:
    """An earlier version of one measure.

    Attributes:
        name: ``the live column``, or a run's id.
        sketch: Its counts; None when it cannot be read, for the reason in `why`.
    """

    name: str
    sketch: Sketch | None
    why: str = ""


def earlier_versions(survey: Survey, writer: StagedWriter, previous: Mapping[str, Previous]) -> dict[str, Version]:
    """Measure -> its earlier version. A replaced column has its live values, any other an earlier run's files."""
    found = {
        name: Version("the live column", counts.before)
        for name, counts in survey.measures.items()
        if counts.before is not None
    }
    for column, version in previous.items():
        wanted = [name for name, counts in survey.measures.items() if counts.column == column]
        if any(name in found for name in wanted):
            continue
        sketches, why = _count(survey, writer, column, version)
        for name in wanted:
            found[name] = Version(version.run_id, sketches.get(name), why or "its type is another")
    return found


def _count(survey: Survey, writer: StagedWriter, column: str, previous: Previous) -> tuple[dict[str, Sketch], str]:
    sketches: dict[str, Sketch] = {}
    for file in previous.files:
        try:
            rows = writer.read(file, [column])
        except FileNotFoundError:
            return {}, "its staged files are gone"
        except (OSError, NbplatError) as exc:
            return {}, f"its staged files cannot be read ({exc})"
        for chunk in rows[column].chunks:
            for measure in measures(column, chunk):
                counts = survey.measures.get(measure.name)
                if counts is None or Scale.kind_of(measure.values.type) != counts.scale.kind:
                    continue
                try:
                    piece = Sketch.count(measure.values, counts.scale)
                except (TypeError, ValueError):
                    continue  # names of the category cannot be of the earlier type
                sketches.setdefault(measure.name, Sketch(counts.scale)).add(piece)
    return sketches, ""
