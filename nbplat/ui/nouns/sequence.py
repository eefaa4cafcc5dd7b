from __future__ import annotations

from nbplat.ui.options import JSON, NAME, OUT, Noun, Option, Verb

__all__ = ["SEQUENCE"]

_EXAMPLE = """%%sequence history --on retail.train --preview 5 --out history
source: retail.events
entity: customer_id
time:   event_ts
events:
  purchase: {last: 20, within: 90d}
  cancel:   {last: 5}
as_of: {time: label_ts, strict: true}"""

SEQUENCE = Noun(
    "sequence",
    "User sequences: the last events before each example, exact in time",
    cell_verb="preview",
    line_verb="list",
    magic=True,
    verbs=(
        Verb(
            "preview",
            "Retrieve the last events of each type as of each example, and show what a model would see",
            (
                Option(
                    "on",
                    ("--on",),
                    help="the table of examples: entity and as-of time",
                    required=True,
                    metavar="NAMESPACE.TABLE",
                ),
                Option(
                    "examples", ("--preview",), "int", "how many examples to show", default=5, metavar="N", at_least=1
                ),
                NAME,
                OUT,
                JSON,
            ),
            (Option("name", help="name of the definition", metavar="NAME"),),
            body="yaml",
            example=_EXAMPLE,
        ),
        Verb("list", "List definitions, newest first", (JSON,)),
        Verb(
            "show",
            "Show one definition and its version",
            (JSON, OUT),
            (Option("name", help="the definition: history, or history@2", required=True, metavar="NAME"),),
        ),
    ),
)
