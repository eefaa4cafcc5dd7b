"""Child interpreters: real processes that run user code, die of it, and leave us alive."""

from __future__ import annotations

import base64
import io
import os
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from nbplat.remote.bundle import bundle_bytes, write_bundle
from nbplat.remote.child import Child, Children
from nbplat.remote.failure import KernelError
from nbplat.remote.python_body import compile_body, schema_text
from tests.fixtures.interpreters import make_venv
from tests.fixtures.waiting import wait_until

ROWS = pa.table({"id": pa.array(range(6), pa.int64()), "g": list("aabbcc"), "x": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]})


def record(source: str, **options: Any) -> dict[str, Any]:
    made = {
        "lang": "python",
        "source": source,
        "shipped": {},
        "modules": [],
        "params": {},
        "keys": ["id"],
        "reads": ["id", "g", "x"],
        "group_by": [],
        "schema": schema_text(pa.schema([("f", pa.float64())])),
        "declared": [],
        "interpreter": "",
        "folder": "",
        "limit_s": 30.0,
    }
    return {**made, **options}


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Callable[..., pa.Table]]:
    """Runs a body over `ROWS` in children that end with the test."""
    children = Children()

    def run(source: str, rows: pa.Table = ROWS, **options: Any) -> pa.Table:
        return children.run(record(source, folder=str(tmp_path / "remote"), **options), rows)

    yield run
    children.close()


def here(source: str, rows: pa.Table = ROWS, **options: Any) -> pa.Table:
    """What the child does, in this process: for what does not need a process of its own."""
    body = record(source, **options)
    return compile_body(body)(rows, body["schema"], body["declared"])


def fails(run: Callable[..., pa.Table], source: str, **options: Any) -> KernelError:
    with pytest.raises(KernelError) as caught:
        run(source, **options)
    return caught.value


def test_the_bundle_is_the_same_for_the_same_sources(tmp_path: Path) -> None:
    """Its bytes do not depend on when it was made, it is named by them, and a damaged one is written anew."""
    assert bundle_bytes() == bundle_bytes()
    path = Path(write_bundle(str(tmp_path)))
    assert bundle_bytes() == path.read_bytes()
    path.write_bytes(b"half")
    assert str(path) == write_bundle(str(tmp_path))
    names = zipfile.ZipFile(io.BytesIO(path.read_bytes())).namelist()
    assert b"" == zipfile.ZipFile(path).read("nbplat/__init__.py")
    assert {"__main__.py", "nbplat/remote/kernel.py", "nbplat/remote/python_body.py"} <= set(names)


def test_a_body_runs_in_an_environment_without_nbplat(tmp_path: Path, pool: Callable[..., pa.Table]) -> None:
    """The interpreter needs pyarrow and numpy only; nbplat is not importable there but for the bundle."""
    python = make_venv(tmp_path / "venv")
    probe = subprocess.run(
        [python, "-I", "-c", "import nbplat"], capture_output=True, text=True, timeout=60, check=False
    )
    assert "ModuleNotFoundError" in probe.stderr
    source = "import sys\ndef feature(batch):\n    return {'f': [len(sys.prefix) * 1.0] * len(batch)}"
    made = pool(source, interpreter=str(python))
    assert [float(len(str(tmp_path / "venv")))] * 6 == made["f"].to_pylist()


def test_the_bundle_is_all_that_a_kernel_needs(tmp_path: Path) -> None:
    """Every module of the package imports from the zip alone, in an environment without nbplat."""
    python = make_venv(tmp_path / "venv")
    path = write_bundle(str(tmp_path))
    code = (
        f"import sys, pkgutil, importlib; sys.path.insert(0, {path!r}); import nbplat.remote as package\n"
        "names = [m.name for m in pkgutil.iter_modules(package.__path__) if m.name != '__main__']\n"
        "[importlib.import_module('nbplat.remote.' + name) for name in names]; print(len(names))"
    )
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (0, "") == (done.returncode, done.stderr)
    assert 8 < int(done.stdout)


@pytest.mark.parametrize(("packages", "missing"), [(("numpy",), "pyarrow"), (("pyarrow",), "numpy")])
def test_an_interpreter_without_a_package_is_refused(tmp_path: Path, packages: tuple[str, ...], missing: str) -> None:
    """The error names the package and what to do."""
    python = make_venv(tmp_path / "venv", *packages)
    with pytest.raises(KernelError) as caught:
        Child(str(python), str(tmp_path / "remote"))
    assert ("python.package", "SetupError") == (caught.value.code, caught.value.kind)
    assert f"has no {missing}" in caught.value.message
    assert "--env" in caught.value.fix


@pytest.mark.parametrize("what", ["missing", "no python", "ends"])
def test_what_is_no_interpreter_is_refused(tmp_path: Path, what: str) -> None:
    """A path that is not there, not executable, or ends at once."""
    path = tmp_path / "python"
    if what != "missing":
        path.write_text("#!/bin/sh\necho no such thing >&2\nexit 4\n")
        path.chmod(0o755 if what == "ends" else 0o644)
    with pytest.raises(KernelError) as caught:
        Child(str(path), str(tmp_path / "remote"))
    assert ("python.interpreter", "SetupError") == (caught.value.code, caught.value.kind)
    assert what != "ends" or "no such thing" in caught.value.message


@pytest.mark.parametrize(
    ("source", "how"),
    [
        ("import os\ndef feature(batch):\n    print('last words', flush=True)\n    os._exit(7)", "exit code 7"),
        ("import sys\ndef feature(batch):\n    print('last words')\n    sys.exit(5)", "exit code 5"),
        ("import ctypes\ndef feature(batch):\n    print('last words', flush=True)\n    ctypes.string_at(0)", "SIGSEGV"),
    ],
)
def test_code_that_ends_its_interpreter_is_an_error_of_its_unit(
    pool: Callable[..., pa.Table], source: str, how: str
) -> None:
    """The error says how it ended and what it said last; the next unit has a fresh interpreter."""
    error = fails(pool, source)
    assert "body.crashed" == error.code
    assert how in error.message
    assert "last words" in error.message
    again = pool("def feature(batch):\n    return {'f': batch['x']}")
    assert [1.0, 2.0] == again["f"].to_pylist()[:2]


def test_code_that_never_ends_is_ended(pool: Callable[..., pa.Table]) -> None:
    """A call over its time is an error that names the setting."""
    error = fails(pool, "def feature(batch):\n    while True:\n        pass", limit_s=0.5)
    assert "body.slow" == error.code
    assert "limits.python_seconds" in error.fix


def test_a_child_is_used_again(pool: Callable[..., pa.Table]) -> None:
    """Units of one body are run by one process, and an error in one leaves it fit for the next."""
    source = """
import os
def feature(batch):
    if batch['x'][0].as_py() < 0:
        raise ValueError('no')
    return {'f': [os.getpid() * 1.0] * len(batch)}
"""
    first = pool(source)["f"][0].as_py()
    fails(pool, source, rows=ROWS.set_column(2, "x", pa.array([-1.0] * 6)))
    assert first == pool(source)["f"][0].as_py() != float(os.getpid())


def test_an_idle_child_is_ended(tmp_path: Path) -> None:
    """A child that has waited long enough is gone, and the next batch has a new one."""
    children = Children(idle_s=0.2)
    body = record(
        "import os\ndef feature(batch):\n    return {'f': [os.getpid() * 1.0] * len(batch)}", folder=str(tmp_path)
    )
    pid = int(children.run(body, ROWS)["f"][0].as_py())
    wait_until(lambda: not _alive(pid), what="the end of the idle child")
    assert pid != int(children.run(body, ROWS)["f"][0].as_py())
    children.close()


def test_threads_have_children_of_their_own(pool: Callable[..., pa.Table]) -> None:
    """Two slots run at the same time: each waits for the other to have begun."""
    source = """
import os, time
def feature(batch, params):
    open(os.path.join(params["folder"], str(os.getpid())), "w").close()
    end = time.monotonic() + 20
    while len(os.listdir(params["folder"])) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    return {"f": [len(os.listdir(params["folder"])) * 1.0] * len(batch)}
"""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        found: list[float] = []
        threads = [
            threading.Thread(target=lambda: found.append(pool(source, params={"folder": folder})["f"][0].as_py()))
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert [2.0, 2.0] == found


def test_a_child_ends_with_its_parent(tmp_path: Path) -> None:
    """kill -9 of the process that staged leaves no interpreter behind, also one that is in user code."""
    body = record("import time\ndef feature(batch):\n    time.sleep(600)", folder=str(tmp_path))
    code = (
        "import pyarrow as pa, threading, time\n"
        "from nbplat.remote.child import Child\n"
        f"child = Child('', {str(tmp_path)!r}); child.load({body!r})\n"
        "rows = pa.table({'id': [1], 'g': ['a'], 'x': [1.0]})\n"
        f"threading.Thread(target=child.run, args=(rows, {body!r}), daemon=True).start()\n"
        "print(child._process.pid, flush=True); time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    os.kill(pid, 0)
    parent.kill()
    parent.wait(10)
    parent.stdout.close()
    wait_until(lambda: not _alive(pid), what="the end of the child")


def _alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_what_the_function_prints_goes_to_the_log(tmp_path: Path) -> None:
    """Lines of print, of C and of stderr arrive one by one, and never among the messages."""
    lines: list[str] = []
    child = Child("", str(tmp_path), lines.append)
    try:
        source = """
import os, sys
def feature(batch):
    print('one')
    os.write(1, b'two\\n')
    print('three', file=sys.stderr, end='')
    sys.stdin.read()
    return {'f': batch['x']}
"""
        body = record(source)
        child.load(body)
        assert 6 == child.run(ROWS, body).num_rows
    finally:
        child.close()
    assert {"one", "two", "three"} == set(lines)


def test_an_exception_shows_the_users_own_lines() -> None:
    """The error names the exception, the lines of body and shipped sources it went through, and keys of the batch."""
    error = fails(
        here,
        "import pyarrow.compute as pc\n\ndef feature(batch):\n    return {'f': ratio(batch)}",
        shipped={"ratio": "def ratio(batch):\n    return pc.divide(batch['id'], 0)"},
    )
    assert "body.raised" == error.code
    assert "ArrowInvalid: divide by zero" in error.message
    assert "body, line 4, in feature: return {'f': ratio(batch)}" in error.message
    assert "with ratio, line 2, in ratio: return pc.divide(batch['id'], 0)" in error.message
    assert "(id=0), (id=1), (id=2)" in error.message
    assert "site-packages" not in error.message


def test_modules_params_and_shipped_names_are_there(pool: Callable[..., pa.Table]) -> None:
    """A module and a package in a zip are imported, a value is there by name and in `params`."""
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("rates/__init__.py", "from rates.table import RATE")
        archive.writestr("rates/table.py", "RATE = 10.0")
    made = pool(
        "def feature(batch, params):\n"
        "    import rates, plus\n"
        "    return {'f': [plus.add(x * rates.RATE, k) + params['k'] + C for x in batch['x'].to_pylist()]}",
        modules=[
            {"name": "plus.py", "data": base64.b64encode(b"def add(a, b):\n    return a + b").decode()},
            {"name": "rates.whl", "data": base64.b64encode(zipped.getvalue()).decode()},
        ],
        shipped={"C": "C = 1000.0"},
        params={"k": 1},
    )
    assert [1012.0, 1022.0, 1032.0] == made["f"].to_pylist()[:3]


def test_shipped_definitions_may_need_one_another() -> None:
    """A base class, a decorator and an import of the body are there when a shipped source needs them at once."""
    made = here(
        "from dataclasses import dataclass\nA2 = B().plus(1.0)\n"
        "def feature(batch):\n    return {'f': [A2] * len(batch)}",
        shipped={
            "A": "@dataclass\nclass A(Z):\n    x: float = 1.0",
            "B": "class B(A):\n    def plus(self, y): return self.x + y",
            "Z": "class Z:\n    pass",
        },
    )
    assert [2.0] * 6 == made["f"].to_pylist()
    error = fails(here, "def feature(batch):\n    return {}", shipped={"C": "class C(Gone):\n    pass"})
    assert "NameError" in error.message
    assert "with C, line 1" in error.message


def test_an_error_in_a_module_names_its_line(pool: Callable[..., pa.Table]) -> None:
    """Lines of shipped modules are the user's own."""
    error = fails(
        pool,
        "def feature(batch):\n    import deep\n    return deep.go()",
        modules=[{"name": "deep.py", "data": base64.b64encode(b"\ndef go():\n    raise KeyError('k')\n").decode()}],
    )
    assert "deep.py, line 3, in go: raise KeyError('k')" in error.message


def test_a_module_that_is_not_there_is_named_with_the_way_to_ship_it() -> None:
    """An import that fails says --py and --env."""
    error = fails(here, "def feature(batch):\n    import no_such_thing")
    assert "--py PATH of no_such_thing" in error.fix


def test_groups_come_whole_one_by_one() -> None:
    """Each call has all rows of one group in their order, nulls are a group, and results are put together."""
    rows = pa.table({"id": range(6), "g": ["b", None, "a", "b", None, "a"], "x": [6.0, 5.0, 4.0, 3.0, 2.0, 1.0]})
    source = """
def feature(batch):
    return {'f': [len(set(batch['g'].to_pylist())) * 100.0 + batch['x'][0].as_py()] * len(batch)}
"""
    made = here(source, rows=rows, group_by=["g"]).sort_by("id")
    assert [106.0, 105.0, 104.0, 106.0, 105.0, 104.0] == made["f"].to_pylist()


def test_several_group_columns() -> None:
    """A group is one combination of values."""
    rows = pa.table({"id": range(4), "g": list("aabb"), "x": [1.0, 2.0, 1.0, 1.0]})
    made = here(
        "def feature(batch):\n    return {'f': [len(batch) * 1.0] * len(batch)}", rows=rows, group_by=["g", "x"]
    )
    assert [1.0, 1.0, 2.0, 2.0] == made.sort_by("id")["f"].to_pylist()


def test_no_rows_need_no_call() -> None:
    """An empty batch gives empty columns of the planned types."""
    made = here("def feature(batch):\n    raise ValueError", rows=ROWS.slice(0, 0))
    assert (0, pa.float64()) == (made.num_rows, made["f"].type)


def test_a_table_is_taken_by_key() -> None:
    """A Table, a record batch and anything with the Arrow stream protocol keep their keys."""
    for made in ("t", "t.to_batches()[0]", "Wrapped(t)"):
        source = f"""
class Wrapped:
    def __init__(self, table): self.table = table
    def __arrow_c_stream__(self, schema=None): return self.table.__arrow_c_stream__(schema)
def feature(batch):
    import pyarrow as pa
    t = pa.table({{"id": [5, 4, 3, 2, 1, 0], "f": [0.5, 0.4, 0.3, 0.2, 0.1, 0.0]}})
    return {made}
"""
        assert [5, 4, 3, 2, 1, 0] == here(source)["id"].to_pylist()


BAD = {
    "fewer values": ("return {'f': [1.0]}", "body.length"),
    "keys in another order": ("return {'id': batch['id'].to_pylist()[::-1], 'f': batch['x']}", "body.keys_moved"),
    "a table without keys": ("import pyarrow as pa; return pa.table({'f': batch['x']})", "body.keys"),
    "no table at all": ("return 7", "body.result"),
    "text for values": ("return {'f': 'abc'}", "body.result"),
    "values of two types": ("return {'f': [1.0, 'a', 1.0, 1.0, 1.0, 1.0]}", "body.result_type"),
    "another column": ("return {'h': batch['x']}", "body.column_missing"),
    "one column more": ("return {'f': batch['x'], 'h': batch['x']}", "body.column_missing"),
    "another type": ("return {'f': ['a'] * len(batch)}", "body.type_drift"),
    "integers where numbers were": ("return {'f': [1] * len(batch)}", "body.type_drift"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_result_that_does_not_fit_is_refused(what: str) -> None:
    """Each with its code and a mend."""
    body, code = BAD[what]
    error = fails(here, f"def feature(batch):\n    {body}")
    assert code == error.code, error
    assert error.fix


def test_a_declared_type_is_cast_to() -> None:
    """Values of another type are cast where nothing is lost, and refused where something would be."""
    integers = schema_text(pa.schema([("f", pa.int64())]))
    made = here("def feature(batch):\n    return {'f': batch['x']}", schema=integers, declared=["f"])
    assert [1, 2, 3, 4, 5, 6] == made["f"].to_pylist()
    halves = "import pyarrow.compute as pc\ndef feature(batch):\n    return {'f': pc.divide(batch['x'], 2.0)}"
    assert "body.values" == fails(here, halves, schema=integers, declared=["f"]).code


def test_nulls_fit_every_type() -> None:
    """A batch whose values are all None has the planned type."""
    made = here("def feature(batch):\n    return {'f': [None] * len(batch)}")
    assert (6, pa.float64()) == (made["f"].null_count, made["f"].type)


def test_samples_have_plain_types() -> None:
    """What NumPy, pandas and Arrow give is brought to types that a table can hold; a matrix becomes lists."""
    source = """
import numpy as np
import pyarrow as pa
from datetime import datetime
def feature(batch):
    n = len(batch)
    return {
        "small": np.arange(n, dtype=np.int8), "unsigned": np.arange(n, dtype=np.uint32),
        "half": np.arange(n, dtype=np.float16), "word": pa.array(["a"] * n).dictionary_encode(),
        "long_word": pa.array(["a"] * n, pa.large_string()), "when": np.array(["2024-01-01"] * n, "datetime64[ns]"),
        "there": pa.array([datetime(2024, 1, 1)] * n, pa.timestamp("ms", tz="Europe/Berlin")),
        "vector": np.ones((n, 3), np.float32), "tags": [["a", None]] * n, "point": [{"a": 1}] * n,
    }
"""
    made = here(source, schema=None)
    expected = {
        "small": pa.int32(),
        "unsigned": pa.int64(),
        "half": pa.float32(),
        "word": pa.string(),
        "long_word": pa.string(),
        "when": pa.timestamp("us"),
        "there": pa.timestamp("us", "UTC"),
        "vector": pa.list_(pa.float32()),
        "tags": pa.list_(pa.string()),
        "point": pa.struct([("a", pa.int64())]),
    }
    assert expected == {name: made.schema.field(name).type for name in expected}
    assert [[1.0, 1.0, 1.0]] == made["vector"].to_pylist()[:1]


def test_bodies_do_not_see_each_other(pool: Callable[..., pa.Table]) -> None:
    """Names of one body are not there in another one."""
    pool("SECRET = 1\ndef feature(batch):\n    return {'f': batch['x']}")
    assert "NameError" in fails(pool, "def feature(batch):\n    return {'f': SECRET}").message


def test_another_protocol_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child of another version says so at hello and is not used."""
    import nbplat.remote.child as child

    monkeypatch.setattr(child, "PROTOCOL", 99)
    with pytest.raises(KernelError) as caught:
        Child("", str(tmp_path))
    assert "python.interpreter" == caught.value.code
    assert "speaks protocol" in caught.value.message


def test_a_big_batch_goes_through(pool: Callable[..., pa.Table]) -> None:
    """Megabytes in both directions do not stop in a full pipe."""
    rows = pa.table({"id": np.arange(1_000_000), "g": pa.nulls(1_000_000, pa.string()), "x": np.ones(1_000_000)})
    began = time.monotonic()
    made = pool("def feature(batch):\n    return {'f': batch['x']}", rows=rows)
    assert 1_000_000.0 == float(np.asarray(made["f"]).sum())
    assert 20 > time.monotonic() - began
