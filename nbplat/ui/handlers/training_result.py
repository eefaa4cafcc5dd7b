"""A comparison as text, table and picture."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from nbplat.ui.render.result import Result
from nbplat.ui.render.table import table_html
from nbplat.ui.render.training_plot import training_svg
from nbplat.ui.spoken import spoken

if TYPE_CHECKING:
    from nbplat.training.evaluate import Estimate
    from nbplat.training.result import TrainingResult

__all__ = ["training_result"]


def training_result(result: TrainingResult, *, before: str = "") -> Result:
    """Both AUCs in the first line, the rest below; in HTML a picture, a table of both models and the gain, and notes.

    Args:
        before: Lines that stand first, such as what a replay found.
    """
    from nbplat.training.explain import basis, explain_result, making

    lines = [spoken(line) for line in explain_result(result)]
    rows = [["without", ", ".join(result.features) or "nothing", *_figures(result.auc_without, "")]]
    if result.auc_with is not None and result.gain is not None:
        joined = [*result.staged_features, *(f"sequence {each.ref} ({each.shape})" for each in result.sequences)]
        rows.append(["with", "+ " + ", ".join(joined), *_figures(result.auc_with, "")])
        shown = "no gain is shown: the interval holds 0" if result.gain.low <= 0 <= result.gain.high else ""
        rows.append(["gain", shown, *_figures(result.gain, "+")])
    title = f"{result.run or result.name}: test rows from {result.cut}"
    table = table_html(["model", "columns", "AUC", "95 %"], rows, caption=title, tight=("AUC", "95 %"))
    head = f'<div style="font-weight:600;white-space:pre-line">{html.escape(before)}</div>' if before else ""
    notes = f'<div style="margin:6px 0">{_lines(basis(result))}</div>'
    more = f'<details><summary style="cursor:pointer">how it was made</summary>{_lines(making(result))}</details>'
    page = f"{head}{training_svg(result)}{table}{notes}{more}"
    text = "\n".join([before, *lines] if before else lines)
    return Result(text, page, value=result, data=result.record())


def _figures(found: Estimate, sign: str) -> list[str]:
    return [f"{found.value:{sign}.3f}", f"[{found.low:{sign}.3f}, {found.high:{sign}.3f}]"]


def _lines(lines: list[str]) -> str:
    return "".join(f'<div style="overflow-wrap:anywhere">{html.escape(line)}</div>' for line in lines)
