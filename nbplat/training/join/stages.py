"""What each stage of a spec is: a run's record or a table's state, its keys, and the columns that it brings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nbplat.errors import NotFound, RequestError, did_you_mean
from nbplat.terms import StagedColumns
from nbplat.training.join.key_types import check_key_types, key_class
from nbplat.training.join.plan import Value
from nbplat.training.join.ports import JoinRuns, JoinSource, TableState
from nbplat.training.join.spec import JoinSpec, Stage

__all__ = ["Found", "base_keys", "check_names", "found_stages", "with_keys"]

_OWN = ("nb_file", "nb_pos")


@dataclass(frozen=True, slots=True)
class Found:
    """A stage with what was found of it.

    Attributes:
        record: Of a run; None for a table.
        state: Of a table, or of a run's staging table once it was needed; None else.
        keys: Its key columns, in the order of the base's; empty when none is known.
        values: What it brings.
    """

    stage: Stage
    record: StagedColumns | None
    state: TableState | None
    keys: tuple[str, ...]
    values: tuple[Value, ...]

    @property
    def ref(self) -> str:
        """The run's id, or the table."""
        return self.record.run_id if self.record is not None else self.stage.ref


def found_stages(spec: JoinSpec, source: JoinSource, runs: JoinRuns) -> list[Found]:
    """Look every stage up.

    Raises:
        NotFound: an unknown run, table or column, with the nearest.
        Conflict: a run that is not staged.
    """
    return [_table(each, spec, source) if each.is_table else _run(each, runs) for each in spec.stage]


def base_keys(spec: JoinSpec, found: Sequence[Found]) -> tuple[str, ...]:
    """The key columns of the base: those asked for, else those of the first run that names some."""
    return spec.on or next((each.record.keys for each in found if each.record is not None and each.record.keys), ())


def with_keys(found: Found, keys: tuple[str, ...], base: TableState) -> tuple[str, ...]:
    """The stage's key columns beside those of the base, checked.

    Raises:
        RequestError: no key is known (``training.keys``), their numbers or types differ (``training.key_type``).
        NotFound: one that either table does not have.
    """
    if not keys:
        raise RequestError(
            "training.keys",
            f"{found.ref} is joined by key, and no key is named",
            fix="give on=…: the columns that identify a row in both tables",
        )
    theirs = found.stage.on or keys
    if len(theirs) != len(keys):
        raise RequestError(
            "training.keys",
            f"{found.ref} is joined by {', '.join(theirs)}, the base by {', '.join(keys)}",
            fix="name as many columns in either",
        )
    assert found.state is not None  # noqa: S101 - what is joined by key is a table
    pairs = []
    for mine, other in zip(keys, theirs, strict=True):
        kind = _kind(mine, base.columns, base.pin.table)
        pairs.append((mine, kind, other, _kind(other, found.state.columns, found.ref)))
    check_key_types(base.pin.table, found.ref, tuple(pairs))
    return theirs


def check_names(found: Sequence[Found], base: TableState, columns: Sequence[str]) -> None:
    """Return when every name of the result comes from one place.

    Args:
        columns: Base columns of the result.

    Raises:
        RequestError: ``training.clash``.
        NotFound: a column to fill, to mark or to order by that is not there.
    """
    owner = dict.fromkeys(columns, base.pin.table)
    for each in found:
        names = [value.name for value in each.values]
        for what, asked in (("fill", each.stage.fill), ("present", each.stage.present)):
            _refuse_unknown(asked, names, f"{what} of {each.ref}")
        kinds = {value.name: value.kind for value in each.values}
        for name, value in each.stage.fill.items():
            check_fill(name, kinds[name], value)
        marks = [f"{name}__present" for name in each.stage.present]
        for name in (*names, *marks):
            if name not in owner:
                owner[name] = each.ref
            elif owner[name] != base.pin.table:
                raise _clash(f"{owner[name]} and {each.ref} both bring a column {name!r}", "prefix='…' or rename={…}")
            elif not each.stage.replace:
                raise _clash(
                    f"{each.ref} brings a column {name!r}, which {base.pin.table} has as well",
                    "prefix='…', rename={…}, or replace=True to take the staged one",
                )
            else:
                owner[name] = each.ref


def check_fill(name: str, kind: str, value: object) -> None:
    """Return when a column of this type can hold the value.

    Raises:
        RequestError: ``training.fill``.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = {
        "boolean": isinstance(value, bool),
        "int": isinstance(value, int) and not isinstance(value, bool),
        "long": isinstance(value, int) and not isinstance(value, bool),
        "float": number or value == "nan",
        "double": number or value == "nan",
        "string": isinstance(value, str),
    }
    if not fits.get(kind, False):
        raise RequestError(
            "training.fill",
            f"{value!r} cannot stand in {name!r}, which is {kind}",
            fix="give a value of its type (nan for float and double), or leave the nulls and use present=",
        )


def _run(stage: Stage, runs: JoinRuns) -> Found:
    record = runs.staged_columns(stage.ref)
    kinds = dict(record.columns)
    chosen = stage.columns or tuple(kinds)
    _refuse_unknown(chosen, kinds, record.run_id)
    _refuse_unknown(stage.rename, chosen, f"rename of {record.run_id}")
    return Found(stage, record, None, record.keys, _values(stage, chosen, kinds))


def _table(stage: Stage, spec: JoinSpec, source: JoinSource) -> Found:
    state = source.state(stage.ref)
    kinds = dict(state.columns)
    keys = stage.on or spec.on
    parted = {part.source for parts in state.specs.values() for part in parts}
    left_out = {*keys, *parted, *_OWN, stage.order_by}
    chosen = stage.columns or tuple(name for name in kinds if name not in left_out)
    _refuse_unknown(chosen, kinds, stage.ref)
    _refuse_unknown(stage.rename, chosen, f"rename of {stage.ref}")
    _refuse_unknown([stage.order_by] if stage.order_by else [], kinds, stage.ref)
    if stage.order_by and key_class(kinds[stage.order_by]) in ("", "uuid"):
        raise RequestError(
            "training.option",
            f"order_by={stage.order_by!r} of {stage.ref} is not possible: {kinds[stage.order_by]} has no order",
            fix="name a column that holds a number, a text or a time",
        )
    if not chosen:
        raise RequestError(
            "training.no_columns", f"{stage.ref} has no columns but keys", fix="name some: TABLE:column,column"
        )
    return Found(stage, None, state, keys, _values(stage, chosen, kinds))


def _values(stage: Stage, chosen: Sequence[str], kinds: Mapping[str, str]) -> tuple[Value, ...]:
    return tuple(Value(name, stage.named(name), kinds[name]) for name in chosen)


def _kind(name: str, columns: Iterable[tuple[str, str]], owner: str) -> str:
    kinds = dict(columns)
    _refuse_unknown([name], kinds, owner)
    return kinds[name]


def _refuse_unknown(asked: Iterable[str], known: Iterable[str], owner: str) -> None:
    known = list(known)
    for name in asked:
        if name not in known:
            raise NotFound("training.column", f"{owner}: there is no column {name!r}", fix=did_you_mean(name, known))


def _clash(message: str, fix: str) -> RequestError:
    return RequestError("training.clash", message, fix=f"name it otherwise: {fix}")
