"""`nb.Sequence`: a definition as a value of the notebook, and everything that can be done with it."""

from __future__ import annotations

import json as json_text
from collections.abc import Mapping, Sequence as ListOf
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from nbplat.errors import RequestError
from nbplat.ui.sequence_place import Place, frame_names

if TYPE_CHECKING:
    import pyarrow as pa

    from nbplat.sequence.batches import Batches
    from nbplat.sequence.definition import Definition
    from nbplat.ui.render.result import Result
    from nbplat.ui.sequence_view import PreviewView

__all__ = ["Sequence"]


class Sequence:
    """A user sequence: the last events of each type before each example, exact in time.

    Takes the keys of a ``%%sequence`` cell; docs/sequence-definition.md has all of them. Two with equal keys have the
    same `version`. Nothing is read before it is asked for.

    Args:
        name: Lower-case identifier.
        source: ``namespace.table``, Parquet files, or a DataFrame; also the name of one in `frames`.
        entity: Column, or columns, that say whose event it is.
        time: Column of the event's time.
        events: Event type -> ``{"last": …, "within": …, "where": …, "select": …}``.
        on: The examples that the methods take when they are given none: a table, a path or a DataFrame.
        frames: Name -> DataFrame that `source` or `on` names.
        keys: The other keys: ``time_unit``, ``timezone``, ``arrival``, ``id``, ``dedupe``, ``type``, ``enrich``,
            ``layout``, ``size``, ``features``, ``show``, ``as_of``, ``variants``.

    Raises:
        RequestError: a key or value that is not possible; `where` has the path of the key.
    """

    def __init__(
        self,
        name: str,
        *,
        source: Any,
        entity: str | ListOf[str],
        time: str,
        events: Mapping[str, Any],
        on: Any = None,
        frames: Mapping[str, Any] = MappingProxyType({}),
        **keys: Any,
    ) -> None:
        from nbplat.sequence.parse import from_keys

        held = dict(frames)
        if not isinstance(source, str):
            held["events"] = source
            source = "events"
        given = {key: value for key, value in keys.items() if value is not None}
        self._settle(from_keys(name, source=source, entity=entity, time=time, events=events, **given), held, on)

    def _settle(
        self,
        definition: Definition,
        frames: Mapping[str, Any],
        on: Any,
        *,
        variant: str | None = None,
        place: Place | None = None,
        view: PreviewView | None = None,
    ) -> None:
        self._definition, self._variant = definition, variant
        self._place = place or Place()
        self._place.frames.update(frames)
        self._on = None if on is None else self._place.named(on, "examples")
        self._view = view

    # -- other forms -------------------------------------------------------------------------------

    @classmethod
    def from_yaml(cls, text: str, name: str | None = None, **more: Any) -> Sequence:
        """Read the text of a cell.

        Args:
            name: None takes the key ``name`` of the text.
            more: ``on`` and ``frames``, as the class takes them.
        """
        from nbplat.sequence.parse import parse_definition

        return cls._of(parse_definition(text, name), **more)

    @classmethod
    def from_file(cls, path: str | Path, **more: Any) -> Sequence:
        """Read a definition from a file, ``sequences/home.yaml``; its name is the file's, or its key ``name``."""
        from nbplat.sequence.definition_file import read_file

        return cls._of(read_file(path), **more)

    @classmethod
    def from_json(cls, text: str, **more: Any) -> Sequence:
        """Read what `to_json` wrote."""
        from nbplat.sequence.definition_json import from_json

        return cls._of(from_json(text), **more)

    @classmethod
    def _of(
        cls,
        definition: Definition,
        *,
        on: Any = None,
        frames: Mapping[str, Any] = MappingProxyType({}),
        **more: Any,
    ) -> Sequence:
        made = cls.__new__(cls)
        made._settle(definition, frames, on, **more)
        return made

    def to_yaml(self) -> str:
        """The text that reads as this definition; only what is not the default is written."""
        from nbplat.sequence.write import to_yaml

        return to_yaml(self._definition, name=True)

    def to_json(self) -> str:
        """The canonical record with every default filled in, and the name."""
        from nbplat.sequence.definition_json import to_json

        return to_json(self._definition)

    # -- what it is --------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Its name; not part of the version."""
        return self._definition.name

    @property
    def definition(self) -> Definition:
        """The record."""
        return self._definition

    @property
    def version(self) -> str:
        """SHA-256 of the definition with its variants, without its name; of a variant that of the variant alone."""
        return self._alone.version

    @property
    def defaults(self) -> tuple[str, ...]:
        """What was not written and is taken."""
        return self._alone.defaults

    @property
    def variants(self) -> tuple[str, ...]:
        """Names of the declared variants."""
        return tuple(self._definition.variants)

    def variant(self, name: str) -> Sequence:
        """One variant; it shares the index with the definition.

        Raises:
            RequestError: there is no such variant.
        """
        from nbplat.sequence.variants import variant

        variant(self._definition, name)
        return self._of(self._definition, on=self._on, variant=name, place=self._place)

    @property
    def _alone(self) -> Definition:
        from nbplat.sequence.variants import variant

        return self._definition if self._variant is None else variant(self._definition, self._variant)
