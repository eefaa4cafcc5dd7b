"""What one line of the subset's tables says: how a function is written, what it takes, gives and becomes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from nbplat.backfill.dialect.kinds import kind_of

if TYPE_CHECKING:
    from sqlglot import exp

__all__ = ["Call", "Declared", "SubsetEntry"]


@dataclass(frozen=True, slots=True)
class SubsetEntry:
    """One line of docs/sql-subset.md.

    Attributes:
        group: ``function``, ``aggregate``, ``window``, ``operator``, ``cast`` or ``query``.
        name: As Spark spells it; synonyms separated by commas.
        signature: How it is written and the type it gives, e.g. ``length(string) -> int``.
        notes: Where it is narrower than Spark's, in a sentence; empty when nowhere.
        tolerance: Largest relative difference from Spark; 0.0 is the same bits.
    """

    group: str
    name: str
    signature: str
    notes: str = ""
    tolerance: float = 0.0


@dataclass(frozen=True)
class Call:
    """One use of a declared function or operator in a body."""

    node: exp.Expression
    arguments: tuple[exp.Expression, ...]

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        return tuple(kind_of(argument) for argument in self.arguments)

    def whole(self, index: int) -> int | None:
        """The integer written as argument `index`; None when it is left out or no literal."""
        from sqlglot import exp

        if index >= len(self.arguments):
            return None
        node, sign = self.arguments[index].unnest(), 1
        if isinstance(node, exp.Neg):
            node, sign = node.this.unnest(), -1
        if not isinstance(node, exp.Literal) or node.is_string or not node.name.isdigit():
            return None
        return sign * int(node.name)

    def text(self, index: int) -> str | None:
        """The string written as argument `index`; None when it is left out or no literal."""
        from sqlglot import exp

        node = self.arguments[index].unnest() if index < len(self.arguments) else None
        return node.name if isinstance(node, exp.Literal) and node.is_string else None

    @property
    def unit(self) -> str:
        """The unit argument in capitals; empty without one."""
        unit = self.node.args.get("unit")
        return str(unit.name).upper() if unit else ""


@dataclass(frozen=True, slots=True)
class Declared:
    """A function or operator of the subset.

    Attributes:
        names: As Spark spells it; the first one stands in the documentation.
        node: The sqlglot class it parses to; ``Anonymous`` where sqlglot knows no such function.
        signature: For the documentation.
        takes: Kinds allowed at each argument; the last one holds for all that follow.
        gives: The kind of the result, or how it follows from the use.
        duckdb: The DuckDB expression, with ``{0}``, ``{1}``, … for the arguments, or a function that makes one;
            None (also of the function) where sqlglot's own is right. It stands anywhere without parentheses of its own.
        cast: DuckDB type that the finished expression (with FILTER and OVER) is cast to.
        slots: Names of the node's parts that are arguments, in Spark's order, or a function that picks them.
        ignore: Parts that a check or rewrite reads by itself, or that say nothing.
        refuse: Says what is outside the subset in a use, or None.
        group: ``function``, ``aggregate``, ``window`` or ``operator``.
        distinct: True when DISTINCT may stand before the arguments.
        over: True when it may have an OVER clause.
        note, tolerance: For the documentation.
    """

    names: tuple[str, ...]
    node: str
    signature: str
    takes: tuple[frozenset[str], ...]
    gives: str | Callable[[Call], str]
    duckdb: str | Callable[[Call], str | None] | None = None
    cast: str | Callable[[Call], str | None] | None = None
    slots: tuple[str, ...] | Callable[[Any], list[Any]] = ("this",)
    ignore: tuple[str, ...] = ()
    refuse: Callable[[Call], str | None] | None = None
    group: str = "function"
    distinct: bool = False
    over: bool = False
    note: str = ""
    tolerance: float = 0.0

    def call(self, node: Any) -> Call:
        """Pick the arguments of a use."""
        from sqlglot import exp

        if callable(self.slots):
            return Call(node, tuple(self.slots(node)))
        found: list[Any] = []
        for slot in self.slots:
            part = node.args.get(slot)
            if isinstance(part, exp.Distinct):
                part = part.expressions
            found.extend(part if isinstance(part, list) else [part] if part is not None else [])
        return Call(node, tuple(found))

    def kind(self, node: Any) -> str:
        """The kind of the result of a use."""
        return self.gives if isinstance(self.gives, str) else self.gives(self.call(node))

    def entry(self) -> SubsetEntry:
        return SubsetEntry(self.group, ", ".join(self.names), self.signature, self.note, self.tolerance)
