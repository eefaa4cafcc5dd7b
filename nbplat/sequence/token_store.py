"""Encoded events that examples refer to, over all buckets, and what each example refers to: in memory, or on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from nbplat.remote.sequence.events import Selection
from nbplat.remote.sequence.gather import Ragged, cut, expand, turned
from nbplat.remote.sequence.ranges import part as part_of
from nbplat.sequence.growing import Grown, Scratch
from nbplat.sequence.windows import Windows

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Part", "TokenStore", "some_lists"]


class Part(NamedTuple):
    """What the examples of one bucket refer to.

    Attributes:
        rows: How many events there are.
        examples: ``int64[k]``: their places among all examples; each example is in one part.
        numbers: Name -> ``[rows]`` or ``[rows, D]``, a row an event; the same names and types in every part.
        values: Columns as they are, a row an event; the same schema in every part.
        rank: ``int64[rows]``: of each place that `kept` names the row that the event has in the columns; there the
            types of an entity are merged by time. None: columns are in the order of places.
        kept: One a rule: a `Selection`, or a `Ragged` of places oldest first.
    """

    rows: int
    examples: npt.NDArray[np.int64]
    numbers: Mapping[str, npt.NDArray[Any]]
    values: pa.Table
    rank: npt.NDArray[np.int64] | None
    kept: tuple[Selection | Ragged, ...]


class TokenStore:
    """Takes parts, then answers for any examples in any order; close it, or use it as a context manager.

    Args:
        examples: How many there are.
        keep_bytes: Beyond that the columns go to files in `folder`, and only what examples refer to is in memory.
        folder: For a scratch folder inside; None: the system's.
        fills: Name of a number column -> what stands where there is no token.
        margin: None, or the longest rectangle of `windows`, which is how numbers are asked for then: where they are
            in memory and no list has gaps (`windowed`).
        turned: Whether rectangles are newest first.
    """

    def __init__(
        self,
        examples: int,
        *,
        keep_bytes: int,
        folder: Path | None = None,
        fills: Mapping[str, Any] | None = None,
        margin: int | None = None,
        turned: bool = False,
    ) -> None:
        self._margin, self._turned = margin, turned
        self.windowed = False
        self._examples = examples
        self._keep_bytes = keep_bytes
        self._scratch = Scratch(folder)
        self._fills = dict(fills or {})
        self._grown: dict[str, Grown] = {}
        self._values: list[pa.Table] = []
        self._ranks = Grown("rank", self._scratch)
        self._parts: list[tuple[npt.NDArray[np.int64], tuple[Selection | Ragged, ...], int, int]] = []
        self.rows = 0
        self.spilled = False

    def add(self, part: Part) -> None:
        """Take one bucket's events."""
        for name, column in part.numbers.items():
            self._grown.setdefault(name, Grown(name, self._scratch)).add(column)
        if part.rank is not None:
            self._ranks.add(part.rank + self.rows)
        if part.values.num_columns:
            self._values.append(self._scratch.table(part.values) if self.spilled else part.values)
        self._parts.append((part.examples, part.kept, self.rows, part.rows))
        self.rows += part.rows
        if not self.spilled and self._bytes() > self._keep_bytes:
            self.spilled = True
            for grown in (*self._grown.values(), self._ranks):
                grown.spill()
            self._values = [self._scratch.table(each) for each in self._values]

    def finish(self) -> None:
        """No more parts come: from now on it answers."""
        self._rank = self._ranks.finish(0) if self._ranks.rows else None
        self._kept = tuple(
            _joined(
                [(mine, kept[rule], base, rows) for mine, kept, base, rows in self._parts], self._examples, self.rows
            )
            for rule in range(len(self._parts[0][1]) if self._parts else 0)
        )
        self._parts = []
        whole = all(isinstance(kept, Selection) and kept.among is None and not len(kept.skipped) for kept in self._kept)
        self.windowed = self._margin is not None and whole and self._rank is None and not self.spilled
        self.numbers = {name: self._finished(name, grown) for name, grown in self._grown.items()}
        self._table = _one_chunk(self._values) if self._values and not self.spilled else None

    def lists(
        self,
        examples: npt.NDArray[np.int64],
        rules: Sequence[int],
        *,
        limit: int | None,
        truncate: str,
        newest_first: bool,
    ) -> Ragged:
        """Events of some examples, of several rules merged by time.

        Args:
            examples: Their places, any order.
            rules: Which; at least one.
            limit: How many events at most; `truncate` says which go.
        """
        parts = [self._of(self._kept[rule], examples) for rule in rules]
        found = self._merged(parts) if len(parts) > 1 else parts[0]
        if limit is not None:
            found = cut(found, limit, truncate)
        return turned(found) if newest_first else found

    def places(
        self,
        examples: npt.NDArray[np.int64],
        rules: Sequence[int],
        *,
        limit: int | None,
        truncate: str,
        newest_first: bool,
        length: int | None,
        pad_left: bool,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Events of some examples as a rectangle.

        Args:
            length: L; None: that of the longest list.

        Returns:
            ``int64[B, L]``, rows of `numbers`; where there is no token the row behind the last, which holds what
            stands for padding. And ``int64[B]``, how many tokens each example has.
        """
        kept = self._kept[rules[0]]
        if len(rules) == 1 and self._rank is None and isinstance(kept, Selection) and not len(kept.skipped):
            lo, _, counts = self._range(kept, examples, limit, truncate)
            width = int(counts.max(initial=0)) if length is None else length
            pad = self.rows if kept.among is None else len(kept.among) - 1
            at = _rectangle(lo, counts, width, pad, newest_first=newest_first, pad_left=pad_left)
            return at if kept.among is None else kept.among[at], counts
        ragged = self.lists(examples, rules, limit=limit, truncate=truncate, newest_first=newest_first)
        counts = np.diff(ragged.offsets)
        width = int(counts.max(initial=0)) if length is None else length
        at = _rectangle(ragged.offsets[:-1], counts, width, len(ragged.positions), pad_left=pad_left)
        return np.append(ragged.positions, self.rows)[at], counts

    def windows(
        self,
        examples: npt.NDArray[np.int64],
        rule: int,
        *,
        limit: int | None,
        truncate: str,
        length: int | None,
        pad_left: bool,
    ) -> Windows:
        """As `places`, of a store that is `windowed`: where each rectangle's row lies in `numbers`."""
        lo, hi, counts = self._range(self._kept[rule], examples, limit, truncate)
        width = int(counts.max(initial=0)) if length is None else length
        first = (self._margin or 0) + (self.rows - hi if self._turned else lo)
        return Windows(first - (width - counts) if pad_left else first, counts, width, pad_left)

    def take(self, name: str, positions: npt.NDArray[np.int64]) -> pa.Array:
        """Values of a column at some rows, any order."""
        if self._table is not None:
            return _chunk(self._table[name].take(pa.array(positions)))
        return _taken([table[name] for table in self._values], positions)

    def close(self) -> None:
        """Remove the scratch files."""
        self.numbers = {}
        self._values = []
        self._rank = None
        self._scratch.close()

    def __enter__(self) -> TokenStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _finished(self, name: str, grown: Grown) -> npt.NDArray[Any]:
        if self.windowed:
            return grown.framed(self._margin or 0, turned=self._turned)
        return grown.finish(self._fills.get(name, 0))

    @staticmethod
    def _range(
        kept: Selection | Ragged, examples: npt.NDArray[np.int64], limit: int | None, truncate: str
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """First place of each list without gaps, the one behind the last, and how many there are."""
        assert isinstance(kept, Selection)  # noqa: S101 - the caller looked
        lo, hi = kept.lo[examples], kept.hi[examples]
        if limit is not None:
            lo, hi = (np.maximum(lo, hi - limit), hi) if truncate == "oldest" else (lo, np.minimum(hi, lo + limit))
        return lo, hi, hi - lo

    def _bytes(self) -> int:
        numbers = sum(grown.bytes for grown in (*self._grown.values(), self._ranks))
        return numbers + sum(int(table.nbytes) for table in self._values)

    def _of(self, kept: Selection | Ragged, examples: npt.NDArray[np.int64]) -> Ragged:
        found = expand(part_of(kept, examples)) if isinstance(kept, Selection) else some_lists(kept, examples)
        return found if self._rank is None else found._replace(positions=self._rank[found.positions])

    def _merged(self, parts: Sequence[Ragged]) -> Ragged:
        counts = [np.diff(part.offsets) for part in parts]
        offsets = np.zeros(len(counts[0]) + 1, np.int64)
        np.cumsum(sum(counts), out=offsets[1:])
        bits = self.rows.bit_length()
        # Rows are merged by time already, so that within an example they only have to ascend.
        keys = np.concatenate(
            [
                (np.repeat(np.arange(len(count)), count) << bits) | part.positions
                for part, count in zip(parts, counts, strict=True)
            ]
        )
        # Each part is one ascending run: the stable sort of wide integers merges runs.
        keys.sort(kind="stable")
        return Ragged(keys & ((1 << bits) - 1), offsets)


def some_lists(ragged: Ragged, places: npt.NDArray[np.int64]) -> Ragged:
    """The lists of some examples, in the order of `places`."""
    counts = np.diff(ragged.offsets)[places]
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    rows = np.arange(offsets[-1]) + np.repeat(ragged.offsets[:-1][places] - offsets[:-1], counts)
    return Ragged(ragged.positions[rows], offsets)


def _rectangle(
    start: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    width: int,
    pad: int,
    *,
    newest_first: bool = False,
    pad_left: bool = False,
) -> npt.NDArray[np.int64]:
    """Consecutive numbers from `start`, so many a row, turned round for `newest_first`; `pad` where there are none."""
    column = np.arange(width, dtype=np.int64)
    shift = width - counts if pad_left else np.zeros(len(counts), np.int64)
    first = start + counts - 1 + shift if newest_first else start - shift
    at = first[:, None] - column if newest_first else first[:, None] + column
    outside = column < shift[:, None] if pad_left else column >= counts[:, None]
    at[outside] = pad
    return at


def _joined(
    parts: Sequence[tuple[npt.NDArray[np.int64], Selection | Ragged, int, int]], examples: int, rows: int
) -> Selection | Ragged:
    """One rule over all parts, in the order of all examples, in rows of the store.

    Args:
        parts: Examples, what is kept, the first row in the store and how many rows.
        rows: Of the store. The row behind the last stands behind `Selection.among`.
    """
    if any(isinstance(kept, Ragged) for _, kept, _, _ in parts):
        lists = [(mine, kept if isinstance(kept, Ragged) else expand(kept), base) for mine, kept, base, _ in parts]
        return _ordered_lists([(m, k.positions + base, np.diff(k.offsets)) for m, k, base in lists], examples)
    found = [(mine, kept, base, count) for mine, kept, base, count in parts if isinstance(kept, Selection)]
    among: list[npt.NDArray[np.int64]] | None = None
    if any(kept.among is not None for _, kept, _, _ in found):
        among = [(np.arange(count) if kept.among is None else kept.among) + base for _, kept, base, count in found]
        bases = np.cumsum([0, *(len(each) for each in among)])
        found = [(mine, kept, int(base), 0) for (mine, kept, _, _), base in zip(found, bases[:-1], strict=True)]
    lo, hi = np.zeros(examples, np.int64), np.zeros(examples, np.int64)
    skips = []
    for mine, kept, base, _ in found:
        lo[mine], hi[mine] = kept.lo + base, kept.hi + base
        skips.append((mine, kept.skipped + base, np.diff(kept.skipped_at)))
    skipped = _ordered_lists(skips, examples)
    # What was seen beside the kept ones is of no use here; this takes no memory.
    none = np.broadcast_to(np.int64(0), examples)
    whole = None if among is None else np.concatenate([*among, [rows]])
    return Selection(lo, hi, skipped.offsets, skipped.positions, none, none, none, whole)


def _ordered_lists(parts: Sequence[tuple[Any, Any, Any]], examples: int) -> Ragged:
    """Lists of (examples, positions, counts) in the order of all examples."""
    counts = np.zeros(examples, np.int64)
    for mine, _, count in parts:
        counts[mine] = count
    offsets = np.zeros(examples + 1, np.int64)
    np.cumsum(counts, out=offsets[1:])
    positions = np.empty(offsets[-1], np.int64)
    for mine, rows, count in parts:
        starts = np.cumsum(count) - count
        positions[np.arange(len(rows)) + np.repeat(offsets[:-1][mine] - starts, count)] = rows
    return Ragged(positions, offsets)


def _one_chunk(tables: Sequence[pa.Table]) -> pa.Table:
    """Joined, each column in one chunk; texts get wide offsets, so that joining them cannot overflow."""
    table = pa.concat_tables(tables)
    wide = [pa.field(field.name, _wide(field.type)) for field in table.schema]
    return table.cast(pa.schema(wide)).combine_chunks()


def _wide(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_string(kind):
        return pa.large_string()
    if pa.types.is_binary(kind):
        return pa.large_binary()
    if pa.types.is_list(kind):
        return pa.large_list(kind.value_field)
    return kind


def _chunk(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _taken(columns: Sequence[pa.ChunkedArray], positions: npt.NDArray[np.int64]) -> pa.Array:
    """Values at rows of columns that lie one behind the other: each is looked at once."""
    starts = np.cumsum([0, *(len(column) for column in columns)])
    order = np.argsort(positions, kind="stable")
    ordered = positions[order]
    cuts = np.searchsorted(ordered, starts)
    pieces = []
    for at, column in enumerate(columns):
        wanted = ordered[cuts[at] : cuts[at + 1]] - starts[at]
        if len(wanted):
            pieces.append(_chunk(column.take(pa.array(wanted)).cast(_wide(column.type))))
    if not pieces:
        return pa.array([], _wide(columns[0].type))
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    return pa.concat_arrays(pieces).take(pa.array(back))
