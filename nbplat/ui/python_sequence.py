"""`nb.Sequence`: a definition as a value of the notebook, and everything that can be done with it."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as ListOf
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from nbplat.ui.sequence_place import Place, Subject, placed

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

        place = self._new_place(frames)
        given = {key: value for key, value in keys.items() if value is not None}
        source = place.named(source, "events")
        self.subject = Subject(from_keys(name, source=source, entity=entity, time=time, events=events, **given), place)
        self._view: PreviewView | None = None
        if on is not None:
            self.subject.examples(on)

    # -- other forms -------------------------------------------------------------------------------

    @classmethod
    def from_yaml(cls, text: str, name: str | None = None, **more: Any) -> Sequence:
        """Read the text of a cell.

        Args:
            name: None takes the key ``name`` of the text.
            more: ``on`` and ``frames``, as the class takes them.
        """
        from nbplat.sequence.parse import parse_definition

        return cls._read(parse_definition(text, name), **more)

    @classmethod
    def from_file(cls, path: str | Path, **more: Any) -> Sequence:
        """Read a definition from a file, ``sequences/home.yaml``; its name is the file's, or its key ``name``."""
        from nbplat.sequence.definition_file import read_file

        return cls._read(read_file(path), **more)

    @classmethod
    def from_json(cls, text: str, **more: Any) -> Sequence:
        """Read what `to_json` wrote."""
        from nbplat.sequence.definition_json import from_json

        return cls._read(from_json(text), **more)

    @classmethod
    def of(cls, subject: Subject, view: PreviewView | None = None) -> Sequence:
        """A sequence of what was declared elsewhere; `view` is what it shows."""
        made = cls.__new__(cls)
        made.__dict__.update(subject=subject, _view=view)
        return made

    @classmethod
    def kept(cls, ref: str, **more: Any) -> Sequence:
        """A definition that was kept: ``home`` for the newest of that name, or ``home@2``; with its last examples.

        Raises:
            NotFound: nothing is kept under the name.
        """
        from nbplat.sequence.parse import parse_definition

        seen = cls._new_place({}).kept.show(ref)
        return cls._read(parse_definition(seen["text"], seen["name"]), **{"on": seen["on"], **more})

    @classmethod
    def _new_place(cls, frames: Mapping[str, Any]) -> Place:
        """Where a new one works; `nb.local()` has its own."""
        return Place(frames=frames)

    @classmethod
    def _read(
        cls, definition: Definition, on: Any = None, frames: Mapping[str, Any] = MappingProxyType({})
    ) -> Sequence:
        subject = Subject(placed(definition), cls._new_place(frames))
        if on is not None:
            subject.examples(on)
        return cls.of(subject)

    def to_yaml(self) -> str:
        """The text that reads as this definition; only what is not the default is written."""
        from nbplat.sequence.write import to_yaml

        return to_yaml(self.definition, name=True)

    def to_json(self) -> str:
        """The canonical record with every default filled in, and the name."""
        from nbplat.sequence.definition_json import to_json

        return to_json(self.definition)

    # -- what it is --------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Its name; not part of the version."""
        return self.definition.name

    @property
    def definition(self) -> Definition:
        """The record."""
        return self.subject.definition

    @property
    def version(self) -> str:
        """SHA-256 of the definition with its variants, without its name; of a variant that of the variant alone."""
        return self.subject.alone.version

    @property
    def defaults(self) -> tuple[str, ...]:
        """What was not written and is taken."""
        return self.subject.alone.defaults

    @property
    def variants(self) -> tuple[str, ...]:
        """Names of the declared variants."""
        return tuple(self.definition.variants)

    def variant(self, name: str) -> Sequence:
        """One variant; it shares the index with the definition.

        Raises:
            RequestError: there is no such variant.
        """
        return self.of(self.subject.of(name))

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
        from nbplat.ui.sequence_view import viewed

        other = compare.subject if isinstance(compare, Sequence) else compare
        self._view = viewed(self.subject, on, count=count, compare=other, everything=everything)
        return self._view

    def ranges(self, on: Any = None) -> pa.Table:
        """What each example selects, as places in the index; see `nbplat.sequence.opened.Opened.ranges`."""
        opened, examples = self.subject.open(on)
        return opened.ranges(examples)

    def features(self, on: Any = None, *, carry: ListOf[str] = ()) -> pa.Table:
        """The sequences as Arrow lists, one row an example in their order; an empty history is an empty list.

        Args:
            carry: More columns of the examples to take along.

        Returns:
            Entity, as-of time and `carry`; then for each feature and each column of ``show`` a list (of the layout
            ``per_type`` one a type, ``click__amount``), in the declared order and at most as long as declared.
        """
        opened, examples = self.subject.open(on, carry)
        return opened.reading.lists(examples)

    def batches(self, on: Any = None, *, carry: ListOf[str] = (), **options: Any) -> Batches:
        """Padded batches, made when they are asked for; see `nbplat.sequence.batches.Batches`.

        Args:
            carry: Columns of the examples to take along, such as the label.
            options: ``rows``, ``format`` (numpy, torch, arrow, pandas), ``order``, ``seed``, ``pad_to``, ``columns``.
        """
        opened, examples = self.subject.open(on, carry)
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
            return build_plan(self.subject, engine)
        return built(self.subject, engine, wait=wait, show=show)

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
        return corrected(self.subject, request, wait=wait, show=show)

    def export(
        self,
        to: str | None = None,
        on: Any = None,
        *,
        file: str | Path | None = None,
        form: str = "lists",
        carry: ListOf[str] | None = None,
        replace: bool = False,
        wait: bool = True,
        show: Any = lambda _result: None,
    ) -> Result:
        """Write the sequences as lists into a table, or with `file` the definition as YAML.

        Args:
            to: ``namespace.table``; an earlier export of this sequence is replaced, another table is not.
            form: ``lists`` as long as they are, or ``padded`` ones with a mask.
            carry: Columns of the examples to take along; None: ``id`` and those that end in ``_id``.
            replace: Take the place of any table of that name.
        """
        from nbplat.ui.handlers.sequence_steps import exported, exported_file

        if file is not None:
            return exported_file(self.definition, file)
        self.subject.examples(on)
        request = {"to": to, "form": form, "carry": None if carry is None else list(carry), "replace": replace}
        return exported(self.subject, request, wait=wait, show=show)

    def diff(self, other: Sequence | None = None) -> Result:
        """What differs from another definition; None: from the version before it, and how its index is."""
        from nbplat.ui.handlers.sequence_diff import definitions_result, index_result

        if other is None:
            return index_result(self.subject)
        theirs, mine = other.subject, self.subject
        return definitions_result(theirs.label, theirs.alone, mine.label, mine.alone)

    def keep(self) -> str:
        """Keep the definition in the ledger, under its name and version; returns its id, ``home@1``."""
        from nbplat.ui.handlers.sequence_steps import kept

        return str(kept(self.subject)["id"])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and (self.name, self.version) == (other.name, other.version)

    def __hash__(self) -> int:
        return hash((self.name, self.version))

    def __repr__(self) -> str:
        return f"<Sequence {self.subject.label} {self.version[:12]}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """Its last preview; before that its keys."""
        if self._view is not None:
            return self._view.bundle()
        from nbplat.ui.handlers.sequence_result import definition_result

        return definition_result(self.subject).bundle()
