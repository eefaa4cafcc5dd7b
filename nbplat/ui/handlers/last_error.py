"""`%nbplat last-error`."""

from __future__ import annotations

import sys
import traceback

from nbplat.errors import NbplatError
from nbplat.ui.call import Call
from nbplat.ui.render.error import error_text
from nbplat.ui.render.result import Result
from nbplat.ui.statement_end import StatementFailed

__all__ = ["last_error"]


def last_error(_call: Call) -> Result:
    """The last error that a cell was shown, whole."""
    # IPython leaves it there for `%tb` and `%debug`.
    error: BaseException | None = getattr(sys, "last_value", None)
    if error is None:
        return Result("no cell has failed")
    if isinstance(error, StatementFailed):
        text = "\n".join([*error.traceback, *([] if error.traceback else [error.evalue])])
        return Result(text, data={"ename": error.ename, "evalue": error.evalue, "traceback": list(error.traceback)})
    if not isinstance(error, NbplatError):
        return Result("".join(traceback.format_exception(error)))
    parts = [error_text(error)]
    if error.__cause__ is not None:
        parts.append("".join(traceback.format_exception(error.__cause__)))
    return Result("\n\n".join(parts), data=error.record())
