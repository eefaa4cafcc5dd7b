"""What is read from a Python body's text, and what is refused, without running it."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from nbplat.backfill.body import parse_body
from nbplat.backfill.python_body import MODULE_BYTES, parse_python
from nbplat.backfill.spec import BackfillSpec
from nbplat.errors import RequestError

OK = "def feature(batch):\n    return {'f': batch['x']}"


def module(name: str = "m.py", data: bytes = b"") -> dict[str, str]:
    return {"name": name, "data": base64.b64encode(data).decode()}


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "nothing": (" \n", {}, "body.empty"),
    "no Python": ("def feature(batch)\n    return 1", {}, "body.syntax"),
    "a return outside": ("return 1", {}, "body.syntax"),
    "no function": ("X = 1", {}, "body.feature"),
    "another name": ("def spend(batch): return {}", {}, "body.feature"),
    "two of them": (f"{OK}\n{OK}", {}, "body.feature"),
    "no argument": ("def feature(): return {}", {}, "body.feature"),
    "three arguments": ("def feature(a, b, c): return {}", {}, "body.feature"),
    "a second argument that is not params": ("def feature(batch, other): return {}", {}, "body.feature"),
    "stars": ("def feature(*batch): return {}", {}, "body.feature"),
    "async": ("async def feature(batch): return {}", {}, "body.statement"),
    "a call beside it": (f"print(1)\n{OK}", {}, "body.statement"),
    "a loop beside it": (f"for i in range(3):\n    pass\n{OK}", {}, "body.statement"),
    "names hidden by a star": (f"from numpy import *\n{OK}", {}, "body.statement"),
    "a free name": ("def feature(batch): return {'f': rate * 2}", {}, "body.free_name"),
    "a free name of a shipped function": (OK, {"shipped": {"h": "def h(): return rate"}}, "body.free_name"),
    "a free decorator": (f"@cached\n{OK}", {}, "body.free_name"),
    "a source that defines another name": (OK, {"shipped": {"h": "def g(): return 1"}}, "body.shipped"),
    "a source that is no Python": (OK, {"shipped": {"h": "def h("}}, "body.syntax"),
    "a parameter that is no name": (OK, {"params": {"a-b": 1}}, "body.param"),
    "a parameter that hides the batch": (OK, {"params": {"batch": 1}}, "body.param"),
    "a parameter JSON cannot hold": (OK, {"params": {"k": float("nan")}}, "body.param"),
    "a module of another kind": (OK, {"modules": [module("m.so")]}, "body.module"),
    "a module outside its folder": (OK, {"modules": [module("../m.py")]}, "body.module"),
    "a module twice": (OK, {"modules": [module(), module()]}, "body.module"),
    "modules above the limit": (OK, {"modules": [module(data=b"#" * (MODULE_BYTES + 1))]}, "body.module"),
    "a module that is no base64": (OK, {"modules": [{"name": "m.py", "data": "!"}]}, "body.module"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_body_that_cannot_be_is_refused(what: str) -> None:
    """Each has its code and a mend."""
    source, options, code = REFUSED[what]
    with pytest.raises(RequestError) as caught:
        parse_python(source, **options)
    assert code == caught.value.code, caught.value
    assert caught.value.fix


def test_the_error_names_line_column_and_the_flag_that_ships() -> None:
    """Syntax errors have their place; a free name has its line and every way to ship it."""
    with pytest.raises(RequestError) as caught:
        parse_python("\ndef feature(batch):\n    return {'f': batch['x'}")
    assert "line 3, column 27" == caught.value.where
    with pytest.raises(RequestError) as caught:
        parse_python("def feature(batch):\n    k = 1\n    return {'f': rate * k}")
    assert "line 3" == caught.value.where
    for flag in ("--with rate", "--param rate=", "--py"):
        assert flag in caught.value.fix


WHOLE = {
    "imports in the function": "def feature(batch):\n    import numpy as np\n    return {'f': np.ones(len(batch))}",
    "imports beside it": "import numpy as np\ndef feature(batch): return {'f': np.ones(len(batch))}",
    "constants and functions beside it": "K = 2\ndef g(x): return x * K\ndef feature(batch): return {'f': g(1)}",
    "a class, annotations and builtins": (
        "from dataclasses import dataclass\n@dataclass\nclass P:\n    a: Something\n"
        "def feature(batch: pyarrow.Table) -> dict | pyarrow.Table: return {'f': [P(i) for i in range(len(batch))]}"
    ),
    "closures, comprehensions and walrus": (
        "def feature(batch):\n    n = len(batch)\n    def inner(i): return i + n\n"
        "    return {'f': [y for i in range(n) if (y := inner(i))], 'g': {k: v for k, v in enumerate('ab')}}"
    ),
    "exceptions and with": (
        "def feature(batch):\n    try:\n        with open('x') as f: pass\n    except OSError as e: return {'f': [e]}"
    ),
}


@pytest.mark.parametrize("what", WHOLE)
def test_a_body_that_is_whole_needs_nothing(what: str) -> None:
    """What it defines, imports or finds among the builtins is not free."""
    assert WHOLE[what] == parse_python(WHOLE[what]).source


def test_shipped_names_and_params_are_not_free() -> None:
    """Names that are shipped, of one another too, and parameters are there."""
    made = parse_python(
        "def feature(batch):\n    return {'f': h(k)}",
        shipped={"h": "def h(x): return g(x)", "g": "def g(x): return x"},
        params={"k": [1, {"a": None}]},
    )
    assert ["g", "h"] == list(made.shipped)


READS: dict[str, tuple[str, tuple[str, ...] | None]] = {
    "subscripts": ("return {'f': batch['x'], 'g': batch['y']}", ("x", "y")),
    "column and select": ("return {'f': batch.column('x'), 'g': batch.select(['y', 'z'])}", ("x", "y", "z")),
    "counts": ("return {'f': [len(batch)] * batch.num_rows}", ()),
    "a variable column": ("return {n: batch[n] for n in ['x']}", None),
    "a position": ("return {'f': batch[0]}", None),
    "all of it": ("return batch", None),
    "another name for it": ("b = batch\n    return {'f': b['x']}", None),
    "another value under its name": ("batch = batch.append_column('z', [1])\n    return batch", None),
    "handed to a function": ("return {'f': list(batch)}", None),
    "another method": ("return {'f': batch.to_pandas()['x']}", None),
    "a select that is computed": ("return {'f': batch.select([n for n in 'xy'])}", None),
}


@pytest.mark.parametrize("what", READS)
def test_the_columns_it_reads_are_found_in_the_text(what: str) -> None:
    """Literal names count; any other use of the batch may read every column."""
    body, expected = READS[what]
    assert expected == parse_python(f"def feature(batch):\n    {body}").inferred


def spec(**python: Any) -> BackfillSpec:
    return BackfillSpec.build("f", "shop.orders", python={"source": OK, **python}, keys=("id",))


def test_a_spec_survives_its_json_form() -> None:
    """Sources, modules, values and options come back equal."""
    import json

    made = spec(
        shipped={"h": "def h(): return 1"},
        modules=[module(data=b"X = 1")],
        params={"k": 1.5},
        read=["x"],
        group_by=["g"],
        interpreter="/usr/bin/python3",
        env="prod",
    )
    assert made == BackfillSpec.from_record(json.loads(json.dumps(made.record())))


def test_all_that_decides_the_result_is_its_identity() -> None:
    """Source, shipped sources, bytes of modules, values, columns, groups and interpreter each change it."""
    changed = [
        {},
        {"source": OK + "  # other"},
        {"shipped": {"h": "def h(): return 1"}},
        {"modules": [module(data=b"X = 1")]},
        {"modules": [module(data=b"X = 2")]},
        {"params": {"k": 1}},
        {"params": {"k": "1"}},
        {"read": ["x"]},
        {"group_by": ["g"]},
        {"interpreter": "/opt/python"},
        {"env": "prod"},
    ]
    assert len(changed) == len({spec(**options).identity for options in changed})


def test_one_body_only() -> None:
    """SQL and Python together are refused, and so is a frame beside Python."""
    with pytest.raises(RequestError, match="an SQL body and a Python body"):
        BackfillSpec.build("f", "a.b", "select 1 from base", python={"source": OK})
    with pytest.raises(RequestError) as caught:
        BackfillSpec.build("f", "a.b", python={"source": OK}, frames={"df": "nb_frames.df__1"})
    assert "frame.python" == caught.value.code


def test_a_body_reads_the_table_of_its_frame() -> None:
    """The bare name is the frame's table under that name; an alias of the body's own stays, a CTE comes first."""
    frames = {"df": "nb_frames.df__1"}
    made = parse_body("select b.id, df.v, d.v as w from base b join df using (id) join df as d using (id)", frames)
    assert ["nb_frames.df__1"] == [str(source) for source in made.sources]
    assert "nb_frames.df__1 AS df" in made.sql
    assert "nb_frames.df__1 AS d" in made.sql
    assert made == parse_body(made.sql, frames)
    hidden = "with df as (select 1 as id) select base.id, df.id as f from base join df on true"
    with pytest.raises(RequestError) as caught:
        parse_body(hidden, frames)
    assert "frame.unused" == caught.value.code


def test_a_bare_name_that_is_no_frame_is_refused_with_the_flag() -> None:
    """The error says --frame."""
    with pytest.raises(RequestError) as caught:
        parse_body("select base.id, df.v from base join df using (id)")
    assert "--frame df" in caught.value.fix
