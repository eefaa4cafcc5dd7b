"""Finds what a definition names: a table of the catalog, Parquet files, or a frame of the notebook."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbplat.errors import Conflict, NotFound, did_you_mean
from nbplat.sequence.frame_source import FrameSource
from nbplat.sequence.source_text import source_kind
from nbplat.terms.frame import read_frame

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog

    from nbplat.sequence.ports import EventSource, SourcePin

__all__ = ["NamedSources"]


class NamedSources:
    """Implements `nbplat.sequence.ports.EventSources`.

    Args:
        catalog: Opened at the first table.
        storage: Options of the store that a location lies on.
        frames: Name -> pandas or Polars DataFrame or Arrow table.
        folder: Where frames are kept for other processes.
    """

    def __init__(
        self,
        catalog: Callable[[], Catalog],
        storage: Callable[[str], Mapping[str, str]],
        frames: Mapping[str, Any],
        folder: Path,
    ) -> None:
        self._catalog = catalog
        self._storage = storage
        self._frames = frames
        self._folder = folder
        self._opened: dict[str, tuple[Any, FrameSource]] = {}

    def open(self, name: str, pin: SourcePin | None = None) -> EventSource:
        """See the port."""
        kind = source_kind(name) if pin is None else pin.kind
        if kind == "frame":
            return self._frame(name, pin)
        if kind == "table":
            from nbplat.adapters.iceberg.event_source import IcebergEventSource

            return IcebergEventSource(self._catalog(), name, None if pin is None else pin.table)
        from nbplat.adapters.parquet.event_source import ParquetEventSource

        return ParquetEventSource(name, self._storage, pin)

    def _frame(self, name: str, pin: SourcePin | None) -> FrameSource:
        if name in self._frames:
            source = self._given(name)
            if pin is None or source.pin == pin:
                return source
        if pin is not None:
            return self._stored(name, pin)
        raise NotFound(
            "source.frame",
            f"there is no DataFrame {name!r}",
            fix=f"{did_you_mean(name, self._frames)} A table is written namespace.table, a file with its path".strip(),
        )

    def _given(self, name: str) -> FrameSource:
        """One source an object: its pin is a hash over all its rows."""
        frame = self._frames[name]
        if name not in self._opened or self._opened[name][0] is not frame:
            self._opened[name] = (frame, FrameSource(name, read_frame(name, frame), self._folder))
        return self._opened[name][1]

    def _stored(self, name: str, pin: SourcePin) -> FrameSource:
        """A frame that another process has kept."""
        import pyarrow as pa

        found = sorted(self._folder.glob(f"{pin.identity[:32]}-*.arrow"))
        if not found:
            raise Conflict(
                "source.moved",
                f"the DataFrame {name!r} has other rows than the plan was made for",
                fix="run the cell again: it plans with the rows as they are now",
            )
        with pa.memory_map(str(found[0])) as file:
            return FrameSource(name, pa.ipc.open_file(file).read_all(), self._folder)
