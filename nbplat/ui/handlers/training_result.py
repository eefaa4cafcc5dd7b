"""A comparison as text, table and picture."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from nbplat.ui.render.result import Result
from nbplat.ui.render.table import table_html
from nbplat.ui.render.training_plot import training_svg

if TYPE_CHECKING:
    from nbplat.training.result import TrainingResult

__all__ = ["training_result"]


def training_result(result: TrainingResult, *, before: str = "") -> Result:
    """Both AUCs in the first line, the rest below; in HTML a picture and a table of the two models.

    Args:
        before: Lines that stand first, such as what a replay found.
    """
    from nbplat.training.explain import explain_result

    lines = explain_result(result)
    rows = [["without", ", ".join(result.features) or "nothing", str(result.auc_without)]]
    if result.auc_with is not None:
        joined = [*result.staged_features, *(f"sequence {each.ref} ({each.shape})" for each in result.sequences)]
        rows.append(["with", "+ " + ", ".join(joined), str(result.auc_with)])
    title = f"{result.run or result.name}: test rows from {result.cut}"
    table = table_html(["model", "columns", "AUC [95 %]"], rows, caption=title)
    head = f'<div style="font-weight:600;white-space:pre-line">{html.escape(before)}</div>' if before else ""
    notes = "".join(f'<div style="opacity:.75">{html.escape(line)}</div>' for line in lines)
    page = f"{head}{training_svg(result)}{table}{notes}"
    text = "\n".join([before, *lines] if before else lines)
    return Result(text, page, value=result, data=result.record())
