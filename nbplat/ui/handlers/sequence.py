"""`%%sequence`, `%sequence preview|list|show` and the same of `nbplat sequence`."""

from __future__ import annotations

from nbplat.clock import iso
from nbplat.ui.call import Call
from nbplat.ui.handlers.sequence_asked import asked_subject
from nbplat.ui.handlers.sequence_result import shown_result
from nbplat.ui.handlers.sequence_steps import built, kept
from nbplat.ui.render.result import Result
from nbplat.ui.render.table import table_html, table_text
from nbplat.ui.sequence_place import Place
from nbplat.ui.sequence_view import viewed

__all__ = ["list_definitions", "preview", "show"]

_LISTED = 100


def preview(call: Call) -> Result:
    """Show a definition on examples, keep it, and with ``--build`` build it."""
    from nbplat.ui.python_sequence import Sequence

    options, subject = call.options, asked_subject(call)
    view = viewed(subject.of(options.variant), count=options.examples, compare=options.compare)
    kept(subject)
    sequence = Sequence.of(subject, view)
    result = view.result(sequence)
    if not options.build:
        return result
    call.show(result)
    done = built(subject, options.engine, wait=options.wait, show=call.show)
    html = f"{result.html}{done.html}"
    return Result(f"{result.text}\n{done.text}", html, job=done.job, value=sequence, data=result.data)


def list_definitions(_call: Call) -> Result:
    """Kept definitions, newest first."""
    found = Place().kept.list(_LISTED)
    header = ["definition", "state", "source", "types", "variants", "version", "kept"]
    rows = [
        [
            each["id"],
            each["state"],
            each["definition"]["source"],
            ", ".join(each["definition"]["events"]),
            ", ".join(each["definition"]["variants"]) or None,
            each["version"][:12],
            iso(each["created_ms"]),
        ]
        for each in found
    ]
    return Result(table_text(header, rows), table_html(header, rows), value=found, data=found)


def show(call: Call) -> Result:
    """One kept definition: its text, version, variants, defaults and index."""
    return shown_result(Place().kept.show(call.options.name))
