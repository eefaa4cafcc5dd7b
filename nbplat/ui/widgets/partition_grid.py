"""The partitions of a backfill run as a grid: which are staged, failed, under way, and what to do about one."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from nbplat.errors import NotFound, did_you_mean
from nbplat.ui.render.figures import bytes_text
from nbplat.ui.widgets.shown_view import ShownView, can_show

__all__ = ["PartitionGrid"]

# A sign and a word beside each colour, which alone would tell nothing to many.
_SIGNS = {"done": "✓", "failed": "✗", "running": "…", "waiting": "·"}
_COLOURS = {"done": "#2e7d32", "failed": "#c62828", "running": "#1565c0", "waiting": "currentColor"}
_CELL = "padding:2px 8px;text-align:center;border:1px solid color-mix(in srgb,currentColor 20%,transparent)"
_SHOWN = 200


class PartitionGrid(ShownView):
    """The grid of one run.

    A page without a kernel shows it as a table without a script; where a kernel runs and ipywidgets is installed, a
    partition can be chosen, and what is known of it and the line that acts on the run follow.

    Args:
        run: The run's record: ``id`` and ``state``.
        partitions: Of each: ``partition`` (empty for an unpartitioned table), ``files``, ``rows``, ``read_bytes``, and
            how many files are ``done``, ``failed`` and ``leased``.
    """

    def __init__(self, run: Mapping[str, Any], partitions: Sequence[Mapping[str, Any]]) -> None:
        self.run_id, self.state = str(run["id"]), str(run["state"])
        self._partitions = {each["partition"] or "all": each for each in partitions}
        self.chosen = next((name for name in self._partitions if self.state_of(name) == "failed"), "")
        self._box: Any = None
        self._choice: Any = None
        self._detail: Any = None

    def state_of(self, partition: str) -> str:
        """``failed``, ``done``, ``running`` or ``waiting``; one failed file makes its partition failed."""
        found = self._partitions[partition]
        if found["failed"]:
            return "failed"
        if found["done"] == found["files"]:
            return "done"
        return "running" if found["leased"] or found["done"] else "waiting"

    @property
    def counts(self) -> dict[str, int]:
        """How many partitions are in each state."""
        states = [self.state_of(name) for name in self._partitions]
        return {state: states.count(state) for state in _SIGNS if state in states}

    @property
    def cell(self) -> str:
        """The line that acts on the run next."""
        if "failed" in self.counts:
            return f"%backfill retry {self.run_id}"
        verb = {"awaiting_promotion": "promote", "staging": "attach", "promoted": "extend"}.get(self.state, "show")
        return f"%backfill {verb} {self.run_id}"

    def choose(self, partition: str) -> None:
        """Choose a partition; an empty text chooses none.

        Raises:
            NotFound: the run has no such partition.
        """
        if partition and partition not in self._partitions:
            raise NotFound(
                "partition.unknown",
                f"{self.run_id} has no partition {partition!r}",
                fix=did_you_mean(partition, self._partitions),
            )
        self.chosen = partition
        if self._choice is not None:
            self._choice.value = partition
            self._detail.value = self.detail

    @property
    def detail(self) -> str:
        """What is known of the chosen partition, and the line that acts on the run."""
        if not self.chosen:
            return self.cell
        found, state = self._partitions[self.chosen], self.state_of(self.chosen)
        failed = (
            f", {found['failed']} failed (%backfill logs {self.run_id} has their errors)" if found["failed"] else ""
        )
        return (
            f"{self.chosen}: {state}, {found['done']} of {found['files']} files{failed}, {found['rows']:,} rows, "
            f"{bytes_text(found['read_bytes'])} to read\n{self.cell}"
        )

    # -- what is shown -----------------------------------------------------------------------------
    @property
    def text(self) -> str:
        """One line for the run, then a line for each partition."""
        lines = [
            f"{_SIGNS[self.state_of(name)]} {self.state_of(name):<7}  {name}  {each['done']}/{each['files']} files  "
            f"{each['rows']:,} rows"
            for name, each in list(self._partitions.items())[:_SHOWN]
        ]
        return "\n".join([self._head(), *lines, *self._left()])

    @property
    def html(self) -> str:
        """The grid without a script: a row for each value of the first partition field, a column for the others'."""
        cells: dict[str, dict[str, str]] = {}
        for name in list(self._partitions)[:_SHOWN]:
            first, _, rest = name.partition(", ")
            cells.setdefault(first, {})[rest] = name
        columns = list(dict.fromkeys(rest for row in cells.values() for rest in row))
        head = "".join(f'<th scope="col" style="{_CELL}">{html.escape(column or "files")}</th>' for column in columns)
        body = "".join(
            f'<tr style="background:transparent"><th scope="row" style="{_CELL}">{html.escape(first)}</th>'
            + "".join(self._cell(row.get(column, "")) for column in columns)
            + "</tr>"
            for first, row in cells.items()
        )
        legend = ", ".join(f"{_SIGNS[state]} {state}" for state in _SIGNS)
        left = "".join(f"<div>{html.escape(line)}</div>" for line in self._left())
        return (
            f'<table style="border-collapse:collapse;color:inherit"><caption style="text-align:left;padding:4px 0">'
            f"{html.escape(self._head())}; {legend}</caption>"
            f'<thead><tr style="background:transparent"><td></td>{head}</tr></thead><tbody>{body}</tbody></table>'
            f"{left}<code>{html.escape(self.cell)}</code>"
        )

    @property
    def widget(self) -> Any:
        """The grid with a choice of a partition; None without ipywidgets."""
        if self._box is None and can_show("ipywidgets"):
            import ipywidgets as w

            named = [(f"{_SIGNS[self.state_of(name)]} {name}", name) for name in self._partitions]
            style, wide = {"description_width": "8em"}, w.Layout(width="44em")
            self._choice = w.Dropdown(
                options=[("(none)", ""), *named], value=self.chosen, description="partition", style=style, layout=wide
            )
            self._detail = w.Textarea(
                value=self.detail, description="known of it", disabled=True, rows=3, style=style, layout=wide
            )
            self._choice.observe(lambda change: self.choose(change["new"]), names="value")
            self._box = w.VBox([w.HTML(self.html), self._choice, self._detail])
        return self._box

    @property
    def controls(self) -> tuple[Any, Any]:
        """The choice, and what is known of it; (None, None) until `widget` was asked for."""
        return self._choice, self._detail

    def _head(self) -> str:
        counted = ", ".join(f"{count} {state}" for state, count in self.counts.items())
        return f"{self.run_id} {self.state}: {len(self._partitions)} partitions, {counted}"

    def _left(self) -> list[str]:
        left = len(self._partitions) - _SHOWN
        return [f"{left} more partitions are not shown"] if left > 0 else []

    def _cell(self, name: str) -> str:
        if not name:
            return f'<td style="{_CELL}"></td>'
        found, state = self._partitions[name], self.state_of(name)
        said = html.escape(f"{name}: {state}, {found['done']} of {found['files']} files", quote=True)
        done = f"{found['done']}/{found['files']}"
        # With the page's own ink in it, it can be read on white and on black.
        style = f"{_CELL};color:color-mix(in srgb,{_COLOURS[state]} 60%,currentColor)"
        return f'<td style="{style}" title="{said}" aria-label="{said}">{_SIGNS[state]} {done}</td>'
