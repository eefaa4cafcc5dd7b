"""The shapes of queries that the subset holds: clauses, joins, windows, and what is refused in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nbplat.backfill.dialect.declaration import SubsetEntry
from nbplat.backfill.dialect.kinds import BOOLEAN, MIXED, NULL, UNKNOWN, common, kind_of

if TYPE_CHECKING:
    from sqlglot import exp

__all__ = ["NONDETERMINISTIC", "QUERY_ENTRIES", "SHAPES", "misshapen"]

# Node -> the parts it may have; None allows them all.
SHAPES: dict[str, tuple[str, ...] | None] = {
    "Select": ("expressions", "from_", "joins", "where", "group", "having", "with_", "distinct", "order", "limit"),
    "From": None,
    "Join": ("this", "side", "kind", "on", "using"),
    "Where": None,
    "Group": ("expressions",),
    "Having": None,
    "With": ("expressions",),
    "CTE": None,
    "Subquery": ("this", "alias"),
    "Table": ("this", "db", "catalog", "alias", "joins"),
    "TableAlias": None,
    "Identifier": None,
    "Column": None,
    "Alias": None,
    "Star": (),
    "Literal": None,
    "Null": None,
    "Boolean": None,
    "Paren": None,
    "Tuple": None,
    "Distinct": ("expressions",),
    "Union": ("this", "expression", "distinct", "with_"),
    "Intersect": ("this", "expression", "distinct", "with_"),
    "Except": ("this", "expression", "distinct", "with_"),
    "Order": ("expressions",),
    "Ordered": ("this", "desc", "nulls_first"),
    "Limit": None,
    "Filter": None,
    "Window": ("this", "partition_by", "order", "spec", "over"),
    "WindowSpec": None,
    "Interval": None,
    "Var": None,
    "DataType": None,
    "DataTypeParam": None,
    "ColumnDef": None,
    "PropertyEQ": None,  # a field of a struct
}

# Functions whose value is another one at each run, by sqlglot's class or by name.
NONDETERMINISTIC = frozenset(
    "Rand Randn Randstr Uuid CurrentTimestamp CurrentDate CurrentTime CurrentDatetime Localtimestamp Localtime "
    "CurrentUser SessionUser CurrentDatabase CurrentSchema CurrentCatalog CurrentTimezone Shuffle Version".split()
) | frozenset(
    "now random randstr uniform curdate monotonically_increasing_id input_file_name input_file_block_start "
    "input_file_block_length spark_partition_id user current_metastore version".split()
)


def misshapen(node: Any) -> str | None:
    """Say what is outside the subset in a clause; None when nothing is."""
    allowed = SHAPES[type(node).__name__]
    if allowed is not None:
        for part, value in node.args.items():
            if value and part not in allowed:
                return f"{part.replace('_', ' ').strip()} is outside the subset"
    check = _CHECKS.get(type(node).__name__)
    return check(node) if check else None


def _condition(node: Any) -> str | None:
    kind = kind_of(node.this)
    return None if kind in (BOOLEAN, NULL, UNKNOWN) else f"the condition is {kind}, not boolean"


def _select(node: exp.Select) -> str | None:
    if node.args.get("limit") and not node.args.get("order"):
        return "LIMIT without ORDER BY returns other rows at each run"
    return None


def _set_operation(node: Any) -> str | None:
    left, right = node.left.selects, node.right.selects
    if len(left) != len(right):
        return "the sides have different numbers of columns"
    for one, other in zip(left, right, strict=True):
        if common((kind_of(one), kind_of(other))) == MIXED:
            return f"{one.alias_or_name} is {kind_of(one)} on one side and {kind_of(other)} on the other"
    return None


def _window_spec(node: Any) -> str | None:
    return None if node.text("kind").upper() == "ROWS" else "only ROWS frames are in the subset"


_CHECKS = {
    "Where": _condition,
    "Having": _condition,
    "Select": _select,
    "Union": _set_operation,
    "Intersect": _set_operation,
    "Except": _set_operation,
    "WindowSpec": _window_spec,
}


def _entry(name: str, signature: str, notes: str = "") -> SubsetEntry:
    return SubsetEntry("query", name, signature, notes)


QUERY_ENTRIES: tuple[SubsetEntry, ...] = (
    _entry("joins", "[inner | left | right | full | cross | left semi | left anti] join … on …"),
    _entry("subqueries", "from (select …), in (select …), exists (select …), (select one value)"),
    _entry("common table expressions", "with x as (select …) select …"),
    _entry("grouping", "group by …, having …", "No cube, rollup or grouping sets."),
    _entry("sets", "union [all], intersect, except", "Below the outer SELECT."),
    _entry("distinct", "select distinct …"),
    _entry("order and limit", "order by … limit n", "LIMIT needs ORDER BY; ties make it another result at each run."),
    _entry(
        "windows", "over (partition by … order by … [rows between … and …])", "No RANGE frames. Nulls sort as in Spark."
    ),
    _entry("filter", "aggregate filter (where …)"),
    _entry(
        "literals", "7, 7L, 1.5D, 1e3, 'text', true, null, date '…', timestamp '…'", "1.5 is a decimal: write 1.5D."
    ),
)
