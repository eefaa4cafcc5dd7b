"""A DataFrame as a source of events, pinned by its content."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from nbplat.errors import RequestError
from nbplat.sequence.known_columns import check_known
from nbplat.sequence.ports import SourcePart, SourcePin
from nbplat.terms import content_hash, file_location

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["FrameSource"]

_CHUNK_ROWS = 1 << 17

# A stored frame that was not wanted for so long goes when the next one is stored.
_KEPT_S = 30 * 86_400

# Chunks of one part that another process reads.
_PART_CHUNKS = 16


class FrameSource:
    """Implements `nbplat.sequence.ports.EventSource`; see `nbplat.terms.frame.read_frame` for what can be one.

    Args:
        name: What the notebook calls it.
        frame: Its rows; they are not copied.
        folder: Where `parts` keeps them, as one Arrow file named by the content; made when needed. Files there that
            were not wanted for 30 days are removed.

    Raises:
        RequestError: ``frame.column``: two columns of one name, or one of a type that has no plain form.
    """

    def __init__(self, name: str, frame: pa.Table, folder: Path) -> None:
        twice = [column for column in frame.column_names if frame.column_names.count(column) > 1]
        if twice:
            raise RequestError(
                "frame.column",
                f"the frame {name!r} has the column {twice[0]!r} more than once",
                fix="give each column one name",
            )
        self._name = name
        self._rows = frame.replace_schema_metadata(None)
        self._folder = folder

    @cached_property
    def pin(self) -> SourcePin:
        """A hash of the values in their order; types that say the same (widths, chunks, dictionaries) do not count."""
        from nbplat.remote.failure import KernelError
        from nbplat.remote.sequence.content import content_digest

        try:
            return SourcePin("frame", self._name, content_digest(self._rows))
        except KernelError as exc:
            raise RequestError(
                "frame.column", f"the frame {self._name!r} cannot be read: {exc.message}", fix=exc.fix
            ) from None

    @property
    def schema(self) -> pa.Schema:
        """See the port."""
        return self._rows.schema

    @property
    def rows(self) -> int:
        """Exact."""
        return int(self._rows.num_rows)

    @property
    def bytes(self) -> int:
        """In memory."""
        return int(self._rows.nbytes)

    @cached_property
    def parts(self) -> tuple[SourcePart, ...]:
        """Batches of the stored file; written at the first question, unless it is there."""
        location = file_location(self._stored())
        batches = -(-self.rows // _CHUNK_ROWS)
        parts = []
        for first in range(0, batches, _PART_CHUNKS):
            end = min(first + _PART_CHUNKS, batches)
            rows = min(end * _CHUNK_ROWS, self.rows) - first * _CHUNK_ROWS
            task = {"kind": "ipc", "path": location, "storage": {}, "batches": (first, end)}
            parts.append(SourcePart(f"{self.pin.identity[:16]}-{first}", rows, self.bytes * rows // self.rows, task))
        return tuple(parts)

    def read(self, columns: Sequence[str], *, encoded: Sequence[str] = ()) -> Iterator[pa.Table]:
        """See the port."""
        check_known(columns, self.schema.names, f"the frame {self._name!r}")
        wanted = self._rows.select(list(columns))
        for start in range(0, self.rows, _CHUNK_ROWS):
            yield wanted.slice(start, _CHUNK_ROWS)

    def added_since(self, pin: SourcePin) -> tuple[SourcePart, ...] | None:
        """See the port: a frame of other content is another frame."""
        return () if pin == self.pin else None

    def parts_within(
        self, column: str, window: tuple[int | None, int | None], unit: str | None
    ) -> tuple[SourcePart, ...]:
        """See the port: nothing is known of the times of parts."""
        return self.parts

    def changed_span(self, pin: SourcePin, column: str, unit: str | None) -> tuple[int, int] | None:
        """See the port: nothing is known of the times of rows."""
        return None

    def _stored(self) -> Path:
        import pyarrow as pa

        # Equal values may come in other types, which the parts keep.
        types = content_hash({"types": str(self.schema)})
        path = self._folder / f"{self.pin.identity[:32]}-{types[:8]}.arrow"
        if path.exists():
            # Its time says when it was last wanted.
            os.utime(path)
            return path
        self._folder.mkdir(parents=True, exist_ok=True)
        handle, fresh = tempfile.mkstemp(dir=self._folder, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as out, pa.ipc.new_file(out, self._plain.schema) as writer:
                for start in range(0, self.rows, _CHUNK_ROWS):
                    # One batch a chunk, so that a part is a range of them.
                    for batch in self._plain.slice(start, _CHUNK_ROWS).combine_chunks().to_batches():
                        writer.write_batch(batch)
            Path(fresh).replace(path)
        finally:
            Path(fresh).unlink(missing_ok=True)
        _let_go(self._folder, path.stat().st_mtime - _KEPT_S)
        return path

    @property
    def _plain(self) -> pa.Table:
        """With dictionaries decoded: an Arrow file holds one dictionary a column, and chunks may have their own."""
        import pyarrow as pa

        fields = [
            field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field
            for field in self.schema
        ]
        return self._rows.cast(pa.schema(fields))


def _let_go(folder: Path, before_s: float) -> None:
    """Remove what nobody has wanted since; a plan that still needs it says so and is made anew."""
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            if path.suffix in (".arrow", ".part") and path.stat().st_mtime < before_s:
                path.unlink()
