"""The set-up scripts on machines that lack something, played by a PATH of stand-ins."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

NEEDED = ("sh", "sed", "head", "env", "mkdir", "cat", "chmod", "touch")


@pytest.fixture
def machine(tmp_path):
    """A folder of programs that is the whole PATH; returns a function that adds one with a shell body."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in NEEDED:
        (folder / name).symlink_to(shutil.which(name))

    def add(name: str, body: str) -> Path:
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
        return folder

    return add


def _run(root: Path, folder: Path, what: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", root / "scripts" / "system-packages.sh", what],
        env={"PATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_nothing_is_done_where_everything_is_there(root, machine):
    """A machine with Java 17 is left alone."""
    folder = machine("java", "echo 'openjdk version \"17.0.1\"' >&2")

    done = _run(root, folder, "java")

    assert (0, "", "") == (done.returncode, done.stdout, done.stderr)


def test_an_old_java_is_as_good_as_none(root, machine):
    """Java 11 does not run Spark 4; without a package manager the script stops and names the package."""
    folder = machine("java", "echo 'openjdk version \"11.0.2\"' >&2")

    done = _run(root, folder, "java")

    assert 3 == done.returncode
    assert "default-jre-headless" in done.stderr


def test_without_rights_it_stops_with_the_exact_command(root, machine):
    """apt-get that may not be used is named in full, to copy."""
    machine("id", "echo 1000")
    folder = machine("apt-get", "exit 1")

    done = _run(root, folder, "java")

    assert 3 == done.returncode
    assert (
        "Fix: sudo apt-get update && sudo apt-get install -y --no-install-recommends default-jre-headless"
        in done.stderr
    )


def test_with_rights_it_updates_and_installs(root, machine, tmp_path):
    """apt-get's lists are fetched first; what it installs is looked for again."""
    machine("id", "echo 0")
    new_java = tmp_path / "new-java"
    new_java.write_text("#!/bin/sh\necho 'openjdk version \"21.0.1\"' >&2\n")
    new_java.chmod(0o755)
    install = f"ln -s {new_java} {tmp_path}/bin/java"
    (tmp_path / "bin" / "ln").symlink_to(shutil.which("ln"))
    folder = machine("apt-get", f'echo "$@" >>{tmp_path}/calls\n[ "$1" = update ] || {install}')

    done = _run(root, folder, "java")

    assert (0, "installing with apt-get: default-jre-headless \n") == (done.returncode, done.stderr)
    calls = (tmp_path / "calls").read_text().splitlines()
    assert ["update", "install"] == [call.split()[0] for call in calls]


def test_an_install_that_does_not_help_is_an_error(root, machine):
    """A package manager that says yes and brings nothing is found out."""
    machine("id", "echo 0")
    folder = machine("apt-get", "exit 0")

    done = _run(root, folder, "java")

    assert 3 == done.returncode
    assert "still missing after the install: java" in done.stderr
