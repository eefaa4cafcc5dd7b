"""`%backfill grid`: the partitions of a run."""

from __future__ import annotations

from nbplat.ui.call import Call
from nbplat.ui.desk import open_desk
from nbplat.ui.render.result import Result
from nbplat.ui.widgets.partition_grid import PartitionGrid

__all__ = ["grid"]


def grid(call: Call) -> Result:
    """Which partitions of a run are staged, failed, under way or waiting."""
    desk, run_id = open_desk(), call.options.run
    run, partitions = desk.show(run_id)["run"], desk.partitions(run_id)
    made = PartitionGrid(run, partitions)
    return Result(made.text, made.html, value=made, data=partitions, more=made.view_part())
