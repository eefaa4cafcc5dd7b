"""The panel's forms, made of the declarations that magics and the command line are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nbplat.ui.nouns import find_noun, find_verb
from nbplat.ui.options import Option, Verb

__all__ = ["FORMS", "Form", "forms_record"]


@dataclass(frozen=True, slots=True)
class Form:
    """A form of the panel; what it makes is a cell, which a person runs.

    Attributes:
        id: The panel's section that it stands in.
        noun, verb: What the cell does.
        first: Names of the options that are shown at once, in this order; the others are folded.
        body: What the body starts with; empty where the cell has none.
        given: Values that the fields start with, as text.
        needs: Names of options that a cell of this form needs, though a shell's command may do without.
    """

    id: str
    noun: str
    verb: str
    first: tuple[str, ...]
    body: str = ""
    given: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()

    @property
    def declared(self) -> Verb:
        return find_verb(find_noun(self.noun), self.verb)

    @property
    def magic(self) -> str:
        """How the cell begins: ``%%backfill``, or ``%session start`` where there is no body."""
        noun, verb = find_noun(self.noun), self.declared
        if verb.body == "none":
            return f"%{noun.name} {verb.name}"
        return f"%%{noun.name}" + ("" if noun.cell_verb == verb.name else f" {verb.name}")


FORMS = (
    Form("sessions", "session", "start", ("session", "env", "profile", "driver_memory", "num_executors", "conf")),
    Form(
        "backfill",
        "backfill",
        "run",
        ("name", "table", "key", "start", "end", "engine", "lang", "as_of", "dry_run"),
        "SELECT base.example_id, base.basket_value * 2 AS my_feature\nFROM base",
        {"dry_run": "true"},
    ),
    Form(
        "training",
        "training",
        "run",
        ("name", "table", "stage", "sequence", "label", "time", "env"),
        "# The default model; assign `model = ...` to bring your own.",
    ),
    Form(
        "environment",
        "environment",
        "build",
        ("environment",),
        "channels: [conda-forge]\ndependencies:\n  - python=3.12\n  - pyarrow",
        needs=("environment",),
    ),
    Form(
        "sequence",
        "sequence",
        "preview",
        ("name", "on", "examples", "variant", "compare"),
        "source: retail.events\nentity: customer_id\ntime:   event_ts\nid:     event_id\nevents:\n"
        "  purchase: {last: 20}\nas_of: {time: label_ts, strict: true}",
        {"examples": "6"},
    ),
)
"""One for each section, in the panel's order."""

# Of shells, not of cells: where a body's file is, and the result as JSON. `--name` is the first word already.
_LEFT_OUT = ("body_file", "python_file", "json", "name")


def forms_record() -> dict[str, Any]:
    """All forms as JSON: what each makes, and its fields."""
    return {"forms": [_form_record(form) for form in FORMS]}


def _form_record(form: Form) -> dict[str, Any]:
    verb = form.declared
    names = [option.name for option in verb.positionals]
    options = [each for each in verb.options if each.name not in (*_LEFT_OUT, *names)]
    fields = {each.name: _field_record(each, form) for each in (*verb.positionals, *options)}
    return {
        "id": form.id,
        "magic": form.magic,
        "summary": verb.summary,
        "body": form.body,
        "body_language": verb.body,
        "fields": [fields.pop(name) for name in form.first if name in fields] + list(fields.values()),
    }


def _field_record(option: Option, form: Form) -> dict[str, Any]:
    # An option that is on by itself is a box that turns it off.
    turns_off = option.type == "flag" and bool(option.start)
    default = "" if option.default is None or option.type == "flag" else option.default
    return {
        "name": option.name,
        "flag": (option.off[0] if turns_off else option.flags[0]) if option.flags else "",
        "type": option.type,
        "help": option.off_help or f"not: {option.help}" if turns_off else option.help,
        "metavar": option.shown,
        "choices": list(option.choices),
        "default": ",".join(map(str, default)) if isinstance(default, tuple) else str(default),
        "given": form.given.get(option.name, ""),
        "required": option.required or option.name in ("name", *form.needs),
        "many": option.repeatable or option.type == "pair",
        "first": option.name in form.first,
    }
