"""The padded arrays of the examples that are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nbplat.remote.sequence.pad import mask_of
from nbplat.sequence.definition import Definition
from nbplat.sequence.featurize import Encoder
from nbplat.sequence.groups import Group, groups_of
from nbplat.sequence.preview.encoded import encode
from nbplat.sequence.preview.model_record import Grid, ModelView
from nbplat.sequence.preview.seen_tokens import added
from nbplat.sequence.preview.staged import Staged
from nbplat.sequence.preview.strips import Chosen

if TYPE_CHECKING:
    import numpy.typing as npt

    from nbplat.sequence.enrich import Joined

__all__ = ["model_views"]

_MOST_PLACES = 256


def model_views(
    definition: Definition,
    stages: Sequence[Staged],
    chosen: Sequence[Chosen],
    names: Sequence[str],
    encoders: Sequence[Encoder],
    joined: Mapping[str, Joined],
) -> tuple[ModelView, ...]:
    """One view a list of the layout, with the examples in the order of the strips.

    Args:
        names: Their entities, as texts.
    """
    return tuple(
        _view(definition, stages, chosen, names, encoders, joined, number, group)
        for number, group in enumerate(groups_of(definition))
    )


def _view(
    definition: Definition,
    stages: Sequence[Staged],
    chosen: Sequence[Chosen],
    names: Sequence[str],
    encoders: Sequence[Encoder],
    joined: Mapping[str, Joined],
    number: int,
    group: Group,
) -> ModelView:
    length = group.most
    half = _MOST_PLACES // 2
    places = np.arange(length) if length <= _MOST_PLACES else np.r_[:half, length - half : length]
    masks, types = [], []
    grids: list[list[tuple[float, ...]]] = [[] for _ in encoders]
    for each in chosen:
        stage = stages[each.stage]
        ragged = stage.lists[number]
        row = ragged.positions[ragged.offsets[each.place] : ragged.offsets[each.place + 1]]
        mask = mask_of(np.array([0, len(row)]), length, side=definition.size.pad)[0]
        masks.append(tuple(mask[places].tolist()))
        types.append(tuple(int(code) for code in _placed(_rules(stage, row), mask, -1)[places]))
        example = np.full(len(row), each.place, np.int64)
        extra = added(definition, stage, joined, example, row)
        for grid, encoder in zip(grids, encoders, strict=True):
            values = encode(encoder, definition, stage, example, row, extra).astype(np.float64)
            if values.ndim > 1:
                values = np.sqrt((values**2).sum(axis=1))
            grid.append(tuple(_placed(values, mask, 0.0)[places].tolist()))
    return ModelView(
        event_type=group.event_type,
        rows=tuple(names),
        length=length,
        places=tuple(places.tolist()),
        order=definition.size.order,
        pad=definition.size.pad,
        mask=tuple(masks),
        types=tuple(types),
        grids=tuple(
            Grid(encoder.name, encoder.feature.function, encoder.dtype, tuple(grid))
            for grid, encoder in zip(grids, encoders, strict=True)
        ),
    )


def _rules(stage: Staged, row: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Place of each token's type among the rules."""
    place = np.full(len(stage.events.types) + 1, -1, np.int64)
    for number, rule in enumerate(stage.rules):
        place[rule.type] = number
    found: npt.NDArray[np.int64] = place[stage.events.type[row]]
    return found


def _placed(values: npt.NDArray[np.generic], mask: npt.NDArray[np.bool_], fill: float) -> npt.NDArray[np.float64]:
    out = np.full(len(mask), fill, np.float64)
    out[mask] = values
    return out
