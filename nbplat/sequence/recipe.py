"""From a bound definition to what workers are told: how rows of the source become sorted events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from nbplat.errors import RequestError
from nbplat.remote.sequence.enriching import FROM
from nbplat.remote.sequence.stored_rows import RESERVED, index_type, stored_schema
from nbplat.remote.sequence.tasks import Recipe
from nbplat.sequence.bound import Bound

__all__ = ["index_schema", "recipe_of", "stored_schema_of"]


def recipe_of(bound: Bound, enrich: Sequence[Mapping[str, Any]], buckets: int) -> Recipe:
    """What workers are told; the same for every variant.

    Args:
        enrich: Tasks of the enrichments at index, see `nbplat.remote.sequence.enriching`.

    Raises:
        RequestError: ``sequence.reserved``: a column's name begins like the index's own.
    """
    definition, zone = bound.declared, bound.declared.zone
    for name in bound.index_schema.names:
        if name.startswith(RESERVED):
            raise RequestError(
                "sequence.reserved",
                f"{name!r} begins like the index's own columns",
                fix=f"give the column a name that does not begin with {RESERVED}",
            )
    schema = index_schema(bound)
    return Recipe(
        entity=list(definition.entity),
        type=definition.type,
        types=list(bound.types),
        time=definition.time,
        arrival=definition.arrival,
        early=definition.early,
        id=list(definition.id),
        dedupe=definition.dedupe,
        time_unit=definition.time_unit,
        zone=None if zone is None else {"name": zone.name, "ambiguous": zone.ambiguous, "missing": zone.missing},
        read=sorted(bound.index_columns),
        columns=schema.names,
        hashed=sorted(bound.index_columns),
        schema=schema.serialize().to_pybytes(),
        conditions=[{**each, "types": bound.index_record["conditions_of"][each["where"]]} for each in bound.prepared],
        enrich=[dict(each) for each in enrich],
        buckets=buckets,
    )


def index_schema(bound: Bound) -> pa.Schema:
    """Columns that an event has, sorted by name, in the index's types.

    An enrichment that names a time column has a second one beside it, ``<name>__from``: from when its value holds.
    """
    types = {field.name: index_type(field.type) for field in bound.index_schema}
    for each in bound.index_enrichments:
        if each.time is not None:
            types[each.name + FROM] = pa.timestamp("us", tz="UTC")
    return pa.schema([pa.field(name, types[name]) for name in sorted(types)])


def stored_schema_of(recipe: Recipe) -> pa.Schema:
    """Schema of the index table of a recipe."""
    return stored_schema(
        pa.ipc.read_schema(pa.py_buffer(recipe["schema"])),
        arrival=recipe["arrival"] is not None,
        copies=recipe["arrival"] is not None and recipe["dedupe"] == "last",
        conditions=bool(recipe["conditions"]),
    )
