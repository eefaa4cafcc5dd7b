"""`%backfill grid`: the partitions of a run."""

from __future__ import annotations

from nbplat.ui.call import Call
from nbplat.ui.desk import Desk, open_desk
from nbplat.ui.render.result import Result
from nbplat.ui.widgets.partition_grid import PartitionGrid

__all__ = ["grid", "grid_of"]


def grid(call: Call) -> Result:
    """Which partitions of a run are staged, failed, under way or waiting."""
    return grid_of(open_desk(), call.options.run)


def grid_of(desk: Desk, run_id: str) -> Result:
    """The partitions of a run; the value is the `PartitionGrid`."""
    run, partitions = desk.show(run_id)["run"], desk.partitions(run_id)
    made = PartitionGrid(run, partitions)
    return Result(made.text, made.html, value=made, data=partitions, more=made.view_part())
