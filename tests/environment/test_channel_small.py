"""The small channel of the tests: solved and installed by a conda client, and run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.fixtures.channels import SmallChannel
from tests.fixtures.conda_client import installed


def run(*words: str | Path) -> str:
    return subprocess.run(
        [str(one) for one in words], check=True, capture_output=True, text=True, timeout=60, env={}
    ).stdout


def test_installed_environment_runs_from_its_own_folder(small_channel: SmallChannel, tmp_path: Path) -> None:
    """Python, a marker, compiled and script prefixes and entry points of the channel work where they are installed."""
    prefix = tmp_path / "somewhere" / "env"
    installed(small_channel, prefix, "python", "nbplat-marker 7.7.7", "prefixdemo", "greeter", "speller")
    program = (
        "import sys, ssl, sqlite3, ctypes, lzma, bz2, zlib, sysconfig, nbplat_marker;"
        "print(sys.prefix, nbplat_marker.__version__, sysconfig.get_config_var('prefix'), sys.version)"
    )
    assert f"{prefix} 7.7.7 {prefix} {sys.version}\n" == run(prefix / "bin/python", "-c", program)
    assert [f"{prefix}/etc/demo.conf", f"root={prefix}"] == run(prefix / "bin/prefixdemo").split()
    assert f"shebang ok {prefix}\n" == run(prefix / "bin/demo.sh")
    assert f"hello from {prefix}\n" == run(prefix / "bin/greet")
    assert "h i\n" == run(prefix / "bin/spell", "hi")
    assert "loud = no\n" == (prefix / "etc/speller.conf").read_text()


def test_another_minor_version_becomes_a_channel(other_channel: SmallChannel, tmp_path: Path) -> None:
    """`--python PATH` packages another interpreter than the one that runs: its own version, in its own folders."""
    prefix = tmp_path / "env"
    installed(other_channel, prefix, "python", "greeter", "nbplat-marker")
    told = run(
        prefix / "bin/python", "-c", "import sys, ssl, nbplat_marker as m; print(*sys.version_info[:3], m.__version__)"
    )
    assert [*other_channel.python.split("."), "8.8.8"] == told.split()
    assert f"hello from {prefix}\n" == run(prefix / "bin/greet")
