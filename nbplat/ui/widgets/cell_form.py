"""Forms that write a cell: what they know is the cell's text, and nothing is started or built by them."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from nbplat.errors import RequestError, did_you_mean
from nbplat.ui.render.table import fields_text
from nbplat.ui.widgets.shown_view import ShownView, can_show

__all__ = ["CellForm", "Field", "FormSpec"]

_BORDER = "border:1px solid color-mix(in srgb,currentColor 30%,transparent)"


@dataclass(frozen=True, slots=True)
class Field:
    """One thing that the form asks for.

    Attributes:
        kind: ``lines`` is text with a value a line; ``choice`` is one of `choices`; ``flag`` is a bool.
        choices: The closed set of a ``choice``; an empty text among them means that nothing is said.
        hint: What stands in an empty field: the form of a value.
    """

    name: str
    label: str
    kind: Literal["text", "lines", "choice", "flag"] = "text"
    value: str | bool = ""
    choices: tuple[str, ...] = ()
    help: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class FormSpec:
    """A form: what it asks for, and the cell that the answers make.

    Attributes:
        write: Takes the answers by name; lines that are empty are left out of ``lines`` fields.
    """

    title: str
    fields: tuple[Field, ...]
    write: Callable[[Mapping[str, Any]], str]


class CellForm(ShownView):
    """A form in a cell, with its text beside it in every front end.

    Where a kernel runs and ipywidgets is installed, fields can be filled in, and the cell's text follows; a page
    without a kernel shows the fields and the text without a script. ``form.cell`` is the text, ``form.insert()`` puts
    it into a new cell below.
    """

    def __init__(self, spec: FormSpec, **answers: Any) -> None:
        self.spec = spec
        self._answers: dict[str, Any] = {field.name: field.value for field in spec.fields}
        self._controls: dict[str, Any] = {}
        self._shown: Any = None
        self._box: Any = None
        self.set(**answers)

    @property
    def answers(self) -> dict[str, Any]:
        """What stands in the fields, by name."""
        return dict(self._answers)

    @property
    def cell(self) -> str:
        """The cell that the answers make."""
        return self.spec.write(self._answers)

    def set(self, **answers: Any) -> None:
        """Fill in fields.

        Raises:
            RequestError: there is no such field, or its value is none of its choices.
        """
        fields = {field.name: field for field in self.spec.fields}
        for name, value in answers.items():
            if name not in fields:
                raise RequestError("form.field", f"the form has no field {name!r}", fix=did_you_mean(name, fields))
            if fields[name].kind == "choice" and value not in fields[name].choices:
                raise RequestError(
                    "form.choice",
                    f"{name} cannot be {value!r}",
                    fix=did_you_mean(str(value), [choice for choice in fields[name].choices if choice]),
                )
        self._answers.update(answers)
        for name, control in self._controls.items():
            control.value = self._answers[name]
        if self._shown is not None:
            self._shown.value = self.cell

    def insert(self) -> None:
        """Put the text into a new cell below this one; it is not run."""
        from IPython.core.getipython import get_ipython

        shell = get_ipython()
        if shell is None:
            raise RequestError("form.insert", "there is no notebook to insert a cell into", fix="take form.cell")
        shell.set_next_input(self.cell, replace=False)

    # -- what is shown -----------------------------------------------------------------------------
    @property
    def text(self) -> str:
        """The form's title, its fields, and the cell."""
        fields = [(field.label, self._answers[field.name]) for field in self.spec.fields if self._answers[field.name]]
        return f"{self.spec.title}\n{fields_text(fields)}\n\n{self.cell}"

    @property
    def html(self) -> str:
        """The fields with their meaning and the cell, without a script."""
        rows = "".join(self._row(field) for field in self.spec.fields)
        style = f"padding:6px;background:transparent;{_BORDER}"
        cell = f'<pre aria-label="the cell" style="{style}">{html.escape(self.cell)}</pre>'
        return (
            f'<table style="border-collapse:collapse;color:inherit"><caption style="text-align:left;padding:4px 0">'
            f"{html.escape(self.spec.title)}</caption><tbody>{rows}</tbody></table>{cell}"
        )

    @property
    def widget(self) -> Any:
        """The form to fill in; None without ipywidgets."""
        if self._box is None and can_show("ipywidgets"):
            self._box = self._made()
        return self._box

    @property
    def controls(self) -> Mapping[str, Any]:
        """The widget of each field, by name; empty until `widget` was asked for."""
        return self._controls

    def _row(self, field: Field) -> str:
        answer = self._answers[field.name]
        value = ("yes" if answer else "no") if field.kind == "flag" else str(answer)
        shown = html.escape(value).replace("\n", "<br>") or '<span style="opacity:.75">left out</span>'
        return (
            f'<tr style="background:transparent"><th scope="row" style="text-align:left;padding:2px 10px">'
            f'{html.escape(field.label)}</th><td style="text-align:left;padding:2px 10px">{shown}</td>'
            f'<td style="text-align:left;padding:2px 10px;opacity:.75">{html.escape(_meaning(field))}</td></tr>'
        )

    def _made(self) -> Any:
        import ipywidgets as w

        style, wide = {"description_width": "11em"}, w.Layout(width="44em")
        for field in self.spec.fields:
            # The description is the control's own label, which screen readers read and a click on focuses.
            common = {"description": field.label, "style": style, "layout": wide, "tooltip": _meaning(field)}
            value = self._answers[field.name]
            if field.kind == "flag":
                control: Any = w.Checkbox(value=bool(value), indent=True, **common)
            elif field.kind == "choice":
                options = [(choice or "(left out)", choice) for choice in field.choices]
                control = w.Dropdown(options=options, value=value, **common)
            elif field.kind == "lines":
                control = w.Textarea(value=str(value), placeholder=field.hint, rows=3, **common)
            else:
                control = w.Text(value=str(value), placeholder=field.hint, **common)
            control.observe(self._heard(field.name), names="value")
            self._controls[field.name] = control
        rows = self.cell.count("\n") + 2
        self._shown = w.Textarea(
            value=self.cell, description="the cell", disabled=True, rows=max(rows, 6), style=style, layout=wide
        )
        return w.VBox([w.Label(self.spec.title), *self._controls.values(), self._shown])

    def _heard(self, name: str) -> Callable[[Any], None]:
        def heard(change: Any) -> None:
            self._answers[name] = change["new"]
            self._shown.value = self.cell

        return heard


def _meaning(field: Field) -> str:
    choices: Sequence[str] = [choice for choice in field.choices if choice]
    said = f"one of {', '.join(choices)}" if choices else field.hint
    return "; ".join(part for part in (field.help, said) if part)
