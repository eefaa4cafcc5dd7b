"""Python bodies and DataFrames from cells: a real shell, real runs in this process."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nbplat.errors import NbplatError
from nbplat.testing.shell import StrictShell, strict_shell
from nbplat.ui.desk import LocalDesk
from nbplat.ui.handlers import backfill as handlers
from nbplat.ui.python import Local
from nbplat.ui.shipping import feature_source, python_source, read_params, shipped_source
from tests.fixtures.lakehouse import ORDERS, Lake, lake

__all__ = ["lake"]

HEAD = f"--table {ORDERS} --key id"


@pytest.fixture
def notebook(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Iterator[StrictShell]:
    """A shell whose magics work on the lake, in this process."""
    monkeypatch.setattr(handlers, "open_desk", lambda: LocalDesk(lake.platform))
    with strict_shell() as shell:
        yield shell


def test_a_cell_with_a_python_body(notebook: StrictShell, lake: Lake) -> None:
    """Functions, classes and constants of the notebook, a module and a value go along; braces stay braces."""
    (lake.home / "rates.py").write_text("RATE = 3.0\n")
    notebook.run("from dataclasses import dataclass")
    notebook.run(
        "LIMIT = {'high': 50.0}\n\ndef clip(v):\n    return min(v, LIMIT['high'])\n\n"
        "@dataclass\nclass Shift:\n    by: int = 1\n"
    )
    options = f"--with clip --with LIMIT --with Shift --py {lake.home}/rates.py --param k=2"
    cell = f"""%%backfill clipped {HEAD} --lang python {options}
from dataclasses import dataclass
def feature(batch, params):
    import rates
    label = f"{{{{1}}}}"
    assert label == "{{1}}", label
    return {{"f": [clip(v * rates.RATE) + Shift().by + params["k"] + k for v in batch["id"].to_pylist()]}}
"""
    ran = notebook.run(cell)
    assert "clipped@1 awaiting_promotion" in str(ran.value)
    [module] = ran.value.value["run"]["spec"]["python"]["modules"]
    assert {"name", "sha256"} == set(module)
    expected = [min(v * 3.0, 50.0) + 5 for v in range(60)]
    assert expected == lake.staged("clipped@1")["f"].tolist()


FREE: dict[str, tuple[str, str]] = {
    "helper": ("def helper(v):\n    return v", "ship it: --with helper"),
    "Kind": ("class Kind:\n    pass", "ship it: --with Kind"),
    "rate": ("rate = 2.5", "ship it: --param rate=2.5"),
    "word": ("word = 'a b'", 'ship it: --param word="a b"'),
    "table": ("table = {'a': 1}", "ship it: --with table"),
    "np": ("import numpy as np", "write `import numpy as np` in the body"),
    "json": ("import json", "write `import json` in the body"),
    "dataclass": ("from dataclasses import dataclass", "write `from dataclasses import dataclass` in the body"),
    "nowhere": ("", "--with nowhere"),
}


@pytest.mark.parametrize("name", FREE)
def test_a_free_name_is_refused_with_the_very_option(notebook: StrictShell, lake: Lake, name: str) -> None:
    """What the name is in the notebook decides what the error says."""
    define, fix = FREE[name]
    notebook.run(define or "pass")
    before = lake.picture()
    ran = notebook.fails(f"%%backfill f {HEAD} --lang python\ndef feature(batch):\n    return {{'f': {name}(batch)}}\n")
    assert f"uses '{name}'" in str(ran.error)
    assert fix in ran.error.fix  # type: ignore[union-attr]
    assert before == lake.picture()


def test_a_module_of_ones_own_is_refused_with_its_path(notebook: StrictShell, tmp_path: Path) -> None:
    """A module that lies outside of the interpreter's packages is shipped by --py."""
    (tmp_path / "own_rates.py").write_text("RATE = 1\n")
    notebook.run(f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import own_rates; sys.path.pop(0)")
    ran = notebook.fails(
        f"%%backfill f {HEAD} --lang python\ndef feature(batch):\n    return {{'f': own_rates.RATE}}\n"
    )
    assert f"--py {tmp_path}/own_rates.py" in ran.error.fix  # type: ignore[union-attr]


BAD_LINES = {
    "a name that is not there": ("--lang python --with nope", "body.shipped"),
    "a value without text": ("--lang python --with frame", "body.shipped"),
    "a file that is not there": ("--lang python --py nope.py", "body.module"),
    "an option of Python bodies alone": ("--with frame", "usage.lang"),
    "a value without a name": ("--lang python --param k", "usage.param"),
    "a value twice": ("--lang python --param k=1 --param k=2", "usage.param"),
    "a frame that is not there": ("--frame nope", "frame.unknown"),
    "a frame that is none": ("--frame number", "frame.kind"),
    "a language there is not": ("--lang scala", "usage.arguments"),
    "two bodies": ("--python body.py", "usage.body"),
    "SQL for Python": ("--lang python --sql body.sql", "usage.body"),
}


@pytest.mark.parametrize("what", BAD_LINES)
def test_bad_lines_are_refused_without_effect(notebook: StrictShell, lake: Lake, what: str) -> None:
    """Each has its code, and nothing is stored."""
    from nbplat.ui import dispatch
    from nbplat.ui.nouns import find_noun

    options, code = BAD_LINES[what]
    notebook.set(frame=pd.DataFrame({"a": [1]}), number=7)
    body = "def feature(batch):\n    return {'f': batch['x']}" if "python" in options else "select id, 1 as f from base"
    before = lake.picture()
    noun = find_noun("backfill")
    with pytest.raises(NbplatError) as caught:
        dispatch.carry_out(
            noun,
            noun.verb("run"),  # type: ignore[arg-type]
            ["f", *HEAD.split(), *options.split()],
            where="cell",
            body=body,
            namespace=notebook.variables,
        )
    assert code == caught.value.code, caught.value
    assert before == lake.picture()


def test_a_frame_of_the_notebook(notebook: StrictShell, lake: Lake) -> None:
    """--frame names a DataFrame that the SQL reads by its bare name; the plan leaves nothing behind."""
    notebook.set(rates=pd.DataFrame({"customer": range(7), "rate": np.arange(7) * 0.5}))
    body = "SELECT base.id, rates.rate AS f FROM base LEFT JOIN rates ON rates.customer = base.customer\n"
    ran = notebook.run(f"%%backfill plan f {HEAD} --frame rates\n{body}")
    assert "nb_frames.rates__" in str(ran.value)
    assert [] == lake.platform.frames.tables.stored()
    notebook.run(f"%%backfill f {HEAD} --frame rates\n{body}")
    assert np.array_equal(lake.rows()["customer"] * 0.5, lake.staged("f@1")["f"])


def test_show_has_the_python_body(notebook: StrictShell) -> None:
    """`%backfill show` gives the text of the function."""
    notebook.run(
        f"%%backfill f {HEAD} --lang python --background\ndef feature(batch):\n    return {{'f': batch['x']}}\n"
    )
    assert "def feature(batch):" in str(notebook.run("%backfill show f").value)


def spend(batch: Any) -> Any:
    import pyarrow.compute as pc

    return {"f": pc.multiply(batch["x"], scale(3.0))}


def scale(by: float) -> float:
    return by * OFFSET


OFFSET = 2.0


def test_a_callable_is_a_body(lake: Lake) -> None:
    """`nb.backfill(python=function)` takes its source under the name feature, with what is shipped."""
    here = Local(LocalDesk(lake.platform))
    made = here.backfill("f", table=ORDERS, python=spend, keys=["id"], ship={"scale": scale, "OFFSET": OFFSET})
    assert "awaiting_promotion" == made.value["run"]["state"]
    assert np.array_equal(lake.rows()["x"] * 6.0, lake.staged("f@1")["f"], equal_nan=True)
    with pytest.raises(NbplatError, match="--with scale"):
        here.backfill("f", table=ORDERS, python=spend, keys=["id"])


def test_sources_of_what_is_shipped() -> None:
    """Functions under another name keep working under it, constants are written down, text is dedented."""
    assert "OFFSET = 2.0" == shipped_source("OFFSET", globals())
    assert shipped_source("other", {"other": scale}).endswith("\nother = scale")
    assert feature_source(spend).startswith("def feature(batch: Any)")
    assert "text" == feature_source("text")


def test_values_are_json_or_text() -> None:
    """k=v reads numbers, lists and true as JSON, all else as text, and keeps equals signs."""
    words = ["a=1", "b=1.5", "c=true", "d=[1, 2]", "e=2024-01-01", "f=x=y", "g="]
    expected = {"a": 1, "b": 1.5, "c": True, "d": [1, 2], "e": "2024-01-01", "f": "x=y", "g": ""}
    assert expected == read_params(words)


def test_a_package_folder_is_zipped_the_same_each_time(tmp_path: Path) -> None:
    """Equal sources give equal bytes, whenever they were written; caches stay out."""
    import base64

    source = "def feature(batch):\n    return {'f': batch['x']}"
    package = tmp_path / "rates"
    (package / "__pycache__").mkdir(parents=True)
    (package / "__init__.py").write_text("RATE = 1")
    (package / "__pycache__" / "x.pyc").write_bytes(b"0")
    [first] = python_source(source, py=[str(package)], namespace={})["modules"]
    (package / "__init__.py").touch()
    [again] = python_source(source, py=[str(package)], namespace={})["modules"]
    assert first == again
    assert "rates.zip" == first["name"]
    names = zipfile.ZipFile(io.BytesIO(base64.b64decode(first["data"]))).namelist()
    assert ["rates/__init__.py"] == names
