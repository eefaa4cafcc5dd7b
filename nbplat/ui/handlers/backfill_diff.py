"""`%backfill diff`: what changed between two runs, or between a run and the table."""

from __future__ import annotations

from typing import Any

from nbplat.ui.call import Call
from nbplat.ui.desk import open_desk
from nbplat.ui.render.bars import histogram
from nbplat.ui.render.figures import share_text
from nbplat.ui.render.result import Result
from nbplat.ui.render.table import fields_html, fields_text, table_html, table_text

__all__ = ["diff", "diff_result"]

_HEAD = ["column", "rows", "changed", "of all", "added", "nulled", "mean change", "largest"]


def diff(call: Call) -> Result:
    """Compare a run with another, or with the live column."""
    options = call.options
    return diff_result(open_desk().diff(options.run, options.other, options.column))


def diff_result(report: dict[str, Any]) -> Result:
    """A comparison as text and HTML; its value is the report's record."""
    facts = [
        ("diff", f"{report['after']} against {report['before']}, on {report['table']}"),
        ("rows", f"{report['rows']:,} on both sides, matched by {', '.join(report['keys'])}"),
    ]
    facts += [
        ("alone", f"{report[f'only_{side}']:,} rows of {report[side]} only")
        for side in ("before", "after")
        if report[f"only_{side}"]
    ]
    rows = [_row(column) for column in report["columns"]]
    texts, pages = [fields_text(facts), table_text(_HEAD, rows)], [fields_html(facts), table_html(_HEAD, rows)]
    for column in report["columns"]:
        if column["bins"]:
            title = f"{column['name']}: distribution of {column['sampled']:,} sampled rows"
            picture = histogram(
                column["bins"],
                column["shares_before"],
                column["shares_after"],
                (report["before"], report["after"]),
                title=title,
            )
            pages.append(f"<p>{_escaped(title)}</p>{picture}")
        if column["examples"]:
            header, body = _examples(column, report)
            texts.append(f"{column['name']}: {len(body)} of the largest changes\n{table_text(header, body)}")
            pages.append(table_html(header, body, caption=f"{column['name']}: the largest changes"))
    return Result("\n\n".join(texts), "".join(pages), value=report, data=report)


def _row(column: dict[str, Any]) -> list[Any]:
    touched = column["changed"] + column["added"] + column["nulled"]
    return [
        column["name"],
        column["rows"],
        column["changed"],
        share_text(touched, column["rows"]),
        column["added"],
        column["nulled"],
        column["mean_change"],
        column["largest_change"],
    ]


def _examples(column: dict[str, Any], report: dict[str, Any]) -> tuple[list[str], list[list[Any]]]:
    header = [*report["keys"], report["before"], report["after"]]
    body = [
        [*(each["key"][name] for name in report["keys"]), each["before"], each["after"]] for each in column["examples"]
    ]
    return header, body


def _escaped(text: str) -> str:
    import html

    return html.escape(text)
