"""Which definition a line or a cell means: its body, a file, or what was kept under a name."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nbplat.ui.call import Call
from nbplat.ui.sequence_place import Place, Subject, frames_in, placed

if TYPE_CHECKING:
    from nbplat.sequence.definition import Definition

__all__ = ["asked_subject"]


def asked_subject(call: Call) -> Subject:
    """The definition that a call is about, with the examples of ``--on``, or else those of the last time.

    Raises:
        RequestError: what is wrong with the definition, with its line; two definitions at once.
        NotFound: nothing is kept under the name.
    """
    on = getattr(call.options, "on", None)
    place = Place()
    definition, last = _definition(call, place)
    place.frames.update(frames_in(call.namespace, definition.source, on))
    subject = Subject(placed(definition), place, on=last)
    if on is not None:
        subject.examples(on)
    return subject


def _definition(call: Call, place: Place) -> tuple[Definition, str | None]:
    from nbplat.sequence.definition_file import read_file
    from nbplat.sequence.parse import parse_definition

    options = call.options
    file = getattr(options, "body_file", None)
    if call.body is not None:
        return parse_definition(call.body, options.name), None
    if file is not None:
        found = read_file(file)
        return (found if options.name is None else replace(found, name=options.name)), None
    seen = place.kept.show(options.name)
    return parse_definition(seen["text"], seen["name"]), seen["on"]
