"""Features of a definition as encoders: each turns a column of events into a number, or a vector, a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nbplat.remote.sequence import tokens
from nbplat.remote.sequence.times import to_us
from nbplat.sequence.definition import Definition, Feature
from nbplat.sequence.failures import our_errors
from nbplat.sequence.vocab import Fitted

if TYPE_CHECKING:
    import numpy.typing as npt

    from nbplat.remote.sequence.events import Events

__all__ = ["Encoder", "encoders", "known_values"]

_NEVER = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class Encoder:
    """One feature, ready to encode.

    Attributes:
        feature: As declared.
        dtype: Of the batch's array, ``int32``; always the same.
        size: Length of each vector of an embedding; None: a number a token.
        encode: From a column of events to ``[rows]`` or ``[rows, size]``. Of an age these are the moments that it is
            measured from, ``int64`` in microseconds, and `age` finishes it.
        unit: Of an age: ``s``, ``m``, ``h`` or ``d``; empty for all else.
        log: Whether an age is a logarithm.
    """

    feature: Feature
    dtype: str
    size: int | None
    encode: Callable[[Any], npt.NDArray[Any]]
    unit: str = ""
    log: bool = False

    @property
    def name(self) -> str:
        """Of the feature."""
        return self.feature.name

    @property
    def is_age(self) -> bool:
        """True when tokens of one event differ between examples."""
        return bool(self.unit)

    @property
    def stored(self) -> str:
        """Type that `encode` gives."""
        return "int64" if self.is_age else self.dtype

    def age(self, at_us: Any, moment_us: Any) -> npt.NDArray[np.float32]:
        """``float32`` in the shape of `moment_us`; 0 where the event had no moment."""
        age = tokens.ages(at_us, moment_us, self.unit, log=self.log)
        missing = moment_us == _NEVER
        if missing.any():
            age[missing] = 0
        return age  # type: ignore[no-any-return]

    def of_events(self, events: Events, definition: Definition) -> npt.NDArray[Any]:
        """Encode the feature's column of these events: their type and time are at hand, others are in their rows."""
        column = self.feature.column
        if self.is_age and column == definition.time:
            return events.time_us  # type: ignore[no-any-return]
        if column == definition.type:
            return self.encode(pa.array(events.types, pa.string()))[events.type]  # type: ignore[no-any-return]
        return self.encode(events.rows[column])


def encoders(definition: Definition, fitted: Fitted) -> tuple[Encoder, ...]:
    """One a feature, in the order of the definition.

    Args:
        definition: Bound: every embedding has its ``size``.
        fitted: What the features learned.
    """
    return tuple(_encoder(feature, definition, fitted) for feature in definition.features)


def known_values(encoder: Encoder, encoded: npt.NDArray[Any]) -> int | None:
    """How many of these ids stand for a value of the vocabulary; None for features without one."""
    if encoder.feature.function != "vocab":
        return None
    return int((encoded >= tokens.FIRST_ID).sum())


def _encoder(feature: Feature, definition: Definition, fitted: Fitted) -> Encoder:
    options = dict(feature.options)
    function = feature.function
    learned = fitted.by_feature.get(feature.name)
    if function == "vocab":
        assert learned is not None, feature.name  # noqa: S101 - `fit` learned every one
        return Encoder(feature, "int32", None, _guarded(lambda column: tokens.vocab_ids(column, learned.values)))
    if function == "quantile":
        assert learned is not None, feature.name  # noqa: S101
        return Encoder(feature, "int32", None, _guarded(lambda column: tokens.bucket_ids(column, learned.values)))
    if function == "hash":
        buckets, seed = options["buckets"], int(options.get("seed", 0))
        return Encoder(feature, "int32", None, _guarded(lambda column: tokens.hash_ids(column, buckets, seed)))
    if function == "bucket":
        edges = np.asarray(options["edges"], np.float64)
        return Encoder(feature, "int32", None, _guarded(lambda column: tokens.bucket_ids(column, edges)))
    if function in ("age", "age_log"):
        unit = options.get("unit", "s")
        return Encoder(feature, "float32", None, _moments(feature, definition), unit, function == "age_log")
    if function == "embedding":
        size = options["size"]
        return Encoder(feature, "float32", size, _guarded(lambda column: tokens.vectors(column, size)))
    kind, fill = options["type"], options["fill"]
    return Encoder(feature, kind, None, _guarded(lambda column: tokens.numbers(column, kind, fill)))


def _guarded(encode: Callable[[Any], npt.NDArray[Any]]) -> Callable[[Any], npt.NDArray[Any]]:
    def guarded(column: Any) -> npt.NDArray[Any]:
        with our_errors():
            return encode(column)

    return guarded


def _moments(feature: Feature, definition: Definition) -> Callable[[Any], npt.NDArray[np.int64]]:
    zone = definition.zone
    plain: Mapping[str, str] | None = (
        None if zone is None else {"name": zone.name, "ambiguous": zone.ambiguous, "missing": zone.missing}
    )

    def moments(column: Any) -> npt.NDArray[np.int64]:
        missing = np.asarray(column.is_null())
        found = np.full(len(column), _NEVER)
        with our_errors():
            found[~missing] = to_us(column.drop_null(), unit=definition.time_unit, zone=plain, name=feature.column)
        return found

    return moments
