"""`nbplat jars fetch`."""

from __future__ import annotations

from pathlib import Path

from nbplat.compose import open_platform
from nbplat.ui.call import Call
from nbplat.ui.render.figures import bytes_text
from nbplat.ui.render.result import Result

__all__ = ["fetch"]


def fetch(call: Call) -> Result:
    """Fetch the Iceberg runtime that fits pyspark here, and verify it by hash."""
    settings = call.options.settings
    paths = open_platform().fetch_jars(
        source=call.options.source,
        settings=Path(settings) if settings else None,
        say=lambda line: call.show(Result(line)),
    )
    lines = [f"{path} ({bytes_text(path.stat().st_size)}, hash verified)" for path in paths]
    return Result("\n".join(lines), data=[str(path) for path in paths])
