"""What is asked of a training join: a base table, and the staged runs or tables whose columns stand beside its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nbplat.errors import RequestError
from nbplat.terms import TableName, Window
from nbplat.training.join.sequence_use import FORMS
from nbplat.training.join.stage_text import stage_options

__all__ = ["MISSING", "STRATEGIES", "JoinSpec", "Stage"]

STRATEGIES = ("bucket", "shuffle")
MISSING = ("error", "null", "skip")

Fill = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Stage:
    """One staged run or table.

    Attributes:
        ref: A run, ``spend_90d@1`` (or ``spend_90d``, its newest), or a table, ``ml.stg_score``.
        columns: What is taken of it; None takes a run's new columns, and all of a table but its keys and what it is
            partitioned by.
        on: Its key columns, in the order of the base's; None when they have the same names.
        prefix: Put before every name.
        rename: Name there -> name in the result; such a name gets no prefix.
        replace: True when its columns may stand in the place of base columns of the same names.
        fill: Name in the result -> what stands for a missing value; ``nan`` is a number that is none. A column that
            is not named keeps its nulls.
        present: Names in the result that get a column ``<name>__present``, false where there is no value.
        duplicates: ``error``, or ``last``: of several rows of one key the one with the greatest `order_by` counts.
        order_by: That column.
        across_dates: True when a row may meet base rows of any date; else, where both tables are partitioned by the
            same time column, rows meet rows of their own partition.
    """

    ref: str
    columns: tuple[str, ...] | None = None
    on: tuple[str, ...] | None = None
    prefix: str = ""
    rename: Mapping[str, str] = field(default_factory=dict)
    replace: bool = False
    fill: Mapping[str, Fill] = field(default_factory=dict)
    present: tuple[str, ...] = ()
    duplicates: str = "error"
    order_by: str = ""
    across_dates: bool = False

    def __post_init__(self) -> None:
        if self.duplicates not in ("error", "last"):
            raise _option(f"duplicates={self.duplicates!r} of {self.ref}", "give error or last")
        if (self.duplicates == "last") != bool(self.order_by):
            raise _option(
                f"duplicates={self.duplicates!r} with order_by={self.order_by!r} of {self.ref}",
                "duplicates='last' and order_by=COLUMN go together: the greatest value counts",
            )
        if self.columns == ():
            raise _option(f"no columns of {self.ref}", "name some after a colon, or leave the stage out")

    @classmethod
    def parse(cls, text: str, **options: Any) -> Stage:
        """Read ``spend_90d@1``, ``ml.stg_ctr:b_ctr,b_cnt``, or these with options: ``ml.stg_ctr prefix=c_ fill=c_n:0``.

        Raises:
            RequestError: nothing stands before or after the colon, or a word that is no option.
        """
        head, _, words = text.strip().partition(" ")
        if words.strip():
            options = {**stage_options(text, words), **options}
        ref, colon, names = head.partition(":")
        columns = tuple(name.strip() for name in names.split(",") if name.strip())
        if not ref.strip() or (colon and not columns):
            raise _option(f"stage {text!r}", "write RUN, TABLE, or TABLE:column,column")
        if columns:
            options = {"columns": columns, **options}
        return cls(ref.strip(), **options)

    @property
    def is_table(self) -> bool:
        """True for a table's name, false for a run's."""
        return "." in self.ref and "@" not in self.ref

    def named(self, column: str) -> str:
        """A column's name in the result."""
        return self.rename.get(column, self.prefix + column)

    def record(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "ref": self.ref,
            "columns": None if self.columns is None else list(self.columns),
            "on": None if self.on is None else list(self.on),
            "prefix": self.prefix,
            "rename": dict(self.rename),
            "replace": self.replace,
            "fill": dict(self.fill),
            "present": list(self.present),
            "duplicates": self.duplicates,
            "order_by": self.order_by,
            "across_dates": self.across_dates,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Stage:
        """Read what `record` wrote."""
        read: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in record.items()}
        return cls(**read)


@dataclass(frozen=True, slots=True)
class JoinSpec:
    """A left join of staged columns to a base table.

    Attributes:
        base: ``ml.train``.
        on: Key columns of the base; empty takes those of the staged runs.
        stage: What is joined, in the order of the result's columns; none gives the base alone.
        columns: Base columns of the result; None takes all, in the table's order.
        dates: Rows wanted, by `time`.
        time: Column of the dates; empty takes the source of the table's time partition.
        join: ``bucket``: files meet by position or by key within a bucket; ``shuffle``: where neither is possible,
            staged rows are dealt to local files by their keys first.
        missing: What to do with base rows whose partition a staged table does not have at all: ``error``, ``null``
            (they get nulls), or ``skip`` (they are left out).
        min_coverage: Share of the base rows that must have a staged row, of every stage; 1 is strict.
        max_unit_bytes: Decoded bytes of one unit above which it is split by row groups.
        sequences: Kept sequences whose features stand beside the rows, as of each row's own time: ``home``,
            ``home@2``, or ``home.short`` for a variant.
        sequence_form: ``padded``: lists of the declared length with a mask and a length; ``lists``: the tokens there
            are.
    """

    base: str
    on: tuple[str, ...] = ()
    stage: tuple[Stage, ...] = ()
    columns: tuple[str, ...] | None = None
    dates: Window = field(default_factory=Window)
    time: str = ""
    join: str = "bucket"
    missing: str = "error"
    min_coverage: float = 0.0
    max_unit_bytes: int = 256 << 20
    sequences: tuple[str, ...] = ()
    sequence_form: str = "padded"

    def __post_init__(self) -> None:
        TableName.parse(self.base)
        for ok, what, fix in (
            (self.join in STRATEGIES, f"join={self.join!r}", f"give {' or '.join(STRATEGIES)}"),
            (self.missing in MISSING, f"missing={self.missing!r}", f"give {', '.join(MISSING)}"),
            (0 <= self.min_coverage <= 1, f"min_coverage={self.min_coverage}", "give a share from 0 to 1"),
            (self.max_unit_bytes >= 1, f"max_unit_bytes={self.max_unit_bytes}", "give 1 or more"),
            (self.sequence_form in FORMS, f"sequence_form={self.sequence_form!r}", f"give {' or '.join(FORMS)}"),
            (self.columns != (), "columns=()", "name a column, or leave it out for all"),
        ):
            if not ok:
                raise _option(what, fix)
        for what, names in (
            ("on", self.on),
            ("stage", tuple(stage.ref for stage in self.stage)),
            ("columns", self.columns or ()),
            ("sequences", self.sequences),
        ):
            if doubled := sorted({name for name in names if names.count(name) > 1}):
                raise RequestError("training.twice", f"{what} names {doubled[0]!r} twice", fix="name each once")

    def record(self) -> dict[str, Any]:
        """JSON form."""
        sequences = {"sequences": list(self.sequences), "sequence_form": self.sequence_form} if self.sequences else {}
        return {
            "base": self.base,
            "on": list(self.on),
            "stage": [stage.record() for stage in self.stage],
            "columns": None if self.columns is None else list(self.columns),
            "dates": self.dates.record(),
            "time": self.time,
            "join": self.join,
            "missing": self.missing,
            "min_coverage": self.min_coverage,
            "max_unit_bytes": self.max_unit_bytes,
            **sequences,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> JoinSpec:
        """Read what `record` wrote."""
        return cls(
            **{
                **record,
                "on": tuple(record["on"]),
                "stage": tuple(Stage.from_record(each) for each in record["stage"]),
                "columns": None if record["columns"] is None else tuple(record["columns"]),
                "dates": Window.parse(record["dates"]["from"], record["dates"]["to"]),
                "sequences": tuple(record.get("sequences", ())),
            }
        )


def _option(what: str, fix: str) -> RequestError:
    return RequestError("training.option", f"{what} is not possible", fix=fix)
