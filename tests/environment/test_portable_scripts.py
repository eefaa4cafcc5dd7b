"""First lines of scripts that find their Python beside themselves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from nbplat.environment.packing.scripts import portable_script, script_stub

_PREFIX = "/opt/env"
_LONG = "/opt/" + "long/" * 40 + "env"
HEADS = [
    f"#!{_PREFIX}/bin/python\n",
    f"#!{_PREFIX}/bin/python3.11\n",
    f"#! {_PREFIX}/bin/python3 \n",
    f"#!{_PREFIX}/bin/python\r\n",
    f"#!/bin/sh\n'''exec' {_PREFIX}/bin/python3.11 \"$0\" \"$@\" #'''\n",
    f"#!/bin/sh\n'''exec' '{_PREFIX}/bin/python' \"$0\" \"$@\"\n' '''\n",
    f"#!/bin/sh\n'''exec' \"{_PREFIX}/bin/python\" \"$0\" \"$@\"\n' '''\n",
]


@pytest.mark.parametrize("head", HEADS)
def test_every_installers_head_becomes_ours(head: str, tmp_path: Path) -> None:
    """Whatever an installer wrote for one prefix, the script runs with the Python beside it, in a path with a space."""
    found = portable_script((head + "# -*- coding: utf-8 -*-\nimport sys\nprint(sys.argv[1:])\n").encode(), b"/opt/env")
    assert found is not None
    home = tmp_path / "a folder" / "bin"
    home.mkdir(parents=True)
    (home / "run").write_bytes(found)
    (home / "run").chmod(0o755)
    for name in ("python", "python3", "python3.11"):
        (home / name).write_text(f'#!/bin/sh\necho started here\nexec {sys.executable} "$@"\n')
        (home / name).chmod(0o755)
    done = subprocess.run([home / "run", "x y", "z"], capture_output=True, text=True, check=True, timeout=60)
    assert "started here\n['x y', 'z']\n" == done.stdout


def test_arguments_of_python_stay() -> None:
    """``-E`` and its like travel on."""
    found = portable_script(b"#!/opt/env/bin/python -E -s\nimport sys\n", b"/opt/env")
    assert found is not None
    assert b'/python -E -s "$0" "$@"' in found


def test_lengths_do_not_show() -> None:
    """The same script of a short and of a long prefix becomes the same bytes."""
    short = portable_script(f"#!{_PREFIX}/bin/python\nimport sys\n".encode(), _PREFIX.encode())
    long = portable_script(
        f"#!/bin/sh\n'''exec' '{_LONG}/bin/python' \"$0\" \"$@\"\n' '''\nimport sys\n".encode(), _LONG.encode()
    )
    assert short == long


@pytest.mark.parametrize(
    "script",
    [
        b"#!/usr/bin/env python\nimport sys\n",
        b"#!/opt/other/bin/python\nimport sys\n",
        b"#!/opt/env/bin/perl\n",
        b"\x7fELF",
        b"",
        b"#!/opt/env/bin/python\n'''doc'''\nfrom __future__ import annotations\n",
        b"#!/opt/env/bin/python\n# -*- coding: latin-1 -*-\nx = '\xe9'\n",
        b"#!/opt/env/bin/python\nprint 'two'\n",
    ],
)
def test_what_would_mean_something_else_stays_as_it_is(script: bytes) -> None:
    """Other interpreters, other encodings, future imports behind a docstring, and what does not compile."""
    assert portable_script(script, b"/opt/env") is None


def test_stub_without_python_takes_the_machines() -> None:
    """An environment without a Python is relocated by the one that is there."""
    assert "#!/bin/sh\n'''exec' python3 -S \"$0\" \"$@\"\n' '''\n" == script_stub("", "-S")
