"""`nb.Sequence`: a definition as a value of the notebook, and everything that can be done with it."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as ListOf
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from nbplat.errors import RequestError
from nbplat.ui.sequence_place import Place

if TYPE_CHECKING:
    import pyarrow as pa

    from nbplat.sequence.batches import Batches
    from nbplat.sequence.definition import Definition
    from nbplat.sequence.examples import Examples
    from nbplat.sequence.opened import Opened
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

    # -- looking -----------------------------------------------------------------------------------

    def preview(
        self, on: Any = None, *, count: int = 20, compare: str | Sequence | None = None, everything: bool = False
    ) -> PreviewView:
        """Hold it against examples: the funnel, strips of telling examples, charts, the leak panel, the model's view.

        Args:
            on: The examples: a table, a path or a DataFrame; None takes those of the last time.
            count: How many examples to show.
            compare: A variant, or another sequence, to show beside this one on the same examples.
            everything: Look at every example instead of a bounded share of them.

        Raises:
            NbplatError: what does not fit, with its line or path.
        """
        from nbplat.ui.sequence_view import PreviewView

        opened, examples = self._open(on)
        clock = self._place.platform.clock
        if compare is None:
            shown = opened.preview(examples, count=count, clock=clock, everything=everything)
        else:
            other = self.variant(compare) if isinstance(compare, str) else compare
            other._place.frames.update(self._place.frames)
            theirs, _ = other._open(on if on is not None else self._on)
            shown = opened.compare(theirs, examples, count=count, clock=clock, everything=everything)
        self._view = PreviewView(shown)
        return self._view

    def ranges(self, on: Any = None) -> pa.Table:
        """What each example selects, as places in the index; see `nbplat.sequence.opened.Opened.ranges`."""
        opened, examples = self._open(on)
        return opened.ranges(examples)

    def features(self, on: Any = None, *, carry: ListOf[str] = ()) -> pa.Table:
        """The sequences as Arrow lists, one row an example in their order; an empty history is an empty list.

        Args:
            carry: More columns of the examples to take along.

        Returns:
            Entity, as-of time and `carry`; then for each feature and each column of ``show`` a list (of the layout
            ``per_type`` one a type, ``click__amount``), in the declared order and at most as long as declared.
        """
        opened, examples = self._open(on, carry)
        return opened.reading.lists(examples)

    def batches(self, on: Any = None, *, carry: ListOf[str] = (), **options: Any) -> Batches:
        """Padded batches, made when they are asked for; see `nbplat.sequence.batches.Batches`.

        Args:
            carry: Columns of the examples to take along, such as the label.
            options: ``rows``, ``format`` (numpy, torch, arrow, pandas), ``order``, ``seed``, ``pad_to``, ``columns``.
        """
        opened, examples = self._open(on, carry)
        return opened.reading.batches(examples, **options)

    def to_torch(self, on: Any = None, *, carry: ListOf[str] = (), **options: Any) -> Batches:
        """`batches` of tensors; ``DataLoader(sequence.to_torch(), batch_size=None)`` takes them.

        Raises:
            SetupError: torch is not installed.
        """
        return self.batches(on, carry=carry, format="torch", **options)

    # -- doing -------------------------------------------------------------------------------------

    def build(
        self, *, engine: str = "local", wait: bool = True, dry_run: bool = False, show: Any = lambda _result: None
    ) -> Result:
        """Sort the events into the index, once and durably; again, add what has come since.

        Args:
            engine: ``local``, ``ray`` or ``spark``.
            wait: Return when it is built; otherwise at once.
            dry_run: Show the plan and do nothing; ``result.value`` is the plan.
        """
        from nbplat.ui.handlers.sequence_steps import build_plan, built

        if dry_run:
            return build_plan(self._place, self._definition, engine)
        return built(self._place, self._definition, engine, wait=wait, show=show)

    def correct(
        self,
        start: str | None = None,
        end: str | None = None,
        *,
        publish: bool = False,
        engine: str = "local",
        wait: bool = True,
        show: Any = lambda _result: None,
    ) -> Result:
        """Read days of the source again and show what changes in the index: users, events, fields.

        Args:
            start, end: ISO moments of the half-open window; None leaves that side open.
            publish: Also write the change to the index, in one commit.
        """
        from nbplat.ui.handlers.sequence_steps import corrected

        request = {"start": start, "end": end, "publish": publish, "engine": engine}
        return corrected(self._place, self._definition, request, wait=wait, show=show)

    def export(
        self,
        to: str | None = None,
        on: Any = None,
        *,
        file: str | Path | None = None,
        wait: bool = True,
        show: Any = lambda _result: None,
    ) -> Result:
        """Write the sequences as lists into a table, or with `file` the definition as YAML."""
        from nbplat.ui.handlers.sequence_steps import exported, exported_file

        if file is not None:
            return exported_file(self._definition, file)
        return exported(
            self._place, self._definition, self._variant, to, self._examples_name(on), wait=wait, show=show
        )

    def diff(self, other: Sequence | None = None) -> Result:
        """What differs from another definition, or (None) between this one and its index."""
        from nbplat.ui.handlers.sequence_diff import definitions_result, index_result

        if other is not None:
            return definitions_result(other._label, other._alone, self._label, self._alone)
        return index_result(self._place, self._definition)

    def keep(self) -> str:
        """Keep the definition in the ledger, under its name and version; returns its id, ``home@1``."""
        from nbplat.ui.handlers.sequence_steps import kept

        return str(kept(self._place, self._definition, self._on)["id"])

    # -- inside ------------------------------------------------------------------------------------

    def _open(self, on: Any, carry: ListOf[str] = ()) -> tuple[Opened, Examples]:
        return self._place.opened(self._definition, self._variant, self._examples_name(on), carry)

    def _examples_name(self, on: Any) -> str:
        if on is not None:
            self._on = self._place.named(on, "examples")
        if self._on is None:
            raise RequestError(
                "sequence.on",
                f"{self.name} was given no examples",
                fix="name the table, path or DataFrame of examples: on=…",
            )
        return self._on

    @property
    def _label(self) -> str:
        return self.name if self._variant is None else f"{self.name}.{self._variant}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and (self.name, self._alone) == (other.name, other._alone)

    def __hash__(self) -> int:
        return hash((self.name, self.version))

    def __repr__(self) -> str:
        return f"<Sequence {self._label} {self.version[:12]}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """Its last preview; before that its keys."""
        if self._view is not None:
            return self._view.bundle()
        from nbplat.ui.handlers.sequence_result import definition_result

        return definition_result(self._label, self._definition, self._variant).bundle()
