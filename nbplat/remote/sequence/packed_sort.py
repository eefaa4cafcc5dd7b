"""The order of rows by several integer keys, packed into one word where they fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Sorted", "sort_by", "sort_runs"]

# Times are often whole days, seconds or milliseconds in microseconds.
_GRAINS = (86_400_000_000, 1_000_000, 1_000)
# Rows that are worked on together: all that is made on the way stays in the cache, and no memory is touched for it.
_BLOCK = 1 << 16
# Rows of a piece that is sorted on its own.
_PIECE = 1 << 12
# Bits by which rows are dealt to pieces, at most: numpy sorts 16 in linear time.
_DIGIT = 16


class Sorted(NamedTuple):
    """Rows in the order of their keys.

    Attributes:
        order: Integers, the rows; equal ones in their own order.
        new: ``bool[rows]`` in that order: the keys differ from those before.
        new_first: The same of the first keys alone.
    """

    order: Any
    new: Any
    new_first: Any


class _Key(NamedTuple):
    """One key: ``(values - low) // grain`` takes `bits` bits."""

    values: Any
    low: int
    grain: int
    bits: int


def sort_by(parts: Sequence[Any], first: int = 1) -> Sorted:
    """The order of rows by several keys, the most important first.

    Args:
        parts: Integers ``[rows]`` each, of any width.
        first: How many of the parts `Sorted.new_first` looks at.
    """
    if not len(parts[0]):
        return Sorted(np.empty(0, np.int64), np.empty(0, dtype=bool), np.empty(0, dtype=bool))
    keys = [_key(part) for part in parts]
    if sum(key.bits for key in keys) <= 64 + _DIGIT:
        return _in_pieces(keys, sum(key.bits for key in keys[first:]))
    # Words of 16 bits sort in linear time, so that only what is wide is compared.
    order = np.lexsort([word for key in reversed(keys) for word in _words(key)])
    new, new_first = np.zeros((2, len(order)), dtype=bool)
    new[0] = new_first[0] = True
    for at, part in enumerate(parts):
        taken = part[order]
        begins = taken[1:] != taken[:-1]
        new[1:] |= begins
        if at < first:
            new_first[1:] |= begins
    return Sorted(order, new, new_first)


def sort_runs(parts: Sequence[Any]) -> Any:
    """The stable order of rows that lie in sorted runs; see `sort_by`."""
    keys = [_key(part) for part in parts]
    if sum(key.bits for key in keys) <= 64:
        # Numpy's stable sort of wide integers finds runs and merges them.
        return np.argsort(_packed(keys, 0)[1], kind="stable")
    return np.lexsort(list(reversed(parts)))


def _key(values: Any) -> _Key:
    low, high = int(values.min()), int(values.max())
    if high - low >= 1 << 32:
        plain = _Key(values, low, 1, 64)
        for grain in _GRAINS:
            if all(not (_compact(plain, at) % np.uint64(grain)).any() for at in _probes(len(values))):
                return _Key(values, low, grain, ((high - low) // grain).bit_length())
    return _Key(values, low, 1, (high - low).bit_length())


def _probes(rows: int) -> Iterator[slice]:
    """A few rows, then all of them: most grains fail at once."""
    yield slice(100)
    for at in range(0, rows, _BLOCK):
        yield slice(at, at + _BLOCK)


def _compact(key: _Key, at: slice) -> Any:
    """The key of some rows as unsigned words from zero."""
    values = key.values[at]
    wide = values if values.dtype == np.uint64 else values.astype(np.int64).view(np.uint64)
    with np.errstate(over="ignore"):
        found = wide - np.uint64(key.low & ((1 << 64) - 1))
    return found // np.uint64(key.grain) if key.grain > 1 else found


def _packed(keys: Sequence[_Key], dealt: int) -> tuple[Any, Any]:
    """The keys behind one another as bits: the first `dealt` of them ``uint16[rows]``, the others ``uint64[rows]``."""
    rows, rest = len(keys[0].values), sum(key.bits for key in keys) - dealt
    digits, words = np.zeros(rows if dealt else 0, dtype=np.uint16), np.empty(rows, dtype=np.uint64)
    for begin in range(0, rows, _BLOCK):
        at = slice(begin, begin + _BLOCK)
        low = np.zeros(len(words[at]), dtype=np.uint64)
        high = np.zeros_like(low)
        for key in keys:
            if key.bits == 64:
                high, low = low, _compact(key, at)
            elif key.bits:
                high <<= np.uint64(key.bits)
                high |= low >> np.uint64(64 - key.bits)
                low <<= np.uint64(key.bits)
                low |= _compact(key, at)
        if dealt:
            digits[at] = high if rest == 64 else low >> np.uint64(rest)
            if 0 < rest < 64:
                digits[at] |= (high << np.uint64(64 - rest)).astype(np.uint16)
        words[at] = low & np.uint64((1 << rest) - 1)
    return digits, words


def _in_pieces(keys: Sequence[_Key], below: int) -> Sorted:
    """Deal the rows by the highest bits, in linear time, then sort what remains of the keys piece by piece.

    Args:
        below: How many bits the keys behind the first ones take.
    """
    bits, count = sum(key.bits for key in keys), len(keys[0].values)
    dealt = max(min(_DIGIT, (count // _PIECE).bit_length(), bits), bits - 64)
    # Pieces small enough, those of some heavy entity aside, that a word has room for the row's place.
    while count > _PIECE and dealt < _DIGIT and bits - dealt + (count >> dealt).bit_length() + 2 > 64:
        dealt += 1
    rest = bits - dealt
    digits, words = _packed(keys, dealt)
    kind = np.int32 if count < 1 << 31 else np.int64
    if dealt:
        rows = np.argsort(digits, kind="stable").astype(kind)
        sizes = np.bincount(digits)
        pieces = np.flatnonzero(sizes)
        ends = np.cumsum(sizes[pieces])
    else:
        rows, pieces, ends = np.arange(count, dtype=kind), np.zeros(1, np.int64), np.array([count])
    new, new_first = np.zeros((2, count), dtype=bool)
    for begin, cuts in _together(ends.tolist()):
        mine = rows[begin : cuts[-1]]
        order, ordered = _sorted_words(words[mine], rest, [cut - begin for cut in cuts])
        rows[begin : cuts[-1]] = mine[order]
        new[begin + 1 : cuts[-1]] = ordered[1:] != ordered[:-1]
        if below < rest:
            first = ordered >> np.uint64(below)
            new_first[begin + 1 : cuts[-1]] = first[1:] != first[:-1]
    begins = np.concatenate([[0], ends[:-1]])
    new[begins] = True
    of_first = pieces >> max(0, below - rest)
    new_first[begins[1:][of_first[1:] != of_first[:-1]]] = True
    new_first[0] = True
    return Sorted(rows, new, new_first)


def _together(ends: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
    """Pieces of about a block together: where the block begins, where its pieces end."""
    begin = 0
    cuts: list[int] = []
    for end in ends:
        if cuts and end - begin > _BLOCK:
            yield begin, cuts
            begin, cuts = cuts[-1], []
        cuts.append(end)
    yield begin, cuts


def _sorted_words(words: Any, rest: int, cuts: list[int]) -> tuple[Any, Any]:
    """The stable order of words of `rest` bits, each piece for itself, and the sorted words."""
    sizes = np.diff(cuts, prepend=0)
    place, begin = max(1, int(sizes.max() - 1).bit_length()), 0
    if rest + place > 64:
        order = np.empty(len(words), dtype=np.int64)
        for cut in cuts:
            order[begin:cut] = begin + np.argsort(words[begin:cut], kind="stable")
            begin = cut
        return order, words[order]
    # With the row's place in its piece as low bits, what is sorted is one integer: faster than places by words.
    begins = np.repeat(np.array(cuts) - sizes, sizes)
    keyed = words << np.uint64(place)
    keyed |= (np.arange(len(words)) - begins).view(np.uint64)
    for cut in cuts:
        keyed[begin:cut].sort()
        begin = cut
    begins += (keyed & np.uint64((1 << place) - 1)).view(np.int64)
    return begins, keyed >> np.uint64(place)


def _words(key: _Key) -> list[Any]:
    """The key itself, or words of 16 bits, the less important first."""
    if key.bits > 32:
        return [key.values]
    compact = _compact(key, slice(None))
    words = [(compact & np.uint64(0xFFFF)).astype(np.uint16)]
    return words if key.bits <= 16 else [*words, (compact >> np.uint64(16)).astype(np.uint16)]
