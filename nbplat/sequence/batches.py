"""Batches for a model: padded arrays with a mask, or lists, as of every example; made when asked for, never stored."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nbplat.errors import RequestError, did_you_mean
from nbplat.remote.sequence.gather import Ragged
from nbplat.sequence.batch_format import FORMATS, as_arrow, as_pandas, no_tensors, plain_array
from nbplat.sequence.definition import Definition
from nbplat.sequence.enrich import Joined
from nbplat.sequence.examples import Examples
from nbplat.sequence.featurize import Encoder, encoders
from nbplat.sequence.groups import Group, groups_of
from nbplat.sequence.later_rows import LaterRows
from nbplat.sequence.ports import Index
from nbplat.sequence.select import Selected, rules_of, select_events, selected
from nbplat.sequence.token_reader import TIME_COLUMN, TokenReader, cutoffs, table_column
from nbplat.sequence.token_store import TokenStore
from nbplat.sequence.vocab import Fitted
from nbplat.sequence.windows import MOST

if TYPE_CHECKING:
    import numpy.typing as npt

    from nbplat.remote.sequence.events import Events

__all__ = ["ORDERS", "Batches"]

ORDERS = ("examples", "bucket")
_NEVER = np.iinfo(np.int64).min


class Batches:
    """Batches over all examples; iterate as often as wanted, the same batches every time.

    Args:
        index: Of the definition.
        definition: Bound, of the variant that is wanted.
        examples: One row of a batch each.
        fitted: What its features learned (see `fit`).
        joined: Its enrichments at reading (see `read_tables`).
        rows: Of a batch; the last one has fewer, and so has the last one of each bucket in the order ``bucket``.
        format: ``numpy``: a dict of arrays. ``torch``: of tensors; texts stay arrays. ``arrow``: a record batch with a
            list column a feature and shown column, without padding. ``pandas``: that as a DataFrame, for looking.
        order: ``examples`` keeps the order of the examples; all events that they refer to are held, on disk beyond
            `keep_bytes`. ``bucket`` goes bucket by bucket and holds one bucket.
        seed: Shuffles the examples (in the order ``bucket`` those of each bucket); None: not shuffled.
        pad_to: ``batch``: each batch is as long as its longest sequence. ``length``: always as declared.
        keep_bytes: See `order`.
        folder: For scratch files.
        columns: Features and shown columns that are wanted; None: all of them.
        tensors: Turns the arrays of a batch into tensors; asked once with none when `format` is ``torch``.

    A batch of the formats ``numpy`` and ``torch`` holds, in a mixed layout: for each feature its name, ``[B, L]`` (an
    embedding ``[B, L, D]``), 0 where there is no token; ``mask``, bool ``[B, L]``, true where there is one; ``length``,
    int32 ``[B]``. In the layout ``per_type`` each of them for each type: ``click__item_id``, ``click__mask``,
    ``click__length``. Then the columns of the examples, ``[B]``; their entity or time is ``event_ts__example`` where a
    feature (or a list) is called ``event_ts``.

    Raises:
        RequestError: an unknown option or column, a name that is taken twice, torch that is not installed.
    """

    def __init__(
        self,
        index: Index,
        definition: Definition,
        examples: Examples,
        *,
        fitted: Fitted,
        joined: Mapping[str, Joined] | None = None,
        rows: int = 8192,
        format: str = "numpy",
        order: str = "examples",
        seed: int | None = None,
        pad_to: str = "batch",
        keep_bytes: int = 1 << 30,
        folder: Path | None = None,
        columns: Sequence[str] | None = None,
        tensors: Callable[[Mapping[str, Any]], dict[str, Any]] = no_tensors,
    ) -> None:
        for name, value, known in (
            ("format", format, FORMATS),
            ("order", order, ORDERS),
            ("pad_to", pad_to, ("batch", "length")),
        ):
            if value not in known:
                raise RequestError(
                    "batches.option", f"{name} {value!r} is not possible", fix=did_you_mean(value, known)
                )
        if rows < 1:
            raise RequestError("batches.option", f"rows {rows} is below 1", fix="give 1 or more")
        if format == "torch":
            tensors({})
        self.definition = definition
        self.groups = groups_of(definition)
        self.format, self.order, self.rows, self.seed, self.pad_to = format, order, rows, seed, pad_to
        self._index, self.examples = index, examples
        self._keep_bytes, self._folder = keep_bytes, folder
        listed = format in ("arrow", "pandas")
        features, raw = _chosen(definition, encoders(definition, fitted), listed, columns)
        self._reader = TokenReader(definition, features, tuple(raw), joined or {})
        self._raw = raw
        self._tables = {id(table): at for at, table in enumerate(self._reader.tables)}
        self._sides = {each.name: self._side(each) for each in features if each.feature.column in self._reader.joined}
        self._taken_names = self._names(listed)
        self.carried = self._carried(examples)
        self._store: TokenStore | None = None
        self._epoch = 0
        self._tensors = tensors
        self._turn: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        """Batches of the order ``examples``."""
        if self.order != "examples":
            raise TypeError("how many batches there are by bucket is known when they were made")
        return -(-len(self.examples) // self.rows)

    def __iter__(self) -> Iterator[Any]:
        if self.order == "examples":
            for number in range(len(self)):
                yield self[number]
            return
        for found in selected(self._index, self.definition, self.examples, self.index_columns, among=True):
            yield from self.of_bucket(found)

    @property
    def index_columns(self) -> tuple[str, ...]:
        """Columns of the index that are read."""
        return self._reader.columns

    def of_events(self, events: Events, bucket: int, examples: Examples) -> Iterator[Any]:
        """Batches of other examples, all of them of one bucket, whose events are at hand.

        Args:
            events: With `index_columns`.
        """
        mine = copy.copy(self)
        mine.examples, mine.carried = examples, self._carried(examples)
        rules = rules_of(self.definition, self._index.record)
        places = np.arange(len(examples), dtype=np.int64)
        yield from mine.of_bucket(select_events(events, rules, self.definition, examples, bucket, places, among=True))

    def of_bucket(self, found: Selected) -> Iterator[Any]:
        """Batches of the examples of one bucket."""
        # What one bucket holds is in memory already: only what is not gathered yet can be left behind.
        part = self._reader.part(found, self.examples, compact=isinstance(found.events.rows, LaterRows))
        with closing(self._new_store(keep_bytes=1 << 62)) as store:
            store.add(part)
            store.finish()
            places = self._shuffled(found.examples, found.bucket)
            for start in range(0, len(places), self.rows):
                yield self._batch(store, places[start : start + self.rows])

    def __getitem__(self, number: int) -> Any:
        """One batch of the order ``examples``; what torch's DataLoader asks for with ``batch_size=None``."""
        if not 0 <= number < len(self):
            raise IndexError(f"there are {len(self)} batches, {number} is none of them")
        start, end = number * self.rows, min((number + 1) * self.rows, len(self.examples))
        if self.seed is None:
            return self.of_places(np.arange(start, end))
        if self._turn is None:
            self._turn = self._shuffled(np.arange(len(self.examples)), 0)
        return self.of_places(self._turn[start:end])

    def of_places(self, places: npt.NDArray[np.int64]) -> Any:
        """A batch of these examples, in this order; what all examples refer to is held, see `order`."""
        if self._store is None:
            self._store = self._read()
        return self._batch(self._store, places)

    def set_epoch(self, epoch: int) -> None:
        """Shuffle in another way from now on; without a seed nothing changes."""
        self._epoch = epoch
        self._turn = None

    def close(self) -> None:
        """Let go of what is held, and remove scratch files; iterating reads anew."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def __enter__(self) -> Batches:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- one batch ---------------------------------------------------------------------------------

    def _batch(self, store: TokenStore, places: npt.NDArray[np.int64]) -> Any:
        carried = {name: column.take(pa.array(places, pa.int64())) for name, column in self.carried.items()}
        if self.format in ("arrow", "pandas"):
            lists = {name: column for group in self.groups for name, column in self._lists(store, group, places)}
            batch = as_arrow(carried, lists)
            return batch if self.format == "arrow" else as_pandas(batch)
        arrays: dict[str, Any] = {}
        for group in self.groups:
            arrays |= self._padded(store, group, places)
        arrays |= {name: plain_array(column) for name, column in carried.items()}
        return self._tensors(arrays) if self.format == "torch" else arrays

    def _padded(self, store: TokenStore, group: Group, places: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[Any]]:
        if store.windowed:
            return self._windows(store, group, places)
        size = self.definition.size
        at, counts = store.places(
            places,
            group.rules,
            limit=group.length,
            truncate=size.truncate,
            newest_first=size.order == "newest_first",
            length=group.most if self.pad_to == "length" else None,
            pad_left=size.pad == "left",
        )
        as_of = self.examples.as_of_us[places][:, None]
        arrays = {group.prefix + each.name: self._encoded(store, each, at, as_of) for each in self._reader.encoders}
        arrays[f"{group.prefix}mask"] = at != store.rows
        arrays[f"{group.prefix}length"] = counts.astype(np.int32)
        return arrays

    def _windows(self, store: TokenStore, group: Group, places: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[Any]]:
        """As `_padded`, where no list has gaps."""
        size = self.definition.size
        found = store.windows(
            places,
            group.rules[0],
            limit=group.length,
            truncate=size.truncate,
            length=group.most if self.pad_to == "length" else None,
            pad_left=size.pad == "left",
        )
        as_of = self.examples.as_of_us[places][:, None]
        wanted: dict[str, Any] = {}
        for each in self._reader.encoders:
            column = store.numbers[TIME_COLUMN if self._reader.is_event_time(each) else each.name]
            age = (lambda lists, values, each=each: each.age(as_of[lists], values)) if each.is_age else None
            out = np.empty((len(places), found.width, *column.shape[1:]), each.dtype)
            wanted[group.prefix + each.name] = (column, age, out)
        found.fill(wanted)
        arrays: dict[str, npt.NDArray[Any]] = {name: out for name, (_, _, out) in wanted.items()}
        arrays[f"{group.prefix}mask"] = found.mask
        arrays[f"{group.prefix}length"] = found.counts.astype(np.int32)
        return arrays

    def _lists(
        self, store: TokenStore, group: Group, places: npt.NDArray[np.int64]
    ) -> Iterator[tuple[str, pa.LargeListArray]]:
        size = self.definition.size
        found = store.lists(
            places,
            group.rules,
            limit=group.length,
            truncate=size.truncate,
            newest_first=size.order == "newest_first",
        )
        as_of = np.repeat(self.examples.as_of_us[places], np.diff(found.offsets))
        offsets = pa.array(found.offsets, pa.int64())
        for name, shown in self._raw.items():
            yield group.prefix + shown, pa.LargeListArray.from_arrays(offsets, self._taken(store, name, found, as_of))
        for each in self._reader.encoders:
            values = self._encoded(store, each, found.positions, as_of)
            flat = pa.array(values.reshape(-1))
            if each.size is not None:
                flat = pa.FixedSizeListArray.from_arrays(flat, each.size)
            yield group.prefix + each.name, pa.LargeListArray.from_arrays(offsets, flat)

    def _encoded(self, store: TokenStore, encoder: Encoder, at: Any, as_of: Any) -> npt.NDArray[Any]:
        """A feature of tokens in any shape; `as_of` is broadcast to it."""
        if encoder.name in self._sides:
            found = self._sides[encoder.name][self._table_rows(store, encoder.feature.column, at, as_of)]
        elif self._reader.is_event_time(encoder):
            found = store.numbers[TIME_COLUMN].take(at, mode="clip")
        else:
            found = store.numbers[encoder.name].take(at, axis=0, mode="clip")
        return encoder.age(as_of, found) if encoder.is_age else found

    def _taken(self, store: TokenStore, name: str, found: Ragged, as_of: Any) -> pa.Array:
        if name not in self._reader.joined:
            return store.take(name, found.positions)
        source = self._reader.joined[name]
        rows = self._table_rows(store, name, found.positions, as_of)
        missing = rows >= source.table.values.rows.num_rows
        taken = source.table.values.rows[source.column].take(pa.array(rows, mask=missing))
        return pa.concat_arrays(taken.chunks) if taken.num_chunks else pa.array([], taken.type)

    def _table_rows(self, store: TokenStore, name: str, at: Any, as_of: Any) -> npt.NDArray[np.int64]:
        """Row of the enriching table a token; one behind the last where there is none, two behind it of padding."""
        table = self._reader.joined[name].table
        count = table.values.rows.num_rows
        held = store.numbers[table_column(self._tables[id(table)])].take(at, mode="clip")
        if table.at == "request_time":
            cutoff = None if self.definition.as_of.at == "end" else cutoffs(self.definition, as_of)
            found = table.rows(held, None, cutoff, strict=self.definition.as_of.strict)
        else:
            found = held
        return np.where(at == store.rows, count + 1, np.where(found < 0, count, found))

    # -- what is read ------------------------------------------------------------------------------

    def _side(self, encoder: Encoder) -> npt.NDArray[Any]:
        """The feature of each row of the enriching table, of a null, and of padding."""
        source = self._reader.joined[encoder.feature.column]
        column = source.table.values.rows[source.column]
        null = pa.chunked_array([*column.chunks, pa.nulls(1, column.type)], column.type)
        encoded = encoder.encode(null)
        pad = np.full((1, *encoded.shape[1:]), _NEVER if encoder.is_age else 0, encoded.dtype)
        return np.concatenate([encoded, pad])

    def _new_store(self, keep_bytes: int) -> TokenStore:
        ages = {each.name: _NEVER for each in self._reader.encoders if each.is_age}
        keys = {table_column(at): -1 for at in self._tables.values()}
        fills = {TIME_COLUMN: _NEVER, **ages, **keys}
        return TokenStore(
            len(self.examples),
            keep_bytes=keep_bytes,
            folder=self._folder,
            fills=fills,
            margin=self._margin(),
            turned=self.definition.size.order == "newest_first",
        )

    def _margin(self) -> int | None:
        """The longest rectangle, where all are made of windows; None where rows are looked for one by one."""
        longest = max(group.most for group in self.groups)
        alone = all(len(group.rules) == 1 for group in self.groups)
        listed = self.format in ("arrow", "pandas")
        return None if listed or self._tables or not alone or longest > MOST else longest

    def _read(self) -> TokenStore:
        store = self._new_store(self._keep_bytes)
        try:
            for found in selected(self._index, self.definition, self.examples, self.index_columns, among=True):
                store.add(self._reader.part(found, self.examples))
            store.finish()
        except BaseException:
            store.close()
            raise
        return store

    def _shuffled(self, places: npt.NDArray[np.int64], bucket: int) -> npt.NDArray[np.int64]:
        if self.seed is None:
            return places
        return np.random.default_rng([self.seed, self._epoch, bucket]).permutation(places)

    def _names(self, listed: bool) -> frozenset[str]:
        """Of the arrays or lists that a batch holds."""
        names: list[str] = []
        for group in self.groups:
            inner = [each.name for each in self._reader.encoders]
            inner += list(self._raw.values()) if listed else ["mask", "length"]
            names += [group.prefix + name for name in inner]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise _clash(doubled[0])
        return frozenset(names)

    def _carried(self, examples: Examples) -> dict[str, pa.ChunkedArray]:
        """Columns of the examples: entity, instant, then what is carried along.

        What every batch has of the examples is told apart where a feature or list has its name: examples that are
        events themselves have the same columns.
        """
        found = dict(zip(self.definition.entity, examples.entity.columns, strict=True))
        if self.definition.as_of.at == "example":
            moment = pa.chunked_array([pa.array(examples.as_of_us, pa.int64()).view(pa.timestamp("us", tz="UTC"))])
            found[self.definition.as_of.time] = moment
        found |= dict(zip(examples.rows.column_names, examples.rows.columns, strict=True))
        own = {*self.definition.entity, self.definition.as_of.time}
        named: dict[str, pa.ChunkedArray] = {}
        for name, column in found.items():
            apart = f"{name}__example" if name in own and name in self._taken_names else name
            if apart in self._taken_names or apart in named:
                raise _clash(apart)
            named[apart] = column
        return named


def _clash(name: str) -> RequestError:
    return RequestError(
        "batches.clash",
        f"a batch would hold two columns {name!r}",
        fix=f"give the feature another name (features: {{other_name: …({name})}}), or leave the column of"
        " the examples out",
    )


def _chosen(
    definition: Definition, features: tuple[Encoder, ...], listed: bool, columns: Sequence[str] | None
) -> tuple[tuple[Encoder, ...], dict[str, str]]:
    """Features, and columns as they are with the names that they get in lists."""
    names = {each.name for each in features}
    raw = [definition.time, *([definition.type] if definition.layout == "mixed" else []), *definition.show]
    # A feature keeps its name; the column that it was made of is told apart.
    shown = {name: f"{name}__raw" if name in names else name for name in dict.fromkeys(raw)} if listed else {}
    if columns is None:
        return features, shown
    known = (*names, *shown.values())
    for name in columns:
        if name not in known:
            raise RequestError(
                "batches.column", f"there is no feature or shown column {name!r}", fix=did_you_mean(name, known)
            )
    return tuple(each for each in features if each.name in columns), {
        name: given for name, given in shown.items() if given in columns
    }
