"""`%session form` and `%environment form`: they write a cell, and do nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nbplat.ui.call import Call
from nbplat.ui.render.result import Result
from nbplat.ui.widgets.environment_form import environment_form
from nbplat.ui.widgets.session_form import session_form

if TYPE_CHECKING:
    from nbplat.ui.widgets.cell_form import CellForm

__all__ = ["environment", "session"]


def session(call: Call) -> Result:
    """The form of a session."""
    name = call.options.session
    return _shown(session_form(**({"session": name} if name else {})))


def environment(call: Call) -> Result:
    """The form of an environment."""
    name = call.options.environment
    return _shown(environment_form(**({"name": name} if name else {})))


def _shown(form: CellForm) -> Result:
    return Result(form.text, form.html, value=form, data={"cell": form.cell}, more=form.view_part())
